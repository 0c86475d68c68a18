-- +goose Up
-- Somebody whose appointments were moved because of a shortfall has seen it.
ALTER TABLE booking.proposal ADD COLUMN seen_at timestamptz;
CREATE INDEX proposal_person ON booking.proposal (person_id);

-- +goose Down
-- Column and index go with their schema.
