-- +goose Up
-- Whatever gives places back, a cancellation, the end of a hold or a swap, lets
-- them return in the same way.

-- Gives p_n places of a slot back.
-- +goose StatementBegin
CREATE FUNCTION booking.free_place(p_slot bigint, p_channel text, p_leg integer, p_first date, p_n integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE booking.place SET taken = taken - p_n WHERE slot_id = p_slot AND channel = p_channel AND leg = p_leg AND first_day = p_first;
END $$;
-- +goose StatementEnd

-- Notes the places of appointments of one series as returning, together. false
-- when nothing is delayed: then the caller frees them, in the order of slot_id.
-- +goose StatementBegin
CREATE FUNCTION booking.return_later(p_now timestamptz, p_series uuid, p_person uuid, p_replan boolean, p_appointments uuid[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_delay  integer;
    v_spread integer;
    v_head   uuid;
BEGIN
    SELECT return_delay_seconds, return_spread_seconds INTO v_delay, v_spread FROM booking.setting;
    IF v_delay + v_spread = 0 THEN
        RETURN false;
    END IF;
    IF cardinality(p_appointments) > 0 THEN
        INSERT INTO booking.returning (series_id, person_id, replan, since, due_at)
        VALUES (p_series, p_person, p_replan, p_now, p_now + make_interval(secs => v_delay + v_spread * booking.chance())) RETURNING id INTO v_head;
        INSERT INTO booking.returning_place (returning_id, slot_id, channel, leg, first_day)
        SELECT v_head, a.slot_id, a.channel, a.leg, a.first_day FROM booking.appointment a WHERE a.id = ANY (p_appointments);
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- Ends the open appointments, from dose p_from on, of series whose rows the
-- caller has locked. Their places return when their time has come, those of a
-- series together. A series of which nothing is open any more ends. Returns how
-- many appointments ended.
DROP FUNCTION booking.release(timestamptz, uuid[], text);
-- +goose StatementBegin
CREATE FUNCTION booking.release(p_now timestamptz, p_series uuid[], p_state text, p_from integer DEFAULT 1) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_freed uuid[];
    v_later boolean := true;
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
    FOR r IN SELECT a.series_id, a.person_id, array_agg(a.id) AS freed FROM booking.appointment a WHERE a.id = ANY (v_freed) GROUP BY 1, 2 LOOP
        v_later := booking.return_later(p_now, r.series_id, r.person_id, p_state <> 'expired', r.freed);
        EXIT WHEN NOT v_later;
    END LOOP;
    IF NOT v_later THEN
        FOR r IN SELECT slot_id, channel, leg, first_day, count(*)::integer AS n FROM booking.appointment
                 WHERE id = ANY (v_freed) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LOOP
            PERFORM booking.free_place(r.slot_id, r.channel, r.leg, r.first_day, r.n);
        END LOOP;
    END IF;
    RETURN cardinality(v_freed);
END $$;
-- +goose StatementEnd

-- SQLSTATE BK006: the series or an appointment is in no state that allows this.

-- +goose Down
-- The functions go with their schema.
