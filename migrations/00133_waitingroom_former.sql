-- +goose Up
-- Rooms that were deleted: a room that is given one of these ids again goes on
-- counting its lines, so that no ticket or pass of before comes to life again.
CREATE TABLE waitingroom.former (
    room_id    text        PRIMARY KEY,
    epoch      integer     NOT NULL,
    generation bigint      NOT NULL,
    deleted_at timestamptz NOT NULL
);

INSERT INTO retention.policy (key, effective_from, keep_days, why, set_by, set_at) VALUES
    ('figures', '2020-12-01', 365, 'Zahlen der Warteräume je Minute: ein Jahr, zum Vergleich mit der nächsten Öffnung', 'default', '2020-12-01');

-- +goose Down
DELETE FROM retention.policy WHERE key = 'figures';
DROP TABLE waitingroom.former;
