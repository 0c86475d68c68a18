-- +goose Up
-- What was kept for a person can be taken until it lapses, over whatever channel:
-- the lead of a channel is for those who look for something.

DROP FUNCTION IF EXISTS booking.swap(timestamptz, uuid, uuid, text, text, text, text, text, integer[], bigint[], uuid[], text, integer, integer, date);
-- Moves the appointments for the doses p_doses (ascending) of a confirmed series
-- to the slots p_slots, or adds them where they were cancelled; all or nothing.
-- The old places are given back when the new ones are taken.
--   p_kept                   the new places were kept for this person: the lead of the channel
--                            was looked at when they were found, and does not count again
--   p_product, p_min, p_max, p_not_before  the product that the person may have, the
--                            distance of two appointments in days, the first day allowed
-- Returns whether it was this call that did it: the same key moves once.
-- Place rows are locked last, in the order of slot_id, as everywhere.
-- +goose StatementBegin
CREATE FUNCTION booking.swap(
    p_now timestamptz, p_person uuid, p_series uuid, p_channel text, p_key text, p_by text, p_role text, p_task text,
    p_doses integer[], p_slots bigint[], p_new uuid[], p_product text, p_min integer, p_max integer, p_not_before date,
    p_kept boolean DEFAULT false)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_series   booking.series;
    v_before   jsonb;
    v_earliest timestamptz;
    v_centre   text;
    v_rest     integer;
    r          record;
    v_leg      integer;
    v_first    date;
    v_late     boolean; -- what is given back returns later
BEGIN
    INSERT INTO booking.idempotency (person_id, key, series_id, created_at)
    VALUES (p_person, p_key, p_series, p_now) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO v_series FROM booking.series WHERE id = p_series AND person_id = p_person FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such series' USING ERRCODE = 'BK004';
    ELSIF v_series.state <> 'confirmed' THEN
        RAISE EXCEPTION 'the series is not confirmed' USING ERRCODE = 'BK006';
    END IF;
    SELECT greatest(p_now, CASE WHEN c.lead_days > 0 AND NOT p_kept THEN
               (date_trunc('day', p_now AT TIME ZONE 'Europe/Berlin') + make_interval(days => c.lead_days)) AT TIME ZONE 'Europe/Berlin' END)
    INTO v_earliest FROM booking.channel c WHERE c.id = p_channel AND c.bookable;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nobody books over this channel' USING ERRCODE = 'BK005';
    END IF;

    -- The new places are of one centre and of the product; what stays as it is
    -- binds both.
    SELECT min(s.centre_id) INTO v_centre FROM unnest(p_slots) AS u (id) JOIN booking.slot s ON s.id = u.id
    HAVING count(*) = cardinality(p_slots) AND count(DISTINCT s.centre_id) = 1 AND min(s.product_id) = p_product AND max(s.product_id) = p_product
       AND min(s.start_at) >= v_earliest AND (p_not_before IS NULL OR min(s.day) >= p_not_before);
    IF v_centre IS NULL THEN
        RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
    END IF;
    SELECT count(*) FILTER (WHERE state = 'confirmed') INTO v_rest FROM booking.appointment
    WHERE series_id = p_series AND dose_number <> ALL (p_doses);
    IF (v_rest > 0 AND v_centre <> v_series.centre_id)
       OR (p_product <> v_series.product_id AND EXISTS (
           SELECT 1 FROM booking.appointment WHERE series_id = p_series
           AND (state IN ('here', 'done', 'missed') OR (state = 'confirmed' AND dose_number <> ALL (p_doses))))) THEN
        RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
    END IF;
    -- Each dose is one that is booked and still to come, or that was given back.
    IF EXISTS (SELECT 1 FROM unnest(p_doses) AS u (dose) WHERE NOT EXISTS (
            SELECT 1 FROM booking.appointment a WHERE a.series_id = p_series AND a.dose_number = u.dose AND a.state IN ('confirmed', 'cancelled'))
        OR EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = p_series AND a.dose_number = u.dose
                   AND (a.state IN ('here', 'done', 'missed') OR (a.state = 'confirmed' AND a.start_at <= p_now)))) THEN
        RAISE EXCEPTION 'an appointment is over' USING ERRCODE = 'BK006';
    END IF;
    -- After the move the doses follow each other at the right distance.
    IF EXISTS (
        SELECT 1 FROM (
            SELECT dose, day, lag(day) OVER (ORDER BY dose) AS before FROM (
                SELECT u.dose, s.day FROM unnest(p_doses, p_slots) AS u (dose, id) JOIN booking.slot s ON s.id = u.id
                UNION ALL
                SELECT dose_number, day FROM booking.appointment
                WHERE series_id = p_series AND state IN ('confirmed', 'here', 'done') AND dose_number <> ALL (p_doses)) x (dose, day)) y
        WHERE day - before NOT BETWEEN p_min AND p_max) THEN
        RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
    END IF;

    SELECT jsonb_object_agg(dose_number, slot_id) INTO v_before FROM booking.appointment
    WHERE series_id = p_series AND state = 'confirmed' AND dose_number = ANY (p_doses);
    v_late := booking.return_later(p_now, p_series, p_person, true, ARRAY(
        SELECT a.id FROM booking.appointment a JOIN unnest(p_doses, p_slots) AS u (dose, id) ON u.dose = a.dose_number AND u.id <> a.slot_id
        WHERE a.series_id = p_series AND a.state = 'confirmed'));
    FOR r IN
        SELECT a.slot_id, NULL::integer AS dose, a.channel, a.leg::integer, a.first_day, NULL::uuid AS id
        FROM booking.appointment a JOIN unnest(p_doses, p_slots) AS u (dose, id) ON u.dose = a.dose_number AND u.id <> a.slot_id
        WHERE a.series_id = p_series AND a.state = 'confirmed'
        UNION ALL
        SELECT u.id, u.dose, p_channel, u.leg, u.first, u.new
        FROM (SELECT u.*, row_number() OVER (ORDER BY u.dose)::integer AS leg, min(s.day) OVER () AS first
              FROM unnest(p_doses, p_slots, p_new) AS u (dose, id, new) JOIN booking.slot s ON s.id = u.id) u
        WHERE NOT EXISTS (SELECT 1 FROM booking.appointment a
                          WHERE a.series_id = p_series AND a.dose_number = u.dose AND a.slot_id = u.id AND a.state = 'confirmed')
        ORDER BY 1, 2 NULLS LAST
    LOOP
        IF r.dose IS NULL THEN
            IF NOT v_late THEN
                PERFORM booking.free_place(r.slot_id, r.channel, r.leg, r.first_day, 1);
            END IF;
            CONTINUE;
        END IF;
        v_leg := r.leg;
        v_first := r.first_day;
        IF cardinality(p_doses) = 1 THEN -- best a place that was kept for the day on which this series starts
            SELECT a.leg, a.first_day INTO v_leg, v_first FROM booking.appointment a
            WHERE a.series_id = p_series AND a.dose_number = r.dose ORDER BY a.state = 'confirmed' DESC, a.changed_at DESC LIMIT 1;
        END IF;
        SELECT t.p_leg, t.p_first INTO v_leg, v_first FROM booking.take_any(r.slot_id, p_channel, v_leg, v_first) t;
        IF v_leg IS NULL THEN
            RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001', DETAIL = r.slot_id::text;
        END IF;
        UPDATE booking.appointment a SET slot_id = s.id, centre_id = s.centre_id, product_id = s.product_id, channel = p_channel,
            leg = v_leg, first_day = v_first, day = s.day, start_at = s.start_at, changed_at = p_now
        FROM booking.slot s WHERE s.id = r.slot_id AND a.series_id = p_series AND a.dose_number = r.dose AND a.state = 'confirmed';
        IF NOT FOUND THEN
            INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel,
                                             leg, first_day, dose_number, day, start_at, state, changed_at)
            SELECT r.id, p_series, p_person, v_series.programme_id, s.centre_id, s.product_id, s.id, p_channel,
                   v_leg, v_first, r.dose, s.day, s.start_at, 'confirmed', p_now
            FROM booking.slot s WHERE s.id = r.slot_id;
        END IF;
    END LOOP;

    UPDATE booking.series SET centre_id = v_centre, product_id = p_product, revision = revision + 1 WHERE id = p_series;
    PERFORM audit.write(p_now, p_by, p_role, 'booking.change', 'series:' || p_series, v_before,
        (SELECT jsonb_object_agg(u.dose, u.id) FROM unnest(p_doses, p_slots) AS u (dose, id)));
    PERFORM jobs.enqueue(p_task, jsonb_build_object('series_id', p_series));
    INSERT INTO booking.plan AS p (centre_id, product_id, wanted)
    SELECT DISTINCT c, d, 1 FROM (VALUES (v_series.centre_id, v_series.product_id), (v_centre, p_product)) AS v (c, d) ORDER BY 1, 2
    ON CONFLICT (centre_id, product_id) DO UPDATE SET wanted = p.wanted + 1;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The function goes with its schema.
