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
    series_id  uuid        NOT NULL, -- that had them; no foreign key, the series may go first
    person_id  uuid        NOT NULL, -- who may have them again before anybody else
    replan     boolean     NOT NULL, -- a new plan is made when they are back
    since      timestamptz NOT NULL,
    due_at     timestamptz NOT NULL
);
CREATE INDEX returning_due ON booking.returning (due_at);
CREATE INDEX returning_person ON booking.returning (person_id);

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

-- Ends the open appointments of series whose rows the caller has locked. Their
-- places return when their time has come; at once when delay and spread are 0,
-- then in the order of slot_id. Returns how many appointments ended.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.release(p_now timestamptz, p_series uuid[], p_state text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_freed  uuid[];
    v_delay  integer;
    v_spread integer;
    r        record;
BEGIN
    WITH freed AS (
        UPDATE booking.appointment SET state = p_state, changed_at = p_now
        WHERE series_id = ANY (p_series) AND state IN ('held', 'confirmed') RETURNING id)
    SELECT coalesce(array_agg(id), '{}') INTO v_freed FROM freed;
    UPDATE booking.series s SET ended_at = p_now,
        state = CASE WHEN EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id AND a.state IN ('done', 'here', 'missed'))
                     THEN 'ended' ELSE p_state END
    WHERE s.id = ANY (p_series) AND s.ended_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id AND a.state = 'here');
    SELECT return_delay_seconds, return_spread_seconds INTO v_delay, v_spread FROM booking.setting;
    IF v_delay + v_spread > 0 THEN
        WITH head AS (
            INSERT INTO booking.returning (series_id, person_id, replan, since, due_at)
            SELECT s.id, s.person_id, p_state <> 'expired', p_now,
                   p_now + make_interval(secs => v_delay + v_spread * booking.chance())
            FROM booking.series s
            WHERE s.id IN (SELECT a.series_id FROM booking.appointment a WHERE a.id = ANY (v_freed))
            RETURNING id, series_id)
        INSERT INTO booking.returning_place (returning_id, slot_id, channel, leg, first_day)
        SELECT h.id, a.slot_id, a.channel, a.leg, a.first_day
        FROM booking.appointment a JOIN head h ON h.series_id = a.series_id WHERE a.id = ANY (v_freed);
    ELSE
        FOR r IN SELECT slot_id, channel, leg, first_day, count(*) AS n FROM booking.appointment
                 WHERE id = ANY (v_freed) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LOOP
            UPDATE booking.place SET taken = taken - r.n
            WHERE slot_id = r.slot_id AND channel = r.channel AND leg = r.leg AND first_day = r.first_day;
        END LOOP;
    END IF;
    RETURN cardinality(v_freed);
END $$;
-- +goose StatementEnd

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
