-- +goose Up
CREATE SCHEMA certificate;

-- One certificate per dose and version. What is personal (claims, hc1) is
-- sealed under the key of the treatment record and ends with it. "uvci" is the
-- certificate's random id, which says nothing about the person.
--
--   intent   the claims are fixed and stored, nothing is signed
--   signed   the one signature of these claims is stored
--   released verified against the record; its owner may fetch it
--   refused  cannot be made without a person ("problem" says why)
CREATE TABLE certificate.certificate (
    id          uuid        NOT NULL,
    record_id   uuid        NOT NULL, -- vaccination.record; its retention rule ends both by the key
    version     integer     NOT NULL,
    key_id      uuid        NOT NULL,
    person_id   uuid,                 -- login that may fetch it; no foreign key: the registration goes earlier
    state       text        NOT NULL,
    problem     text        NOT NULL DEFAULT '',
    uvci        text,
    issued_at   timestamptz,
    expires_at  timestamptz,
    claims      bytea,                -- sealed: the CBOR that is to be signed
    kid         bytea,                -- key id of the DSC that signed
    digest      bytea,                -- SHA-256 of what was signed
    hc1         bytea,                -- sealed: the text of the QR code
    created_at  timestamptz NOT NULL,
    signed_at   timestamptz,
    released_at timestamptz,
    CONSTRAINT certificate_pk PRIMARY KEY (id),
    CONSTRAINT certificate_record_version UNIQUE (record_id, version),
    CONSTRAINT certificate_uvci UNIQUE (uvci),
    CONSTRAINT certificate_key FOREIGN KEY (key_id) REFERENCES vault.key (id) ON DELETE CASCADE,
    CONSTRAINT certificate_state CHECK (state IN ('refused', 'intent', 'signed', 'released')),
    CONSTRAINT certificate_version CHECK (version > 0),
    CONSTRAINT certificate_refused CHECK ((state = 'refused') = (num_nonnulls(uvci, issued_at, expires_at, claims) = 0)
                                      AND (state <> 'refused' OR problem <> '')),
    CONSTRAINT certificate_intent CHECK (num_nonnulls(uvci, issued_at, expires_at, claims) IN (0, 4) AND expires_at > issued_at),
    CONSTRAINT certificate_signed CHECK (num_nonnulls(kid, digest, hc1, signed_at) = CASE WHEN state IN ('signed', 'released') THEN 4 ELSE 0 END),
    CONSTRAINT certificate_released CHECK ((state = 'released') = (released_at IS NOT NULL))
);
CREATE INDEX certificate_person ON certificate.certificate (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX certificate_key_id ON certificate.certificate (key_id);
CREATE INDEX certificate_open ON certificate.certificate (created_at) WHERE state IN ('intent', 'signed');

-- What was signed stays: a second signature, other claims or a way back would
-- be a second certificate.
-- +goose StatementBegin
CREATE FUNCTION certificate.keep_signature() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('signed', 'released') AND (OLD.record_id, OLD.version, OLD.uvci, OLD.issued_at, OLD.expires_at, OLD.claims, OLD.kid, OLD.digest, OLD.hc1, OLD.signed_at)
       IS DISTINCT FROM (NEW.record_id, NEW.version, NEW.uvci, NEW.issued_at, NEW.expires_at, NEW.claims, NEW.kid, NEW.digest, NEW.hc1, NEW.signed_at)
       OR OLD.state = 'released' AND NEW.state <> 'released' OR OLD.state = 'signed' AND NEW.state NOT IN ('signed', 'released') THEN
        RAISE EXCEPTION 'certificate % is signed and cannot be changed', OLD.id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'certificate_keep_signature';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER certificate_keep_signature BEFORE UPDATE ON certificate.certificate FOR EACH ROW EXECUTE FUNCTION certificate.keep_signature();

-- +goose Down
DROP SCHEMA certificate CASCADE;
