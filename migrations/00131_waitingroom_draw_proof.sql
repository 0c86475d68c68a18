-- +goose Up
-- What a draw's proof needs after keys and settings have changed, why an attempt
-- does not count, and what administrators name instead of a beacon that failed.
ALTER TABLE waitingroom.draw
    ADD public_key bytea,  -- Ed25519, of the signature
    ADD chain      jsonb,  -- drand: the chain's parameters when the round was named
    ADD failed_why text NOT NULL DEFAULT '' CONSTRAINT draw_failed_why CHECK (failed_why IN ('', 'known', 'declared')),
    ADD CONSTRAINT draw_failed CHECK ((failed_at IS NULL) = (failed_why = '')),
    ADD CONSTRAINT draw_signed CHECK ((signature IS NULL) = (public_key IS NULL)),
    ADD CONSTRAINT draw_value CHECK ((beacon_value IS NULL) = (beacon_at IS NULL));

ALTER TABLE waitingroom.beacon_word
    ADD next_beacon text NOT NULL DEFAULT '' CONSTRAINT beacon_word_next CHECK (next_beacon IN ('', 'drand', 'lottery')),
    ADD next_name   text NOT NULL DEFAULT '',
    ADD next_due    timestamptz;

-- +goose Down
ALTER TABLE waitingroom.beacon_word DROP COLUMN next_beacon, DROP COLUMN next_name, DROP COLUMN next_due;
ALTER TABLE waitingroom.draw
    DROP CONSTRAINT draw_failed, DROP CONSTRAINT draw_signed, DROP CONSTRAINT draw_value,
    DROP COLUMN public_key, DROP COLUMN chain, DROP COLUMN failed_why;
