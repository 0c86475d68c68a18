-- +goose Up
-- The code with which somebody without a registration gets their certificate. Of the
-- code only a keyed hash is known. One code for each record: a new one ends the old.
CREATE TABLE certificate.claim (
    record_id  uuid        NOT NULL,
    key_id     uuid        NOT NULL, -- of the record; the code ends with it
    code_mac   bytea       NOT NULL,
    tries      integer     NOT NULL DEFAULT 0, -- with a wrong birth date, since the last right one
    made_by    text        NOT NULL,
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT claim_pk PRIMARY KEY (record_id),
    CONSTRAINT claim_code UNIQUE (code_mac),
    CONSTRAINT claim_mac CHECK (length(code_mac) = 32),
    CONSTRAINT claim_tries CHECK (tries BETWEEN 0 AND 10),
    CONSTRAINT claim_key FOREIGN KEY (key_id) REFERENCES vault.key (id) ON DELETE CASCADE
);
CREATE INDEX claim_expires ON certificate.claim (expires_at);
CREATE INDEX claim_of_key ON certificate.claim (key_id);

-- +goose Down
DROP TABLE certificate.claim;
