-- +goose Up
-- The series of one dose that was given to somebody who came after a call: it tells
-- from then on that the person has had this dose. Null = not given yet. Its appointment
-- has no slot (slot_id 0): it took no place.
ALTER TABLE booking.leftover_call
    ADD COLUMN series_id uuid,
    ADD CONSTRAINT leftover_call_given CHECK (series_id IS NULL OR state = 'came');

-- +goose Down
ALTER TABLE booking.leftover_call DROP COLUMN series_id;
