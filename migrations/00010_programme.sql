-- +goose Up
CREATE SCHEMA programme;

-- A vaccination campaign. Words for people are jsonb by language tag
-- ({"de": ..., "en": ...}): a new language is data.
CREATE TABLE programme.programme (
    id       text     PRIMARY KEY CONSTRAINT programme_id CHECK (id ~ '^[a-z0-9][a-z0-9-]{1,39}$'),
    position smallint NOT NULL,
    name     jsonb    NOT NULL CONSTRAINT programme_name CHECK (name ? 'de')
);

CREATE TABLE programme.product (
    id           text     PRIMARY KEY CONSTRAINT product_id CHECK (id ~ '^[a-z0-9][a-z0-9-]{1,39}$'),
    programme_id text     NOT NULL REFERENCES programme.programme (id),
    position     smallint NOT NULL,
    name         text     NOT NULL,
    holder       text     NOT NULL -- marketing authorisation holder
);
CREATE INDEX product_programme ON programme.product (programme_id, position);

-- How many doses belong together and how far apart, from a day on. The row
-- with the latest valid_from that is not after a day is in force on that day.
CREATE TABLE programme.series_rule (
    product_id text     NOT NULL REFERENCES programme.product (id),
    valid_from date     NOT NULL,
    doses      smallint NOT NULL CONSTRAINT series_doses CHECK (doses BETWEEN 1 AND 9),
    min_days   smallint NOT NULL,
    max_days   smallint, -- null = no upper limit
    plan_days  smallint NOT NULL,
    set_by     text        NOT NULL,
    set_at     timestamptz NOT NULL,
    PRIMARY KEY (product_id, valid_from),
    CONSTRAINT series_days CHECK (
        (doses = 1 AND min_days = 0 AND max_days IS NULL AND plan_days = 0) OR
        (doses > 1 AND min_days BETWEEN 1 AND 3650 AND plan_days BETWEEN min_days AND coalesce(max_days, 3650)
                   AND (max_days IS NULL OR max_days BETWEEN min_days AND 3650)))
);

-- From which age (completed years) a product may be given. No rule in force =
-- the product is not authorised yet; allowed false = no longer given.
CREATE TABLE programme.age_rule (
    product_id text     NOT NULL REFERENCES programme.product (id),
    valid_from date     NOT NULL,
    min_age    smallint NOT NULL CONSTRAINT age_min CHECK (min_age BETWEEN 0 AND 120),
    max_age    smallint CONSTRAINT age_max CHECK (max_age BETWEEN min_age AND 130), -- inclusive; null = no limit
    allowed    boolean  NOT NULL DEFAULT true,
    set_by     text        NOT NULL,
    set_at     timestamptz NOT NULL,
    PRIMARY KEY (product_id, valid_from)
);

-- A priority group as it is from a day on.
CREATE TABLE programme.priority_group (
    programme_id text     NOT NULL REFERENCES programme.programme (id),
    code         text     NOT NULL CONSTRAINT group_code CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    valid_from   date     NOT NULL,
    rank         smallint NOT NULL CONSTRAINT group_rank CHECK (rank BETWEEN 1 AND 99),
    name         jsonb    NOT NULL CONSTRAINT group_name CHECK (name ? 'de'),
    proof        jsonb    NOT NULL CONSTRAINT group_proof CHECK (proof ? 'de'),
    proof_kind   text     NOT NULL CONSTRAINT group_proof_kind CHECK (proof_kind IN ('identity', 'employer', 'doctor')),
    min_age      smallint NOT NULL DEFAULT 0 CONSTRAINT group_min_age CHECK (min_age BETWEEN 0 AND 120),
    open         boolean  NOT NULL,
    set_by       text        NOT NULL,
    set_at       timestamptz NOT NULL,
    PRIMARY KEY (programme_id, code, valid_from)
);

-- Texts that an administrator has changed. What is not here is the text that
-- the program brings along.
CREATE TABLE programme.text (
    key    text        NOT NULL,
    lang   text        NOT NULL CONSTRAINT text_lang CHECK (lang ~ '^[a-z]{2,3}$'),
    title  text        NOT NULL CONSTRAINT text_title CHECK (length(title) <= 200),
    body   text        NOT NULL CONSTRAINT text_body CHECK (length(body) <= 100000), -- Markdown
    set_by text        NOT NULL,
    set_at timestamptz NOT NULL,
    PRIMARY KEY (key, lang)
);

INSERT INTO programme.programme (id, position, name) VALUES
    ('covid-19', 1, '{"de": "Corona-Schutzimpfung", "en": "COVID-19 vaccination"}');

INSERT INTO programme.product (id, programme_id, position, name, holder) VALUES
    ('comirnaty', 'covid-19', 1, 'Comirnaty', 'BioNTech Manufacturing GmbH'),
    ('spikevax',  'covid-19', 2, 'Spikevax',  'Moderna Biotech Spain S.L.'),
    ('vaxzevria', 'covid-19', 3, 'Vaxzevria', 'AstraZeneca AB'),
    ('janssen',   'covid-19', 4, 'COVID-19 Vaccine Janssen', 'Janssen-Cilag International NV'),
    ('nuvaxovid', 'covid-19', 5, 'Nuvaxovid', 'Novavax CZ a.s.');

INSERT INTO programme.series_rule (product_id, valid_from, doses, min_days, max_days, plan_days, set_by, set_at) VALUES
    ('comirnaty', '2020-12-21', 2, 21, 42,   21, 'default', '2020-12-21'),
    ('spikevax',  '2020-12-21', 2, 28, 42,   28, 'default', '2020-12-21'),
    ('vaxzevria', '2020-12-21', 2, 63, 84,   63, 'default', '2020-12-21'),
    ('janssen',   '2020-12-21', 1,  0, NULL,  0, 'default', '2020-12-21'),
    ('nuvaxovid', '2020-12-21', 2, 21, NULL, 21, 'default', '2020-12-21');

-- The first row of each product is its conditional authorisation in the EU.
INSERT INTO programme.age_rule (product_id, valid_from, min_age, max_age, set_by, set_at) VALUES
    ('comirnaty', '2020-12-21', 16, NULL, 'default', '2020-12-21'),
    ('comirnaty', '2021-06-07', 12, NULL, 'default', '2020-12-21'),
    ('spikevax',  '2021-01-06', 18, NULL, 'default', '2020-12-21'),
    ('spikevax',  '2021-07-23', 12, NULL, 'default', '2020-12-21'),
    ('vaxzevria', '2021-01-29', 18, 64,   'default', '2020-12-21'), -- STIKO, 2021-01-29
    ('vaxzevria', '2021-03-04', 18, NULL, 'default', '2020-12-21'), -- STIKO, 2021-03-04
    ('vaxzevria', '2021-04-01', 60, NULL, 'default', '2020-12-21'), -- STIKO, 2021-04-01
    ('janssen',   '2021-03-11', 18, NULL, 'default', '2020-12-21'),
    ('janssen',   '2021-05-10', 60, NULL, 'default', '2020-12-21'), -- STIKO, 2021-05-10
    ('nuvaxovid', '2021-12-20', 18, NULL, 'default', '2020-12-21');

-- CoronaImpfV of 18 December 2020, sections 2 to 4, split by the proof that is
-- brought along. In January 2021 section 2 is open; the others are opened by
-- the administrator with a date.
INSERT INTO programme.priority_group (programme_id, code, valid_from, rank, name, proof, proof_kind, min_age, open, set_by, set_at) VALUES
    ('covid-19', 's2-age', '2020-12-27', 1,
     '{"de": "Personen ab 80 Jahren (Paragraf 2 CoronaImpfV, höchste Priorität)", "en": "People aged 80 and over (section 2 CoronaImpfV, highest priority)"}',
     '{"de": "Personalausweis oder Reisepass", "en": "Identity card or passport"}', 'identity', 80, true, 'default', '2020-12-21'),
    ('covid-19', 's2-work', '2020-12-27', 1,
     '{"de": "Beschäftigte in Pflege, Rettungsdienst, Intensivmedizin und Impfzentren (Paragraf 2 CoronaImpfV, höchste Priorität)", "en": "Staff in care, ambulance services, intensive care and vaccination centres (section 2 CoronaImpfV, highest priority)"}',
     '{"de": "Bescheinigung des Arbeitgebers", "en": "Employer''s certificate"}', 'employer', 0, true, 'default', '2020-12-21'),
    ('covid-19', 's3-age', '2020-12-27', 2,
     '{"de": "Personen ab 70 Jahren (Paragraf 3 CoronaImpfV, hohe Priorität)", "en": "People aged 70 and over (section 3 CoronaImpfV, high priority)"}',
     '{"de": "Personalausweis oder Reisepass", "en": "Identity card or passport"}', 'identity', 70, false, 'default', '2020-12-21'),
    ('covid-19', 's3-health', '2020-12-27', 2,
     '{"de": "Personen mit sehr hohem gesundheitlichem Risiko und enge Kontaktpersonen (Paragraf 3 CoronaImpfV, hohe Priorität)", "en": "People at very high health risk and close contacts (section 3 CoronaImpfV, high priority)"}',
     '{"de": "Ärztliche Bescheinigung (ohne Diagnose)", "en": "Doctor''s attestation (without the diagnosis)"}', 'doctor', 0, false, 'default', '2020-12-21'),
    ('covid-19', 's3-work', '2020-12-27', 2,
     '{"de": "Beschäftigte mit hohem Ansteckungsrisiko in Medizin und öffentlicher Ordnung (Paragraf 3 CoronaImpfV, hohe Priorität)", "en": "Staff at high risk of infection in medicine and public order (section 3 CoronaImpfV, high priority)"}',
     '{"de": "Bescheinigung des Arbeitgebers", "en": "Employer''s certificate"}', 'employer', 0, false, 'default', '2020-12-21'),
    ('covid-19', 's4-age', '2020-12-27', 3,
     '{"de": "Personen ab 60 Jahren (Paragraf 4 CoronaImpfV, erhöhte Priorität)", "en": "People aged 60 and over (section 4 CoronaImpfV, elevated priority)"}',
     '{"de": "Personalausweis oder Reisepass", "en": "Identity card or passport"}', 'identity', 60, false, 'default', '2020-12-21'),
    ('covid-19', 's4-health', '2020-12-27', 3,
     '{"de": "Personen mit erhöhtem gesundheitlichem Risiko (Paragraf 4 CoronaImpfV, erhöhte Priorität)", "en": "People at elevated health risk (section 4 CoronaImpfV, elevated priority)"}',
     '{"de": "Ärztliche Bescheinigung (ohne Diagnose)", "en": "Doctor''s attestation (without the diagnosis)"}', 'doctor', 0, false, 'default', '2020-12-21'),
    ('covid-19', 's4-work', '2020-12-27', 3,
     '{"de": "Beschäftigte in Verwaltung, Justiz, Handel, Schulen und weiteren wichtigen Bereichen (Paragraf 4 CoronaImpfV, erhöhte Priorität)", "en": "Staff in administration, justice, retail, schools and other essential fields (section 4 CoronaImpfV, elevated priority)"}',
     '{"de": "Bescheinigung des Arbeitgebers", "en": "Employer''s certificate"}', 'employer', 0, false, 'default', '2020-12-21'),
    ('covid-19', 'everybody', '2020-12-27', 4,
     '{"de": "Alle anderen Personen", "en": "Everybody else"}',
     '{"de": "Personalausweis oder Reisepass", "en": "Identity card or passport"}', 'identity', 0, false, 'default', '2020-12-21');

-- +goose Down
DROP SCHEMA programme CASCADE;
