-- +goose Up
-- A record knows who made it and on what basis: a dose given, or one that was given
-- elsewhere and seen in a document. Practices and pharmacies have no stock ledger, no
-- appointment and no forms here; everybody else must have the first and the last.
ALTER TABLE vaccination.record
    ALTER COLUMN lot_id DROP NOT NULL,
    ALTER COLUMN stock_place DROP NOT NULL,
    ALTER COLUMN forms_stand DROP NOT NULL,
    ADD COLUMN basis       text NOT NULL DEFAULT 'given',
    ADD COLUMN issuer_ref  text,        -- 'centre:<id>', 'facility-team:<id>', 'issuer:<id>'
    ADD COLUMN issuer_kind text,
    ADD COLUMN operator    text,        -- account or card at the issuer; opaque, never a name
    ADD COLUMN path        text NOT NULL DEFAULT 'site',
    ADD COLUMN region      text NOT NULL DEFAULT '', -- postal region of the place: first two digits of the postcode
    ADD COLUMN recorded_at timestamptz; -- when it was written down; given_at is when it happened

UPDATE vaccination.record r
   SET issuer_ref  = CASE channel WHEN 'mobile' THEN 'facility-' || stock_place ELSE 'centre:' || place END,
       issuer_kind = CASE channel WHEN 'mobile' THEN 'mobile' ELSE 'centre' END,
       operator    = regexp_replace(recorded_by, '^staff:', ''),
       region      = coalesce((SELECT left(c.postcode, 2) FROM centre.centre c WHERE c.id = r.place), ''),
       recorded_at = given_at;

-- A program of before this migration that still runs names none of this.
-- +goose StatementBegin
CREATE FUNCTION vaccination.fill_issuer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.issuer_ref  := CASE NEW.channel WHEN 'mobile' THEN 'facility-' || NEW.stock_place ELSE 'centre:' || NEW.place END;
    NEW.issuer_kind := CASE NEW.channel WHEN 'mobile' THEN 'mobile' ELSE 'centre' END;
    NEW.operator    := regexp_replace(NEW.recorded_by, '^staff:', '');
    NEW.recorded_at := NEW.given_at;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER record_fill_issuer BEFORE INSERT ON vaccination.record
    FOR EACH ROW WHEN (NEW.issuer_ref IS NULL AND NEW.path = 'site') EXECUTE FUNCTION vaccination.fill_issuer();

ALTER TABLE vaccination.record
    ALTER COLUMN issuer_ref SET NOT NULL,
    ALTER COLUMN issuer_kind SET NOT NULL,
    ALTER COLUMN operator SET NOT NULL,
    ALTER COLUMN recorded_at SET NOT NULL,
    DROP CONSTRAINT record_channel,
    DROP CONSTRAINT record_dose,
    ADD CONSTRAINT record_channel CHECK (channel IN ('appointment', 'walkin', 'mobile', 'issuer')),
    ADD CONSTRAINT record_basis CHECK (basis = 'given' OR (basis = 'seen' AND channel = 'issuer')),
    ADD CONSTRAINT record_path CHECK (path IN ('site', 'web', 'mtls', 'card') AND (path = 'site') = (channel <> 'issuer')),
    ADD CONSTRAINT record_issuer_ref CHECK (issuer_ref ~ '^(centre|facility-team|issuer):[A-Za-z0-9-]{1,60}$'
        AND (channel = 'issuer') = (issuer_ref LIKE 'issuer:%')),
    ADD CONSTRAINT record_issuer_kind CHECK (issuer_kind IN ('centre', 'mobile', 'practice', 'pharmacy')),
    ADD CONSTRAINT record_ledger CHECK (CASE channel
        WHEN 'issuer' THEN num_nonnulls(lot_id, stock_place, forms_stand, series_id, login_person_id) = 0
        ELSE num_nonnulls(lot_id, stock_place, forms_stand) = 3 END),
    -- Boosters are numbered as their issuer states them: 3/3, but 2/1 after Janssen.
    ADD CONSTRAINT record_dose CHECK (dose_number BETWEEN 1 AND 9 AND doses_total BETWEEN 1 AND 9);

-- What was seen in a document takes no part: people ask for it twice.
DROP INDEX vaccination.record_person_dose;
CREATE UNIQUE INDEX record_person_dose ON vaccination.record (person_index, programme_id, dose_number)
    WHERE basis = 'given' AND NOT ('namesake' = ANY (overrides));
CREATE INDEX record_person ON vaccination.record (person_index, programme_id);
CREATE INDEX record_issuer ON vaccination.record (issuer_ref, recorded_at);

-- +goose Down
DROP INDEX vaccination.record_issuer, vaccination.record_person, vaccination.record_person_dose;
DELETE FROM vaccination.record WHERE channel = 'issuer';
ALTER TABLE vaccination.record
    DROP CONSTRAINT record_basis, DROP CONSTRAINT record_path, DROP CONSTRAINT record_issuer_ref, DROP CONSTRAINT record_issuer_kind,
    DROP CONSTRAINT record_ledger, DROP CONSTRAINT record_dose, DROP CONSTRAINT record_channel;
DROP TRIGGER record_fill_issuer ON vaccination.record;
DROP FUNCTION vaccination.fill_issuer();
ALTER TABLE vaccination.record
    DROP COLUMN basis, DROP COLUMN issuer_ref, DROP COLUMN issuer_kind, DROP COLUMN operator, DROP COLUMN path,
    DROP COLUMN region, DROP COLUMN recorded_at,
    ALTER COLUMN lot_id SET NOT NULL, ALTER COLUMN stock_place SET NOT NULL, ALTER COLUMN forms_stand SET NOT NULL,
    ADD CONSTRAINT record_channel CHECK (channel IN ('appointment', 'walkin', 'mobile')),
    ADD CONSTRAINT record_dose CHECK (dose_number BETWEEN 1 AND doses_total AND doses_total <= 9);
CREATE UNIQUE INDEX record_person_dose ON vaccination.record (person_index, programme_id, dose_number)
    WHERE NOT ('namesake' = ANY (overrides));
