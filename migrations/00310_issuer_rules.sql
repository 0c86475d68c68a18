-- +goose Up
-- What issuers of a kind may without limits of their own, and when alarms trip, is
-- changed by new rows from now on: tighter by one administrator, looser by two.
ALTER TABLE certificate.issuer_allowance ADD COLUMN approval uuid, ADD COLUMN set_by text NOT NULL DEFAULT 'system';
ALTER TABLE certificate.issuer_threshold ADD COLUMN approval uuid, ADD COLUMN set_by text NOT NULL DEFAULT 'system';
ALTER TABLE certificate.issuer_threshold ADD CONSTRAINT issuer_threshold_some
    CHECK (at_least BETWEEN 1 AND 100000 AND ratio BETWEEN 0 AND 100 AND seconds BETWEEN 60 AND 86400);
-- An approval changes one rule once.
CREATE UNIQUE INDEX issuer_allowance_approval ON certificate.issuer_allowance (approval) WHERE approval IS NOT NULL;
CREATE UNIQUE INDEX issuer_threshold_approval ON certificate.issuer_threshold (approval) WHERE approval IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION certificate.issuer_allowance_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held certificate.issuer_allowance;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'allowances are dated, not changed' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_rule_dated';
    END IF;
    SELECT * INTO held FROM certificate.issuer_allowance WHERE kind = NEW.kind AND settled = NEW.settled ORDER BY from_at DESC LIMIT 1;
    IF held.kind IS NULL OR NEW.from_at <= held.from_at OR NEW.new_days <> held.new_days THEN
        RAISE EXCEPTION 'an allowance follows the one before' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_rule_dated';
    END IF;
    IF (NEW.hourly > held.hourly OR NEW.burst > held.burst OR NEW.operator_hourly > held.operator_hourly OR NEW.operator_burst > held.operator_burst
        OR NEW.seen_hourly > held.seen_hourly OR NEW.seen_burst > held.seen_burst OR NEW.weekly_doses > held.weekly_doses)
       -- What is written is what was approved, number by number.
       AND staff.approved_payload(NEW.approval, 'issuer.allowance', NEW.kind || CASE WHEN NEW.settled THEN ':settled' ELSE ':new' END)
           IS DISTINCT FROM jsonb_build_object('hourly', NEW.hourly, 'burst', NEW.burst, 'operator_hourly', NEW.operator_hourly,
               'operator_burst', NEW.operator_burst, 'seen_hourly', NEW.seen_hourly, 'seen_burst', NEW.seen_burst, 'weekly_doses', NEW.weekly_doses) THEN
        RAISE EXCEPTION 'two administrators must approve more for %', NEW.kind USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_rule_two_approved';
    END IF;
    RETURN NEW;
END $$;

-- A threshold for a kind that has none of its own is held against that of all others.
CREATE FUNCTION certificate.issuer_threshold_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held certificate.issuer_threshold;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'thresholds are dated, not changed' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_rule_dated';
    END IF;
    SELECT * INTO held FROM certificate.issuer_threshold WHERE alarm = NEW.alarm AND issuer_kind IN ('', NEW.issuer_kind) ORDER BY issuer_kind DESC, from_at DESC LIMIT 1;
    IF held.alarm IS NULL OR held.issuer_kind = NEW.issuer_kind AND NEW.from_at <= held.from_at THEN
        RAISE EXCEPTION 'a threshold follows the one before' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_rule_dated';
    END IF;
    -- Tighter is: fewer, a smaller share, and, where the number alone counts, looked for over a longer time.
    IF (NEW.at_least > held.at_least OR NEW.ratio > held.ratio OR NEW.seconds < held.seconds OR NEW.seconds > held.seconds AND NEW.ratio > 0)
       AND staff.approved_payload(NEW.approval, 'issuer.threshold', NEW.alarm || ':' || coalesce(nullif(NEW.issuer_kind, ''), 'all'))
           IS DISTINCT FROM jsonb_build_object('at_least', NEW.at_least, 'ratio', NEW.ratio, 'seconds', NEW.seconds) THEN
        RAISE EXCEPTION 'two administrators must approve a looser threshold of %', NEW.alarm USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_rule_two_approved';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER issuer_allowance_guard BEFORE INSERT OR UPDATE OR DELETE ON certificate.issuer_allowance FOR EACH ROW EXECUTE FUNCTION certificate.issuer_allowance_guard();
CREATE TRIGGER issuer_threshold_guard BEFORE INSERT OR UPDATE OR DELETE ON certificate.issuer_threshold FOR EACH ROW EXECUTE FUNCTION certificate.issuer_threshold_guard();

-- +goose Down
DROP TRIGGER issuer_threshold_guard ON certificate.issuer_threshold;
DROP TRIGGER issuer_allowance_guard ON certificate.issuer_allowance;
DROP FUNCTION certificate.issuer_threshold_guard();
DROP FUNCTION certificate.issuer_allowance_guard();
DROP INDEX certificate.issuer_threshold_approval;
DROP INDEX certificate.issuer_allowance_approval;
ALTER TABLE certificate.issuer_threshold DROP CONSTRAINT issuer_threshold_some;
ALTER TABLE certificate.issuer_threshold DROP COLUMN approval, DROP COLUMN set_by;
ALTER TABLE certificate.issuer_allowance DROP COLUMN approval, DROP COLUMN set_by;
