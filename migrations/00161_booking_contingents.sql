-- +goose Up
-- What an administrator moved by hand: so many places of a product's day, from
-- what from_channel has to to_channel.
CREATE TABLE booking.shift (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    centre_id    text        NOT NULL REFERENCES centre.centre (id),
    product_id   text        NOT NULL REFERENCES programme.product (id),
    day          date        NOT NULL,
    from_channel text        NOT NULL REFERENCES booking.channel (id),
    to_channel   text        NOT NULL REFERENCES booking.channel (id),
    places       integer     NOT NULL CONSTRAINT shift_places CHECK (places > 0),
    at           timestamptz NOT NULL,
    actor        text        NOT NULL,
    CONSTRAINT shift_other CHECK (to_channel <> from_channel)
);
CREATE INDEX shift_day ON booking.shift (centre_id, day);

-- What a priority group has of a channel's days for itself until a moment: so
-- many places a day, or so many percent. centre_id and product_id '': all.
CREATE TABLE booking.contingent (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    centre_id    text        NOT NULL,
    product_id   text        NOT NULL DEFAULT '',
    channel      text        NOT NULL REFERENCES booking.channel (id),
    programme_id text        NOT NULL REFERENCES programme.programme (id),
    group_code   text        NOT NULL,
    from_day     date        NOT NULL,
    to_day       date        NOT NULL,
    percent      smallint    NOT NULL DEFAULT 0 CONSTRAINT contingent_percent CHECK (percent BETWEEN 0 AND 100),
    places       integer     NOT NULL DEFAULT 0 CONSTRAINT contingent_places CHECK (places BETWEEN 0 AND 9999),
    until_at     timestamptz NOT NULL, -- from then on what is free is everybody's
    CONSTRAINT contingent_days CHECK (to_day >= from_day),
    CONSTRAINT contingent_size CHECK ((percent > 0) <> (places > 0))
);

-- A place of a contingent has the channel 'web:s2-age'. Where somebody may take
-- places over a channel: first those of their group, then everybody's.
CREATE FUNCTION booking.pots(p_person uuid, p_channel text) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM booking.contingent WHERE channel = p_channel)
                THEN (SELECT array_agg(p_channel || ':' || group_code) FROM citizen.person WHERE id = p_person) END || ARRAY[p_channel]
$$;

-- Takes a place of a channel at every slot, or raises BK001. Rows are locked in
-- the order of slot_id, as everywhere.
-- +goose StatementBegin
CREATE FUNCTION booking.take_series(p_channel text, p_slots bigint[], p_first date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT u.id, u.n FROM unnest(p_slots) WITH ORDINALITY AS u (id, n) ORDER BY u.id LOOP
        UPDATE booking.place SET taken = taken + 1
        WHERE slot_id = r.id AND channel = p_channel AND leg = r.n AND first_day = p_first AND taken < places;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001', DETAIL = r.id::text;
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The tables and functions go with their schema.
