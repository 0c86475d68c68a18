-- +goose Up
CREATE SCHEMA waitingroom;

-- A room stands in front of groups of routes. Everything here is set by the
-- administration; version grows with every change, so that a replica which
-- has not yet read the change can be told so.
CREATE TABLE waitingroom.room (
    id              text        PRIMARY KEY CONSTRAINT room_id CHECK (id ~ '^[a-z][a-z0-9-]{0,39}$'),
    name            jsonb       NOT NULL, -- {"de": "...", "en": "..."}
    groups          text[]      NOT NULL DEFAULT '{}', -- route groups that need a pass of this room
    phase           text        NOT NULL CONSTRAINT room_phase CHECK (phase IN ('scheduled', 'pre-queue', 'open', 'paused', 'closed')),
    rate_per_minute integer     NOT NULL CONSTRAINT room_rate CHECK (rate_per_minute BETWEEN 1 AND 100000),
    active_bound    integer     NOT NULL CONSTRAINT room_bound CHECK (active_bound BETWEEN 1 AND 100000),
    pass_seconds    integer     NOT NULL CONSTRAINT room_pass CHECK (pass_seconds BETWEEN 60 AND 86400),
    grace_seconds   integer     NOT NULL CONSTRAINT room_grace CHECK (grace_seconds BETWEEN 10 AND 3600),
    message         jsonb       NOT NULL DEFAULT '{}', -- shown to everybody in the line
    version         bigint      NOT NULL DEFAULT 1,
    changed_at      timestamptz NOT NULL
);

-- What must survive the loss of Redis. No index above ceiling was ever given
-- out, so the line goes on above it; gaps are the ranges that nobody (or only
-- the last second) holds. generation grows whenever the state in Redis is
-- built anew: an admission that was decided on an older state is void.
CREATE TABLE waitingroom.line (
    room_id    text    PRIMARY KEY REFERENCES waitingroom.room (id) ON DELETE CASCADE,
    epoch      integer NOT NULL DEFAULT 1 CONSTRAINT line_epoch CHECK (epoch >= 1),
    generation bigint  NOT NULL DEFAULT 1,
    ceiling    bigint  NOT NULL DEFAULT 0,
    issued     bigint  NOT NULL DEFAULT 0,
    serving    bigint  NOT NULL DEFAULT 0,
    gaps       jsonb   NOT NULL DEFAULT '[]', -- [[first, last], ...] ascending
    CONSTRAINT line_order CHECK (0 <= serving AND serving <= ceiling AND issued <= ceiling)
);

-- One row per admission: the truth of who was let in. A ticket lets in once.
CREATE TABLE waitingroom.pass (
    id           text        PRIMARY KEY, -- room.epoch.cohort.index
    room_id      text        NOT NULL,    -- no foreign key: a used ticket stays used when its room goes
    epoch        integer     NOT NULL,
    cohort       integer     NOT NULL,
    ticket_index bigint      NOT NULL,
    entered_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    released_at  timestamptz,
    CONSTRAINT pass_ticket UNIQUE (room_id, epoch, cohort, ticket_index),
    CONSTRAINT pass_times CHECK (expires_at > entered_at)
);
CREATE INDEX pass_active ON waitingroom.pass (room_id, expires_at) WHERE released_at IS NULL;
CREATE INDEX pass_entered ON waitingroom.pass (entered_at);

INSERT INTO waitingroom.room (id, name, groups, phase, rate_per_minute, active_bound, pass_seconds, grace_seconds, changed_at) VALUES
    ('registration', '{"de": "Registrierung und Terminbuchung", "en": "Registration and booking"}',
     '{register,hold}', 'open', 3000, 5000, 1800, 120, '2020-12-01');
INSERT INTO waitingroom.line (room_id) VALUES ('registration');

-- +goose Down
DROP SCHEMA waitingroom CASCADE;
