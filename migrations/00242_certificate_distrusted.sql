-- +goose Up
-- Document signers that nobody may trust any more. There is no way back: a key
-- that may have been in other hands stays bad.
CREATE TABLE certificate.distrusted (
    kid         bytea       NOT NULL,
    reason      text        NOT NULL,
    proposal_id uuid        NOT NULL,
    since       timestamptz NOT NULL,
    CONSTRAINT distrusted_pk PRIMARY KEY (kid),
    CONSTRAINT distrusted_kid CHECK (length(kid) = 8)
);

-- +goose StatementBegin
CREATE FUNCTION certificate.distrusted_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'a signer stays distrusted' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'distrusted_keep';
    ELSIF NOT staff.two_approved(NEW.proposal_id, 'signer.distrust', 'signer:' || encode(NEW.kid, 'hex')) THEN
        RAISE EXCEPTION 'two people with two keys must have approved it' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'distrusted_two';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER distrusted_check BEFORE INSERT OR UPDATE OR DELETE ON certificate.distrusted FOR EACH ROW EXECUTE FUNCTION certificate.distrusted_check();
CREATE INDEX certificate_kid ON certificate.certificate (kid) WHERE kid IS NOT NULL;

-- +goose Down
DROP INDEX certificate.certificate_kid;
DROP TABLE certificate.distrusted;
DROP FUNCTION certificate.distrusted_check();
