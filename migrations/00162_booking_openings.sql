-- +goose Up
-- When new days open. Without a rule a day opens at midnight, as many days
-- before as the horizon says. With one, the days that have come within the horizon
-- open on the next of its weekdays, in stages: at each minute (Berlin) so many
-- percent of the day's places may be booked, at the last one all.
CREATE TABLE booking.opening (
    from_day   date       PRIMARY KEY, -- in force for the openings from this day on
    weekdays   smallint   NOT NULL CONSTRAINT opening_weekdays CHECK (weekdays BETWEEN 0 AND 127), -- bit 0 = Monday; 0 = at midnight, without stages
    at_minutes smallint[] NOT NULL,
    percents   smallint[] NOT NULL,
    CONSTRAINT opening_stages CHECK (cardinality(at_minutes) = cardinality(percents) AND cardinality(percents) <= 6
        AND (weekdays = 0) = (cardinality(percents) = 0))
);

-- +goose Down
DROP TABLE booking.opening;
