-- +goose Up
-- A room's planned opening and how it is ordered, who gets a place, and what is
-- asked of machines. plan: pre-queue from, opens at, closes at; NULL = not planned.
ALTER TABLE waitingroom.room
    DROP CONSTRAINT room_phase,
    ADD CONSTRAINT room_phase CHECK (phase IN ('scheduled', 'pre-queue', 'drawing', 'open', 'paused', 'closed')),
    ADD login           boolean     NOT NULL DEFAULT false, -- one place per case number
    ADD draw            boolean     NOT NULL DEFAULT false, -- the order of the pre-queue is drawn
    ADD beacon          text        NOT NULL DEFAULT 'none' CONSTRAINT room_beacon CHECK (beacon IN ('none', 'local', 'drand', 'lottery')),
    ADD beacon_name     text        NOT NULL DEFAULT '',    -- lottery: which drawing, in words for everybody
    ADD prequeue_from   timestamptz,
    ADD opens_at        timestamptz,
    ADD closes_at       timestamptz,
    ADD hotline_percent smallint    NOT NULL DEFAULT 5 CONSTRAINT room_hotline CHECK (hotline_percent BETWEEN 0 AND 50), -- of the rate, for those whom the hotline sends
    ADD challenge       text        NOT NULL DEFAULT 'auto' CONSTRAINT room_challenge CHECK (challenge IN ('auto', 'on', 'off')),
    ADD CONSTRAINT room_plan CHECK (coalesce(prequeue_from <= opens_at, prequeue_from IS NULL) AND coalesce(opens_at < closes_at, true));

-- Places taken apart from the line: behind it (tickets without proof of work
-- while machines come). What was lost of them with Redis is jumped over as in the line.
ALTER TABLE waitingroom.line
    ADD behind_ceiling bigint NOT NULL DEFAULT 0,
    ADD behind_serving bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT line_behind CHECK (0 <= behind_serving AND behind_serving <= behind_ceiling);

-- A draw of the order of a pre-queue. seed is secret until revealed_at; what is
-- published of it before is its commitment. attempt grows when a beacon that did
-- not come is given up for another one; the rows before stay and are published.
CREATE TABLE waitingroom.draw (
    room_id      text        NOT NULL, -- no foreign key: a draw stays provable when its room goes
    epoch        integer     NOT NULL,
    attempt      smallint    NOT NULL DEFAULT 1,
    seed         bytea       NOT NULL CONSTRAINT draw_seed CHECK (octet_length(seed) = 32),
    commitment   bytea       NOT NULL,
    committed_at timestamptz NOT NULL,
    beacon       text        NOT NULL CONSTRAINT draw_beacon CHECK (beacon IN ('none', 'local', 'drand', 'lottery')),
    beacon_name  text        NOT NULL,
    beacon_due   timestamptz NOT NULL, -- its value cannot be known before
    tickets      bigint,               -- N, when the pre-queue has closed
    gaps         jsonb       NOT NULL DEFAULT '[]', -- index ranges below the last index that nobody holds
    last_index   bigint,
    closed_at    timestamptz,
    signature    bytea,
    beacon_value text,
    beacon_proof text        NOT NULL DEFAULT '',
    beacon_at    timestamptz,
    revealed_at  timestamptz,
    failed_at    timestamptz,          -- given up: the next attempt holds
    PRIMARY KEY (room_id, epoch, attempt),
    CONSTRAINT draw_closed CHECK ((closed_at IS NULL) = (tickets IS NULL) AND (closed_at IS NULL) = (last_index IS NULL) AND (closed_at IS NULL) = (signature IS NULL)),
    CONSTRAINT draw_revealed CHECK (revealed_at IS NULL OR (beacon_value IS NOT NULL AND closed_at IS NOT NULL AND failed_at IS NULL))
);
CREATE INDEX draw_committed ON waitingroom.draw (committed_at);

-- What administrators say about a draw: the lottery's value, or that its beacon
-- has failed (value ''). Two of them must say the same.
CREATE TABLE waitingroom.beacon_word (
    room_id    text        NOT NULL,
    epoch      integer     NOT NULL,
    attempt    smallint    NOT NULL,
    said_by    text        NOT NULL, -- actor, "staff:<id>"
    value      text        NOT NULL,
    said_at    timestamptz NOT NULL,
    PRIMARY KEY (room_id, epoch, attempt, said_by),
    FOREIGN KEY (room_id, epoch, attempt) REFERENCES waitingroom.draw ON DELETE CASCADE
);

-- Who holds a place in a room that demands login: one per person and line.
CREATE TABLE waitingroom.holder (
    room_id      text        NOT NULL,
    epoch        integer     NOT NULL,
    person_id    uuid        NOT NULL,
    cohort       integer     NOT NULL,
    ticket_index bigint      NOT NULL,
    issued_at    timestamptz NOT NULL,
    PRIMARY KEY (room_id, epoch, person_id)
);
CREATE INDEX holder_issued ON waitingroom.holder (issued_at);
CREATE INDEX holder_person ON waitingroom.holder (person_id);

-- An admission that the hotline gives to somebody on the telephone.
CREATE TABLE waitingroom.invite (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id     text        NOT NULL,
    code_hash   bytea       NOT NULL CONSTRAINT invite_code UNIQUE,
    person_id   uuid,       -- for rooms that demand login: only this person
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX invite_valid ON waitingroom.invite (valid_until);

-- How a room went, minute by minute.
CREATE TABLE waitingroom.minute (
    room_id    text        NOT NULL,
    at         timestamptz NOT NULL, -- begin of the minute
    epoch      integer     NOT NULL,
    phase      text        NOT NULL,
    issued     bigint      NOT NULL, -- all cumulative within the epoch, at the end of the minute
    admitted   bigint      NOT NULL,
    no_shows   bigint      NOT NULL,
    waiting    bigint      NOT NULL,
    inside     bigint      NOT NULL,
    invited    bigint      NOT NULL,
    wait_low   integer     NOT NULL, -- estimate for a newcomer in minutes, 0 = cannot be said
    wait_high  integer     NOT NULL,
    rate       integer     NOT NULL,
    bound      integer     NOT NULL,
    challenged boolean     NOT NULL,
    PRIMARY KEY (room_id, at)
);
CREATE INDEX minute_at ON waitingroom.minute (at);

-- Who wants to be told shortly before it is their turn. The address is sealed
-- under a key of its own and goes with the row.
CREATE TABLE waitingroom.reminder (
    room_id      text        NOT NULL,
    epoch        integer     NOT NULL,
    cohort       integer     NOT NULL,
    ticket_index bigint      NOT NULL,
    key_id       uuid        NOT NULL,
    sealed       bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    told_at      timestamptz,
    PRIMARY KEY (room_id, epoch, cohort, ticket_index)
);
CREATE INDEX reminder_created ON waitingroom.reminder (created_at);
CREATE INDEX reminder_open ON waitingroom.reminder (room_id, epoch) WHERE told_at IS NULL;

-- +goose Down
UPDATE waitingroom.room SET phase = 'closed' WHERE phase = 'drawing';
DROP TABLE waitingroom.reminder, waitingroom.minute, waitingroom.invite, waitingroom.holder, waitingroom.beacon_word, waitingroom.draw;
ALTER TABLE waitingroom.line DROP COLUMN behind_ceiling, DROP COLUMN behind_serving;
ALTER TABLE waitingroom.room
    DROP CONSTRAINT room_plan, DROP CONSTRAINT room_phase,
    ADD CONSTRAINT room_phase CHECK (phase IN ('scheduled', 'pre-queue', 'open', 'paused', 'closed')),
    DROP COLUMN login, DROP COLUMN draw, DROP COLUMN beacon, DROP COLUMN beacon_name, DROP COLUMN prequeue_from, DROP COLUMN opens_at,
    DROP COLUMN closes_at, DROP COLUMN hotline_percent, DROP COLUMN challenge;
