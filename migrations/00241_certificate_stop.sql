-- +goose Up
-- The stop (Notschalter): nothing is signed to which a row without an end
-- applies. NULL in a column of the scope means "any"; all NULL is everything.
--
--   stopped    nobody in the scope
--   returning  only the verified members of admitted cohorts
--   halted     nobody again: too much went wrong while returning
--   lifted     over
CREATE TABLE certificate.stop (
    id          uuid        NOT NULL,
    kind        text,                 -- of issuer
    path        text,                 -- of access
    region      text,                 -- of the issuer
    kid         bytea,                -- document signer
    state       text        NOT NULL,
    reason_de   text        NOT NULL, -- public
    reason_en   text        NOT NULL,
    internal    text        NOT NULL, -- for the administration
    expected    date,                 -- public: when it may go on
    since       timestamptz NOT NULL,
    ordered_by  text        NOT NULL,
    budget      integer     NOT NULL DEFAULT 2,  -- percent of errors at which a return halts
    lifted_at   timestamptz,
    lifted_by   uuid,                 -- the proposal that two people approved
    changed_at  timestamptz NOT NULL,
    CONSTRAINT stop_pk PRIMARY KEY (id),
    CONSTRAINT stop_kind CHECK (kind IN ('centre', 'mobile', 'practice', 'pharmacy')),
    CONSTRAINT stop_path CHECK (path IN ('site', 'web', 'mtls', 'card')),
    CONSTRAINT stop_region CHECK (region ~ '^[0-9]{2}$'),
    CONSTRAINT stop_kid CHECK (length(kid) = 8),
    CONSTRAINT stop_state CHECK (state IN ('stopped', 'returning', 'halted', 'lifted')),
    CONSTRAINT stop_lifted CHECK ((state = 'lifted') = (lifted_at IS NOT NULL) AND (lifted_at IS NULL) = (lifted_by IS NULL)),
    CONSTRAINT stop_reason CHECK (reason_de <> '' AND reason_en <> '' AND internal <> ''),
    CONSTRAINT stop_budget CHECK (budget BETWEEN 0 AND 100)
);
CREATE INDEX stop_open ON certificate.stop (since) WHERE state <> 'lifted';

-- Cohorts of a return, in the order in which they come back.
CREATE TABLE certificate.stop_cohort (
    stop_id     uuid        NOT NULL,
    number      integer     NOT NULL,
    admitted_at timestamptz,
    admitted_by text,
    CONSTRAINT stop_cohort_pk PRIMARY KEY (stop_id, number),
    CONSTRAINT stop_cohort_stop FOREIGN KEY (stop_id) REFERENCES certificate.stop (id),
    CONSTRAINT stop_cohort_number CHECK (number > 0),
    CONSTRAINT stop_cohort_admitted CHECK ((admitted_at IS NULL) = (admitted_by IS NULL))
);
CREATE TABLE certificate.stop_member (
    stop_id     uuid        NOT NULL,
    issuer_ref  text        NOT NULL,
    cohort      integer     NOT NULL,
    verified_at timestamptz,          -- looked at anew since the stop, and found good
    problem     text        NOT NULL DEFAULT '',
    CONSTRAINT stop_member_pk PRIMARY KEY (stop_id, issuer_ref),
    CONSTRAINT stop_member_cohort FOREIGN KEY (stop_id, cohort) REFERENCES certificate.stop_cohort (stop_id, number),
    CONSTRAINT stop_member_problem CHECK (problem = '' OR verified_at IS NULL)
);
CREATE INDEX stop_member_of ON certificate.stop_member (stop_id, cohort);

-- What went wrong for members of admitted cohorts.
CREATE TABLE certificate.stop_error (
    stop_id    uuid        NOT NULL,
    issuer_ref text        NOT NULL,
    at         timestamptz NOT NULL,
    what       text        NOT NULL,
    CONSTRAINT stop_error_stop FOREIGN KEY (stop_id) REFERENCES certificate.stop (id)
);
CREATE INDEX stop_error_of ON certificate.stop_error (stop_id, at);

-- A stop is ordered by one; back go two: the first step of a return and the end
-- need a proposal of this stop that two people approved in this transaction.
-- +goose StatementBegin
CREATE FUNCTION certificate.stop_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a stop is kept' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'stop_keep';
    ELSIF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'stopped' THEN
            RAISE EXCEPTION 'a stop begins as one' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'stop_begins';
        END IF;
    ELSIF (OLD.id, OLD.kind, OLD.path, OLD.region, OLD.kid, OLD.since, OLD.ordered_by) IS DISTINCT FROM (NEW.id, NEW.kind, NEW.path, NEW.region, NEW.kid, NEW.since, NEW.ordered_by)
       OR OLD.state = 'lifted' THEN
        RAISE EXCEPTION 'what was stopped stays as it is' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'stop_keep';
    ELSIF NEW.state <> OLD.state AND NEW.state IN ('returning', 'lifted')
       AND NOT EXISTS (SELECT FROM staff.proposal p WHERE p.kind = 'stop.' || CASE NEW.state WHEN 'lifted' THEN 'lift' ELSE 'return' END
                          AND p.subject = 'stop:' || NEW.id AND staff.two_approved(p.id, p.kind, p.subject)) THEN
        RAISE EXCEPTION 'two people with two keys must have approved it' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'stop_two';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER stop_check BEFORE INSERT OR UPDATE OR DELETE ON certificate.stop FOR EACH ROW EXECUTE FUNCTION certificate.stop_check();

-- Which stop applies to a certificate of this issuer; NULL: none. kid NULL: who
-- would sign is not chosen yet, so a stop of one signer alone does not apply.
CREATE FUNCTION certificate.stopped_by(issuer text, issuer_kind text, path text, region text, kid bytea) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT s.id FROM certificate.stop s
     WHERE s.state <> 'lifted'
       AND (s.kind IS NULL OR s.kind = $2) AND (s.path IS NULL OR s.path = $3)
       AND (s.region IS NULL OR s.region = $4) AND (s.kid IS NULL OR s.kid = $5)
       AND NOT (s.state = 'returning' AND EXISTS (
           SELECT FROM certificate.stop_member m JOIN certificate.stop_cohort c ON c.stop_id = m.stop_id AND c.number = m.cohort
            WHERE m.stop_id = s.id AND m.issuer_ref = $1 AND m.verified_at >= s.since AND c.admitted_at IS NOT NULL))
     ORDER BY s.since LIMIT 1
$$;

-- A certificate that waits for the end of a stop.
ALTER TABLE certificate.certificate ADD COLUMN waiting_since timestamptz,
    ADD CONSTRAINT certificate_waiting CHECK (waiting_since IS NULL OR state = 'intent');
CREATE INDEX certificate_waiting ON certificate.certificate (waiting_since, id) WHERE waiting_since IS NOT NULL;

-- +goose Down
ALTER TABLE certificate.certificate DROP COLUMN waiting_since;
DROP FUNCTION certificate.stopped_by;
DROP TABLE certificate.stop_error, certificate.stop_member, certificate.stop_cohort, certificate.stop;
DROP FUNCTION certificate.stop_check();
