-- +goose Up
-- Held back until an administrator shifts it: nobody books over it.
INSERT INTO booking.channel (id, position, bookable, lead_days, default_percent) VALUES ('reserve', 4, false, 0, 0);

-- A channel may have a fixed number of places; what these leave of a day is
-- divided by percent. The places of a share for every product are divided over
-- the products by their stations.
ALTER TABLE booking.channel ADD COLUMN default_places integer NOT NULL DEFAULT 0 CONSTRAINT channel_places CHECK (default_places BETWEEN 0 AND 9999);
ALTER TABLE booking.share ADD COLUMN places integer NOT NULL DEFAULT 0 CONSTRAINT share_places CHECK (places BETWEEN 0 AND 9999);
ALTER TABLE booking.share_day ADD COLUMN places integer NOT NULL DEFAULT 0 CONSTRAINT share_day_places CHECK (places BETWEEN 0 AND 9999);

-- What from_channel has not used of a day flows to to_channel so many days
-- before at that minute (Berlin). It holds for days from from_day on, until the
-- next row of the same centre and channel. A centre's own row goes before the
-- one for every centre (centre_id ''); to_channel NULL: nothing flows.
CREATE TABLE booking.release_rule (
    centre_id    text     NOT NULL,
    from_channel text     NOT NULL REFERENCES booking.channel (id),
    from_day     date     NOT NULL,
    to_channel   text     REFERENCES booking.channel (id),
    days_before  smallint NOT NULL CONSTRAINT release_days CHECK (days_before BETWEEN 0 AND 90),
    at_minute    smallint NOT NULL CONSTRAINT release_minute CHECK (at_minute BETWEEN 0 AND 1439), -- of the day
    CONSTRAINT release_other CHECK (to_channel <> from_channel),
    PRIMARY KEY (centre_id, from_channel, from_day)
);

-- Until when it was looked which moments have passed at which plans change.
CREATE TABLE booking.moment (
    one     boolean     PRIMARY KEY DEFAULT true CONSTRAINT moment_one CHECK (one),
    reached timestamptz NOT NULL
);

-- What was changed of a centre's quotas ('' = of the default), so that the last
-- change can be undone.
CREATE TABLE booking.quota_change (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    centre_id text        NOT NULL,
    kind      text        NOT NULL CONSTRAINT quota_change_kind CHECK (kind IN ('standing', 'days', 'shift')),
    at        timestamptz NOT NULL,
    actor     text        NOT NULL,
    before    jsonb       NOT NULL,
    after     jsonb       NOT NULL,
    undone_at timestamptz
);
CREATE INDEX quota_change_last ON booking.quota_change (centre_id, id DESC) WHERE undone_at IS NULL;
CREATE INDEX quota_change_at ON booking.quota_change (at);

-- +goose Down
DROP TABLE booking.quota_change;
DROP TABLE booking.moment;
DROP TABLE booking.release_rule;
ALTER TABLE booking.share_day DROP COLUMN places;
ALTER TABLE booking.share DROP COLUMN places;
ALTER TABLE booking.channel DROP COLUMN default_places;
DELETE FROM booking.channel WHERE id = 'reserve';
