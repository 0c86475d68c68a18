-- +goose Up
-- One way to free places: all of a series at once (release), or one by one
-- within a transaction (free_place). Both let them return together.
DROP FUNCTION booking.release(timestamptz, uuid[], text);
DROP FUNCTION booking.release(timestamptz, uuid[], text, integer);

-- Places that were moved away from have no series of their own: what one
-- transaction frees returns together.
ALTER TABLE booking.returning
    ALTER COLUMN series_id DROP NOT NULL,
    ALTER COLUMN person_id DROP NOT NULL,
    ADD COLUMN tx xid8; -- the transaction of free_place; NULL = freed with its series
CREATE INDEX returning_tx ON booking.returning (tx) WHERE tx IS NOT NULL;
CREATE INDEX returning_series ON booking.returning (series_id);

-- When what is freed now is free for everybody; NULL = at once.
-- +goose StatementBegin
CREATE FUNCTION booking.return_at(p_now timestamptz) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT p_now + make_interval(secs => return_delay_seconds + return_spread_seconds * booking.chance())
    FROM booking.setting WHERE return_delay_seconds + return_spread_seconds > 0
$$;
-- +goose StatementEnd

-- Gives p_n places back; those of one transaction return together.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.free_place(p_now timestamptz, p_slot bigint, p_channel text, p_leg integer, p_first date, p_n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_due  timestamptz;
    v_head uuid;
BEGIN
    v_due := booking.return_at(p_now);
    IF v_due IS NULL THEN
        UPDATE booking.place SET taken = taken - p_n WHERE slot_id = p_slot AND channel = p_channel AND leg = p_leg AND first_day = p_first;
        RETURN;
    END IF;
    IF p_n <> 1 THEN
        RAISE EXCEPTION 'places return one by one';
    END IF;
    SELECT id INTO v_head FROM booking.returning WHERE tx = pg_current_xact_id();
    IF NOT FOUND THEN
        INSERT INTO booking.returning (tx, replan, since, due_at) VALUES (pg_current_xact_id(), true, p_now, v_due) RETURNING id INTO v_head;
    END IF;
    INSERT INTO booking.returning_place (returning_id, slot_id, channel, leg, first_day) VALUES (v_head, p_slot, p_channel, p_leg, p_first);
END $$;
-- +goose StatementEnd

-- Ends the open appointments, from dose p_from on, of series whose rows the
-- caller has locked. Their places return when their time has come, those of a
-- series together; at once when delay and spread are 0, then in the order of
-- slot_id. A series of which nothing is open any more ends. Returns how many
-- appointments ended.
-- +goose StatementBegin
CREATE FUNCTION booking.release(p_now timestamptz, p_series uuid[], p_state text, p_from integer DEFAULT 1) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_freed uuid[];
    r       record;
BEGIN
    WITH freed AS (
        UPDATE booking.appointment SET state = p_state, changed_at = p_now
        WHERE series_id = ANY (p_series) AND state IN ('held', 'confirmed') AND dose_number >= p_from RETURNING id)
    SELECT coalesce(array_agg(id), '{}') INTO v_freed FROM freed;
    UPDATE booking.series s SET ended_at = p_now,
        state = CASE WHEN EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id AND a.state IN ('done', 'missed'))
                     THEN 'ended' ELSE p_state END
    WHERE s.id = ANY (p_series) AND s.ended_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id AND a.state IN ('held', 'confirmed', 'here'));
    IF booking.return_at(p_now) IS NULL THEN
        FOR r IN SELECT slot_id, channel, leg, first_day, count(*)::integer AS n FROM booking.appointment
                 WHERE id = ANY (v_freed) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LOOP
            UPDATE booking.place SET taken = taken - r.n
            WHERE slot_id = r.slot_id AND channel = r.channel AND leg = r.leg AND first_day = r.first_day;
        END LOOP;
        RETURN cardinality(v_freed);
    END IF;
    WITH head AS (
        INSERT INTO booking.returning (series_id, person_id, replan, since, due_at)
        SELECT s.id, s.person_id, p_state <> 'expired', p_now, booking.return_at(p_now)
        FROM booking.series s
        WHERE s.id IN (SELECT a.series_id FROM booking.appointment a WHERE a.id = ANY (v_freed))
        RETURNING id, series_id)
    INSERT INTO booking.returning_place (returning_id, slot_id, channel, leg, first_day)
    SELECT h.id, a.slot_id, a.channel, a.leg, a.first_day
    FROM booking.appointment a JOIN head h ON h.series_id = a.series_id WHERE a.id = ANY (v_freed);
    RETURN cardinality(v_freed);
END $$;
-- +goose StatementEnd

-- +goose Down
-- The functions go with their schema.
