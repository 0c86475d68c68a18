-- +goose Up
-- Changes that came with a key of their own: the same one again, after an answer was
-- lost, does nothing and is answered alike.
CREATE TABLE inventory.request (
    actor  text        NOT NULL, -- the account
    key    text        NOT NULL CONSTRAINT request_key CHECK (length(key) BETWEEN 1 AND 100),
    digest bytea       NOT NULL, -- of what was asked for: a key is good for one thing
    answer jsonb,                -- null = nothing but that it is done
    at     timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX request_at ON inventory.request (at);

-- +goose Down
DROP TABLE inventory.request;
