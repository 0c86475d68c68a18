-- +goose Up
-- What staff do for a person (the hotline's changes and cancellations) is no try of
-- the person's: it counts in no limit of the web.
ALTER TABLE booking.series ADD COLUMN ended_by_staff boolean NOT NULL DEFAULT false; -- who gave it back

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.tries(p_now timestamptz, p_person uuid, p_changes boolean) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_tries integer;
BEGIN
    SELECT count(*) INTO v_tries FROM booking.series
    WHERE person_id = p_person AND NOT ended_by_staff AND (confirmed_at IS NOT NULL OR role <> 'agent')
      AND CASE WHEN confirmed_at IS NULL THEN created_at WHEN state = 'cancelled' THEN ended_at END > p_now - interval '1 hour';
    IF v_tries > 0 OR p_changes THEN
        v_tries := v_tries + (SELECT count(*) FROM booking.idempotency WHERE person_id = p_person AND key LIKE 'change %' AND created_at > p_now - interval '1 hour');
    END IF;
    RETURN v_tries;
END $$;
-- +goose StatementEnd

-- +goose Down
-- Column and function go with their schema.
