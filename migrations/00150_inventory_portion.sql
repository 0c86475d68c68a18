-- +goose Up
-- How long vaccine is good after it was thawed (days after the day of thawing)
-- or opened (hours): the row with the latest valid_from that is not after the day
-- of thawing or opening. A row without an amount ends the limit.
CREATE TABLE inventory.shelf_life (
    product_id text     NOT NULL REFERENCES programme.product (id),
    kind       text     NOT NULL CONSTRAINT shelf_life_kind CHECK (kind IN ('thawed', 'opened')),
    valid_from date     NOT NULL,
    amount     smallint CONSTRAINT shelf_life_amount CHECK (amount BETWEEN 1 AND 400),
    set_by     text        NOT NULL,
    set_at     timestamptz NOT NULL,
    PRIMARY KEY (product_id, kind, valid_from)
);
-- In the refrigerator after thawing: Comirnaty 5 days, one month since the
-- change of its product information in May 2021; Spikevax 30 days. Opened or
-- diluted vials: 6 hours.
INSERT INTO inventory.shelf_life (product_id, kind, valid_from, amount, set_by, set_at) VALUES
    ('comirnaty', 'thawed', '2020-12-01',  5, 'default', '2020-12-01'),
    ('comirnaty', 'thawed', '2021-05-17', 31, 'default', '2020-12-01'),
    ('spikevax',  'thawed', '2020-12-01', 30, 'default', '2020-12-01'),
    ('comirnaty', 'opened', '2020-12-01',  6, 'default', '2020-12-01'),
    ('spikevax',  'opened', '2020-12-01',  6, 'default', '2020-12-01'),
    ('vaxzevria', 'opened', '2020-12-01',  6, 'default', '2020-12-01'),
    ('janssen',   'opened', '2020-12-01',  6, 'default', '2020-12-01'),
    ('nuvaxovid', 'opened', '2020-12-01',  6, 'default', '2020-12-01');

-- A lot at a place has portions: its frozen vials (or those of which nobody noted
-- a thaw), and the vials that were taken out of the freezer on one day. Thawing is
-- a movement between two portions of the same place.
ALTER TABLE inventory.movement
    DROP CONSTRAINT movement_kind,
    ADD CONSTRAINT movement_kind CHECK (kind IN ('receive', 'transfer', 'thaw', 'open', 'give', 'gain', 'waste', 'return', 'correction')),
    ADD COLUMN vial uuid CONSTRAINT movement_vial REFERENCES inventory.movement (id); -- gain, waste: the opening of the vial that gave more or less
CREATE INDEX movement_of_vial ON inventory.movement (vial) WHERE vial IS NOT NULL;

ALTER TABLE inventory.entry
    ADD COLUMN thawed_on date, -- null = frozen, or not noted
    DROP CONSTRAINT entry_place,
    ADD CONSTRAINT entry_place CHECK (
        place ~ '^(supplier|central|person|gain|return|conversion|waste:(open-vial|closed-vial|expired|cold-chain)|(centre|team):[a-z0-9][a-z0-9-]{0,59})$'),
    DROP CONSTRAINT entry_pkey,
    ADD CONSTRAINT entry_portion UNIQUE NULLS NOT DISTINCT (movement_id, place, thawed_on);

ALTER TABLE inventory.balance
    ADD COLUMN thawed    integer NOT NULL DEFAULT 0, -- of the closed vials
    ADD COLUMN opened_at timestamptz,                -- of the oldest vial with open doses; null = none, or not known
    ADD CONSTRAINT balance_thawed CHECK (thawed >= 0 AND thawed <= vials);

-- The thawed part of a balance by day, kept by the same statement. Whoever
-- changes it holds the balance.
CREATE TABLE inventory.portion (
    place     text    NOT NULL,
    lot_id    uuid    NOT NULL,
    thawed_on date    NOT NULL,
    vials     integer NOT NULL CONSTRAINT portion_not_negative CHECK (vials >= 0),
    PRIMARY KEY (place, lot_id, thawed_on),
    CONSTRAINT portion_balance FOREIGN KEY (place, lot_id) REFERENCES inventory.balance (place, lot_id)
);

-- The last day on which a vial may be used.
-- +goose StatementBegin
CREATE FUNCTION inventory.use_by(product text, expiry date, thawed date) RETURNS date LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN thawed IS NULL THEN expiry ELSE least(expiry, thawed + (
       SELECT r.amount::int FROM inventory.shelf_life r WHERE r.product_id = product AND r.kind = 'thawed' AND r.valid_from <= thawed
       ORDER BY r.valid_from DESC LIMIT 1)) END $$;
-- +goose StatementEnd

-- The moment until which the doses of an opened vial may be given; null = no limit.
-- +goose StatementBegin
CREATE FUNCTION inventory.opened_until(product text, opened timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT opened + (
       SELECT r.amount::int FROM inventory.shelf_life r
       WHERE r.product_id = product AND r.kind = 'opened' AND r.valid_from <= (opened AT TIME ZONE 'Europe/Berlin')::date
       ORDER BY r.valid_from DESC LIMIT 1) * interval '1 hour' $$;
-- +goose StatementEnd

-- Closed vials by place, lot and portion.
CREATE VIEW inventory.held AS
    SELECT b.place, b.lot_id, l.product_id, l.number, l.blocked_at, NULL::date AS thawed_on, l.expiry AS use_by, b.vials - b.thawed AS vials
    FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id WHERE b.vials > b.thawed
    UNION ALL
    SELECT p.place, p.lot_id, l.product_id, l.number, l.blocked_at, p.thawed_on, inventory.use_by(l.product_id, l.expiry, p.thawed_on), p.vials
    FROM inventory.portion p JOIN inventory.lot l ON l.id = p.lot_id WHERE p.vials > 0;

-- Thawed vials past their last day are not opened and go nowhere but back.
-- +goose StatementBegin
CREATE FUNCTION inventory.thawed_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM added WHERE thawed_on IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT 1 FROM added a JOIN inventory.movement m ON m.id = a.movement_id JOIN inventory.lot l ON l.id = a.lot_id
        WHERE a.thawed_on IS NOT NULL AND a.vials < 0 AND m.kind IN ('open', 'transfer') AND inventory.is_stock(a.place)
          AND inventory.use_by(l.product_id, l.expiry, a.thawed_on) < (m.at AT TIME ZONE 'Europe/Berlin')::date
          AND NOT EXISTS (SELECT 1 FROM added c WHERE c.movement_id = a.movement_id AND c.place = 'central' AND c.vials > 0)) THEN
        RAISE EXCEPTION 'thawed for too long'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'thawed_in_time';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER entry_thawed AFTER INSERT ON inventory.entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION inventory.thawed_in_time();

-- +goose Down
DROP TRIGGER entry_thawed ON inventory.entry;
DROP FUNCTION inventory.thawed_in_time();
DROP VIEW inventory.held;
DROP FUNCTION inventory.opened_until(text, timestamptz);
DROP FUNCTION inventory.use_by(text, date, date);
DROP TABLE inventory.portion;
ALTER TABLE inventory.balance DROP COLUMN thawed, DROP COLUMN opened_at;
ALTER TABLE inventory.entry
    DROP CONSTRAINT entry_portion,
    DROP COLUMN thawed_on,
    DROP CONSTRAINT entry_place,
    ADD CONSTRAINT entry_place CHECK (
        place ~ '^(supplier|central|person|return|conversion|waste:(open-vial|closed-vial|expired|cold-chain)|(centre|team):[a-z0-9][a-z0-9-]{0,59})$') NOT VALID,
    ADD PRIMARY KEY (movement_id, place);
ALTER TABLE inventory.movement
    DROP COLUMN vial,
    DROP CONSTRAINT movement_kind,
    ADD CONSTRAINT movement_kind CHECK (kind IN ('receive', 'transfer', 'open', 'give', 'waste', 'return', 'correction')) NOT VALID;
DROP TABLE inventory.shelf_life;
