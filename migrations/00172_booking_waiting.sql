-- +goose Up
ALTER TABLE booking.setting
    ADD COLUMN offer_hours  smallint NOT NULL DEFAULT 12 CONSTRAINT setting_offer_hours CHECK (offer_hours BETWEEN 1 AND 72), -- to answer an offer
    ADD COLUMN offer_rounds smallint NOT NULL DEFAULT 3 CONSTRAINT setting_offer_rounds CHECK (offer_rounds BETWEEN 1 AND 20); -- how many are asked for one place

-- What somebody on the waiting list (Warteliste) wishes. person_id has no
-- foreign key: the registration may go first, Forget takes the row along.
CREATE TABLE booking.waiting (
    id           uuid        PRIMARY KEY,
    person_id    uuid        NOT NULL,
    programme_id text        NOT NULL,
    group_code   text        NOT NULL, -- when it was entered; looked at anew before each offer
    channel      text        NOT NULL, -- whose places: the web's, or the hotline's for those who telephone
    centres      text[]      NOT NULL CONSTRAINT waiting_centres CHECK (cardinality(centres) BETWEEN 1 AND 100),
    weekdays     smallint[]  NOT NULL CONSTRAINT waiting_weekdays CHECK (cardinality(weekdays) BETWEEN 1 AND 7 AND weekdays <@ '{1,2,3,4,5,6,7}'::smallint[]),
    parts        text[]      NOT NULL CONSTRAINT waiting_parts CHECK (cardinality(parts) BETWEEN 1 AND 3 AND parts <@ '{morning,noon,afternoon}'::text[]),
    earliest     date,
    latest       date,
    notice_days  smallint    NOT NULL CONSTRAINT waiting_notice CHECK (notice_days BETWEEN 0 AND 60), -- least days between offer and first appointment
    state        text        NOT NULL CONSTRAINT waiting_state CHECK (state IN ('waiting', 'paused', 'withdrawn', 'done')),
    unanswered   smallint    NOT NULL DEFAULT 0, -- offers in a row
    declined     smallint    NOT NULL DEFAULT 0, -- since the wishes were last changed
    since        timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    CONSTRAINT waiting_days CHECK (earliest <= latest),
    CONSTRAINT waiting_ended CHECK ((ended_at IS NOT NULL) = (state IN ('withdrawn', 'done')))
);
CREATE UNIQUE INDEX waiting_one ON booking.waiting (person_id, programme_id) WHERE ended_at IS NULL;
CREATE INDEX waiting_at ON booking.waiting USING gin (centres) WHERE state = 'waiting';
CREATE INDEX waiting_over ON booking.waiting (ended_at) WHERE ended_at IS NOT NULL;

-- An offer (Terminangebot) to somebody on the list: a held series with a longer
-- time to answer. The link's token is stored as its hash.
CREATE TABLE booking.waiting_offer (
    id          uuid        PRIMARY KEY,
    waiting_id  uuid        NOT NULL,
    person_id   uuid        NOT NULL,
    series_id   uuid        NOT NULL CONSTRAINT waiting_offer_series UNIQUE,
    origin      uuid        NOT NULL, -- the places: the same for all who are asked for them in turn
    round       smallint    NOT NULL, -- 1 = the first who was asked
    token       bytea       NOT NULL CONSTRAINT waiting_offer_token UNIQUE,
    phone       bytea,                -- keyed hash of the number that an SMS went to
    means       text        NOT NULL CONSTRAINT waiting_offer_means CHECK (means IN ('message', 'call', 'letter')),
    made_at     timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    answer      text        CONSTRAINT waiting_offer_answer CHECK (answer IN ('accepted', 'declined', 'removed', 'unanswered')),
    via         text        NOT NULL DEFAULT '', -- link, sms, call, account
    answered_at timestamptz,
    CONSTRAINT waiting_offer_answered CHECK ((answer IS NULL) = (answered_at IS NULL))
);
CREATE UNIQUE INDEX waiting_offer_open ON booking.waiting_offer (person_id, waiting_id) WHERE answer IS NULL;
CREATE INDEX waiting_offer_origin ON booking.waiting_offer (origin);
CREATE INDEX waiting_offer_phone ON booking.waiting_offer (phone, made_at DESC) WHERE phone IS NOT NULL;
CREATE INDEX waiting_offer_over ON booking.waiting_offer (answered_at) WHERE answer IS NOT NULL;

-- The order within a group is drawn anew each day by a key whose hash is
-- written down before it is used, and the key itself when the day is over.
CREATE TABLE booking.waiting_draw (
    day         date        PRIMARY KEY,
    commitment  bytea       NOT NULL, -- SHA-256 of the key
    revealed_at timestamptz
);

-- Makes returning places a held series of somebody: they go from hand to hand
-- and are never free in between. Places of a group's contingent (channel
-- 'web:<group>') stay those of the group; the series is of the channel. Returns
-- false when the places are gone.
-- +goose StatementBegin
CREATE FUNCTION booking.hold_returning(
    p_now timestamptz, p_head uuid, p_series uuid, p_person uuid, p_programme text, p_reference text, p_by text, p_role text,
    p_until timestamptz, p_first_dose integer, p_appointments uuid[])
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM booking.returning WHERE id = p_head FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at)
    SELECT p_series, p_person, p_programme, s.product_id, s.centre_id, split_part(p.channel, ':', 1), p_reference, p_by, p_role, 'held', p_until, p_now
    FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id WHERE p.returning_id = p_head AND p.leg = 1;
    INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel,
                                     leg, first_day, dose_number, day, start_at, state, changed_at)
    SELECT p_appointments[p.leg], p_series, p_person, p_programme, s.centre_id, s.product_id, p.slot_id, p.channel,
           p.leg, p.first_day, p_first_dose + p.leg - 1, s.day, s.start_at, 'held', p_now
    FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id WHERE p.returning_id = p_head;
    DELETE FROM booking.returning WHERE id = p_head;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The tables go with their schema.
