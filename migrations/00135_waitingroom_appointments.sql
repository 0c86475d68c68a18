-- +goose Up
-- Registering and booking wait in two rooms: the first is open to all, the
-- second has one place per registration.
UPDATE waitingroom.room SET
    groups = array_remove(groups, 'hold'),
    name = CASE WHEN name ->> 'de' = 'Registrierung und Terminbuchung' THEN '{"de": "Registrierung", "en": "Registration"}' ELSE name END,
    version = version + 1
WHERE id = 'registration' AND 'hold' = ANY (groups);

INSERT INTO waitingroom.room (id, name, groups, phase, rate_per_minute, active_bound, pass_seconds, grace_seconds, login, draw, beacon, changed_at)
SELECT 'appointments', '{"de": "Terminbuchung", "en": "Appointments"}',
    CASE WHEN EXISTS (SELECT FROM waitingroom.room WHERE 'hold' = ANY (groups)) THEN '{}'::text[] ELSE '{hold}'::text[] END,
    'open', 3000, 5000, 1800, 120, true, true, 'drand', '2020-12-01'
ON CONFLICT DO NOTHING;
INSERT INTO waitingroom.line (room_id) VALUES ('appointments') ON CONFLICT DO NOTHING;

-- How many admission codes one agent may give out for a room in a day.
ALTER TABLE waitingroom.room
    ADD invites_daily smallint NOT NULL DEFAULT 40 CONSTRAINT room_invites CHECK (invites_daily BETWEEN 0 AND 1000);

-- Whose browser or login a code was used by: it gets the same place again when
-- the answer was lost on its way.
ALTER TABLE waitingroom.invite
    ADD used_by bytea,
    ADD CONSTRAINT invite_used CHECK ((used_at IS NULL) = (used_by IS NULL));
CREATE INDEX invite_by ON waitingroom.invite (created_by, created_at);
CREATE INDEX invite_person ON waitingroom.invite (person_id) WHERE person_id IS NOT NULL;

-- +goose Down
DROP INDEX waitingroom.invite_by, waitingroom.invite_person;
ALTER TABLE waitingroom.invite DROP CONSTRAINT invite_used, DROP COLUMN used_by;
ALTER TABLE waitingroom.room DROP COLUMN invites_daily;
DELETE FROM waitingroom.room WHERE id = 'appointments';
UPDATE waitingroom.room SET groups = array_append(groups, 'hold'), version = version + 1 WHERE id = 'registration';
