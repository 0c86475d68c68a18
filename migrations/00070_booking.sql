-- +goose Up
CREATE SCHEMA booking;

-- A way to book. A new channel is a row.
CREATE TABLE booking.channel (
    id              text     PRIMARY KEY CONSTRAINT channel_id CHECK (id ~ '^[a-z][a-z0-9-]{1,19}$'),
    position        smallint NOT NULL,
    bookable        boolean  NOT NULL, -- false: set aside, nobody books a single place of it
    lead_days       smallint NOT NULL CONSTRAINT channel_lead CHECK (lead_days BETWEEN 0 AND 90), -- least distance between booking and appointment
    default_percent smallint NOT NULL CONSTRAINT channel_percent CHECK (default_percent BETWEEN 0 AND 100)
);
INSERT INTO booking.channel (id, position, bookable, lead_days, default_percent) VALUES
    ('web',     1, true,  0, 70),
    ('hotline', 2, true,  5, 30),
    ('mobile',  3, false, 0,  0);

CREATE TABLE booking.setting (
    "only"               boolean  PRIMARY KEY DEFAULT true CONSTRAINT setting_one_row CHECK ("only"),
    horizon_days         smallint NOT NULL DEFAULT 60 CONSTRAINT setting_horizon CHECK (horizon_days BETWEEN 1 AND 366), -- first appointments lie within
    hold_minutes         smallint NOT NULL DEFAULT 10 CONSTRAINT setting_hold CHECK (hold_minutes BETWEEN 2 AND 60),
    slot_minutes         smallint NOT NULL DEFAULT 15 CONSTRAINT setting_slot CHECK (slot_minutes BETWEEN 5 AND 120), -- distance of the times that are offered
    delivery_margin_days smallint NOT NULL DEFAULT 1 CONSTRAINT setting_margin CHECK (delivery_margin_days BETWEEN 0 AND 60) -- a planned delivery counts so much later
);
INSERT INTO booking.setting DEFAULT VALUES;

-- The channels' shares of a centre in percent; a centre without rows has the
-- channels' defaults. A day's exception replaces all shares of that day;
-- product '' means every product.
CREATE TABLE booking.share (
    centre_id text     NOT NULL REFERENCES centre.centre (id),
    channel   text     NOT NULL REFERENCES booking.channel (id),
    percent   smallint NOT NULL CONSTRAINT share_percent CHECK (percent BETWEEN 0 AND 100),
    PRIMARY KEY (centre_id, channel)
);
CREATE TABLE booking.share_day (
    centre_id  text     NOT NULL REFERENCES centre.centre (id),
    product_id text     NOT NULL DEFAULT '',
    day        date     NOT NULL,
    channel    text     NOT NULL REFERENCES booking.channel (id),
    percent    smallint NOT NULL CONSTRAINT share_day_percent CHECK (percent BETWEEN 0 AND 100),
    PRIMARY KEY (centre_id, product_id, day, channel)
);

-- How many of a centre's stations work for a product from a day on. A centre
-- without a row in force shares its stations out evenly.
CREATE TABLE booking.lane (
    centre_id  text     NOT NULL REFERENCES centre.centre (id),
    product_id text     NOT NULL REFERENCES programme.product (id),
    from_day   date     NOT NULL,
    stations   smallint NOT NULL CONSTRAINT lane_stations CHECK (stations BETWEEN 0 AND 200),
    PRIMARY KEY (centre_id, product_id, from_day)
);

CREATE TABLE booking.slot (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    centre_id  text        NOT NULL REFERENCES centre.centre (id),
    product_id text        NOT NULL REFERENCES programme.product (id),
    day        date        NOT NULL, -- of start_at in Berlin
    start_at   timestamptz NOT NULL,
    CONSTRAINT slot_start UNIQUE (centre_id, product_id, start_at)
);
CREATE INDEX slot_day ON booking.slot (day);

-- What a channel may take of a slot. leg 1 starts a series; leg 2 and up are
-- the later appointments of the series that start on first_day, so that every
-- first place has its own later one and nobody else can take it.
CREATE TABLE booking.place (
    slot_id   bigint   NOT NULL REFERENCES booking.slot (id) ON DELETE CASCADE,
    channel   text     NOT NULL,
    leg       smallint NOT NULL CONSTRAINT place_leg CHECK (leg BETWEEN 1 AND 9),
    first_day date     NOT NULL,
    places    integer  NOT NULL,
    taken     integer  NOT NULL DEFAULT 0,
    PRIMARY KEY (slot_id, channel, leg, first_day),
    CONSTRAINT place_taken CHECK (taken >= 0 AND taken <= places)
) WITH (fillfactor = 70); -- taken changes all the time and stands in no index

-- The appointments of one person that belong together. person_id, centre_id
-- and product_id have no foreign keys: the registration goes before its
-- figures do, and every booking would lock the same few rows.
CREATE TABLE booking.series (
    id           uuid        PRIMARY KEY,
    person_id    uuid        NOT NULL,
    programme_id text        NOT NULL,
    product_id   text        NOT NULL,
    centre_id    text        NOT NULL,
    channel      text        NOT NULL,
    reference    text        NOT NULL CONSTRAINT series_reference UNIQUE,
    booked_by    text        NOT NULL, -- actor as in audit: the person, or who did it for them
    role         text        NOT NULL,
    state        text        NOT NULL CONSTRAINT series_state CHECK (state IN ('held', 'confirmed', 'cancelled', 'expired', 'ended')),
    hold_until   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    ended_at     timestamptz,
    told_at        timestamptz, -- the confirmation was handed to notify
    cancel_told_at timestamptz, -- so was the cancellation
    CONSTRAINT series_confirmed CHECK (state <> 'confirmed' OR confirmed_at IS NOT NULL),
    CONSTRAINT series_ended CHECK ((ended_at IS NOT NULL) = (state IN ('cancelled', 'expired', 'ended')))
);
CREATE UNIQUE INDEX series_one_active ON booking.series (person_id, programme_id) WHERE state IN ('held', 'confirmed');
CREATE INDEX series_person ON booking.series (person_id, created_at DESC);
CREATE INDEX series_holds ON booking.series (hold_until) WHERE state = 'held';
CREATE INDEX series_over ON booking.series (ended_at) WHERE ended_at IS NOT NULL;

-- slot_id has no foreign key for the same reason: the hot row is its place,
-- and that one is updated in the same transaction.
CREATE TABLE booking.appointment (
    id           uuid        PRIMARY KEY,
    series_id    uuid        NOT NULL REFERENCES booking.series (id) ON DELETE CASCADE,
    person_id    uuid        NOT NULL,
    programme_id text        NOT NULL,
    centre_id    text        NOT NULL,
    product_id   text        NOT NULL,
    slot_id      bigint      NOT NULL,
    channel      text        NOT NULL,
    leg          smallint    NOT NULL,
    first_day    date        NOT NULL,
    dose_number  smallint    NOT NULL CONSTRAINT appointment_dose CHECK (dose_number BETWEEN 1 AND 20),
    day          date        NOT NULL,
    start_at     timestamptz NOT NULL,
    state        text        NOT NULL CONSTRAINT appointment_state CHECK (state IN ('held', 'confirmed', 'cancelled', 'expired', 'here', 'done', 'missed')),
    changed_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX appointment_one_active ON booking.appointment (person_id, programme_id, dose_number) WHERE state IN ('held', 'confirmed', 'here');
CREATE INDEX appointment_series ON booking.appointment (series_id);
CREATE INDEX appointment_day ON booking.appointment (centre_id, day);
-- Each hold asks for the last dose that the person was given here.
CREATE INDEX appointment_done ON booking.appointment (person_id, programme_id, dose_number) WHERE state = 'done';

-- The first thing a hold writes: the same key gets the same series again.
CREATE TABLE booking.idempotency (
    person_id  uuid        NOT NULL,
    key        text        NOT NULL CONSTRAINT idempotency_key CHECK (length(key) BETWEEN 1 AND 100),
    series_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (person_id, key)
);
CREATE INDEX idempotency_created ON booking.idempotency (created_at);

-- More is booked than the supply carries. Nothing is cancelled silently.
CREATE TABLE booking.shortfall (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    centre_id   text        NOT NULL,
    product_id  text        NOT NULL,
    day         date        NOT NULL,
    cause       text        NOT NULL CONSTRAINT shortfall_cause CHECK (cause IN ('doses', 'stations')),
    missing     integer     NOT NULL CONSTRAINT shortfall_missing CHECK (missing > 0),
    since       timestamptz NOT NULL,
    resolved_at timestamptz
);
CREATE UNIQUE INDEX shortfall_open ON booking.shortfall (centre_id, product_id, day, cause) WHERE resolved_at IS NULL;
CREATE INDEX shortfall_resolved ON booking.shortfall (resolved_at) WHERE resolved_at IS NOT NULL;

-- The last plan of a product at a centre. Whoever changes what a plan follows
-- from counts wanted up; a plan notes the count that it began with. So no wish
-- is lost that comes while a plan is made, and many wishes are one.
CREATE TABLE booking.plan (
    centre_id  text        NOT NULL,
    product_id text        NOT NULL,
    wanted     bigint      NOT NULL DEFAULT 0,
    made       bigint      NOT NULL DEFAULT 0,
    made_at    timestamptz,
    series     integer     NOT NULL DEFAULT 0, -- new ones that it offers
    doses_left integer     NOT NULL DEFAULT 0, -- that nobody is promised
    PRIMARY KEY (centre_id, product_id)
);

-- SQLSTATEs of the engine, for the program to tell apart:
--   BK001 a place is taken   BK002 the hold has ended   BK003 slots that do not
--   make a series this person may have   BK004 no such series   BK005 nobody
--   books over this channel

-- Takes all places of a series or none, in one round trip.
--   p_products .. p_not_before  what the person may have, one entry per product:
--                            appointments needed, number of the first dose, limits of
--                            the distance in days, first day allowed
-- Returns one row: the series (an older one when the key was used before), and
-- what was taken, in the order of p_slots.
-- Place rows are locked last, in the order of slot_id, as everywhere.
-- +goose StatementBegin
CREATE FUNCTION booking.hold(
    p_now timestamptz, p_person uuid, p_programme text, p_channel text, p_key text,
    p_series uuid, p_reference text, p_by text, p_role text, p_appointments uuid[], p_slots bigint[],
    p_products text[], p_legs integer[], p_first_dose integer[], p_min integer[], p_max integer[], p_not_before date[])
RETURNS TABLE (o_series uuid, o_fresh boolean, o_centre text, o_product text, o_first_dose integer, o_starts timestamptz[], o_until timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    v_centres  text[];
    v_products text[];
    v_days     date[];
    v_earliest timestamptz; -- lead of the channel, in days of Berlin
    k          integer;
    i          integer;
    r          record;
BEGIN
    INSERT INTO booking.idempotency (person_id, key, series_id, created_at)
    VALUES (p_person, p_key, p_series, p_now) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT n.series_id, false, NULL::text, NULL::text, NULL::integer, NULL::timestamptz[], NULL::timestamptz
            FROM booking.idempotency n WHERE n.person_id = p_person AND n.key = p_key;
        RETURN;
    END IF;

    SELECT greatest(p_now, CASE WHEN c.lead_days > 0 THEN
               (date_trunc('day', p_now AT TIME ZONE 'Europe/Berlin') + make_interval(days => c.lead_days)) AT TIME ZONE 'Europe/Berlin' END),
           p_now + make_interval(mins => t.hold_minutes)
    INTO v_earliest, o_until
    FROM booking.channel c, booking.setting t WHERE c.id = p_channel AND c.bookable;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nobody books over this channel' USING ERRCODE = 'BK005';
    END IF;
    SELECT array_agg(s.centre_id ORDER BY u.n), array_agg(s.product_id ORDER BY u.n),
           array_agg(s.day ORDER BY u.n), array_agg(s.start_at ORDER BY u.n)
    INTO v_centres, v_products, v_days, o_starts
    FROM unnest(p_slots) WITH ORDINALITY AS u (id, n) JOIN booking.slot s ON s.id = u.id;
    k := array_position(p_products, v_products[1]);
    IF k IS NULL OR cardinality(v_days) IS DISTINCT FROM cardinality(p_slots) OR cardinality(p_slots) <> p_legs[k]
       OR o_starts[1] < v_earliest OR v_days[1] < p_not_before[k] THEN
        RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
    END IF;
    FOR i IN 2 .. cardinality(p_slots) LOOP
        IF v_centres[i] <> v_centres[1] OR v_products[i] <> v_products[1]
           OR v_days[i] - v_days[i - 1] NOT BETWEEN p_min[k] AND p_max[k] THEN
            RAISE EXCEPTION 'not a series for this person' USING ERRCODE = 'BK003';
        END IF;
    END LOOP;

    INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at)
    VALUES (p_series, p_person, p_programme, v_products[1], v_centres[1], p_channel, p_reference, p_by, p_role, 'held', o_until, p_now);
    FOR i IN 1 .. cardinality(p_slots) LOOP
        INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel,
                                         leg, first_day, dose_number, day, start_at, state, changed_at)
        VALUES (p_appointments[i], p_series, p_person, p_programme, v_centres[1], v_products[1], p_slots[i], p_channel,
                i, v_days[1], p_first_dose[k] + i - 1, v_days[i], o_starts[i], 'held', p_now);
    END LOOP;

    FOR r IN SELECT u.id, u.n FROM unnest(p_slots) WITH ORDINALITY AS u (id, n) ORDER BY u.id LOOP
        UPDATE booking.place SET taken = taken + 1
        WHERE slot_id = r.id AND channel = p_channel AND leg = r.n AND first_day = v_days[1] AND taken < places;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'taken' USING ERRCODE = 'BK001', DETAIL = r.id::text;
        END IF;
    END LOOP;
    o_series := p_series; o_fresh := true; o_centre := v_centres[1]; o_product := v_products[1]; o_first_dose := p_first_dose[k];
    RETURN NEXT;
END $$;
-- +goose StatementEnd

-- Confirms all appointments of a series, or none. Returns whether it was this
-- call that did it: confirming twice is no error.
-- +goose StatementBegin
CREATE FUNCTION booking.confirm(p_now timestamptz, p_series uuid, p_person uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
BEGIN
    UPDATE booking.series SET state = 'confirmed', confirmed_at = p_now
    WHERE id = p_series AND person_id = p_person AND state = 'held' AND hold_until > p_now;
    IF FOUND THEN
        UPDATE booking.appointment SET state = 'confirmed', changed_at = p_now WHERE series_id = p_series AND state = 'held';
        RETURN true;
    END IF;
    SELECT state INTO v_state FROM booking.series WHERE id = p_series AND person_id = p_person;
    IF NOT FOUND OR v_state = 'cancelled' THEN
        RAISE EXCEPTION 'no such series' USING ERRCODE = 'BK004';
    ELSIF v_state IN ('held', 'expired') THEN
        RAISE EXCEPTION 'the hold has ended' USING ERRCODE = 'BK002';
    END IF;
    RETURN false;
END $$;
-- +goose StatementEnd

-- Ends the open appointments of series whose rows the caller has locked, and
-- gives their places back, in the order of slot_id. Returns how many were freed.
-- +goose StatementBegin
CREATE FUNCTION booking.release(p_now timestamptz, p_series uuid[], p_state text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_freed uuid[];
    r       record;
BEGIN
    WITH freed AS (
        UPDATE booking.appointment SET state = p_state, changed_at = p_now
        WHERE series_id = ANY (p_series) AND state IN ('held', 'confirmed') RETURNING id)
    SELECT coalesce(array_agg(id), '{}') INTO v_freed FROM freed;
    UPDATE booking.series s SET ended_at = p_now,
        state = CASE WHEN EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id AND a.state IN ('done', 'here', 'missed'))
                     THEN 'ended' ELSE p_state END
    WHERE s.id = ANY (p_series) AND s.ended_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id AND a.state = 'here');
    FOR r IN SELECT slot_id, channel, leg, first_day, count(*) AS n FROM booking.appointment
             WHERE id = ANY (v_freed) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LOOP
        UPDATE booking.place SET taken = taken - r.n
        WHERE slot_id = r.slot_id AND channel = r.channel AND leg = r.leg AND first_day = r.first_day;
    END LOOP;
    RETURN cardinality(v_freed);
END $$;
-- +goose StatementEnd

-- Ends up to p_limit holds whose time is over, at the slots given or (NULL)
-- anywhere, or those of one person; leaves out what somebody is confirming at
-- this moment. Returns the persons whose holds ended.
-- +goose StatementBegin
CREATE FUNCTION booking.expire(p_now timestamptz, p_limit integer, p_slots bigint[], p_person uuid) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    v_series  uuid[];
    v_persons uuid[];
BEGIN
    SELECT array_agg(id), array_agg(person_id) INTO v_series, v_persons FROM (
        SELECT s.id, s.person_id FROM booking.series s
        WHERE s.state = 'held' AND s.hold_until <= p_now
          AND (p_person IS NULL OR s.person_id = p_person)
          AND (p_slots IS NULL OR EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id AND a.slot_id = ANY (p_slots)))
        ORDER BY s.hold_until LIMIT p_limit FOR UPDATE OF s SKIP LOCKED) dead;
    IF v_series IS NOT NULL THEN
        PERFORM booking.release(p_now, v_series, 'expired');
    END IF;
    RETURN coalesce(v_persons, '{}');
END $$;
-- +goose StatementEnd

-- Cancels what a series still has open. Returns how many places were given
-- back; 0 when it was over already.
-- +goose StatementBegin
CREATE FUNCTION booking.cancel(p_now timestamptz, p_series uuid, p_person uuid) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_state text;
BEGIN
    SELECT state INTO v_state FROM booking.series WHERE id = p_series AND person_id = p_person FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such series' USING ERRCODE = 'BK004';
    ELSIF v_state NOT IN ('held', 'confirmed') THEN
        RETURN 0;
    END IF;
    RETURN booking.release(p_now, ARRAY[p_series], 'cancelled');
END $$;
-- +goose StatementEnd

-- +goose Down
DROP SCHEMA booking CASCADE;
