-- +goose Up
-- What was given back is not free at once, or places could be traded: given
-- back at an agreed second and caught by whoever knows it. It returns after a
-- delay and a random spread on top.
ALTER TABLE booking.setting
    ADD COLUMN return_delay_seconds  integer NOT NULL DEFAULT 600 CONSTRAINT setting_return_delay CHECK (return_delay_seconds BETWEEN 0 AND 86400),
    ADD COLUMN return_spread_seconds integer NOT NULL DEFAULT 900 CONSTRAINT setting_return_spread CHECK (return_spread_seconds BETWEEN 0 AND 86400);

-- Places that a series gave back together; they become free together. Until
-- then they count as taken: taken = appointments + returning places.
CREATE TABLE booking.returning (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    series_id  uuid, -- that had them; no foreign key, the series may go first; NULL = newly planned or kept
    person_id  uuid, -- who may have them again before anybody else
    replan     boolean     NOT NULL, -- a new plan is made when they are back
    since      timestamptz NOT NULL,
    due_at     timestamptz NOT NULL
);
CREATE INDEX returning_due ON booking.returning (due_at);
CREATE INDEX returning_person ON booking.returning (person_id);
CREATE INDEX returning_series ON booking.returning (series_id);

CREATE TABLE booking.returning_place (
    returning_id uuid     NOT NULL REFERENCES booking.returning (id) ON DELETE CASCADE,
    slot_id      bigint   NOT NULL,
    channel      text     NOT NULL,
    leg          smallint NOT NULL,
    first_day    date     NOT NULL,
    PRIMARY KEY (returning_id, slot_id, leg)
);
CREATE INDEX returning_place_slot ON booking.returning_place (slot_id);

-- A number in [0, 1) that nobody can guess from others like it.
CREATE FUNCTION booking.chance() RETURNS double precision LANGUAGE sql VOLATILE AS $$
    SELECT (('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 8))::bit(32)::bigint)::double precision / 4294967296
$$;

-- Makes returning places free whose heads the caller has locked, whole heads at
-- a time, in the order of slot_id. The places of heads that stand in p_gone too
-- go away: stations or vaccine do not carry them any more.
-- +goose StatementBegin
CREATE FUNCTION booking.give_back(p_heads uuid[], p_gone uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT slot_id, channel, leg, first_day, count(*) AS n, count(*) FILTER (WHERE returning_id = ANY (p_gone)) AS gone
             FROM booking.returning_place WHERE returning_id = ANY (p_heads) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LOOP
        UPDATE booking.place SET taken = taken - r.n, places = places - r.gone
        WHERE slot_id = r.slot_id AND channel = r.channel AND leg = r.leg AND first_day = r.first_day;
    END LOOP;
    -- Who wants a plan holds the places by then, as everywhere.
    FOR r IN SELECT DISTINCT s.centre_id, s.product_id
             FROM booking.returning h JOIN booking.returning_place p ON p.returning_id = h.id JOIN booking.slot s ON s.id = p.slot_id
             WHERE h.id = ANY (p_heads) AND (h.replan OR h.id = ANY (p_gone)) ORDER BY 1, 2 LOOP
        INSERT INTO booking.plan AS p (centre_id, product_id, wanted) VALUES (r.centre_id, r.product_id, 1)
        ON CONFLICT (centre_id, product_id) DO UPDATE SET wanted = p.wanted + 1;
    END LOOP;
    DELETE FROM booking.returning WHERE id = ANY (p_heads);
END $$;
-- +goose StatementEnd

-- Gives up to p_limit heads back whose time has come, at the slots given or
-- (NULL) anywhere; leaves out what somebody else has in hand. Where a shortfall
-- is open the places go away: they would be promised twice. Returns how many heads.
-- +goose StatementBegin
CREATE FUNCTION booking.return_due(p_now timestamptz, p_limit integer, p_slots bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_heads uuid[];
    v_gone  uuid[];
BEGIN
    SELECT array_agg(id) INTO v_heads FROM (
        SELECT h.id FROM booking.returning h
        WHERE h.due_at <= p_now
          AND (p_slots IS NULL OR EXISTS (SELECT 1 FROM booking.returning_place p WHERE p.returning_id = h.id AND p.slot_id = ANY (p_slots)))
        ORDER BY h.due_at LIMIT p_limit FOR UPDATE OF h SKIP LOCKED) due;
    IF v_heads IS NULL THEN
        RETURN 0;
    END IF;
    SELECT coalesce(array_agg(DISTINCT p.returning_id), '{}') INTO v_gone
    FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id
    JOIN booking.shortfall f ON f.centre_id = s.centre_id AND f.product_id = s.product_id AND f.resolved_at IS NULL
    WHERE p.returning_id = ANY (v_heads);
    PERFORM booking.give_back(v_heads, v_gone);
    RETURN cardinality(v_heads);
END $$;
-- +goose StatementEnd

-- Whoever gave exactly these slots back may have them again while they return,
-- in the same transaction as the hold that takes them: nobody else can.
-- +goose StatementBegin
CREATE FUNCTION booking.reclaim(p_person uuid, p_slots bigint[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_head uuid;
BEGIN
    SELECT h.id INTO v_head FROM booking.returning h
    WHERE h.person_id = p_person
      AND (SELECT array_agg(p.slot_id ORDER BY p.leg) FROM booking.returning_place p WHERE p.returning_id = h.id) = p_slots
    ORDER BY h.since LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF v_head IS NULL THEN
        RETURN false;
    END IF;
    UPDATE booking.returning SET replan = false WHERE id = v_head; -- nothing is free for a plan
    PERFORM booking.give_back(ARRAY[v_head], '{}');
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The functions and tables go with their schema.
