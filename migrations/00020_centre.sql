-- +goose Up
CREATE SCHEMA centre;

CREATE TABLE centre.centre (
    id       text     PRIMARY KEY CONSTRAINT centre_id CHECK (id ~ '^[a-z0-9][a-z0-9-]{1,39}$'),
    name     text     NOT NULL,
    street   text     NOT NULL,
    postcode text     NOT NULL CONSTRAINT centre_postcode CHECK (postcode ~ '^[0-9]{5}$'),
    city     text     NOT NULL,
    lat      double precision NOT NULL CONSTRAINT centre_lat CHECK (lat BETWEEN -90 AND 90),
    lon      double precision NOT NULL CONSTRAINT centre_lon CHECK (lon BETWEEN -180 AND 180),
    stations smallint NOT NULL CONSTRAINT centre_stations CHECK (stations BETWEEN 0 AND 200),
    minutes_per_person smallint NOT NULL CONSTRAINT centre_minutes CHECK (minutes_per_person BETWEEN 1 AND 120),
    active   boolean  NOT NULL DEFAULT true
);

-- Opening hours of a weekday from a day on; the latest row that is not after a
-- day is in force. Minutes after midnight in Berlin; both null = closed.
CREATE TABLE centre.hours (
    centre_id  text     NOT NULL REFERENCES centre.centre (id),
    weekday    smallint NOT NULL CONSTRAINT hours_weekday CHECK (weekday BETWEEN 1 AND 7), -- ISO: 1 = Monday
    valid_from date     NOT NULL,
    opens      smallint,
    closes     smallint,
    PRIMARY KEY (centre_id, weekday, valid_from),
    CONSTRAINT hours_order CHECK ((opens IS NULL AND closes IS NULL) OR (opens >= 0 AND opens < closes AND closes <= 1440))
);

-- One day that differs from its weekday: a holiday, an extra Sunday.
CREATE TABLE centre.exception (
    centre_id text     NOT NULL REFERENCES centre.centre (id),
    day       date     NOT NULL,
    opens     smallint,
    closes    smallint,
    reason    text     NOT NULL CONSTRAINT exception_reason CHECK (length(reason) BETWEEN 1 AND 200),
    PRIMARY KEY (centre_id, day),
    CONSTRAINT exception_order CHECK ((opens IS NULL AND closes IS NULL) OR (opens >= 0 AND opens < closes AND closes <= 1440))
);

-- +goose Down
DROP SCHEMA centre CASCADE;
