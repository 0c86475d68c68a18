-- +goose Up
CREATE SCHEMA notify;

-- A pile of letters that one person of the staff took to print.
CREATE TABLE notify.batch (
    id         uuid        PRIMARY KEY,
    taken_by   text        NOT NULL, -- actor, "staff:<id>"
    taken_at   timestamptz NOT NULL,
    printed_at timestamptz
);
CREATE INDEX batch_taken ON notify.batch (taken_at DESC);

-- One message on one way. Address and content are sealed under the person's
-- key; everything else says nothing about anybody.
CREATE TABLE notify.message (
    id          uuid        PRIMARY KEY,
    key_id      uuid        NOT NULL, -- vault key; no foreign key: the key may be destroyed first
    kind        text        NOT NULL,
    channel     text        NOT NULL CONSTRAINT message_channel CHECK (channel IN ('email', 'sms', 'letter', 'none')),
    state       text        NOT NULL CONSTRAINT message_state CHECK (state IN ('queued', 'sending', 'sent', 'printed', 'failed', 'void')),
    sealed      bytea,                -- NULL once delivered (kept in local runs, and for letters until they are deleted)
    coding      text        NOT NULL DEFAULT '', -- SMS: 'gsm7' or 'ucs2'
    parts       integer     NOT NULL DEFAULT 1 CONSTRAINT message_parts CHECK (parts BETWEEN 0 AND 1000), -- SMS segments; 1 otherwise
    attempts    integer     NOT NULL DEFAULT 0,
    provider_id text,
    error       text        NOT NULL DEFAULT '', -- a code, never the provider's words: they may hold an address
    created_at  timestamptz NOT NULL,
    queued_at   timestamptz NOT NULL, -- creation or last resend: when to give up counts from here
    sending_at  timestamptz,          -- start of the attempt under way
    doubt_since timestamptz,          -- start of the first attempt whose outcome is not known
    done_at     timestamptz,
    batch_id    uuid        CONSTRAINT message_batch REFERENCES notify.batch (id) ON DELETE SET NULL,
    CONSTRAINT message_sending CHECK (state <> 'sending' OR sending_at IS NOT NULL),
    CONSTRAINT message_done CHECK ((done_at IS NOT NULL) = (state IN ('sent', 'printed', 'failed', 'void'))),
    CONSTRAINT message_printed CHECK (state <> 'printed' OR channel = 'letter'),
    CONSTRAINT message_content CHECK (sealed IS NOT NULL OR state IN ('sent', 'void', 'failed'))
);
-- What the provider calls it belongs to one row alone.
CREATE UNIQUE INDEX message_provider ON notify.message (channel, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX message_created ON notify.message (created_at DESC, id DESC);
CREATE INDEX message_open ON notify.message (channel, state, created_at) WHERE state IN ('queued', 'sending', 'failed');
CREATE INDEX message_done_at ON notify.message (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX message_batch ON notify.message (batch_id) WHERE batch_id IS NOT NULL;

-- +goose Down
DROP SCHEMA notify CASCADE;
