-- +goose Up
-- Undoes the transaction unless p_sure: what was prepared for a booking (places
-- taken out of their way back) must not stay when the booking does not happen.
-- +goose StatementBegin
CREATE FUNCTION booking.sure(p_sure boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_sure IS NOT TRUE THEN
        RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001';
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- SQLSTATE BK007: a person has held and not confirmed too often within an hour.

-- Whoever holds and gives back again and again keeps places from everybody as
-- long as they take to return: eight times within an hour is enough.
-- +goose StatementBegin
CREATE FUNCTION booking.not_too_often(p_now timestamptz, p_person uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM booking.series WHERE person_id = p_person AND confirmed_at IS NULL AND created_at > p_now - interval '1 hour') >= 8
       AND EXISTS (SELECT FROM booking.setting WHERE return_delay_seconds + return_spread_seconds > 0) THEN
        RAISE EXCEPTION 'held too often' USING ERRCODE = 'BK007';
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The functions go with their schema.
