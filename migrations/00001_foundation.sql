-- +goose Up
CREATE SCHEMA vault;
-- One data key per person or treatment record, wrapped by the master key.
-- Deleting the row makes everything sealed under it unreadable for good.
CREATE TABLE vault.key (
    id         uuid        PRIMARY KEY,
    wrapped    bytea       NOT NULL,
    master     text        NOT NULL, -- fingerprint of the master key that wraps it
    created_at timestamptz NOT NULL
);

CREATE SCHEMA jobs;
-- Written in the transaction of the fact; the relay hands it to asynq, the
-- handler sets done_at, the reconciler re-drives what stays undone.
CREATE TABLE jobs.outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        NOT NULL,
    payload     jsonb       NOT NULL, -- ids only
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempt     integer     NOT NULL DEFAULT 1,
    enqueued_at timestamptz,
    done_at     timestamptz,
    failed_at   timestamptz, -- the handler said: trying again is useless
    last_error  text
);
CREATE INDEX outbox_new ON jobs.outbox (id) WHERE enqueued_at IS NULL AND done_at IS NULL AND failed_at IS NULL;
CREATE INDEX outbox_open ON jobs.outbox (enqueued_at) WHERE enqueued_at IS NOT NULL AND done_at IS NULL AND failed_at IS NULL;
CREATE INDEX outbox_done ON jobs.outbox (done_at) WHERE done_at IS NOT NULL;

-- One row per job and period: whoever inserts it runs the job.
CREATE TABLE jobs.period (
    job         text        NOT NULL,
    period      timestamptz NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    error       text,
    PRIMARY KEY (job, period)
);

-- What runs longer than a second says how far it is.
CREATE TABLE jobs.progress (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL,
    started_by  text        NOT NULL,
    done        bigint      NOT NULL DEFAULT 0,
    total       bigint      NOT NULL DEFAULT 0, -- 0 = not known
    message     text        NOT NULL DEFAULT '',
    started_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    finished_at timestamptz,
    error       text
);
CREATE INDEX progress_started ON jobs.progress (started_at DESC);

CREATE SCHEMA web;
-- Logins are rows: they survive the loss of Redis. Only a hash of the token is stored.
CREATE TABLE web.session (
    token_hash bytea       PRIMARY KEY,
    kind       text        NOT NULL CONSTRAINT session_kind CHECK (kind IN ('citizen', 'staff')),
    subject    uuid        NOT NULL,
    name       text        NOT NULL DEFAULT '',
    roles      text[]      NOT NULL,
    scope      text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_subject ON web.session (kind, subject);
CREATE INDEX session_expires ON web.session (expires_at);

CREATE SCHEMA audit;
-- Append-only. Rows go in unchained; one sealer gives committed rows their
-- sequence number and hash chain.
CREATE TABLE audit.entry (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    actor     text        NOT NULL,
    role      text        NOT NULL,
    action    text        NOT NULL,
    subject   text        NOT NULL,
    before    jsonb,
    after     jsonb,
    seq       bigint      CONSTRAINT entry_seq UNIQUE,
    prev_hash bytea,
    hash      bytea
);
CREATE INDEX entry_unsealed ON audit.entry (id) WHERE seq IS NULL;
CREATE INDEX entry_subject ON audit.entry (subject, at DESC);
CREATE INDEX entry_at ON audit.entry (at DESC);
-- +goose StatementBegin
CREATE FUNCTION audit.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND NEW.seq IS NOT NULL
       AND (OLD.id, OLD.at, OLD.actor, OLD.role, OLD.action, OLD.subject, OLD.before, OLD.after)
           IS NOT DISTINCT FROM
           (NEW.id, NEW.at, NEW.actor, NEW.role, NEW.action, NEW.subject, NEW.before, NEW.after) THEN
        RETURN NEW; -- the sealer
    END IF;
    RAISE EXCEPTION 'audit.entry is append-only' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'audit_append_only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE ON audit.entry FOR EACH ROW EXECUTE FUNCTION audit.append_only();

CREATE SCHEMA retention;
-- How long something is kept, from which day on. The newest row that is in
-- force decides.
CREATE TABLE retention.policy (
    key            text        NOT NULL,
    effective_from date        NOT NULL,
    keep_days      integer     NOT NULL CONSTRAINT policy_keep_days CHECK (keep_days BETWEEN 0 AND 36500),
    why            text        NOT NULL,
    set_by         text        NOT NULL,
    set_at         timestamptz NOT NULL,
    PRIMARY KEY (key, effective_from)
);
INSERT INTO retention.policy (key, effective_from, keep_days, why, set_by, set_at) VALUES
    ('registration', '2020-12-01',   14, 'Registrierungen ohne Termin: 14 Tage', 'default', '2020-12-01'),
    ('registration', '2021-02-01',  183, 'Registrierungen ohne Termin: sechs Monate', 'default', '2020-12-01'),
    ('after-vaccination', '2020-12-01', 30, 'Registrierung nach der letzten Impfung der Serie', 'default', '2020-12-01'),
    ('treatment', '2020-12-01', 3653, 'Paragraf 630f BGB: zehn Jahre', 'default', '2020-12-01'),
    ('messages', '2020-12-01', 30, 'Zugestellte Nachrichten', 'default', '2020-12-01'),
    ('technical', '2020-12-01', 14, 'Erledigte Aufgaben, Fortschritte, abgelaufene Anmeldungen', 'default', '2020-12-01');
CREATE TABLE retention.run (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule        text        NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    cutoff      timestamptz,
    deleted     bigint      NOT NULL DEFAULT 0,
    error       text
);
CREATE INDEX run_started ON retention.run (started_at DESC);

CREATE SCHEMA staff;
CREATE TABLE staff.account (
    id            uuid        PRIMARY KEY,
    login         text        NOT NULL CONSTRAINT account_login UNIQUE,
    name          text        NOT NULL,
    password_hash text        NOT NULL, -- Argon2id, PHC string
    totp_sealed   bytea       NOT NULL, -- RFC 6238 secret under the account's own vault key
    key_id        uuid        NOT NULL REFERENCES vault.key (id),
    totp_last     bigint      NOT NULL DEFAULT 0, -- last time step used: a code counts once
    roles         text[]      NOT NULL CONSTRAINT account_roles CHECK (cardinality(roles) > 0),
    scope         text        NOT NULL DEFAULT '', -- centre or team; '' = all
    created_at    timestamptz NOT NULL,
    disabled_at   timestamptz
);

-- +goose Down
DROP SCHEMA staff CASCADE;
DROP SCHEMA retention CASCADE;
DROP SCHEMA audit CASCADE;
DROP SCHEMA web CASCADE;
DROP SCHEMA jobs CASCADE;
DROP SCHEMA vault CASCADE;
