-- +goose Up
-- Where in the line a reminder's place stands, as soon as that is known: so the
-- next to be told are found by index. The places behind count their own.
ALTER TABLE waitingroom.reminder ADD position bigint;
CREATE INDEX reminder_due ON waitingroom.reminder (room_id, epoch, (cohort = 2), position) WHERE told_at IS NULL;
CREATE INDEX reminder_told ON waitingroom.reminder (told_at) WHERE told_at IS NOT NULL;
DROP INDEX waitingroom.reminder_open;

-- +goose Down
CREATE INDEX reminder_open ON waitingroom.reminder (room_id, epoch) WHERE told_at IS NULL;
DROP INDEX waitingroom.reminder_due, waitingroom.reminder_told;
ALTER TABLE waitingroom.reminder DROP COLUMN position;
