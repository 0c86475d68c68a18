-- +goose Up
-- What was noted of an opened vial (Ausbeute). The ledger follows from it: a dose
-- beyond the rule is a gain, one that did not come out is waste, unless it was thrown
-- away with the rest of the vial before anybody noted it.
CREATE TABLE inventory.yield (
    vial   uuid     PRIMARY KEY CONSTRAINT yield_vial REFERENCES inventory.movement (id), -- its opening
    gave   smallint NOT NULL CONSTRAINT yield_gave CHECK (gave >= 0),   -- doses that came out
    thrown smallint NOT NULL CONSTRAINT yield_thrown CHECK (thrown >= 0), -- did not come out, and were thrown away with the rest
    actor  text        NOT NULL,
    at     timestamptz NOT NULL
);
INSERT INTO inventory.yield (vial, gave, thrown, actor, at)
SELECT o.id, e.doses + n.doses, 0, n.actor, n.at
FROM inventory.movement o
JOIN inventory.entry e ON e.movement_id = o.id AND e.vials = -1 AND inventory.is_stock(e.place)
JOIN (SELECT m.vial, sum(x.doses)::int AS doses, max(m.actor) AS actor, max(m.at) AS at
      FROM inventory.movement m JOIN inventory.entry x ON x.movement_id = m.id AND inventory.is_stock(x.place)
      WHERE m.vial IS NOT NULL GROUP BY m.vial HAVING sum(x.doses) <> 0) n ON n.vial = o.id
WHERE o.kind = 'open';

-- +goose Down
DROP TABLE inventory.yield;
