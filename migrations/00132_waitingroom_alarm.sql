-- +goose Up
-- When the arrivals at a room looked like machines, and why. reasons: codes with
-- measured value and threshold; no network and no address. ended_at NULL = now.
CREATE TABLE waitingroom.alarm (
    room_id  text        NOT NULL, -- no foreign key: it is told about deleted rooms too
    began_at timestamptz NOT NULL,
    reasons  jsonb       NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (room_id, began_at),
    CONSTRAINT alarm_ends CHECK (ended_at >= began_at)
);
CREATE INDEX alarm_began ON waitingroom.alarm (began_at);

-- +goose Down
DROP TABLE waitingroom.alarm;
