-- +goose Up
-- A lot that is blocked (gesperrt), for instance recalled by its maker: nothing
-- of it is given or sent out until it is released.
ALTER TABLE inventory.lot
    ADD COLUMN blocked_at  timestamptz,
    ADD COLUMN blocked_by  text,
    ADD COLUMN blocked_why text,
    ADD CONSTRAINT lot_block CHECK (
        (blocked_at IS NULL AND blocked_by IS NULL AND blocked_why IS NULL)
        OR (blocked_at IS NOT NULL AND blocked_by IS NOT NULL AND length(blocked_why) BETWEEN 1 AND 200));

-- +goose Down
ALTER TABLE inventory.lot DROP COLUMN blocked_at, DROP COLUMN blocked_by, DROP COLUMN blocked_why;
