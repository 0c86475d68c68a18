-- +goose Up
-- Where the figures come from and of which day they are, so that whoever shares
-- vaccine out by them can judge them.
ALTER TABLE inventory.population
    ADD COLUMN source text NOT NULL DEFAULT '' CONSTRAINT population_source CHECK (char_length(source) <= 200),
    ADD COLUMN as_of  date,
    ADD COLUMN set_by text NOT NULL DEFAULT 'system',
    ADD COLUMN set_at timestamptz;

-- +goose Down
ALTER TABLE inventory.population DROP COLUMN source, DROP COLUMN as_of, DROP COLUMN set_by, DROP COLUMN set_at;
