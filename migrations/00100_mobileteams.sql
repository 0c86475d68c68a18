-- +goose Up
CREATE SCHEMA mobileteams;

CREATE TABLE mobileteams.team (
    id     uuid NOT NULL,
    name   text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    CONSTRAINT team_pk PRIMARY KEY (id),
    CONSTRAINT team_name UNIQUE (name)
);

-- Care homes and other facilities (Einrichtungen). No personal data.
CREATE TABLE mobileteams.facility (
    id       uuid NOT NULL,
    name     text NOT NULL,
    street   text NOT NULL,
    postcode text NOT NULL,
    city     text NOT NULL,
    phone    text NOT NULL DEFAULT '',
    CONSTRAINT facility_pk PRIMARY KEY (id),
    CONSTRAINT facility_once UNIQUE (name, postcode, street)
);

-- A visit (Einsatz). The states are told in the package's doc.go.
CREATE TABLE mobileteams.visit (
    id            uuid NOT NULL,
    facility_id   uuid NOT NULL,
    team_id       uuid,
    centre_id     text NOT NULL, -- gives the doses, takes leftovers back
    product_id    text NOT NULL,
    starts_at     timestamptz NOT NULL,
    day           date NOT NULL, -- of starts_at, in Berlin
    people        integer NOT NULL,
    state         text NOT NULL DEFAULT 'planned',
    cancel_reason text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    CONSTRAINT visit_pk PRIMARY KEY (id),
    CONSTRAINT visit_facility FOREIGN KEY (facility_id) REFERENCES mobileteams.facility (id),
    CONSTRAINT visit_team FOREIGN KEY (team_id) REFERENCES mobileteams.team (id),
    CONSTRAINT visit_state CHECK (state IN ('planned', 'assigned', 'under_way', 'done', 'cancelled')),
    CONSTRAINT visit_assigned CHECK (state IN ('planned', 'cancelled') OR team_id IS NOT NULL),
    CONSTRAINT visit_reason CHECK ((state = 'cancelled') = (cancel_reason <> '')),
    CONSTRAINT visit_people CHECK (people BETWEEN 1 AND 2000)
);
CREATE INDEX visit_day ON mobileteams.visit (day, team_id);
-- A team is in one place at a time.
CREATE UNIQUE INDEX visit_one_under_way ON mobileteams.visit (team_id) WHERE state = 'under_way';

-- Which records were made at which visit. The record has its own, longer life;
-- so it is named, not referenced.
CREATE TABLE mobileteams.dose (
    visit_id  uuid NOT NULL,
    record_id uuid NOT NULL,
    CONSTRAINT dose_pk PRIMARY KEY (record_id),
    CONSTRAINT dose_visit FOREIGN KEY (visit_id) REFERENCES mobileteams.visit (id) ON DELETE CASCADE
);
CREATE INDEX dose_by_visit ON mobileteams.dose (visit_id);

-- +goose Down
DROP SCHEMA mobileteams CASCADE;
