-- +goose Up
-- The log-in of practice and pharmacy software with a card: somebody asks, gets a
-- challenge, and answers it once within two minutes. Secrets stand here as SHA-256.
CREATE TABLE certificate.certify_login (
    id             uuid        NOT NULL,
    code_hash      bytea       NOT NULL, -- of the address that the answer goes to
    challenge      text        NOT NULL,
    client_id      text        NOT NULL,
    redirect_uri   text        NOT NULL,
    state          text        NOT NULL,
    nonce          text        NOT NULL,
    scope          text        NOT NULL,
    code_challenge text        NOT NULL, -- PKCE, S256; '' = none
    expires_at     timestamptz NOT NULL,
    answered_at    timestamptz,          -- well or badly: there is no second answer
    CONSTRAINT certify_login_pk PRIMARY KEY (id)
);
CREATE INDEX certify_login_expires ON certificate.certify_login (expires_at);

-- A card that has answered: first a code that the software exchanges once, then
-- tokens. The session's card must stand in the registry at every use.
CREATE TABLE certificate.certify_session (
    id              uuid        NOT NULL,
    issuer_id       uuid        NOT NULL,
    fingerprint     text        NOT NULL, -- SHA-256 of the card's certificate (DER), hex
    client_id       text        NOT NULL,
    redirect_uri    text        NOT NULL,
    nonce           text        NOT NULL,
    scope           text        NOT NULL,
    code_challenge  text        NOT NULL,
    code_hash       bytea       NOT NULL,
    code_expires_at timestamptz NOT NULL,
    code_used_at    timestamptz,
    refresh_hash    bytea,                -- of the one refresh token that counts
    former_hash     bytea,                -- of the one before: who shows it has a copy
    refresh_until   timestamptz,
    created_at      timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    ended_at        timestamptz,
    CONSTRAINT certify_session_pk PRIMARY KEY (id),
    CONSTRAINT certify_session_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT certify_session_code UNIQUE (code_hash),
    CONSTRAINT certify_session_refresh CHECK (num_nonnulls(refresh_hash, refresh_until) IN (0, 2) AND (refresh_hash IS NULL OR code_used_at IS NOT NULL))
);
CREATE UNIQUE INDEX certify_session_refresh_hash ON certificate.certify_session (refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE INDEX certify_session_former_hash ON certificate.certify_session (former_hash) WHERE former_hash IS NOT NULL;
CREATE INDEX certify_session_ends ON certificate.certify_session (ends_at);

-- +goose Down
DROP TABLE certificate.certify_session, certificate.certify_login;
