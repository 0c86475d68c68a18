-- +goose Up
-- People on the waiting list whom a centre calls about doses that are left over in
-- opened vials: one after the other, and each at most once a day.
CREATE TABLE booking.leftover_call (
    id         uuid        PRIMARY KEY,
    centre_id  text        NOT NULL,
    product_id text        NOT NULL,
    day        date        NOT NULL,
    number     smallint    NOT NULL, -- 1 = the first who was called that day for this vaccine
    waiting_id uuid        NOT NULL,
    person_id  uuid        NOT NULL,
    state      text        NOT NULL CONSTRAINT leftover_call_state CHECK (state IN ('called', 'came', 'not_reached', 'declined')),
    called_at  timestamptz NOT NULL,
    ended_at   timestamptz,
    CONSTRAINT leftover_call_ended CHECK ((ended_at IS NULL) = (state = 'called')),
    CONSTRAINT leftover_call_number UNIQUE (centre_id, product_id, day, number),
    CONSTRAINT leftover_call_once UNIQUE (person_id, day)
);
CREATE INDEX leftover_call_day ON booking.leftover_call (day);

-- +goose Down
-- The table goes with its schema.
