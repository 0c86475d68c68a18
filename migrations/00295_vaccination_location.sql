-- +goose Up
-- The id of the place where an issuer's software says the dose was given, as it goes
-- into the certificate's id (UVCI).
ALTER TABLE vaccination.record
    ADD COLUMN location text NOT NULL DEFAULT '',
    ADD CONSTRAINT record_location CHECK (location ~ '^[A-Z0-9]{0,20}$' AND (location = '' OR channel = 'issuer'));

-- +goose Down
ALTER TABLE vaccination.record DROP COLUMN location;
