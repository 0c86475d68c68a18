-- +goose Up
-- How long closed vials may be in the box of a mobile team, in hours since they were
-- loaded: thawed Comirnaty may be transported for twelve hours. Rules with a date like
-- the others, that of the day of loading.
ALTER TABLE inventory.shelf_life
    DROP CONSTRAINT shelf_life_kind,
    ADD CONSTRAINT shelf_life_kind CHECK (kind IN ('thawed', 'opened', 'carried'));
INSERT INTO inventory.shelf_life (product_id, kind, valid_from, amount, set_by, set_at) VALUES
    ('comirnaty', 'carried', '2020-12-01', 12, 'default', '2020-12-01');

ALTER TABLE inventory.balance
    ADD COLUMN carried_since timestamptz, -- since when the closed vials are in the box that are longest in it; null = none, or not known
    ADD CONSTRAINT balance_carried CHECK (carried_since IS NULL OR (place LIKE 'team:%' AND vials > 0));

-- The moment until which the closed vials of a box may be used; null = no limit.
-- +goose StatementBegin
CREATE FUNCTION inventory.carried_until(product text, since timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT since + (
       SELECT r.amount::int FROM inventory.shelf_life r
       WHERE r.product_id = product AND r.kind = 'carried' AND r.valid_from <= (since AT TIME ZONE 'Europe/Berlin')::date
       ORDER BY r.valid_from DESC LIMIT 1) * interval '1 hour' $$;
-- +goose StatementEnd

CREATE OR REPLACE VIEW inventory.held AS
    SELECT b.place, b.lot_id, l.product_id, l.number, l.blocked_at, NULL::date AS thawed_on, l.expiry AS use_by, b.vials - b.thawed AS vials,
           inventory.carried_until(l.product_id, b.carried_since) AS carried_until
    FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id WHERE b.vials > b.thawed
    UNION ALL
    SELECT p.place, p.lot_id, l.product_id, l.number, l.blocked_at, p.thawed_on, inventory.use_by(l.product_id, l.expiry, p.thawed_on), p.vials,
           inventory.carried_until(l.product_id, b.carried_since)
    FROM inventory.portion p JOIN inventory.lot l ON l.id = p.lot_id JOIN inventory.balance b ON b.place = p.place AND b.lot_id = p.lot_id WHERE p.vials > 0;

-- +goose Down
DROP VIEW inventory.held;
CREATE VIEW inventory.held AS
    SELECT b.place, b.lot_id, l.product_id, l.number, l.blocked_at, NULL::date AS thawed_on, l.expiry AS use_by, b.vials - b.thawed AS vials
    FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id WHERE b.vials > b.thawed
    UNION ALL
    SELECT p.place, p.lot_id, l.product_id, l.number, l.blocked_at, p.thawed_on, inventory.use_by(l.product_id, l.expiry, p.thawed_on), p.vials
    FROM inventory.portion p JOIN inventory.lot l ON l.id = p.lot_id WHERE p.vials > 0;
DROP FUNCTION inventory.carried_until(text, timestamptz);
ALTER TABLE inventory.balance DROP COLUMN carried_since;
DELETE FROM inventory.shelf_life WHERE kind = 'carried';
ALTER TABLE inventory.shelf_life
    DROP CONSTRAINT shelf_life_kind,
    ADD CONSTRAINT shelf_life_kind CHECK (kind IN ('thawed', 'opened'));
