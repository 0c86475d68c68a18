-- +goose Up
-- What a statement past the program must not do either: make room for a second genuine
-- certificate of a dose, take evidence away as a whole, raise limits by deleting them,
-- or move a record under another issuer, where no stop and no revocation finds it.

-- +goose StatementBegin
-- A certificate that was signed goes with the key of its record and not before: the
-- worker would make another one of the same dose, and nobody would revoke the first.
CREATE FUNCTION certificate.keep_signed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('signed', 'logged', 'released') AND EXISTS (SELECT FROM vault.key k WHERE k.id = OLD.key_id) THEN
        RAISE EXCEPTION 'certificate % is signed and stays', OLD.id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'certificate_keep_signature';
    END IF;
    RETURN OLD;
END $$;

-- Marked as revoked is only what verifiers will be told of.
CREATE FUNCTION certificate.revoked_by_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM certificate.revocation r WHERE r.certificate_id = NEW.id) AND EXISTS (SELECT FROM certificate.certificate c WHERE c.id = NEW.id) THEN
        RAISE EXCEPTION 'certificate % has no revocation', NEW.id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'certificate_revoked_by_row';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION certificate.keep_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is kept', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'certificate_keep_table';
END $$;

CREATE FUNCTION certificate.issuer_limit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM certificate.issuer i WHERE i.id = OLD.issuer_id) THEN
        RAISE EXCEPTION 'limits are dated, not deleted' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_limit_guard';
    END IF;
    RETURN OLD;
END $$;
-- +goose StatementEnd
CREATE TRIGGER certificate_keep_signed BEFORE DELETE ON certificate.certificate FOR EACH ROW EXECUTE FUNCTION certificate.keep_signed();
CREATE CONSTRAINT TRIGGER certificate_revoked_by_row AFTER UPDATE ON certificate.certificate DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION certificate.revoked_by_row();
CREATE TRIGGER issuer_limit_keep BEFORE DELETE ON certificate.issuer_limit FOR EACH ROW EXECUTE FUNCTION certificate.issuer_limit_keep();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON certificate.certificate FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON certificate.revocation FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON certificate.stop FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON certificate.distrusted FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON certificate.issuer_limit FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON certificate.registry_head FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON staff.touch FOR EACH STATEMENT EXECUTE FUNCTION staff.touch_keep();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON staff.credential FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON staff.proposal FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON staff.approval FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();
CREATE TRIGGER keep_table BEFORE TRUNCATE ON staff.approver FOR EACH STATEMENT EXECUTE FUNCTION certificate.keep_table();

-- Who made a record, how and on what basis is part of what a correction keeps.
DROP TRIGGER record_keeps_former ON vaccination.record;
CREATE TRIGGER record_keeps_former AFTER UPDATE ON vaccination.record FOR EACH ROW
    WHEN ((OLD.sealed, OLD.person_index, OLD.product_id, OLD.lot_number, OLD.dose_number, OLD.doses_total, OLD.day, OLD.place,
           OLD.key_id, OLD.channel, OLD.basis, OLD.issuer_ref, OLD.issuer_kind, OLD.operator, OLD.path, OLD.region, OLD.location)
          IS DISTINCT FROM (NEW.sealed, NEW.person_index, NEW.product_id, NEW.lot_number, NEW.dose_number, NEW.doses_total, NEW.day, NEW.place,
           NEW.key_id, NEW.channel, NEW.basis, NEW.issuer_ref, NEW.issuer_kind, NEW.operator, NEW.path, NEW.region, NEW.location))
    EXECUTE FUNCTION vaccination.keeps_former();

-- +goose Down
DROP TRIGGER record_keeps_former ON vaccination.record;
CREATE TRIGGER record_keeps_former AFTER UPDATE ON vaccination.record FOR EACH ROW
    WHEN ((OLD.sealed, OLD.person_index, OLD.product_id, OLD.lot_number, OLD.dose_number, OLD.doses_total, OLD.day, OLD.place)
          IS DISTINCT FROM (NEW.sealed, NEW.person_index, NEW.product_id, NEW.lot_number, NEW.dose_number, NEW.doses_total, NEW.day, NEW.place))
    EXECUTE FUNCTION vaccination.keeps_former();
DROP TRIGGER keep_table ON staff.approver;
DROP TRIGGER keep_table ON staff.approval;
DROP TRIGGER keep_table ON staff.proposal;
DROP TRIGGER keep_table ON staff.credential;
DROP TRIGGER keep_table ON staff.touch;
DROP TRIGGER keep_table ON certificate.registry_head;
DROP TRIGGER keep_table ON certificate.issuer_limit;
DROP TRIGGER keep_table ON certificate.distrusted;
DROP TRIGGER keep_table ON certificate.stop;
DROP TRIGGER keep_table ON certificate.revocation;
DROP TRIGGER keep_table ON certificate.certificate;
DROP TRIGGER issuer_limit_keep ON certificate.issuer_limit;
DROP TRIGGER certificate_revoked_by_row ON certificate.certificate;
DROP TRIGGER certificate_keep_signed ON certificate.certificate;
DROP FUNCTION certificate.keep_signed, certificate.revoked_by_row, certificate.keep_table, certificate.issuer_limit_keep;
