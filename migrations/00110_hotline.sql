-- +goose Up
CREATE SCHEMA hotline;

-- A press of the button 'register': the same form sent twice registers once.
CREATE TABLE hotline.form (
    key        uuid        PRIMARY KEY,
    actor      text        NOT NULL,
    created_at timestamptz NOT NULL,
    person_id  uuid        -- NULL while the registration is under way
);
CREATE INDEX form_created ON hotline.form (created_at);

-- The secret of somebody whom an agent registered, until it stands in a letter.
-- Sealed under the person's key; everywhere else there is only a keyed hash.
CREATE TABLE hotline.login_data (
    person_id  uuid        PRIMARY KEY,
    key_id     uuid        NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX login_data_created ON hotline.login_data (created_at);

-- A letter that is wanted: the wish is stored before the booking is confirmed,
-- so that no confirmed booking stays without its papers.
CREATE TABLE hotline.letter (
    id         uuid        PRIMARY KEY,
    person_id  uuid        NOT NULL,
    series_id  uuid,       -- NULL: login data alone
    kind       text        NOT NULL CONSTRAINT letter_kind CHECK (kind IN ('papers', 'login', 'again')),
    state      text        NOT NULL CONSTRAINT letter_state CHECK (state IN ('wanted', 'made', 'dropped')),
    actor      text        NOT NULL,
    created_at timestamptz NOT NULL,
    done_at    timestamptz,
    CONSTRAINT letter_done CHECK ((done_at IS NULL) = (state = 'wanted')),
    CONSTRAINT letter_series CHECK ((series_id IS NULL) = (kind = 'login'))
);
CREATE UNIQUE INDEX letter_papers ON hotline.letter (series_id) WHERE kind = 'papers';
CREATE INDEX letter_wanted ON hotline.letter (created_at) WHERE state = 'wanted';
CREATE INDEX letter_person ON hotline.letter (person_id, created_at DESC);
CREATE INDEX letter_done_at ON hotline.letter (done_at) WHERE done_at IS NOT NULL;

-- What a call was about (Gesprächsnotiz).
CREATE TABLE hotline.note (
    id          uuid        PRIMARY KEY,
    person_id   uuid        NOT NULL,
    key_id      uuid        NOT NULL,
    sealed      bytea       NOT NULL,
    disposition text        NOT NULL CONSTRAINT note_disposition CHECK (disposition IN ('booked', 'registered', 'cancelled', 'login', 'advice', 'callback', 'other')),
    actor       text        NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX note_person ON hotline.note (person_id, created_at DESC);
CREATE INDEX note_created ON hotline.note (created_at);

-- +goose Down
DROP SCHEMA hotline CASCADE;
