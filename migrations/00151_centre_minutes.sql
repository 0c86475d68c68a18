-- +goose Up
-- How many minutes a station needs for a person from a day on; the latest row
-- that is not after a day is in force, before the first the centre's own figure.
CREATE TABLE centre.minutes (
    centre_id  text     NOT NULL REFERENCES centre.centre (id),
    valid_from date     NOT NULL,
    minutes    smallint NOT NULL CONSTRAINT minutes_range CHECK (minutes BETWEEN 1 AND 120),
    PRIMARY KEY (centre_id, valid_from)
);

-- +goose Down
DROP TABLE centre.minutes;
