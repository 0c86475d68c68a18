-- +goose Up
-- Who could have been asked when an offer was made, so that an auditor can
-- recompute the order. Ids only; an id leads nowhere once its registration is gone.
CREATE TABLE booking.waiting_asked (
    offer_id  uuid        PRIMARY KEY,
    day       date        NOT NULL, -- of the draw
    origin    uuid        NOT NULL,
    round     smallint    NOT NULL,
    made_at   timestamptz NOT NULL,
    person_id uuid        NOT NULL, -- who was asked
    people    uuid[]      NOT NULL, -- who could have been, with
    ranks     smallint[]  NOT NULL, -- the rank of their group
    passed    jsonb       NOT NULL, -- [{"person", "why"}]: who stood in front
    CONSTRAINT waiting_asked_ranks CHECK (cardinality(people) = cardinality(ranks))
);
CREATE INDEX waiting_asked_day ON booking.waiting_asked (day);
CREATE INDEX waiting_asked_made ON booking.waiting_asked (made_at);

COMMENT ON COLUMN booking.waiting.unanswered IS 'offers in a row; goes over to a new entry of the person';
COMMENT ON COLUMN booking.waiting.declined IS 'offers; goes over to a new entry of the person';
CREATE INDEX waiting_person ON booking.waiting (person_id, ended_at);

-- +goose Down
-- The table goes with its schema.
