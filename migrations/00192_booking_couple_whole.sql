-- +goose Up
-- Two who book together have both or nothing, also when one half has ended while
-- the other was still held: then nothing is confirmed. The hold of both has ended
-- (SQLSTATE BK002).
-- +goose StatementBegin
CREATE FUNCTION booking.couple_whole() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM booking.series o WHERE o.couple_id = NEW.couple_id AND o.id <> NEW.id
                   AND (o.state = 'confirmed' OR (o.state = 'held' AND o.hold_until > NEW.confirmed_at))) THEN
        RAISE EXCEPTION 'the hold of the other one has ended' USING ERRCODE = 'BK002';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER series_couple_whole AFTER UPDATE OF state ON booking.series FOR EACH ROW
    WHEN (NEW.couple_id IS NOT NULL AND OLD.state = 'held' AND NEW.state = 'confirmed') EXECUTE FUNCTION booking.couple_whole();

-- Whoever showed the login data of a second person may book for both while these
-- are valid: the mark changes with them.
DELETE FROM booking.companion;
ALTER TABLE booking.companion ADD COLUMN mark bytea NOT NULL;

-- +goose Down
-- Trigger and column go with their schema.
