-- +goose Up
-- Appointments are moved by a swap: the new places are taken and the old ones
-- given back in one transaction, or nothing happens.

ALTER TABLE booking.series
    ADD COLUMN revision      integer NOT NULL DEFAULT 0, -- how often it was changed
    ADD COLUMN told_revision integer NOT NULL DEFAULT 0; -- the newest change that was handed to notify

-- Cancels what a series still has open from dose p_from on. Returns how many
-- places were given back; 0 when it was over already.
DROP FUNCTION booking.cancel(timestamptz, uuid, uuid);
-- +goose StatementBegin
CREATE FUNCTION booking.cancel(p_now timestamptz, p_series uuid, p_person uuid, p_from integer DEFAULT 1) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
BEGIN
    SELECT state INTO v_state FROM booking.series WHERE id = p_series AND person_id = p_person FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such series' USING ERRCODE = 'BK004';
    ELSIF v_state NOT IN ('held', 'confirmed') THEN
        RETURN 0;
    END IF;
    RETURN booking.release(p_now, ARRAY[p_series], 'cancelled', p_from);
END $$;
-- +goose StatementEnd

-- Takes one free place of a slot, whatever it was meant for, and says which:
-- first the kind that was asked for, then those of the same leg. A place that
-- somebody else's series loses its pair by is mended by the next plan; nobody's
-- booking is touched. NULL when the slot is full.
-- +goose StatementBegin
CREATE FUNCTION booking.take_any(p_slot bigint, p_channel text, INOUT p_leg integer, INOUT p_first date) LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT leg, first_day FROM booking.place WHERE slot_id = p_slot AND channel = p_channel AND taken < places
             ORDER BY leg = p_leg AND first_day = p_first DESC, leg = p_leg DESC, leg, first_day LOOP
        UPDATE booking.place SET taken = taken + 1
        WHERE slot_id = p_slot AND channel = p_channel AND leg = r.leg AND first_day = r.first_day AND taken < places;
        IF FOUND THEN
            p_leg := r.leg;
            p_first := r.first_day;
            RETURN;
        END IF;
    END LOOP;
    p_leg := NULL;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The functions go with their schema.
