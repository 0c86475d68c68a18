-- +goose Up
-- What is free, as the replica that looked last has seen it, for all replicas.
-- Nothing is lost with it: unlogged.
CREATE UNLOGGED TABLE booking.picture (
    one      boolean     PRIMARY KEY DEFAULT true CONSTRAINT picture_one CHECK (one),
    taken_at timestamptz NOT NULL, -- by the database's clock
    free     jsonb       NOT NULL  -- [{"centre", "product", "channel", "day", "free"}]
);

-- +goose Down
DROP TABLE booking.picture;
