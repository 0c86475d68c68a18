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

-- Takes all places of a series or none, with its audit entry, in one round trip.
--   p_products .. p_not_before  what the person may have, one entry per product:
--                            appointments needed, number of the first dose, limits of
--                            the distance in days, first day allowed
-- Returns one row: the series (an older one when the key was used before), and
-- what was taken, in the order of p_slots.
-- Place rows are locked last, in the order of slot_id, as everywhere.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.hold(
    p_now timestamptz, p_person uuid, p_programme text, p_channel text, p_key text,
    p_series uuid, p_reference text, p_by text, p_role text, p_appointments uuid[], p_slots bigint[],
    p_products text[], p_legs integer[], p_first_dose integer[], p_min integer[], p_max integer[], p_not_before date[])
RETURNS TABLE (o_series uuid, o_fresh boolean, o_centre text, o_product text, o_first_dose integer, o_starts timestamptz[], o_until timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    v_centres  text[];
    v_products text[];
    v_days     date[];
    v_earliest timestamptz; -- lead of the channel, in days of Berlin
    k          integer;
    i          integer;
    v_pot      text;
BEGIN
    -- Nobody waits for the disk here: a hold that a crash takes along within its
    -- first moments was no booking yet. A confirmation waits, and takes everything
    -- before it to the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO booking.idempotency (person_id, key, series_id, created_at)
    VALUES (p_person, p_key, p_series, p_now) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT n.series_id, false, NULL::text, NULL::text, NULL::integer, NULL::timestamptz[], NULL::timestamptz
            FROM booking.idempotency n WHERE n.person_id = p_person AND n.key = p_key;
        RETURN;
    END IF;

    SELECT greatest(p_now, CASE WHEN c.lead_days > 0 THEN
               (date_trunc('day', p_now AT TIME ZONE 'Europe/Berlin') + make_interval(days => c.lead_days)) AT TIME ZONE 'Europe/Berlin' END),
           p_now + make_interval(mins => t.hold_minutes)
    INTO v_earliest, o_until
    FROM booking.channel c, booking.setting t WHERE c.id = p_channel AND c.bookable;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nobody books over this channel' USING ERRCODE = 'BK005';
    END IF;
    SELECT array_agg(s.centre_id ORDER BY u.n), array_agg(s.product_id ORDER BY u.n),
           array_agg(s.day ORDER BY u.n), array_agg(s.start_at ORDER BY u.n)
    INTO v_centres, v_products, v_days, o_starts
    FROM unnest(p_slots) WITH ORDINALITY AS u (id, n) JOIN booking.slot s ON s.id = u.id;
    k := array_position(p_products, v_products[1]);
    IF k IS NULL OR cardinality(v_days) IS DISTINCT FROM cardinality(p_slots) OR cardinality(p_slots) <> p_legs[k]
       OR o_starts[1] < v_earliest OR v_days[1] < p_not_before[k] THEN
        RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
    END IF;
    FOR i IN 2 .. cardinality(p_slots) LOOP
        IF v_centres[i] <> v_centres[1] OR v_products[i] <> v_products[1]
           OR v_days[i] - v_days[i - 1] NOT BETWEEN p_min[k] AND p_max[k] THEN
            RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
        END IF;
    END LOOP;

    INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at)
    VALUES (p_series, p_person, p_programme, v_products[1], v_centres[1], p_channel, p_reference, p_by, p_role, 'held', o_until, p_now);
    FOR i IN 1 .. cardinality(p_slots) LOOP
        INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel,
                                         leg, first_day, dose_number, day, start_at, state, changed_at)
        VALUES (p_appointments[i], p_series, p_person, p_programme, v_centres[1], v_products[1], p_slots[i], p_channel,
                i, v_days[1], p_first_dose[k] + i - 1, v_days[i], o_starts[i], 'held', p_now);
    END LOOP;

    IF p_legs[k] = 1 AND p_first_dose[k] > 1 THEN
        -- The last dose of a series begun here or elsewhere: any place of the slot will do.
        UPDATE booking.appointment a SET leg = t.p_leg, first_day = t.p_first
        FROM booking.take_any(p_slots[1], p_channel, 1, v_days[1]) t WHERE a.id = p_appointments[1] AND t.p_leg IS NOT NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001', DETAIL = p_slots[1]::text;
        END IF;
    ELSE
        FOREACH v_pot IN ARRAY booking.pots(p_person, p_channel) LOOP
            IF v_pot = p_channel THEN -- everybody's come last
                PERFORM booking.take_series(v_pot, p_slots, v_days[1]);
                EXIT;
            END IF;
            BEGIN
                PERFORM booking.take_series(v_pot, p_slots, v_days[1]);
                UPDATE booking.appointment SET channel = v_pot WHERE series_id = p_series;
                EXIT;
            EXCEPTION WHEN SQLSTATE 'BK001' THEN
                NULL; -- the contingent has nothing left there
            END;
        END LOOP;
    END IF;
    PERFORM audit.write(p_now, p_by, p_role, 'booking.hold', 'series:' || p_series, NULL,
        jsonb_build_object('channel', p_channel, 'slots', to_jsonb(p_slots)));
    o_series := p_series; o_fresh := true; o_centre := v_centres[1]; o_product := v_products[1]; o_first_dose := p_first_dose[k];
    RETURN NEXT;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The tables and functions go with their schema.
