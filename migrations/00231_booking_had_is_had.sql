-- +goose Up
-- Nobody holds a dose again that was given while they looked for times.

-- Takes all places of a series or none, in one round trip. The series itself
-- says who held what and when; the audit begins with the confirmation.
--   p_registered             the person is one of package citizen: they must not go
--                            meanwhile, and over the web not hold again and again
--   p_products .. p_not_before  what the person may have, one entry per product:
--                            appointments needed, number of the first dose, limits of
--                            the distance in days, first day allowed
-- Returns one row: the series (an older one when the key was used before), and
-- what was taken, in the order of p_slots.
-- Place rows are locked last, in the order of slot_id, as everywhere.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.hold(
    p_registered boolean, p_now timestamptz, p_person uuid, p_programme text, p_channel text, p_key text,
    p_series uuid, p_reference text, p_by text, p_role text, p_appointments uuid[], p_slots bigint[],
    p_products text[], p_legs integer[], p_first_dose integer[], p_min integer[], p_max integer[], p_not_before date[])
RETURNS TABLE (o_series uuid, o_fresh boolean, o_centre text, o_product text, o_first_dose integer, o_starts timestamptz[], o_until timestamptz)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_centres  text[];
    v_products text[];
    v_days     date[];
    v_lead     integer;
    v_minutes  integer;
    v_pots     boolean;
    v_order    integer[] := '{1}';
    v_good     boolean;
    k          integer;
    i          integer;
    v_pot      text;
    v_none     text;
BEGIN
    -- Nobody waits for the disk here: a hold that a crash takes along within its
    -- first moments was no booking yet. A confirmation waits, and takes everything
    -- before it to the disk.
    v_none := set_config('synchronous_commit', 'off', true); -- an assignment is cheaper than PERFORM
    IF p_registered THEN
        v_none := citizen.lock_for_booking(p_person);
        IF p_channel = 'web' THEN
            v_none := booking.not_too_often(p_now, p_person);
        END IF;
    END IF;
    SELECT c.lead_days, t.hold_minutes, EXISTS (SELECT FROM booking.contingent x WHERE x.channel = c.id),
           of.products, of.days, of.starts, of.centres
    INTO v_lead, v_minutes, v_pots, v_products, v_days, o_starts, v_centres
    FROM booking.channel c, booking.setting t, (
        SELECT array_agg(s.product_id ORDER BY u.n) AS products, array_agg(s.day ORDER BY u.n) AS days,
               array_agg(s.start_at ORDER BY u.n) AS starts, array_agg(s.centre_id ORDER BY u.n) AS centres
        FROM unnest(p_slots) WITH ORDINALITY AS u (id, n) JOIN booking.slot s ON s.id = u.id) of
    WHERE c.id = p_channel AND c.bookable;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nobody books over this channel' USING ERRCODE = 'BK005';
    END IF;
    o_until := p_now + make_interval(mins => v_minutes);

    k := array_position(p_products, v_products[1]);
    v_good := k IS NOT NULL AND cardinality(v_days) IS NOT DISTINCT FROM cardinality(p_slots) AND cardinality(p_slots) = p_legs[k]
        AND o_starts[1] >= p_now
        AND (v_lead = 0 OR o_starts[1] >= (date_trunc('day', p_now AT TIME ZONE 'Europe/Berlin') + make_interval(days => v_lead)) AT TIME ZONE 'Europe/Berlin')
        AND (p_not_before[k] IS NULL OR v_days[1] >= p_not_before[k])
        -- What the person may have was read before anybody who notes a dose was waited for.
        AND NOT EXISTS (SELECT FROM booking.appointment a WHERE a.person_id = p_person AND a.programme_id = p_programme
                        AND NOT a.active AND a.dose_number >= p_first_dose[k] AND a.state = 'done');
    IF v_good THEN
        FOR i IN 2 .. cardinality(p_slots) LOOP
            v_good := v_good AND v_centres[i] = v_centres[1] AND v_products[i] = v_products[1]
                AND v_days[i] - v_days[i - 1] BETWEEN p_min[k] AND p_max[k];
        END LOOP;
    END IF;
    IF v_good THEN
        INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at, key)
        VALUES (p_series, p_person, p_programme, v_products[1], v_centres[1], p_channel, p_reference, p_by, p_role, 'held', o_until, p_now, p_key)
        ON CONFLICT (person_id, key) DO NOTHING;
    END IF;
    IF NOT v_good OR NOT FOUND THEN
        RETURN QUERY SELECT s.id, false, NULL::text, NULL::text, NULL::integer, NULL::timestamptz[], NULL::timestamptz
            FROM booking.series s WHERE s.person_id = p_person AND s.key = p_key;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
        END IF;
        RETURN;
    END IF;
    INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel,
                                     leg, first_day, dose_number, day, start_at, state, changed_at)
    SELECT u.id, p_series, p_person, p_programme, v_centres[1], v_products[1], u.slot, p_channel,
           u.n, v_days[1], p_first_dose[k] + u.n - 1, u.day, u.start_at, 'held', p_now
    FROM unnest(p_appointments, p_slots, v_days, o_starts) WITH ORDINALITY AS u (id, slot, day, start_at, n);

    IF p_legs[k] = 1 AND p_first_dose[k] > 1 THEN
        -- The last dose of a series begun here or elsewhere: any place of the slot will do.
        UPDATE booking.appointment a SET leg = t.p_leg, first_day = t.p_first
        FROM booking.take_any(p_slots[1], p_channel, 1, v_days[1]) t WHERE a.id = p_appointments[1] AND t.p_leg IS NOT NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001', DETAIL = p_slots[1]::text;
        END IF;
    ELSE
        IF v_pots THEN -- first what is kept for the group of the person, then everybody's
            FOREACH v_pot IN ARRAY booking.pots(p_person, p_channel) LOOP
                EXIT WHEN v_pot = p_channel;
                BEGIN
                    PERFORM booking.take_series(v_pot, p_slots, v_days[1]);
                    UPDATE booking.appointment SET channel = v_pot WHERE series_id = p_series;
                    v_order := '{}';
                    EXIT;
                EXCEPTION WHEN SQLSTATE 'BK001' THEN
                    NULL; -- the contingent has nothing left there
                END;
            END LOOP;
        END IF;
        IF cardinality(v_order) > 0 AND cardinality(p_slots) = 2 THEN
            v_order := CASE WHEN p_slots[1] <= p_slots[2] THEN '{1,2}'::integer[] ELSE '{2,1}' END;
        ELSIF cardinality(v_order) > 0 AND cardinality(p_slots) > 2 THEN
            v_order := ARRAY(SELECT u.n FROM unnest(p_slots) WITH ORDINALITY AS u (id, n) ORDER BY u.id, u.n);
        END IF;
        FOREACH i IN ARRAY v_order LOOP
            UPDATE booking.place SET taken = taken + 1
            WHERE slot_id = p_slots[i] AND channel = p_channel AND leg = i AND first_day = v_days[1] AND taken < places;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001', DETAIL = p_slots[i]::text;
            END IF;
        END LOOP;
    END IF;
    o_series := p_series; o_fresh := true; o_centre := v_centres[1]; o_product := v_products[1]; o_first_dose := p_first_dose[k];
    RETURN NEXT;
END $$;
-- +goose StatementEnd

-- The offers of a person: a change of contact looks for them.
CREATE INDEX waiting_offer_person ON booking.waiting_offer (person_id);

-- +goose Down
-- The function and the index go with their schema.
