-- +goose Up
-- An issuer is an entry of the registry whose owner has shown that a letter to
-- the registry's address reaches them, and whom two administrators activated.
--
--   claimed   somebody named the entry; the worker writes the letter
--   sent      the letter with the code is in the print batch
--   proven    the code came back; waits for two administrators
--   active    may issue
--   paused    an alarm tripped; two administrators resume
--   suspended the registry took the ground away; two administrators reactivate
--   ended     for ever
CREATE TABLE certificate.issuer (
    id           uuid        NOT NULL,
    entry_id     text        NOT NULL,
    kind         text        NOT NULL,
    region       text        NOT NULL,
    state        text        NOT NULL,
    since        timestamptz NOT NULL,
    why          text        NOT NULL DEFAULT '', -- code of the reason for the state
    reverify     boolean     NOT NULL DEFAULT false, -- name, address, kind or keys changed: a new code must come back first
    key_id       uuid        NOT NULL,
    contact      bytea       NOT NULL, -- sealed: e-mail and name of the operator
    lang         text        NOT NULL,
    approval     uuid,                 -- the proposal that made it active last
    created_at   timestamptz NOT NULL,
    proven_at    timestamptz,
    activated_at timestamptz,
    CONSTRAINT issuer_pk PRIMARY KEY (id),
    CONSTRAINT issuer_entry FOREIGN KEY (entry_id) REFERENCES certificate.registry_entry (id),
    CONSTRAINT issuer_key FOREIGN KEY (key_id) REFERENCES vault.key (id),
    CONSTRAINT issuer_state CHECK (state IN ('claimed', 'sent', 'proven', 'active', 'paused', 'suspended', 'ended')),
    CONSTRAINT issuer_kind CHECK (kind IN ('practice', 'pharmacy', 'centre', 'mobile')),
    CONSTRAINT issuer_proven CHECK (state IN ('claimed', 'sent', 'ended') OR proven_at IS NOT NULL),
    CONSTRAINT issuer_activated CHECK (state NOT IN ('active', 'paused', 'suspended') OR activated_at IS NOT NULL AND approval IS NOT NULL),
    CONSTRAINT issuer_unproven CHECK (NOT (state = 'active' AND reverify)),
    CONSTRAINT issuer_lang CHECK (lang IN ('de', 'en'))
);
CREATE UNIQUE INDEX issuer_one_per_entry ON certificate.issuer (entry_id) WHERE state <> 'ended';
CREATE INDEX issuer_open ON certificate.issuer (state, since);

-- A proposal changes one issuer once.
CREATE TABLE certificate.issuer_approval (
    proposal  uuid        NOT NULL,
    issuer_id uuid        NOT NULL,
    kind      text        NOT NULL,
    at        timestamptz NOT NULL,
    CONSTRAINT issuer_approval_pk PRIMARY KEY (proposal),
    CONSTRAINT issuer_approval_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE
);
CREATE INDEX issuer_approval_of ON certificate.issuer_approval (issuer_id);

-- The states go their ways, and nobody becomes active without two approvals,
-- whichever program writes here.
-- +goose StatementBegin
CREATE FUNCTION certificate.issuer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
    ground record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'claimed' OR NEW.approval IS NOT NULL THEN
            RAISE EXCEPTION 'an issuer begins as a claim' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_guard';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.id, OLD.entry_id, OLD.kind, OLD.key_id) IS DISTINCT FROM (NEW.id, NEW.entry_id, NEW.kind, NEW.key_id) THEN
        RAISE EXCEPTION 'issuer % stays the same place', OLD.id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_guard';
    END IF;
    IF NEW.state = OLD.state THEN
        IF NEW.approval IS DISTINCT FROM OLD.approval THEN
            RAISE EXCEPTION 'issuer %: the approval belongs to a change of state', OLD.id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_guard';
        END IF;
        RETURN NEW;
    END IF;
    IF NOT (OLD.state, NEW.state) IN (
        ('claimed', 'sent'), ('claimed', 'ended'), ('sent', 'proven'), ('sent', 'ended'), ('proven', 'active'), ('proven', 'ended'),
        ('active', 'paused'), ('active', 'suspended'), ('active', 'ended'), ('paused', 'active'), ('paused', 'suspended'), ('paused', 'ended'),
        ('suspended', 'active'), ('suspended', 'ended')) THEN
        RAISE EXCEPTION 'issuer %: no way from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_guard';
    END IF;
    IF NEW.state = 'active' THEN
        wanted := CASE OLD.state WHEN 'proven' THEN 'issuer.activate' WHEN 'paused' THEN 'issuer.resume' ELSE 'issuer.reactivate' END;
        IF NEW.approval IS NULL OR NOT staff.two_approved(NEW.approval, wanted, NEW.id::text) THEN
            RAISE EXCEPTION 'issuer %: two administrators must approve', OLD.id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_two_approved';
        END IF;
        SELECT state, licence INTO ground FROM certificate.registry_entry WHERE id = NEW.entry_id FOR SHARE;
        IF ground.state <> 'listed' OR ground.licence <> 'valid' THEN
            RAISE EXCEPTION 'issuer %: the registry does not carry it', OLD.id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_listed';
        END IF;
        INSERT INTO certificate.issuer_approval (proposal, issuer_id, kind, at) VALUES (NEW.approval, NEW.id, wanted, NEW.since);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER issuer_guard BEFORE INSERT OR UPDATE ON certificate.issuer FOR EACH ROW EXECUTE FUNCTION certificate.issuer_guard();

-- The code of a letter: a keyed hash of more than 80 random bits, once, for a time, with few tries.
CREATE TABLE certificate.issuer_code (
    id         uuid        NOT NULL,
    issuer_id  uuid        NOT NULL,
    hash       bytea       NOT NULL,
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    tries      integer     NOT NULL DEFAULT 0,
    used_at    timestamptz,
    void_at    timestamptz,
    CONSTRAINT issuer_code_pk PRIMARY KEY (id),
    CONSTRAINT issuer_code_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_code_once CHECK (used_at IS NULL OR void_at IS NULL)
);
CREATE UNIQUE INDEX issuer_code_open ON certificate.issuer_code (issuer_id) WHERE used_at IS NULL AND void_at IS NULL;

-- Claims of ids that the registry does not know leave a number and nothing else.
CREATE TABLE certificate.issuer_unknown (
    day date   NOT NULL,
    n   bigint NOT NULL,
    CONSTRAINT issuer_unknown_pk PRIMARY KEY (day)
);

-- +goose Down
DROP TABLE certificate.issuer_unknown, certificate.issuer_code, certificate.issuer_approval, certificate.issuer;
DROP FUNCTION certificate.issuer_guard();
