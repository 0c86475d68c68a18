-- +goose Up
-- Whether the doses after the first of a series may be waived when it is booked:
-- a medical decision, set with the series.
ALTER TABLE programme.series_rule
    ADD COLUMN may_waive boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT series_waive CHECK (NOT may_waive OR doses > 1);

-- Why somebody booked the first dose alone; NULL = nothing was waived.
ALTER TABLE booking.series
    ADD COLUMN waived text CONSTRAINT series_waived CHECK (waived IN ('medical', 'elsewhere', 'own'));

-- +goose Down
-- The columns go with their schemas.
