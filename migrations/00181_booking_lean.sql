-- +goose Up
-- What every booking does is done with as few statements, index entries and
-- checks as it needs: a hold and a confirmation are most of what Postgres has
-- to do on an opening day.

-- SQL functions are planned anew at each call, these are not.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION audit.write(p_at timestamptz, p_actor text, p_role text, p_action text, p_subject text, p_before jsonb, p_after jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.entry (at, actor, role, action, subject, before, after) VALUES (p_at, p_actor, p_role, p_action, p_subject, p_before, p_after);
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION jobs.enqueue(p_kind text, p_payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs.outbox (kind, payload) VALUES (p_kind, p_payload);
END $$;
-- +goose StatementEnd

-- A confirmation changes no column that an index knows, so it leaves the indexes
-- of the appointments alone (heap-only update); a page has room for it.
ALTER TABLE booking.appointment
    ADD COLUMN active boolean NOT NULL GENERATED ALWAYS AS (state IN ('held', 'confirmed', 'here')) STORED,
    DROP CONSTRAINT appointment_dose,
    DROP CONSTRAINT appointment_state,
    ADD CONSTRAINT appointment_state CHECK (state IN ('held', 'confirmed', 'cancelled', 'expired', 'here', 'done', 'missed') AND dose_number BETWEEN 1 AND 20),
    SET (fillfactor = 70);
DROP INDEX booking.appointment_one_active;
CREATE UNIQUE INDEX appointment_one_active ON booking.appointment (person_id, programme_id, dose_number) WHERE active;
DROP INDEX booking.appointment_done;
CREATE INDEX appointment_done ON booking.appointment (person_id, programme_id, dose_number) WHERE NOT active;

-- A series carries the key that it was held with: the same key gets the same
-- series again.
ALTER TABLE booking.series
    ADD COLUMN key text,
    DROP CONSTRAINT series_state,
    DROP CONSTRAINT series_confirmed,
    DROP CONSTRAINT series_ended,
    ADD CONSTRAINT series_state CHECK (
        CASE state WHEN 'held' THEN ended_at IS NULL
                   WHEN 'confirmed' THEN ended_at IS NULL AND confirmed_at IS NOT NULL
                   ELSE state IN ('cancelled', 'expired', 'ended') AND ended_at IS NOT NULL END
        AND (key IS NULL OR length(key) BETWEEN 1 AND 100)),
    ADD CONSTRAINT series_key UNIQUE (person_id, key),
    SET (fillfactor = 70);
UPDATE booking.series s SET key = n.key FROM booking.idempotency n WHERE n.series_id = s.id;
DROP INDEX booking.series_person;

-- +goose Down
-- The functions and columns go with their schemas.
