-- +goose Up
-- What an issuer may do without anybody's approval: by kind, small for its first
-- days, effective-dated. Buckets: certificates an hour and at once; of one
-- operator; of doses seen in a document; and doses of vaccine declared in a week.
CREATE TABLE certificate.issuer_allowance (
    kind            text        NOT NULL,
    settled         boolean     NOT NULL, -- false = until new_days after activation
    from_at         timestamptz NOT NULL,
    hourly          integer     NOT NULL,
    burst           integer     NOT NULL,
    operator_hourly integer     NOT NULL,
    operator_burst  integer     NOT NULL,
    seen_hourly     integer     NOT NULL,
    seen_burst      integer     NOT NULL,
    weekly_doses    integer     NOT NULL,
    new_days        integer     NOT NULL DEFAULT 14,
    CONSTRAINT issuer_allowance_pk PRIMARY KEY (kind, settled, from_at),
    CONSTRAINT issuer_allowance_some CHECK (least(hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst) > 0 AND weekly_doses >= 0),
    CONSTRAINT issuer_allowance_seen CHECK (seen_hourly <= hourly AND seen_burst <= burst)
);
INSERT INTO certificate.issuer_allowance (kind, settled, from_at, hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses) VALUES
    ('pharmacy', false, '2020-01-01', 20, 20, 15, 15, 10, 10, 120),
    ('pharmacy', true, '2020-01-01', 60, 40, 40, 30, 30, 20, 600),
    ('practice', false, '2020-01-01', 20, 20, 15, 15, 6, 6, 240),
    ('practice', true, '2020-01-01', 60, 40, 40, 30, 15, 10, 1200),
    ('mobile', false, '2020-01-01', 60, 60, 30, 30, 6, 6, 1200),
    ('mobile', true, '2020-01-01', 200, 100, 80, 50, 15, 10, 6000),
    ('centre', false, '2020-01-01', 200, 100, 40, 30, 20, 20, 6000),
    ('centre', true, '2020-01-01', 600, 300, 80, 50, 60, 40, 30000);

-- An issuer's own limits; the newest counts. More than what holds needs two approvals.
CREATE TABLE certificate.issuer_limit (
    issuer_id       uuid        NOT NULL,
    from_at         timestamptz NOT NULL,
    hourly          integer     NOT NULL,
    burst           integer     NOT NULL,
    operator_hourly integer     NOT NULL,
    operator_burst  integer     NOT NULL,
    seen_hourly     integer     NOT NULL,
    seen_burst      integer     NOT NULL,
    weekly_doses    integer     NOT NULL,
    approval        uuid,
    by              text        NOT NULL,
    CONSTRAINT issuer_limit_pk PRIMARY KEY (issuer_id, from_at),
    CONSTRAINT issuer_limit_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_limit_some CHECK (least(hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst) > 0 AND weekly_doses >= 0),
    CONSTRAINT issuer_limit_seen CHECK (seen_hourly <= hourly AND seen_burst <= burst)
);

-- The limits of an issuer at a moment: its own, else those of its kind.
-- +goose StatementBegin
CREATE FUNCTION certificate.issuer_limits(issuer uuid, moment timestamptz,
    OUT hourly integer, OUT burst integer, OUT operator_hourly integer, OUT operator_burst integer, OUT seen_hourly integer, OUT seen_burst integer, OUT weekly_doses integer, OUT own boolean)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT l.hourly, l.burst, l.operator_hourly, l.operator_burst, l.seen_hourly, l.seen_burst, l.weekly_doses, true
      INTO hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses, own
      FROM certificate.issuer_limit l WHERE l.issuer_id = issuer AND l.from_at <= moment ORDER BY l.from_at DESC LIMIT 1;
    IF FOUND THEN RETURN; END IF;
    SELECT a.hourly, a.burst, a.operator_hourly, a.operator_burst, a.seen_hourly, a.seen_burst, a.weekly_doses, false
      INTO hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses, own
      FROM certificate.issuer i JOIN certificate.issuer_allowance a ON a.kind = i.kind AND a.from_at <= moment
     WHERE i.id = issuer AND (NOT a.settled OR i.activated_at <= moment - make_interval(days => a.new_days))
     ORDER BY a.settled DESC, a.from_at DESC LIMIT 1;
END $$;
CREATE FUNCTION certificate.issuer_limit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held   record;
    wanted jsonb;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'limits are dated, not changed' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_limit_guard';
    END IF;
    held := certificate.issuer_limits(NEW.issuer_id, NEW.from_at);
    IF held.hourly IS NULL OR NEW.hourly > held.hourly OR NEW.burst > held.burst OR NEW.operator_hourly > held.operator_hourly OR NEW.operator_burst > held.operator_burst
       OR NEW.seen_hourly > held.seen_hourly OR NEW.seen_burst > held.seen_burst OR NEW.weekly_doses > held.weekly_doses THEN
        -- What is written is what was approved, number by number.
        wanted := staff.approved_payload(NEW.approval, 'issuer.limits', NEW.issuer_id::text);
        IF wanted IS NULL OR wanted IS DISTINCT FROM jsonb_build_object('hourly', NEW.hourly, 'burst', NEW.burst, 'operator_hourly', NEW.operator_hourly,
            'operator_burst', NEW.operator_burst, 'seen_hourly', NEW.seen_hourly, 'seen_burst', NEW.seen_burst, 'weekly_doses', NEW.weekly_doses) THEN
            RAISE EXCEPTION 'issuer %: two administrators must approve more', NEW.issuer_id USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_two_approved';
        END IF;
        INSERT INTO certificate.issuer_approval (proposal, issuer_id, kind, at) VALUES (NEW.approval, NEW.issuer_id, 'issuer.limits', NEW.from_at);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER issuer_limit_guard BEFORE INSERT OR UPDATE ON certificate.issuer_limit FOR EACH ROW EXECUTE FUNCTION certificate.issuer_limit_guard();

-- Token buckets: "who" is '' for the issuer, 'seen' for doses seen in a document, 'operator:...' for one person.
CREATE TABLE certificate.issuer_bucket (
    issuer_id uuid             NOT NULL,
    who       text             NOT NULL,
    tokens    double precision NOT NULL,
    at        timestamptz      NOT NULL,
    CONSTRAINT issuer_bucket_pk PRIMARY KEY (issuer_id, who),
    CONSTRAINT issuer_bucket_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_bucket_never_negative CHECK (tokens >= 0)
);

-- Vaccine that an issuer says it received.
CREATE TABLE certificate.issuer_receipt (
    id          uuid        NOT NULL,
    issuer_id   uuid        NOT NULL,
    product_id  text        NOT NULL,
    lot_number  text        NOT NULL,
    doses       integer     NOT NULL,
    received_on date        NOT NULL,
    declared_at timestamptz NOT NULL,
    declared_by text        NOT NULL,
    CONSTRAINT issuer_receipt_pk PRIMARY KEY (id),
    CONSTRAINT issuer_receipt_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_receipt_doses CHECK (doses > 0),
    CONSTRAINT issuer_receipt_lot CHECK (lot_number <> '')
);
CREATE INDEX issuer_receipt_recent ON certificate.issuer_receipt (issuer_id, declared_at);

-- The sum of each lot and what was given of it. Given without a lot number
-- stands under lot '', and counts against all declared doses of the product.
CREATE TABLE certificate.issuer_lot (
    issuer_id  uuid    NOT NULL,
    product_id text    NOT NULL,
    lot_number text    NOT NULL,
    declared   integer NOT NULL DEFAULT 0,
    given      integer NOT NULL DEFAULT 0,
    CONSTRAINT issuer_lot_pk PRIMARY KEY (issuer_id, product_id, lot_number),
    CONSTRAINT issuer_lot_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_lot_within CHECK (given >= 0 AND (lot_number = '' OR given <= declared))
);

-- Appointments that an issuer says it had on a day.
CREATE TABLE certificate.issuer_day (
    issuer_id    uuid    NOT NULL,
    day          date    NOT NULL,
    appointments integer NOT NULL,
    declared_by  text    NOT NULL,
    CONSTRAINT issuer_day_pk PRIMARY KEY (issuer_id, day),
    CONSTRAINT issuer_day_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_day_some CHECK (appointments BETWEEN 0 AND 100000)
);

-- Every record that an issuer was allowed to write: what the ratios are counted from.
CREATE TABLE certificate.issuer_issue (
    id         uuid        NOT NULL,
    issuer_id  uuid        NOT NULL,
    operator   text        NOT NULL,
    path       text        NOT NULL,
    basis      text        NOT NULL,
    product_id text        NOT NULL,
    lot_number text        NOT NULL,
    day        date        NOT NULL,
    person     bytea       NOT NULL, -- blind index
    at         timestamptz NOT NULL,
    CONSTRAINT issuer_issue_pk PRIMARY KEY (id),
    CONSTRAINT issuer_issue_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_issue_path CHECK (path IN ('web', 'mtls', 'card')),
    CONSTRAINT issuer_issue_basis CHECK (basis IN ('given', 'seen'))
);
CREATE INDEX issuer_issue_recent ON certificate.issuer_issue (issuer_id, at);
CREATE INDEX issuer_issue_at ON certificate.issuer_issue (at);

-- When an alarm trips: "at_least" certificates or persons, and where it is a
-- ratio at least that, within "seconds". issuer_kind '' = all others. Effective-dated.
CREATE TABLE certificate.issuer_threshold (
    alarm       text             NOT NULL,
    issuer_kind text             NOT NULL,
    from_at     timestamptz      NOT NULL,
    at_least    integer          NOT NULL,
    ratio       double precision NOT NULL DEFAULT 0,
    seconds     integer          NOT NULL,
    CONSTRAINT issuer_threshold_pk PRIMARY KEY (alarm, issuer_kind, from_at),
    CONSTRAINT issuer_threshold_alarm CHECK (alarm IN ('crowd', 'names', 'odd_hours', 'lot_fast', 'appointments', 'repeat'))
);
INSERT INTO certificate.issuer_threshold (alarm, issuer_kind, from_at, at_least, ratio, seconds) VALUES
    ('crowd', '', '2020-01-01', 12, 0, 60),
    ('crowd', 'mobile', '2020-01-01', 40, 0, 60),
    ('crowd', 'centre', '2020-01-01', 90, 0, 60),
    ('names', '', '2020-01-01', 35, 0, 900),
    ('names', 'mobile', '2020-01-01', 60, 0, 900),
    ('names', 'centre', '2020-01-01', 80, 0, 900),
    ('odd_hours', '', '2020-01-01', 15, 0.4, 86400),
    ('lot_fast', '', '2020-01-01', 120, 0.8, 86400),
    ('lot_fast', 'centre', '2020-01-01', 3000, 0.9, 86400),
    ('appointments', '', '2020-01-01', 20, 1.5, 86400),
    ('repeat', '', '2020-01-01', 4, 0, 86400);

CREATE TABLE certificate.issuer_alarm (
    id         uuid        NOT NULL,
    issuer_id  uuid        NOT NULL,
    alarm      text        NOT NULL,
    measured   jsonb       NOT NULL, -- numbers and, at most, a lot
    at         timestamptz NOT NULL,
    paused_at  timestamptz, -- when the issuer was told and its state changed
    cleared_at timestamptz,
    cleared_by uuid,        -- the proposal
    CONSTRAINT issuer_alarm_pk PRIMARY KEY (id),
    CONSTRAINT issuer_alarm_issuer FOREIGN KEY (issuer_id) REFERENCES certificate.issuer (id) ON DELETE CASCADE,
    CONSTRAINT issuer_alarm_cleared CHECK ((cleared_at IS NULL) = (cleared_by IS NULL))
);
CREATE UNIQUE INDEX issuer_alarm_open ON certificate.issuer_alarm (issuer_id, alarm) WHERE cleared_at IS NULL;
CREATE INDEX issuer_alarm_unpaused ON certificate.issuer_alarm (at) WHERE paused_at IS NULL AND cleared_at IS NULL;

-- +goose Down
DROP TABLE certificate.issuer_alarm, certificate.issuer_threshold, certificate.issuer_issue, certificate.issuer_day, certificate.issuer_lot, certificate.issuer_receipt, certificate.issuer_bucket, certificate.issuer_limit, certificate.issuer_allowance;
DROP FUNCTION certificate.issuer_limit_guard();
DROP FUNCTION certificate.issuer_limits(uuid, timestamptz);
