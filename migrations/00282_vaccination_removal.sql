-- +goose Up
-- A record that was made twice, or of somebody else, is removed: it counts as not given,
-- and stays sealed until its time is up. Two people decide (staff.proposal, kind
-- 'record.remove'), and this table sees to it, whatever the program does.
ALTER TABLE vaccination.record
    ADD COLUMN voided_at     timestamptz,
    ADD COLUMN void_why      text,
    ADD COLUMN void_proposal uuid,
    ADD CONSTRAINT record_void CHECK (num_nonnulls(voided_at, void_why, void_proposal) IN (0, 3)),
    ADD CONSTRAINT record_void_why CHECK (void_why IN ('twice', 'person'));

-- What was removed holds neither the appointment nor the number of the dose.
ALTER TABLE vaccination.record DROP CONSTRAINT record_appointment;
CREATE UNIQUE INDEX record_appointment ON vaccination.record (appointment_id) WHERE voided_at IS NULL;
DROP INDEX vaccination.record_person_dose;
CREATE UNIQUE INDEX record_person_dose ON vaccination.record (person_index, programme_id, dose_number)
    WHERE basis = 'given' AND voided_at IS NULL AND NOT ('namesake' = ANY (overrides));

-- +goose StatementBegin
CREATE FUNCTION vaccination.removal_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    decided jsonb;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.voided_at IS NOT NULL THEN
        RAISE EXCEPTION 'a removed record stays as it is' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'record_removed';
    END IF;
    IF NEW.voided_at IS NOT NULL THEN
        IF TG_OP = 'UPDATE' THEN
            decided := staff.approved_payload(NEW.void_proposal, 'record.remove', 'record:' || NEW.id);
        END IF;
        IF decided IS NULL OR decided ->> 'why' IS DISTINCT FROM NEW.void_why OR (decided ->> 'version')::integer IS DISTINCT FROM OLD.version THEN
            RAISE EXCEPTION 'two people must have decided to remove this record' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'record_two';
        END IF;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER record_removal BEFORE UPDATE ON vaccination.record FOR EACH ROW EXECUTE FUNCTION vaccination.removal_check();
CREATE TRIGGER record_begins BEFORE INSERT ON vaccination.record FOR EACH ROW WHEN (NEW.voided_at IS NOT NULL) EXECUTE FUNCTION vaccination.removal_check();

-- +goose Down
DROP TRIGGER record_removal ON vaccination.record;
DROP TRIGGER record_begins ON vaccination.record;
DROP FUNCTION vaccination.removal_check();
DROP INDEX vaccination.record_person_dose, vaccination.record_appointment;
DELETE FROM vaccination.record WHERE voided_at IS NOT NULL;
ALTER TABLE vaccination.record
    DROP COLUMN voided_at, DROP COLUMN void_why, DROP COLUMN void_proposal,
    ADD CONSTRAINT record_appointment UNIQUE (appointment_id);
CREATE UNIQUE INDEX record_person_dose ON vaccination.record (person_index, programme_id, dose_number)
    WHERE basis = 'given' AND NOT ('namesake' = ANY (overrides));
