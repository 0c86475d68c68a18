-- +goose Up
-- A call can end with appointments that were moved, or with a place on the waiting list.
ALTER TABLE hotline.note DROP CONSTRAINT note_disposition;
ALTER TABLE hotline.note ADD CONSTRAINT note_disposition
    CHECK (disposition IN ('booked', 'changed', 'registered', 'cancelled', 'waiting', 'login', 'advice', 'callback', 'other'));

-- +goose Down
-- The constraint goes with its schema.
