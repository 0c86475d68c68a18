-- +goose Up
-- A recall asks for everybody who was given a lot.
CREATE INDEX record_lot ON vaccination.record (lot_id, given_at DESC);

-- +goose Down
DROP INDEX vaccination.record_lot;
