-- +goose Up
-- A hold is one statement: what was asked beside it belongs to it.
DROP FUNCTION booking.hold(timestamptz, uuid, text, text, text, uuid, text, text, text, uuid[], bigint[], text[], integer[], integer[], integer[], integer[], date[]);

-- The function itself is that of 00231.

-- An entry of the record is in the indexes that somebody reads: the newest ones
-- are the last ones, and what is not sealed yet has no number.
ALTER TABLE audit.entry DROP CONSTRAINT entry_seq;
CREATE UNIQUE INDEX entry_seq ON audit.entry (seq) WHERE seq IS NOT NULL;
DROP INDEX audit.entry_at;

-- The end of a stay changes no column that an index knows, so it leaves the
-- indexes alone (heap-only update); a page has room for it.
DROP INDEX waitingroom.pass_active;
CREATE INDEX pass_active ON waitingroom.pass (room_id, expires_at);
ALTER TABLE waitingroom.pass SET (fillfactor = 80);

-- +goose Down
-- The functions and indexes go with their schemas.
