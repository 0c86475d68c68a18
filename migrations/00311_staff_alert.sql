-- +goose Up
-- Where an administrator is told what is wrong; sealed under the account's key.
CREATE TABLE staff.alert_address (
    account_id uuid        NOT NULL,
    sealed     bytea       NOT NULL,
    lang       text        NOT NULL,
    set_at     timestamptz NOT NULL,
    CONSTRAINT alert_address_pk PRIMARY KEY (account_id),
    CONSTRAINT alert_address_account FOREIGN KEY (account_id) REFERENCES staff.account (id),
    CONSTRAINT alert_address_lang CHECK (lang IN ('de', 'en'))
);

-- Something is wrong, from when to when, and when administrators were told. What it
-- is its source says: only names stand here.
CREATE TABLE staff.alert (
    id       uuid        NOT NULL,
    source   text        NOT NULL,
    key      text        NOT NULL,
    since    timestamptz NOT NULL,
    told_at  timestamptz, -- last
    told     integer     NOT NULL DEFAULT 0,
    ended_at timestamptz,
    CONSTRAINT alert_pk PRIMARY KEY (id),
    CONSTRAINT alert_told CHECK ((told > 0) = (told_at IS NOT NULL))
);
CREATE UNIQUE INDEX alert_open ON staff.alert (source, key) WHERE ended_at IS NULL;
CREATE INDEX alert_ended ON staff.alert (source, key, told_at) WHERE ended_at IS NOT NULL;

-- +goose Down
DROP TABLE staff.alert, staff.alert_address;
