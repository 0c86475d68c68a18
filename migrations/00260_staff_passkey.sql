-- +goose Up
-- Who works for an issuer logs in with a key only: there is no password that
-- could be guessed, and no other role that such an account could slip into.
ALTER TABLE staff.account ADD CONSTRAINT account_issuer
    CHECK (NOT 'issuer' = ANY (roles) OR (password_hash = '' AND cardinality(roles) = 1 AND scope <> '')) NOT VALID;

-- Authenticator models that are allowed, from which day to which (WebAuthn,
-- section 6.5.1: the AAGUID names the model). An attestation counts when its
-- certificates lead to one of the model's roots.
CREATE TABLE staff.key_model (
    aaguid     uuid        NOT NULL,
    valid_from date        NOT NULL,
    valid_to   date,                             -- last day; NULL = no end
    name       text        NOT NULL CONSTRAINT key_model_name CHECK (name <> ''),
    roots      text        NOT NULL,             -- PEM certificates
    virtual    boolean     NOT NULL DEFAULT false, -- a test's authenticator: counts in a local run only
    set_by     text        NOT NULL,
    set_at     timestamptz NOT NULL,
    PRIMARY KEY (aaguid, valid_from),
    CONSTRAINT key_model_days CHECK (valid_to IS NULL OR valid_to >= valid_from),
    CONSTRAINT key_model_roots CHECK (virtual OR roots <> '')
);

-- One-time codes with which an account gets its first key.
CREATE TABLE staff.enrolment (
    id         uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES staff.account (id),
    code_mac   bytea       NOT NULL CONSTRAINT enrolment_code UNIQUE,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX enrolment_account ON staff.enrolment (account_id);

-- What an authenticator is asked to sign for a deed: SHA-256 over a fixed text,
-- the nonce, the deed's name with its length, and the digest of what it is done to.
-- +goose StatementBegin
CREATE FUNCTION staff.challenge_of(nonce bytea, action text, subject bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sha256(convert_to('impfportal touch 1', 'UTF8') || '\x00'::bytea || nonce
        || int2send(octet_length(action)::smallint) || convert_to(action, 'UTF8') || subject)
$$;
CREATE FUNCTION staff.base64url(b bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT rtrim(translate(encode(b, 'base64'), E'+/\n', '-_'), '=')
$$;
-- +goose StatementEnd
CREATE TABLE staff.challenge (
    id         uuid        PRIMARY KEY,
    account_id uuid        REFERENCES staff.account (id), -- NULL = a login whose account the key names
    action     text        NOT NULL CONSTRAINT challenge_action CHECK (octet_length(action) BETWEEN 1 AND 200),
    subject    bytea       NOT NULL CONSTRAINT challenge_subject CHECK (octet_length(subject) = 32),
    nonce      bytea       NOT NULL CONSTRAINT challenge_nonce CHECK (octet_length(nonce) = 32),
    challenge  bytea       NOT NULL GENERATED ALWAYS AS (staff.challenge_of(nonce, action, subject)) STORED,
    -- how somebody who gets a new key has shown who they are
    shown      text        CONSTRAINT challenge_shown CHECK (shown IN ('code', 'password', 'key')),
    enrolment_id uuid      REFERENCES staff.enrolment (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    CONSTRAINT challenge_nonce_once UNIQUE (nonce)
);
CREATE INDEX challenge_expires ON staff.challenge (expires_at);

-- Keys of accounts. A key belongs to one account for ever: it is disabled and
-- never deleted or given on, because what it has approved refers to it.
CREATE TABLE staff.credential (
    id           uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL REFERENCES staff.account (id),
    raw_id       bytea       NOT NULL CONSTRAINT credential_raw_id UNIQUE,
    public_key   bytea       NOT NULL CONSTRAINT credential_public_key UNIQUE, -- COSE_Key
    name         text        NOT NULL CONSTRAINT credential_name CHECK (name <> ''),
    aaguid       uuid        NOT NULL,
    format       text        NOT NULL, -- attestation statement format
    attestation  text        NOT NULL CONSTRAINT credential_attestation CHECK (attestation IN ('basic', 'self', 'none')),
    sign_count   bigint      NOT NULL,
    transports   text[]      NOT NULL,
    shown        text        NOT NULL CONSTRAINT credential_shown CHECK (shown IN ('code', 'password', 'key')),
    nonce        bytea       NOT NULL, -- of the challenge that the two below answer
    client_data  bytea       NOT NULL,
    attestation_object bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    disabled_at  timestamptz,
    disabled_why text,
    CONSTRAINT credential_disabled CHECK ((disabled_at IS NULL) = (disabled_why IS NULL)),
    CONSTRAINT credential_why CHECK (disabled_why IN ('removed', 'revoked', 'cloned'))
);
CREATE INDEX credential_account ON staff.credential (account_id);
-- +goose StatementBegin
CREATE FUNCTION staff.credential_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.disabled_at IS NOT NULL
       OR (OLD.id, OLD.account_id, OLD.raw_id, OLD.public_key, OLD.aaguid, OLD.format, OLD.attestation, OLD.shown, OLD.nonce, OLD.client_data, OLD.attestation_object, OLD.created_at)
          IS DISTINCT FROM
          (NEW.id, NEW.account_id, NEW.raw_id, NEW.public_key, NEW.aaguid, NEW.format, NEW.attestation, NEW.shown, NEW.nonce, NEW.client_data, NEW.attestation_object, NEW.created_at)
       OR NEW.sign_count < OLD.sign_count THEN
        RAISE EXCEPTION 'a key stays as it was enrolled, and disabled once it is' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'credential_keep';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER credential_keep BEFORE UPDATE OR DELETE ON staff.credential FOR EACH ROW EXECUTE FUNCTION staff.credential_keep();

-- Assertions that stand for a deed, whole, so that they can be verified again.
-- The signature itself is checked by the program before the row, and again by the
-- worker and by whoever asks; everything else is checked here.
CREATE TABLE staff.touch (
    id            uuid        PRIMARY KEY,
    challenge_id  uuid        NOT NULL CONSTRAINT touch_once UNIQUE,
    account_id    uuid        NOT NULL REFERENCES staff.account (id),
    credential_id uuid        NOT NULL REFERENCES staff.credential (id),
    action        text        NOT NULL,
    subject       bytea       NOT NULL,
    nonce         bytea       NOT NULL,
    client_data   bytea       NOT NULL,
    auth_data     bytea       NOT NULL,
    signature     bytea       NOT NULL,
    at            timestamptz NOT NULL
);
CREATE INDEX touch_credential ON staff.touch (credential_id);
CREATE INDEX touch_account ON staff.touch (account_id);
-- +goose StatementBegin
CREATE FUNCTION staff.touch_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said jsonb := convert_from(NEW.client_data, 'UTF8')::jsonb;
BEGIN
    IF NOT EXISTS (
        SELECT FROM staff.challenge c
        WHERE c.id = NEW.challenge_id AND c.account_id = NEW.account_id AND c.action = NEW.action AND c.subject = NEW.subject AND c.nonce = NEW.nonce
          AND c.used_at IS NOT NULL AND c.used_at <= c.expires_at AND NEW.at BETWEEN c.created_at AND c.expires_at) THEN
        RAISE EXCEPTION 'the touch answers no challenge of this deed' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'touch_challenge';
    END IF;
    -- Client data (WebAuthn, 5.8.1) and flags (6.1): user present (1) and verified (4).
    IF said ->> 'type' IS DISTINCT FROM 'webauthn.get'
       OR said ->> 'challenge' IS DISTINCT FROM staff.base64url(staff.challenge_of(NEW.nonce, NEW.action, NEW.subject))
       OR octet_length(NEW.auth_data) < 37 OR get_byte(NEW.auth_data, 32) & 5 <> 5 THEN
        RAISE EXCEPTION 'the assertion is not one of this deed' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'touch_assertion';
    END IF;
    IF NOT EXISTS (
        SELECT FROM staff.credential k JOIN staff.account a ON a.id = k.account_id
        WHERE k.id = NEW.credential_id AND k.account_id = NEW.account_id AND k.disabled_at IS NULL AND a.disabled_at IS NULL) THEN
        RAISE EXCEPTION 'the key is not a key of this account that counts' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'touch_key';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION staff.touch_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'staff.touch is append-only' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'touch_keep';
END $$;
-- +goose StatementEnd
CREATE TRIGGER touch_check BEFORE INSERT ON staff.touch FOR EACH ROW EXECUTE FUNCTION staff.touch_check();
CREATE TRIGGER touch_keep BEFORE UPDATE OR DELETE ON staff.touch FOR EACH ROW EXECUTE FUNCTION staff.touch_keep();

-- Until when a session may do what needs a fresh touch.
CREATE TABLE staff.fresh (
    session_hash bytea       NOT NULL REFERENCES web.session (token_hash) ON DELETE CASCADE,
    action       text        NOT NULL,
    touch_id     uuid        NOT NULL REFERENCES staff.touch (id),
    until_at     timestamptz NOT NULL,
    PRIMARY KEY (session_hash, action)
);

-- +goose Down
DROP TABLE staff.fresh;
DROP TABLE staff.touch;
DROP FUNCTION staff.touch_keep;
DROP FUNCTION staff.touch_check;
DROP TABLE staff.credential;
DROP FUNCTION staff.credential_keep;
DROP TABLE staff.challenge;
DROP FUNCTION staff.base64url;
DROP FUNCTION staff.challenge_of;
DROP TABLE staff.enrolment;
DROP TABLE staff.key_model;
ALTER TABLE staff.account DROP CONSTRAINT account_issuer;
