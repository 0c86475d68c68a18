-- +goose Up
-- A delivery is confirmed (zugesagt) by whoever sends it; when less comes than was
-- planned it is short (zu wenig), and its rest stays visible until it is planned
-- anew or written off.
ALTER TABLE inventory.delivery
    DROP CONSTRAINT delivery_state,
    ADD CONSTRAINT delivery_state CHECK (state IN ('planned', 'confirmed', 'received', 'short', 'cancelled')),
    DROP CONSTRAINT delivery_received,
    ADD CONSTRAINT delivery_received CHECK ((state IN ('received', 'short')) = (received_at IS NOT NULL)),
    ADD COLUMN ordered integer,                    -- vials that were planned, once it has come
    ADD COLUMN rest    integer NOT NULL DEFAULT 0, -- of these still missing: neither come, nor planned anew, nor written off
    ADD COLUMN follows uuid CONSTRAINT delivery_follows REFERENCES inventory.delivery (id), -- the short delivery whose rest this is
    ADD CONSTRAINT delivery_rest CHECK (rest = 0 OR (rest > 0 AND state = 'short' AND vials + rest <= ordered));
CREATE INDEX delivery_coming ON inventory.delivery (place, product_id, planned_on) WHERE state IN ('planned', 'confirmed');
CREATE INDEX delivery_short ON inventory.delivery (planned_on) WHERE rest > 0;
DROP INDEX inventory.delivery_planned;

-- +goose Down
DROP INDEX inventory.delivery_short;
DROP INDEX inventory.delivery_coming;
UPDATE inventory.delivery SET rest = 0, state = CASE state WHEN 'short' THEN 'received' WHEN 'confirmed' THEN 'planned' ELSE state END
WHERE state IN ('short', 'confirmed');
ALTER TABLE inventory.delivery
    DROP COLUMN ordered, DROP COLUMN rest, DROP COLUMN follows,
    DROP CONSTRAINT delivery_state,
    ADD CONSTRAINT delivery_state CHECK (state IN ('planned', 'received', 'cancelled')),
    DROP CONSTRAINT delivery_received,
    ADD CONSTRAINT delivery_received CHECK ((state = 'received') = (received_at IS NOT NULL));
CREATE INDEX delivery_planned ON inventory.delivery (place, product_id, planned_on) WHERE state = 'planned';
