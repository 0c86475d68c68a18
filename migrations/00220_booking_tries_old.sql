-- +goose Up
-- A booking that is cancelled counts when it is cancelled, however old it is: its
-- places are on their way back from then on.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.tries(p_now timestamptz, p_person uuid, p_changes boolean) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_tries integer;
BEGIN
    SELECT count(*) INTO v_tries FROM booking.series
    WHERE person_id = p_person AND CASE WHEN confirmed_at IS NULL THEN created_at WHEN state = 'cancelled' THEN ended_at END > p_now - interval '1 hour';
    IF v_tries > 0 OR p_changes THEN
        v_tries := v_tries + (SELECT count(*) FROM booking.idempotency WHERE person_id = p_person AND key LIKE 'change %' AND created_at > p_now - interval '1 hour');
    END IF;
    RETURN v_tries;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The function goes with its schema.
