-- +goose Up
-- Couples (Paare) book together: both have the same times or neither has any.
ALTER TABLE booking.series ADD COLUMN couple_id uuid; -- the same for both; NULL = booked alone
CREATE INDEX series_couple ON booking.series (couple_id) WHERE couple_id IS NOT NULL;

-- For whom somebody books besides themselves, after they have shown that
-- person's login data.
CREATE TABLE booking.companion (
    person_id    uuid        PRIMARY KEY,
    companion_id uuid        NOT NULL,
    until_at     timestamptz NOT NULL,
    CONSTRAINT companion_other CHECK (companion_id <> person_id)
);
CREATE INDEX companion_until ON booking.companion (until_at);

-- The confirmation of couples is that of 00230.
DROP FUNCTION booking.confirm(timestamptz, uuid, uuid, text);

-- +goose Down
-- The columns and functions go with their schema.
