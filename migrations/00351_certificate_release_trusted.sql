-- +goose Up
-- What a signer has signed is not handed out once the signer is distrusted, whoever asks.
-- +goose StatementBegin
CREATE FUNCTION certificate.release_trusted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM certificate.distrusted d WHERE d.kid = NEW.kid) THEN
        RAISE EXCEPTION 'the signer of certificate % is distrusted', NEW.id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'certificate_release_trusted';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER certificate_release_trusted BEFORE UPDATE ON certificate.certificate
    FOR EACH ROW WHEN (NEW.state = 'released' AND OLD.state <> 'released') EXECUTE FUNCTION certificate.release_trusted();

-- +goose Down
DROP TRIGGER certificate_release_trusted ON certificate.certificate;
DROP FUNCTION certificate.release_trusted;
