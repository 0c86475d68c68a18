-- +goose Up
-- What a revocation, a stop or a statement selects by stands in the clear; none
-- of it names the person. "version" counts the certificates of one record: a
-- correction revokes the one before and makes the next.
--
--   intent   the claims are fixed and stored, nothing is signed
--   signed   the one signature of these claims is stored, its leaf waits for the log
--   logged   the leaf has its place in the log
--   released verified against the record; its owner may fetch it
--   refused  cannot be made without a person ("problem" says why)
ALTER TABLE certificate.certificate
    ADD COLUMN issuer_ref  text NOT NULL DEFAULT '',   -- centre:<id>, facility-team:<id>, issuer:<uuid>
    ADD COLUMN issuer_kind text NOT NULL DEFAULT 'centre',
    ADD COLUMN region      text NOT NULL DEFAULT '',   -- of the issuer: the first two digits of its postcode
    ADD COLUMN path        text NOT NULL DEFAULT 'site',
    ADD COLUMN basis       text NOT NULL DEFAULT 'given',
    ADD COLUMN operator    text NOT NULL DEFAULT '',   -- who recorded the dose: an account or a card, opaque
    ADD COLUMN product_id  text NOT NULL DEFAULT '',
    ADD COLUMN lot_number  text NOT NULL DEFAULT '',
    ADD COLUMN cohort      text NOT NULL DEFAULT '',   -- whose DSC signs
    ADD COLUMN r_hash      bytea,                      -- first 16 bytes of the SHA-256 of the signature's r
    ADD COLUMN logged_at   timestamptz,
    ADD COLUMN revoked_at  timestamptz,
    ADD CONSTRAINT certificate_issuer_kind CHECK (issuer_kind IN ('centre', 'mobile', 'practice', 'pharmacy')),
    ADD CONSTRAINT certificate_path CHECK (path IN ('site', 'web', 'mtls', 'card')),
    ADD CONSTRAINT certificate_basis CHECK (basis IN ('given', 'seen')),
    DROP CONSTRAINT certificate_state,
    DROP CONSTRAINT certificate_signed,
    DROP CONSTRAINT certificate_released;
-- Certificates of before there was a log are let pass as they are: what they
-- lack cannot be made up afterwards.
ALTER TABLE certificate.certificate
    ADD CONSTRAINT certificate_state CHECK (state IN ('refused', 'intent', 'signed', 'logged', 'released')),
    ADD CONSTRAINT certificate_signed CHECK (num_nonnulls(kid, digest, hc1, signed_at) = CASE WHEN state IN ('signed', 'logged', 'released') THEN 4 ELSE 0 END
                                         AND (r_hash IS NULL OR state IN ('signed', 'logged', 'released'))),
    ADD CONSTRAINT certificate_logged CHECK (logged_at IS NULL OR state IN ('logged', 'released')),
    ADD CONSTRAINT certificate_released CHECK ((state = 'released') = (released_at IS NOT NULL)),
    ADD CONSTRAINT certificate_revoked CHECK (revoked_at IS NULL OR state IN ('signed', 'logged', 'released'));

-- One certificate of a record stands at a time.
CREATE UNIQUE INDEX certificate_standing ON certificate.certificate (record_id) WHERE revoked_at IS NULL;
CREATE INDEX certificate_issuer ON certificate.certificate (issuer_ref, created_at);
CREATE INDEX certificate_lot ON certificate.certificate (lot_number) WHERE lot_number <> '';
DROP INDEX certificate.certificate_open;
CREATE INDEX certificate_open ON certificate.certificate (created_at) WHERE state IN ('intent', 'signed', 'logged') AND revoked_at IS NULL;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION certificate.keep_signature() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    steps CONSTANT text[] := ARRAY['refused', 'intent', 'signed', 'logged', 'released'];
BEGIN
    IF OLD.state IN ('signed', 'logged', 'released') AND (
           (OLD.record_id, OLD.version, OLD.uvci, OLD.issued_at, OLD.expires_at, OLD.claims, OLD.kid, OLD.digest, OLD.hc1, OLD.signed_at, OLD.r_hash,
            OLD.issuer_ref, OLD.issuer_kind, OLD.region, OLD.path, OLD.basis, OLD.operator, OLD.product_id, OLD.lot_number, OLD.cohort)
           IS DISTINCT FROM
           (NEW.record_id, NEW.version, NEW.uvci, NEW.issued_at, NEW.expires_at, NEW.claims, NEW.kid, NEW.digest, NEW.hc1, NEW.signed_at, NEW.r_hash,
            NEW.issuer_ref, NEW.issuer_kind, NEW.region, NEW.path, NEW.basis, NEW.operator, NEW.product_id, NEW.lot_number, NEW.cohort)
        OR array_position(steps, NEW.state) < array_position(steps, OLD.state)
        OR OLD.revoked_at IS NOT NULL AND (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at OR NEW.state <> OLD.state AND NEW.state = 'released'))
    THEN
        RAISE EXCEPTION 'certificate % is signed and cannot be changed', OLD.id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'certificate_keep_signature';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- What is revoked (Widerruf). A revocation outlives its certificate, so it
-- holds what verifiers compare and nothing else.
CREATE TABLE certificate.revocation (
    id             uuid        NOT NULL,
    certificate_id uuid        NOT NULL, -- no foreign key: the certificate ends with its record
    uvci           text        NOT NULL,
    kid            bytea       NOT NULL,
    digest         bytea       NOT NULL,
    r_hash         bytea,               -- NULL: made before there was a log
    expires_at     timestamptz NOT NULL, -- of the certificate; a revocation is not needed after it
    reason         text        NOT NULL,
    replaced       boolean     NOT NULL, -- the holder gets a new certificate
    revoked_at     timestamptz NOT NULL,
    revoked_by     text        NOT NULL, -- actor, as in the audit trail
    CONSTRAINT revocation_pk PRIMARY KEY (id),
    CONSTRAINT revocation_certificate UNIQUE (certificate_id),
    CONSTRAINT revocation_hashes CHECK (length(kid) = 8 AND length(digest) = 32 AND (r_hash IS NULL OR length(r_hash) = 16))
);
CREATE INDEX revocation_expires ON certificate.revocation (expires_at);

-- +goose StatementBegin
CREATE FUNCTION certificate.keep_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a revocation cannot be changed'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'revocation_keep';
END $$;
-- +goose StatementEnd
CREATE TRIGGER revocation_keep BEFORE UPDATE ON certificate.revocation FOR EACH ROW EXECUTE FUNCTION certificate.keep_revocation();

-- +goose Down
DROP TABLE certificate.revocation;
DROP FUNCTION certificate.keep_revocation();
