-- Letters that hold what gives rights over others (the activation code of an issuer)
-- go through fewer hands: batches of their own, printed by administrators, and who
-- took one is remembered, for they must not decide about that issuer.

-- +goose Up
ALTER TABLE notify.message
    ADD COLUMN guarded boolean NOT NULL DEFAULT false,
    ADD COLUMN takers  text[]  NOT NULL DEFAULT '{}'; -- who took a guarded letter to print it, as in batch.taken_by
ALTER TABLE notify.batch ADD COLUMN guarded boolean NOT NULL DEFAULT false;
UPDATE notify.message m SET guarded = true WHERE kind = 'issuer.code' AND channel = 'letter' AND state = 'queued' AND batch_id IS NULL;
UPDATE notify.message m SET takers = ARRAY[b.taken_by] FROM notify.batch b WHERE b.id = m.batch_id AND m.kind = 'issuer.code';

-- +goose Down
ALTER TABLE notify.batch DROP COLUMN guarded;
ALTER TABLE notify.message DROP COLUMN takers, DROP COLUMN guarded;
