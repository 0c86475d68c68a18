-- +goose Up
-- Since when the closed vials that a movement brings into the box of a mobile team, or
-- takes out of it, have been on the way. What comes back to a refrigerator and is
-- loaded again on the same day goes on from there.
ALTER TABLE inventory.movement ADD COLUMN carried_since timestamptz;

-- +goose Down
ALTER TABLE inventory.movement DROP COLUMN carried_since;
