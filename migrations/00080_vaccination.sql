-- +goose Up
CREATE SCHEMA vaccination;

-- Versions of the information sheet and the anamnesis and consent form
-- (Aufklärungsmerkblatt, Anamnese- und Einwilligungsbogen), told apart by their
-- date ('Stand'). The newest one in use is what people are given; an older one
-- may still be signed for as long as used_until says (NULL: no end).
CREATE TABLE vaccination.forms (
    product_id text NOT NULL,
    stand      date NOT NULL,
    used_from  date NOT NULL,
    used_until date,
    CONSTRAINT forms_pk PRIMARY KEY (product_id, stand),
    CONSTRAINT forms_period CHECK (used_until IS NULL OR used_until >= used_from)
);

-- The treatment record (section 630f BGB). Who was treated stands in "sealed"
-- only, under a key of its own; there is no foreign key to the registration,
-- which goes earlier. The clear columns are what the stock ledger and the
-- pseudonymous monitor report need.
CREATE TABLE vaccination.record (
    id              uuid NOT NULL,
    request_key     text NOT NULL,
    key_id          uuid NOT NULL,
    sealed          bytea NOT NULL,
    person_index    bytea NOT NULL, -- keyed hash of name and birth date
    programme_id    text NOT NULL,
    product_id      text NOT NULL,
    lot_id          uuid NOT NULL,
    lot_number      text NOT NULL,
    dose_number     integer NOT NULL,
    doses_total     integer NOT NULL,
    day             date NOT NULL,  -- in Berlin
    given_at        timestamptz NOT NULL,
    channel         text NOT NULL,
    place           text NOT NULL,  -- centre, or facility when channel is mobile
    stock_place     text NOT NULL,  -- where the dose was taken from in the ledger
    appointment_id  uuid,           -- no foreign keys: appointment and
    series_id       uuid,           -- registration have shorter lives
    login_person_id uuid,
    forms_stand     date NOT NULL,
    overrides       text[] NOT NULL DEFAULT '{}',
    recorded_by     text NOT NULL,
    CONSTRAINT record_pk PRIMARY KEY (id),
    CONSTRAINT record_request_key UNIQUE (request_key),
    CONSTRAINT record_appointment UNIQUE (appointment_id),
    CONSTRAINT record_channel CHECK (channel IN ('appointment', 'walkin', 'mobile')),
    CONSTRAINT record_channel_appointment CHECK ((channel = 'appointment') = (appointment_id IS NOT NULL)),
    CONSTRAINT record_dose CHECK (dose_number BETWEEN 1 AND doses_total AND doses_total <= 9),
    CONSTRAINT record_index_length CHECK (length(person_index) = 32)
);

-- The same dose is not recorded twice for one person, from whichever station;
-- namesakes with the same birth date are an explicit decision.
CREATE UNIQUE INDEX record_person_dose ON vaccination.record (person_index, programme_id, dose_number)
    WHERE NOT ('namesake' = ANY (overrides));
CREATE INDEX record_place_day ON vaccination.record (place, day);
CREATE INDEX record_day ON vaccination.record (day);
CREATE INDEX record_login ON vaccination.record (login_person_id) WHERE login_person_id IS NOT NULL;

INSERT INTO vaccination.forms (product_id, stand, used_from, used_until) VALUES
    ('comirnaty', '2020-12-22', '2020-12-22', '2021-01-31'),
    ('comirnaty', '2021-01-11', '2021-01-11', NULL),
    ('spikevax',  '2021-01-11', '2021-01-11', NULL),
    ('vaxzevria', '2021-02-01', '2021-02-01', NULL),
    ('janssen',   '2021-03-15', '2021-03-15', NULL),
    ('nuvaxovid', '2021-12-20', '2021-12-20', NULL),
    ('influvac',  '2020-09-01', '2020-09-01', NULL);

-- +goose Down
DROP SCHEMA vaccination CASCADE;
