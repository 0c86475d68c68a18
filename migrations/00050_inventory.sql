-- +goose Up
CREATE SCHEMA inventory;

-- How many doses a vial of a product gives on a day: the row with the latest
-- valid_from that is not after the day.
CREATE TABLE inventory.doses_per_vial (
    product_id text     NOT NULL REFERENCES programme.product (id),
    valid_from date     NOT NULL,
    doses      smallint NOT NULL CONSTRAINT doses_per_vial_range CHECK (doses BETWEEN 1 AND 50),
    set_by     text        NOT NULL,
    set_at     timestamptz NOT NULL,
    PRIMARY KEY (product_id, valid_from)
);
INSERT INTO inventory.doses_per_vial (product_id, valid_from, doses, set_by, set_at) VALUES
    ('comirnaty', '2020-12-01',  5, 'default', '2020-12-01'),
    ('spikevax',  '2020-12-01', 10, 'default', '2020-12-01'),
    ('vaxzevria', '2020-12-01', 10, 'default', '2020-12-01'),
    ('janssen',   '2020-12-01',  5, 'default', '2020-12-01'),
    ('nuvaxovid', '2020-12-01', 10, 'default', '2020-12-01');

CREATE TABLE inventory.lot (
    id         uuid PRIMARY KEY,
    product_id text NOT NULL REFERENCES programme.product (id),
    number     text NOT NULL CONSTRAINT lot_number_length CHECK (length(number) BETWEEN 1 AND 40),
    expiry     date NOT NULL, -- last day on which it may be given
    assumed    boolean NOT NULL DEFAULT false, -- number and expiry were not in the source; read the label
    CONSTRAINT lot_number UNIQUE (product_id, number)
);

-- The ledger. A movement is one event of one lot; its entries sum to zero in
-- vials and in doses. Both are append-only: a mistake is mended by a
-- counter-movement.
CREATE TABLE inventory.movement (
    id          uuid        PRIMARY KEY,
    lot_id      uuid        NOT NULL REFERENCES inventory.lot (id),
    kind        text        NOT NULL CONSTRAINT movement_kind
                CHECK (kind IN ('receive', 'transfer', 'open', 'give', 'waste', 'return', 'correction')),
    at          timestamptz NOT NULL, -- when it happened
    recorded_at timestamptz NOT NULL, -- when it was written down
    actor       text        NOT NULL,
    why         text        NOT NULL,
    ref         text,                 -- what it belongs to: treatment record, delivery
    corrects    uuid        CONSTRAINT movement_corrected_once UNIQUE REFERENCES inventory.movement (id),
    CONSTRAINT movement_lot UNIQUE (id, lot_id),
    CONSTRAINT movement_give_ref CHECK (kind <> 'give' OR ref IS NOT NULL)
);
CREATE UNIQUE INDEX movement_given_once ON inventory.movement (ref) WHERE kind = 'give';
CREATE INDEX movement_recorded ON inventory.movement (recorded_at DESC, id DESC);
CREATE INDEX movement_of_lot ON inventory.movement (lot_id);
CREATE INDEX movement_ref ON inventory.movement (ref) WHERE ref IS NOT NULL;

-- Is this an account that holds real stock (and so can never be negative)?
-- +goose StatementBegin
CREATE FUNCTION inventory.is_stock(place text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT place = 'central' OR place LIKE 'centre:%' OR place LIKE 'team:%' $$;
-- +goose StatementEnd

CREATE TABLE inventory.entry (
    movement_id uuid    NOT NULL,
    lot_id      uuid    NOT NULL,
    place       text    NOT NULL CONSTRAINT entry_place CHECK (
        place ~ '^(supplier|central|person|return|conversion|waste:(open-vial|closed-vial|expired|cold-chain)|(centre|team):[a-z0-9][a-z0-9-]{0,59})$'),
    vials       integer NOT NULL,
    doses       integer NOT NULL,
    PRIMARY KEY (movement_id, place),
    CONSTRAINT entry_movement FOREIGN KEY (movement_id, lot_id) REFERENCES inventory.movement (id, lot_id),
    CONSTRAINT entry_something CHECK (vials <> 0 OR doses <> 0)
);
CREATE INDEX entry_place_lot ON inventory.entry (place, lot_id);

-- +goose StatementBegin
CREATE FUNCTION inventory.entries_sum_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM added GROUP BY movement_id HAVING sum(vials) <> 0 OR sum(doses) <> 0) THEN
        RAISE EXCEPTION 'the entries of a movement must sum to zero'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_sum_to_zero';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- All entries of a movement are written by one statement.
CREATE TRIGGER entry_sum AFTER INSERT ON inventory.entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION inventory.entries_sum_to_zero();

-- +goose StatementBegin
CREATE FUNCTION inventory.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_append_only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER movement_append_only BEFORE UPDATE OR DELETE ON inventory.movement FOR EACH ROW EXECUTE FUNCTION inventory.append_only();
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE ON inventory.entry FOR EACH ROW EXECUTE FUNCTION inventory.append_only();

-- What lies where: derived from the entries of the places that hold stock,
-- kept by the statement that writes them, checked every night. The other
-- accounts (supplier, person, waste, ...) have no row: every dose would wait
-- for the same one.
CREATE TABLE inventory.balance (
    place  text    NOT NULL CONSTRAINT balance_stock_place CHECK (inventory.is_stock(place)),
    lot_id uuid    NOT NULL REFERENCES inventory.lot (id),
    vials  integer NOT NULL, -- closed vials
    doses  integer NOT NULL, -- doses in opened vials
    PRIMARY KEY (place, lot_id),
    CONSTRAINT balance_not_negative CHECK (vials >= 0 AND doses >= 0)
);
CREATE INDEX balance_lot ON inventory.balance (lot_id);

-- What comes, and what came of it.
CREATE TABLE inventory.delivery (
    id          uuid        PRIMARY KEY,
    product_id  text        NOT NULL REFERENCES programme.product (id),
    place       text        NOT NULL CONSTRAINT delivery_place CHECK (place = 'central' OR place LIKE 'centre:%'),
    planned_on  date        NOT NULL,
    vials       integer     NOT NULL CONSTRAINT delivery_vials CHECK (vials > 0), -- planned; received: what came
    equal_shares boolean    NOT NULL DEFAULT false, -- on arrival: given out to all active centres
    state       text        NOT NULL CONSTRAINT delivery_state CHECK (state IN ('planned', 'received', 'cancelled')),
    source      text        NOT NULL CONSTRAINT delivery_source CHECK (source IN ('manual', 'import')),
    note        text        NOT NULL DEFAULT '',
    received_at timestamptz,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT delivery_received CHECK ((state = 'received') = (received_at IS NOT NULL)),
    CONSTRAINT delivery_shares CHECK (NOT equal_shares OR place = 'central')
);
CREATE INDEX delivery_planned ON inventory.delivery (place, product_id, planned_on) WHERE state = 'planned';
CREATE INDEX delivery_day ON inventory.delivery (planned_on DESC, id);

-- One row of the ministry's report, keyed by its date and vaccine.
CREATE TABLE inventory.import_row (
    day            date     NOT NULL,
    vaccine        text     NOT NULL, -- as the report writes it
    product_id     text     NOT NULL REFERENCES programme.product (id),
    doses          integer  NOT NULL, -- as reported; negative = given back
    doses_per_vial smallint NOT NULL, -- that the report counted with
    vials          integer  NOT NULL, -- whole vials; sign of doses
    unreconciled   integer  NOT NULL, -- doses - vials * doses_per_vial
    booked         integer  NOT NULL DEFAULT 0, -- vials that the ledger holds for this row so far
    delivery_id    uuid     REFERENCES inventory.delivery (id),
    lot_id         uuid     REFERENCES inventory.lot (id),
    revision       integer  NOT NULL DEFAULT 1,
    imported_at    timestamptz NOT NULL,
    PRIMARY KEY (day, vaccine),
    CONSTRAINT import_row_sum CHECK (doses = vials * doses_per_vial + unreconciled)
);

CREATE TABLE inventory.import_run (
    id     uuid        PRIMARY KEY,
    at     timestamptz NOT NULL,
    actor  text        NOT NULL,
    report jsonb       NOT NULL
);
CREATE INDEX import_run_at ON inventory.import_run (at DESC);

-- +goose Down
DROP SCHEMA inventory CASCADE;
