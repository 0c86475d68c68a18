-- +goose Up
-- What a person does over the web leaves places on their way back that nobody else
-- can take: holds that end, bookings that are cancelled, and changes. All of them
-- count in one limit, or one login could keep everybody's places that way.

-- How often a person has done so within the last hour. Who changes has a series, so
-- changes are looked for only where there is one that ended.
-- +goose StatementBegin
CREATE FUNCTION booking.tries(p_now timestamptz, p_person uuid, p_changes boolean) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_tries integer;
BEGIN
    SELECT count(*) INTO v_tries FROM booking.series
    WHERE person_id = p_person AND (confirmed_at IS NULL OR state = 'cancelled') AND created_at > p_now - interval '1 hour';
    IF v_tries > 0 OR p_changes THEN
        v_tries := v_tries + (SELECT count(*) FROM booking.idempotency WHERE person_id = p_person AND key LIKE 'change %' AND created_at > p_now - interval '1 hour');
    END IF;
    RETURN v_tries;
END $$;
-- +goose StatementEnd

-- Before a hold. SQLSTATE BK007: too often within an hour.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION booking.not_too_often(p_now timestamptz, p_person uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF booking.tries(p_now, p_person, false) >= 8
       AND EXISTS (SELECT FROM booking.setting WHERE return_delay_seconds + return_spread_seconds > 0) THEN
        RAISE EXCEPTION 'held too often' USING ERRCODE = 'BK007';
    END IF;
END $$;
-- +goose StatementEnd

-- After a change, which is counted by then; the series is locked.
-- +goose StatementBegin
CREATE FUNCTION booking.not_changed_too_often(p_now timestamptz, p_person uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF booking.tries(p_now, p_person, true) > 8
       AND EXISTS (SELECT FROM booking.setting WHERE return_delay_seconds + return_spread_seconds > 0) THEN
        RAISE EXCEPTION 'changed too often' USING ERRCODE = 'BK007';
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The functions go with their schema.
