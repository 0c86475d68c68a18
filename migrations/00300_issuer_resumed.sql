-- +goose Up
-- When an issuer was last told that issuing works again: one message for one event,
-- however often its task is run.
ALTER TABLE certificate.issuer ADD COLUMN resumed_told_at timestamptz;

-- +goose Down
ALTER TABLE certificate.issuer DROP COLUMN resumed_told_at;
