-- +goose Up
-- A proposal (Ersatztermin) for somebody whom a shortfall concerns: other times
-- for some doses of a confirmed series. Its places are kept; the old ones stay
-- until the administrator confirms and the appointments are swapped.
CREATE TABLE booking.proposal (
    id         uuid        PRIMARY KEY,
    centre_id  text        NOT NULL, -- where something is missing
    product_id text        NOT NULL,
    day        date        NOT NULL,
    cause      text        NOT NULL CONSTRAINT proposal_cause CHECK (cause IN ('doses', 'stations')),
    series_id  uuid        NOT NULL,
    person_id  uuid        NOT NULL,
    doses      integer[]   NOT NULL, -- that are to be moved, ascending
    old_slots  bigint[]    NOT NULL, -- where they are
    slots      bigint[]    NOT NULL, -- where they would be; empty = nothing was found
    channel    text        NOT NULL,
    head       uuid,                 -- of booking.returning: the places that are kept
    until      timestamptz,          -- so long
    place      integer     NOT NULL, -- in the order of who is affected
    state      text        NOT NULL CONSTRAINT proposal_state CHECK (state IN ('open', 'confirmed', 'changed', 'lost', 'withdrawn')),
    made_at    timestamptz NOT NULL,
    ended_at   timestamptz,
    CONSTRAINT proposal_ended CHECK ((ended_at IS NOT NULL) = (state <> 'open')),
    CONSTRAINT proposal_moves CHECK (cardinality(doses) = cardinality(old_slots) AND cardinality(slots) IN (0, cardinality(doses)))
);
CREATE UNIQUE INDEX proposal_open ON booking.proposal (series_id) WHERE state = 'open';
CREATE INDEX proposal_at ON booking.proposal (centre_id, product_id, made_at);
CREATE INDEX proposal_over ON booking.proposal (ended_at) WHERE ended_at IS NOT NULL;

ALTER TABLE booking.returning ADD COLUMN kept boolean NOT NULL DEFAULT false; -- for a proposal: offered to nobody, dropped by no plan

-- Keeps places for a proposal, all or none, in the order of slot_id.
-- +goose StatementBegin
CREATE FUNCTION booking.keep_places(p_now timestamptz, p_head uuid, p_until timestamptz, p_slots bigint[], p_channel text, p_legs integer[], p_first date[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r       record;
    v_leg   integer;
    v_first date;
BEGIN
    INSERT INTO booking.returning (id, replan, kept, since, due_at) VALUES (p_head, true, true, p_now, p_until);
    FOR r IN SELECT u.slot, u.leg, u.first FROM unnest(p_slots, p_legs, p_first) AS u (slot, leg, first) ORDER BY u.slot LOOP
        SELECT t.p_leg, t.p_first INTO v_leg, v_first FROM booking.take_any(r.slot, p_channel, r.leg, r.first) t;
        IF v_leg IS NULL THEN
            RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001', DETAIL = r.slot::text;
        END IF;
        INSERT INTO booking.returning_place (returning_id, slot_id, channel, leg, first_day) VALUES (p_head, r.slot, p_channel, v_leg, v_first);
    END LOOP;
END $$;
-- +goose StatementEnd

-- Frees kept places for the swap that takes them in the same transaction. false
-- when they are not kept any more.
-- +goose StatementBegin
CREATE FUNCTION booking.claim(p_head uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE booking.returning SET replan = false WHERE id = p_head AND kept;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM booking.give_back(ARRAY[p_head], '{}');
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The tables and functions go with their schema.
