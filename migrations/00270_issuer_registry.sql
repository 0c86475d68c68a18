-- +goose Up
-- What came of every look at the authority's signed list. "problem" is a code, never text from outside.
CREATE TABLE certificate.registry_pull (
    id          uuid        NOT NULL,
    at          timestamptz NOT NULL,
    outcome     text        NOT NULL,
    problem     text        NOT NULL DEFAULT '',
    bytes       bigint      NOT NULL DEFAULT 0,
    sha256      bytea,
    sequence    bigint,
    issued_at   timestamptz,
    next_update timestamptz,
    entries     integer     NOT NULL DEFAULT 0,
    added       integer     NOT NULL DEFAULT 0,
    changed     integer     NOT NULL DEFAULT 0,
    missing     integer     NOT NULL DEFAULT 0,
    held        integer     NOT NULL DEFAULT 0, -- of the missing: they wait for somebody's look
    suspended   integer     NOT NULL DEFAULT 0, -- issuers that this pull suspended
    CONSTRAINT registry_pull_pk PRIMARY KEY (id),
    CONSTRAINT registry_pull_outcome CHECK (outcome IN ('applied', 'unchanged', 'refused', 'failed')),
    CONSTRAINT registry_pull_problem CHECK ((problem <> '') = (outcome IN ('refused', 'failed')))
);
CREATE INDEX registry_pull_at ON certificate.registry_pull (at DESC);

-- The list that holds: one row, and its sequence only grows.
CREATE TABLE certificate.registry_head (
    one         boolean     NOT NULL DEFAULT true,
    authority   text        NOT NULL,
    sequence    bigint      NOT NULL,
    sha256      bytea       NOT NULL,
    issued_at   timestamptz NOT NULL,
    next_update timestamptz NOT NULL,
    applied_at  timestamptz NOT NULL,
    CONSTRAINT registry_head_pk PRIMARY KEY (one),
    CONSTRAINT registry_head_one CHECK (one)
);
-- +goose StatementBegin
CREATE FUNCTION certificate.registry_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.sequence < OLD.sequence OR NEW.sequence = OLD.sequence AND NEW.sha256 <> OLD.sha256 THEN
        RAISE EXCEPTION 'the registry goes forward only' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'registry_forward';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER registry_forward BEFORE UPDATE OR DELETE ON certificate.registry_head FOR EACH ROW EXECUTE FUNCTION certificate.registry_forward();

--   listed   stands in the list
--   held     stands no more in the list, which lost too many at once; takes effect at hold_until
--   gone     stands no more in the list
CREATE TABLE certificate.registry_entry (
    id         text        NOT NULL,
    state      text        NOT NULL,
    hold_until timestamptz,
    name       text        NOT NULL,
    street     text        NOT NULL,
    postcode   text        NOT NULL,
    city       text        NOT NULL,
    kind       text        NOT NULL,
    licence    text        NOT NULL,
    region     text        NOT NULL,
    keys       text[]      NOT NULL, -- SHA-256 of certificates (DER), hex
    valid_from date        NOT NULL,
    valid_to   date,
    sequence   bigint      NOT NULL, -- the list that last changed the row
    changed_at timestamptz NOT NULL,
    CONSTRAINT registry_entry_pk PRIMARY KEY (id),
    CONSTRAINT registry_entry_state CHECK (state IN ('listed', 'held', 'gone')),
    CONSTRAINT registry_entry_hold CHECK ((state = 'held') = (hold_until IS NOT NULL)),
    CONSTRAINT registry_entry_kind CHECK (kind IN ('practice', 'pharmacy', 'centre', 'mobile')),
    CONSTRAINT registry_entry_licence CHECK (licence IN ('valid', 'suspended', 'withdrawn'))
);
CREATE INDEX registry_entry_keys ON certificate.registry_entry USING gin (keys);
CREATE INDEX registry_entry_held ON certificate.registry_entry (hold_until) WHERE state = 'held';

-- What each applied list changed, entry by entry.
CREATE TABLE certificate.registry_change (
    pull_id  uuid NOT NULL,
    entry_id text NOT NULL,
    what     text NOT NULL,
    before   jsonb,
    after    jsonb,
    at       timestamptz NOT NULL,
    CONSTRAINT registry_change_pk PRIMARY KEY (pull_id, entry_id),
    CONSTRAINT registry_change_pull FOREIGN KEY (pull_id) REFERENCES certificate.registry_pull (id) ON DELETE CASCADE,
    CONSTRAINT registry_change_what CHECK (what IN ('added', 'changed', 'missing', 'held'))
);
CREATE INDEX registry_change_entry ON certificate.registry_change (entry_id, at DESC);

-- +goose Down
DROP TABLE certificate.registry_change, certificate.registry_entry, certificate.registry_head, certificate.registry_pull;
DROP FUNCTION certificate.registry_forward();
