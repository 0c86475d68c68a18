-- +goose Up
-- The newest list of certificates that an authority of cards or clients has taken back
-- (CRL), and what came of the last look at it. "problem" is a code.
CREATE TABLE certificate.card_crl (
    authority   text        NOT NULL, -- SHA-256 of the authority's certificate (DER), hex
    this_update timestamptz,          -- NULL = there was no good list yet
    next_update timestamptz,
    sha256      bytea,
    entries     integer     NOT NULL DEFAULT 0,
    looked_at   timestamptz NOT NULL,
    problem     text        NOT NULL DEFAULT '',
    CONSTRAINT card_crl_pk PRIMARY KEY (authority),
    CONSTRAINT card_crl_list CHECK (num_nonnulls(this_update, next_update, sha256) IN (0, 3))
);
CREATE TABLE certificate.card_revoked (
    authority text NOT NULL,
    serial    text NOT NULL, -- hexadecimal, small
    CONSTRAINT card_revoked_pk PRIMARY KEY (authority, serial),
    CONSTRAINT card_revoked_list FOREIGN KEY (authority) REFERENCES certificate.card_crl (authority) ON DELETE CASCADE
);
-- Which certificate a session's card has shown, so that a list can end it.
ALTER TABLE certificate.certify_session ADD COLUMN authority text NOT NULL DEFAULT '', ADD COLUMN serial text NOT NULL DEFAULT '';
CREATE INDEX certify_session_card ON certificate.certify_session (authority, serial) WHERE ended_at IS NULL;

-- +goose Down
DROP INDEX certificate.certify_session_card;
ALTER TABLE certificate.certify_session DROP COLUMN serial, DROP COLUMN authority;
DROP TABLE certificate.card_revoked, certificate.card_crl;
