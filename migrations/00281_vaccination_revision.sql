-- +goose Up
-- A record that is corrected keeps what it said before (section 630f BGB, subsection 1:
-- the former content must stay recognisable). Each row is one version that is no longer
-- the current one, sealed under the record's key, and goes with the record.
ALTER TABLE vaccination.record
    ADD COLUMN version      integer NOT NULL DEFAULT 1 CONSTRAINT record_version CHECK (version >= 1),
    ADD COLUMN corrected_at timestamptz,
    ADD CONSTRAINT record_corrected CHECK ((version > 1) = (corrected_at IS NOT NULL));

CREATE TABLE vaccination.revision (
    record_id uuid        NOT NULL CONSTRAINT revision_record REFERENCES vaccination.record (id) ON DELETE CASCADE,
    version   integer     NOT NULL,
    sealed    bytea       NOT NULL, -- the former content, and why it was corrected
    changed   text[]      NOT NULL, -- what was corrected; names of fields only
    by        text        NOT NULL,
    role      text        NOT NULL,
    at        timestamptz NOT NULL,
    CONSTRAINT revision_pk PRIMARY KEY (record_id, version),
    CONSTRAINT revision_changed CHECK (cardinality(changed) > 0)
);

-- +goose StatementBegin
CREATE FUNCTION vaccination.revision_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM vaccination.record WHERE id = OLD.record_id) THEN
        RETURN OLD; -- the record has gone, and this with it
    END IF;
    RAISE EXCEPTION 'former contents of a record stay'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'revision_stays';
END $$;
-- +goose StatementEnd
CREATE TRIGGER revision_stays BEFORE UPDATE OR DELETE ON vaccination.revision
    FOR EACH ROW EXECUTE FUNCTION vaccination.revision_stays();

-- Whatever changes a record keeps what it said: the next version needs the former one.
-- +goose StatementBegin
CREATE FUNCTION vaccination.keeps_former() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 OR NOT EXISTS (SELECT FROM vaccination.revision WHERE record_id = OLD.id AND version = OLD.version) THEN
        RAISE EXCEPTION 'a record is corrected with its former content kept'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'record_keeps_former';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER record_keeps_former AFTER UPDATE ON vaccination.record FOR EACH ROW
    WHEN ((OLD.sealed, OLD.person_index, OLD.product_id, OLD.lot_number, OLD.dose_number, OLD.doses_total, OLD.day, OLD.place)
          IS DISTINCT FROM (NEW.sealed, NEW.person_index, NEW.product_id, NEW.lot_number, NEW.dose_number, NEW.doses_total, NEW.day, NEW.place))
    EXECUTE FUNCTION vaccination.keeps_former();

-- +goose Down
DROP TRIGGER record_keeps_former ON vaccination.record;
DROP FUNCTION vaccination.keeps_former();
DROP TABLE vaccination.revision;
DROP FUNCTION vaccination.revision_stays();
ALTER TABLE vaccination.record DROP COLUMN version, DROP COLUMN corrected_at;
