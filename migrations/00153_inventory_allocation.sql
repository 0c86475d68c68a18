-- +goose Up
-- How the central store's vials of a product are shared out (Verteilplan).
CREATE TABLE inventory.allocation (
    product_id text        PRIMARY KEY REFERENCES programme.product (id),
    method     text        NOT NULL CONSTRAINT allocation_method CHECK (method IN ('fixed', 'population', 'hand')),
    automatic  boolean     NOT NULL DEFAULT false, -- as soon as a delivery has come
    set_by     text        NOT NULL,
    set_at     timestamptz NOT NULL,
    CONSTRAINT allocation_automatic CHECK (NOT automatic OR method <> 'hand')
);

-- The fixed shares of a plan. Their sum may be any: 100 for percent, or vials.
CREATE TABLE inventory.allocation_share (
    product_id text    NOT NULL REFERENCES inventory.allocation (product_id),
    place      text    NOT NULL CONSTRAINT allocation_place CHECK (place ~ '^(centre|team):[a-z0-9][a-z0-9-]{0,59}$'),
    weight     integer NOT NULL CONSTRAINT allocation_weight CHECK (weight BETWEEN 1 AND 1000000),
    PRIMARY KEY (product_id, place)
);

-- How many people live in the area of a centre.
CREATE TABLE inventory.population (
    centre_id text    PRIMARY KEY REFERENCES centre.centre (id),
    people    integer NOT NULL CONSTRAINT population_people CHECK (people BETWEEN 0 AND 20000000)
);

-- +goose Down
DROP TABLE inventory.population;
DROP TABLE inventory.allocation_share;
DROP TABLE inventory.allocation;
