-- +goose Up
-- A correction may give a record the name and birth date of somebody else who has the same
-- dose (Namensvetter): two people decide that they are two persons (staff.proposal, kind
-- 'record.namesake'), and this table sees to it. When a dose is recorded, it is the
-- decision of who records it, and stands in overrides from the beginning.
ALTER TABLE vaccination.record ADD COLUMN namesake_proposal uuid;

-- +goose StatementBegin
CREATE FUNCTION vaccination.namesake_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    decided jsonb;
BEGIN
    decided := staff.approved_payload(NEW.namesake_proposal, 'record.namesake', 'record:' || NEW.id);
    IF decided IS NULL OR (decided ->> 'version')::integer IS DISTINCT FROM OLD.version OR NOT 'namesake' = ANY (NEW.overrides) THEN
        RAISE EXCEPTION 'two people must have decided that these are two persons' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'record_namesake_two';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER record_namesake BEFORE UPDATE ON vaccination.record FOR EACH ROW
    WHEN ('namesake' = ANY (OLD.overrides) IS DISTINCT FROM 'namesake' = ANY (NEW.overrides) OR OLD.namesake_proposal IS DISTINCT FROM NEW.namesake_proposal)
    EXECUTE FUNCTION vaccination.namesake_check();

-- +goose Down
DROP TRIGGER record_namesake ON vaccination.record;
DROP FUNCTION vaccination.namesake_check();
ALTER TABLE vaccination.record DROP COLUMN namesake_proposal;
