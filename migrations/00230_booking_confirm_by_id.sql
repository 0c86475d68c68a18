-- +goose Up
-- A confirmation finds its series by its id, however many are held.

-- Confirms all appointments of a series, or none, with the task that tells the
-- person and the audit entry; for a couple that of both. Returns whether it was this call that did it:
-- confirming twice is no error.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.confirm(p_now timestamptz, p_series uuid, p_person uuid, p_task text, p_locked boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_centre  text;
    v_product text;
    v_by      text;
    v_role    text;
    v_channel text;
    v_held    timestamptz;
    v_couple  uuid;
    v_done    boolean := false;
    v_state   text;
    r         record;
    v_count   integer;
BEGIN
    -- CASE keeps what is asked of the row from the planner: over a table that it knows
    -- as empty, it would look among all that is held (series_holds) and not by id.
    UPDATE booking.series SET state = 'confirmed', confirmed_at = p_now
    WHERE id = p_series AND person_id = p_person AND CASE WHEN state = 'held' THEN hold_until > p_now AND (couple_id IS NULL OR p_locked) END
    RETURNING centre_id, product_id, booked_by, role, channel, created_at INTO v_centre, v_product, v_by, v_role, v_channel, v_held;
    IF FOUND THEN
        UPDATE booking.appointment SET state = 'confirmed', changed_at = p_now WHERE series_id = p_series AND state = 'held';
        GET DIAGNOSTICS v_count = ROW_COUNT;
        INSERT INTO jobs.outbox (kind, payload) VALUES (p_task, jsonb_build_object('series_id', p_series));
        IF v_count = 1 THEN
            -- The dose that was reserved for a second appointment may be free now.
            INSERT INTO booking.plan AS p (centre_id, product_id, wanted) VALUES (v_centre, v_product, 1)
            ON CONFLICT (centre_id, product_id) DO UPDATE SET wanted = p.wanted + 1;
        END IF;
        INSERT INTO audit.entry (at, actor, role, action, subject, after)
        VALUES (p_now, v_by, v_role, 'booking.confirm', 'series:' || p_series,
                jsonb_build_object('centre', v_centre, 'product', v_product, 'channel', v_channel, 'held_at', v_held, 'appointments', v_count));
        RETURN true;
    END IF;
    SELECT state, couple_id INTO v_state, v_couple FROM booking.series WHERE id = p_series AND person_id = p_person;
    IF v_couple IS NOT NULL AND NOT p_locked THEN
        -- Both rows are locked in the order of their ids, whoever of the two confirms.
        FOR r IN SELECT id, person_id, state FROM booking.series WHERE couple_id = v_couple AND hold_until > p_now ORDER BY id FOR UPDATE LOOP
            IF r.state = 'held' THEN
                PERFORM booking.confirm(p_now, r.id, r.person_id, p_task, true);
                v_done := v_done OR r.id = p_series;
            END IF;
        END LOOP;
        IF v_done THEN
            RETURN true;
        END IF;
        SELECT state INTO v_state FROM booking.series WHERE id = p_series AND person_id = p_person;
    END IF;
    IF v_state IS NULL OR v_state = 'cancelled' THEN
        RAISE EXCEPTION 'no such series' USING ERRCODE = 'BK004';
    ELSIF v_state IN ('held', 'expired') THEN
        RAISE EXCEPTION 'the hold has ended' USING ERRCODE = 'BK002';
    END IF;
    RETURN false;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The function goes with its schema.
