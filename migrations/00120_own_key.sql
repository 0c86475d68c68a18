-- +goose Up
-- A message to somebody whose registration has ended is sealed under a key of
-- its own, which is destroyed together with the message.
ALTER TABLE notify.message ADD COLUMN own_key boolean NOT NULL DEFAULT false;
CREATE INDEX message_own_key ON notify.message (key_id) WHERE own_key;

-- +goose Down
ALTER TABLE notify.message DROP COLUMN own_key;
