-- +goose Up
-- Places of a group's contingent (channel 'web:<group>') go to somebody of the
-- group: the appointments stay on them, the series is of the channel.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.hold_returning(
    p_now timestamptz, p_head uuid, p_series uuid, p_person uuid, p_programme text, p_reference text, p_by text, p_role text,
    p_until timestamptz, p_first_dose integer, p_appointments uuid[])
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM booking.returning WHERE id = p_head FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at)
    SELECT p_series, p_person, p_programme, s.product_id, s.centre_id, split_part(p.channel, ':', 1), p_reference, p_by, p_role, 'held', p_until, p_now
    FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id WHERE p.returning_id = p_head AND p.leg = 1;
    INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel,
                                     leg, first_day, dose_number, day, start_at, state, changed_at)
    SELECT p_appointments[p.leg], p_series, p_person, p_programme, s.centre_id, s.product_id, p.slot_id, p.channel,
           p.leg, p.first_day, p_first_dose + p.leg - 1, s.day, s.start_at, 'held', p_now
    FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id WHERE p.returning_id = p_head;
    DELETE FROM booking.returning WHERE id = p_head;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The function goes with its schema.
