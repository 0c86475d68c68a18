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

-- +goose Down
-- The functions go with their schema.
