-- +goose Up
-- What verifiers download: batches in the form of the EU gateway, signed once
-- and never changed.
CREATE TABLE certificate.revocation_batch (
    id         uuid        NOT NULL,
    kid        bytea       NOT NULL,
    hash_type  text        NOT NULL,
    entries    integer     NOT NULL,
    expires_at timestamptz NOT NULL, -- when the last of its certificates expires
    body       bytea       NOT NULL, -- JSON
    cms        bytea       NOT NULL, -- the same, signed
    made_at    timestamptz NOT NULL,
    CONSTRAINT revocation_batch_pk PRIMARY KEY (id),
    CONSTRAINT revocation_batch_type CHECK (hash_type IN ('SIGNATURE', 'UCI')),
    CONSTRAINT revocation_batch_size CHECK (entries BETWEEN 1 AND 1000)
);
CREATE INDEX revocation_batch_expires ON certificate.revocation_batch (expires_at);

-- Which batch says what.
CREATE TABLE certificate.revocation_entry (
    revocation_id uuid NOT NULL,
    hash_type     text NOT NULL,
    batch_id      uuid NOT NULL,
    CONSTRAINT revocation_entry_pk PRIMARY KEY (revocation_id, hash_type),
    CONSTRAINT revocation_entry_revocation FOREIGN KEY (revocation_id) REFERENCES certificate.revocation (id) ON DELETE CASCADE,
    CONSTRAINT revocation_entry_batch FOREIGN KEY (batch_id) REFERENCES certificate.revocation_batch (id) ON DELETE CASCADE
);
CREATE INDEX revocation_entry_of_batch ON certificate.revocation_entry (batch_id);

-- A revocation of many (Sammelwiderruf), as two people have decided it.
CREATE TABLE certificate.revocation_mass (
    id          uuid        NOT NULL,
    proposal_id uuid        NOT NULL,
    decision    jsonb       NOT NULL, -- what is revoked, why, whether it is replaced: the proposal's payload
    decided_at  timestamptz NOT NULL,
    done_at     timestamptz,
    hit         integer     NOT NULL DEFAULT 0,
    CONSTRAINT revocation_mass_pk PRIMARY KEY (id),
    CONSTRAINT revocation_mass_proposal UNIQUE (proposal_id)
);

-- +goose StatementBegin
CREATE FUNCTION certificate.revocation_batch_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a published batch cannot be changed'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'revocation_batch_keep';
END $$;

CREATE FUNCTION certificate.revocation_mass_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF staff.approved_payload(NEW.proposal_id, 'revocation.mass', 'revocation:' || NEW.id) IS DISTINCT FROM NEW.decision OR NEW.done_at IS NOT NULL THEN
            RAISE EXCEPTION 'two people must have decided it'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'revocation_mass_two';
        END IF;
    ELSIF OLD.done_at IS NOT NULL OR (OLD.id, OLD.proposal_id, OLD.decision, OLD.decided_at) IS DISTINCT FROM (NEW.id, NEW.proposal_id, NEW.decision, NEW.decided_at) THEN
        RAISE EXCEPTION 'what two people decided cannot be changed'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'revocation_mass_keep';
    END IF;
    RETURN NEW;
END $$;

-- One person takes back single certificates, and not one after the other until
-- they are many.
CREATE FUNCTION certificate.revocation_by_whom() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revoked_by LIKE 'mass:%' AND NOT EXISTS (SELECT FROM certificate.revocation_mass m WHERE 'mass:' || m.id = NEW.revoked_by AND m.done_at IS NULL) THEN
        RAISE EXCEPTION 'two people must have decided it'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'revocation_mass_two';
    ELSIF NEW.revoked_by LIKE 'staff:%' THEN
        PERFORM pg_advisory_xact_lock(hashtext('revocation ' || NEW.revoked_by));
        IF (SELECT count(*) FROM certificate.revocation r WHERE r.revoked_by = NEW.revoked_by AND r.revoked_at > NEW.revoked_at - interval '1 hour') >= 20 THEN
            RAISE EXCEPTION 'one person revokes at most 20 certificates in an hour'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'revocation_single';
        END IF;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE INDEX revocation_by ON certificate.revocation (revoked_by, revoked_at);
CREATE TRIGGER revocation_batch_keep BEFORE UPDATE ON certificate.revocation_batch FOR EACH ROW EXECUTE FUNCTION certificate.revocation_batch_keep();
CREATE TRIGGER revocation_mass_check BEFORE INSERT OR UPDATE ON certificate.revocation_mass FOR EACH ROW EXECUTE FUNCTION certificate.revocation_mass_check();
CREATE TRIGGER revocation_by_whom BEFORE INSERT ON certificate.revocation FOR EACH ROW EXECUTE FUNCTION certificate.revocation_by_whom();

-- +goose Down
DROP TRIGGER revocation_by_whom ON certificate.revocation;
DROP INDEX certificate.revocation_by;
DROP TABLE certificate.revocation_mass, certificate.revocation_entry, certificate.revocation_batch;
DROP FUNCTION certificate.revocation_batch_keep, certificate.revocation_mass_check, certificate.revocation_by_whom;
