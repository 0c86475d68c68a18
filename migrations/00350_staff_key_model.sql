-- +goose Up
-- Which authenticators count is decided by two people: whoever could admit one of their
-- own making could else be everybody who approves.
ALTER TABLE staff.key_model ADD COLUMN approval uuid CONSTRAINT key_model_approval UNIQUE REFERENCES staff.proposal (id);

-- +goose StatementBegin
-- During the first set-up nobody can approve: fewer than two administrators' accounts
-- have ever had an accepted key. It ends once and does not come back, so that nobody
-- returns to it by disabling the others or by ending all models.
CREATE FUNCTION staff.first_setup() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT count(*) < 2 FROM staff.approver WHERE proposal_id IS NULL
$$;

-- A model that is new, lasts longer or leads to other roots needs two. Ending one
-- earlier and taking one off needs nobody else. What has no roots is virtual and
-- counts in a local run only.
CREATE FUNCTION staff.key_model_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.virtual AND NEW.roots = '' AND (TG_OP = 'INSERT' OR OLD.virtual AND OLD.aaguid = NEW.aaguid) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND (OLD.aaguid, OLD.valid_from, OLD.name, OLD.roots, OLD.virtual, OLD.approval)
        IS NOT DISTINCT FROM (NEW.aaguid, NEW.valid_from, NEW.name, NEW.roots, NEW.virtual, NEW.approval)
       AND NEW.valid_to <= coalesce(OLD.valid_to, 'infinity') THEN
        RETURN NEW;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('staff.approver')); -- nobody becomes the second one meanwhile
    IF NEW.approval IS NULL AND staff.first_setup() THEN
        RETURN NEW;
    END IF;
    IF NEW.virtual OR staff.approved_payload(NEW.approval, 'passkey.model', 'key-model:' || NEW.aaguid)
        IS DISTINCT FROM jsonb_build_object('name', NEW.name, 'from', to_char(NEW.valid_from, 'YYYY-MM-DD'),
            'to', coalesce(to_char(NEW.valid_to, 'YYYY-MM-DD'), ''), 'roots', NEW.roots) THEN
        PERFORM staff.refuse('key_model_two', 'two people must have allowed just this model');
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER key_model_guard BEFORE INSERT OR UPDATE ON staff.key_model FOR EACH ROW EXECUTE FUNCTION staff.key_model_guard();

-- +goose Down
DROP TRIGGER key_model_guard ON staff.key_model;
DROP FUNCTION staff.key_model_guard;
DROP FUNCTION staff.first_setup;
ALTER TABLE staff.key_model DROP COLUMN approval;
