-- +goose Up
CREATE SCHEMA citizen;

-- One registration of one person for one programme. Who it is lies in sealed
-- (JSON under the person's own vault key). In clear stands only what a rule or
-- a figure needs without opening anything: programme, group, times.
CREATE TABLE citizen.person (
    id             uuid        PRIMARY KEY,
    key_id         uuid        NOT NULL, -- vault.key; the row there goes first
    programme_id   text        NOT NULL REFERENCES programme.programme (id),
    group_code     text        NOT NULL,
    state          text        NOT NULL CONSTRAINT person_state CHECK (state IN ('active', 'check', 'closed')),
    duplicate_of   uuid        REFERENCES citizen.person (id) ON DELETE SET NULL,
    -- Blind indexes (keyed hashes, cut to 16 and 8 bytes): normalised names
    -- with the birth year, and with month and day as far as they are known.
    identity_year  bytea,
    identity_month bytea,
    identity_day   bytea,
    twin           smallint    NOT NULL DEFAULT 0, -- another person with the same names and birth date, as an agent found
    postcode_index bytea,      -- normalised family name with the postcode
    sealed         bytea,
    registered_at  timestamptz NOT NULL,
    keep_from      timestamptz NOT NULL, -- the time limit of a registration without a booking counts from here
    vaccinated_at  timestamptz,          -- last dose of the series
    confirmed_at   timestamptz,          -- the messages about this registration are on their way
    told_at        timestamptz,          -- the known contact was last told about a second registration
    closed_at      timestamptz,
    CONSTRAINT person_sealed CHECK ((state = 'closed') = (sealed IS NULL)
        AND (state = 'closed') = (identity_year IS NULL)
        AND (state = 'closed') = (closed_at IS NOT NULL)
        AND (state <> 'closed' OR (identity_month IS NULL AND identity_day IS NULL AND postcode_index IS NULL)))
);
-- Among active registrations a person is there once. Rows that are being
-- checked carry their id, so that they do not collide; the same index finds both.
CREATE UNIQUE INDEX person_identity ON citizen.person
    (identity_year, programme_id, identity_month, identity_day, twin, (CASE WHEN state = 'active' THEN NULL ELSE id END))
    NULLS NOT DISTINCT WHERE state <> 'closed';
CREATE INDEX person_postcode ON citizen.person (postcode_index) WHERE postcode_index IS NOT NULL;
CREATE INDEX person_keep ON citizen.person (keep_from, id) WHERE state <> 'closed';
CREATE INDEX person_vaccinated ON citizen.person (vaccinated_at) WHERE vaccinated_at IS NOT NULL AND state <> 'closed';
CREATE INDEX person_check ON citizen.person (registered_at) WHERE state = 'check';
CREATE INDEX person_duplicate ON citizen.person (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX person_closed ON citizen.person (closed_at) WHERE closed_at IS NOT NULL;

-- Login data (Zugangsdaten). Only a keyed hash of the secret is stored.
CREATE TABLE citizen.login (
    case_number   text        PRIMARY KEY CONSTRAINT login_case_number CHECK (case_number ~ '^[0-9A-HJKMNP-TV-Z]{10}$'),
    person_id     uuid        NOT NULL CONSTRAINT login_person UNIQUE REFERENCES citizen.person (id),
    secret_mac    bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    first_used_at timestamptz, -- from then on the page with the secret is not shown again
    sent_at       timestamptz  -- a new secret was last sent on request; not again for a while
);

-- New secrets that are under way. The old one stays valid until one of these
-- is used: asking for new login data locks nobody out.
CREATE TABLE citizen.login_pending (
    id          uuid        PRIMARY KEY,
    case_number text        NOT NULL REFERENCES citizen.login (case_number) ON DELETE CASCADE,
    secret_mac  bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL
);
CREATE INDEX login_pending_case ON citizen.login_pending (case_number);
CREATE INDEX login_pending_valid ON citizen.login_pending (valid_until);

-- Requests for new login data, also those that fit nobody: the same work is
-- done for both.
CREATE TABLE citizen.lost_request (
    id           uuid        PRIMARY KEY,
    person_ids   uuid[]      NOT NULL, -- one per programme at most, as a rule
    requested_at timestamptz NOT NULL
);
CREATE INDEX lost_request_at ON citizen.lost_request (requested_at);

-- +goose Down
DROP SCHEMA citizen CASCADE;
