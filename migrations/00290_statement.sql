-- +goose Up
-- The monthly statements (Abrechnungen) of the issuers, made from the
-- transparency log.

-- What a certificate is worth, effective-dated by the day of its leaf. The row of
-- the issuer's own kind counts, else the one of kind ''. In cents, tax included.
--   given    in connection with a dose that the issuer gave
--   seen     of a dose given elsewhere, seen in a document
--   further  a further one of that kind of the same person, on the same day
CREATE TABLE certificate.statement_tariff (
    issuer_kind text    NOT NULL,
    item        text    NOT NULL,
    from_day    date    NOT NULL,
    cents       integer NOT NULL,
    source      text    NOT NULL, -- law or order that says so
    set_by      text    NOT NULL DEFAULT 'system',
    CONSTRAINT statement_tariff_pk PRIMARY KEY (issuer_kind, item, from_day),
    CONSTRAINT statement_tariff_kind CHECK (issuer_kind IN ('', 'centre', 'mobile', 'practice', 'pharmacy')),
    CONSTRAINT statement_tariff_item CHECK (item IN ('given', 'seen', 'further')),
    CONSTRAINT statement_tariff_cents CHECK (cents BETWEEN 0 AND 100000),
    CONSTRAINT statement_tariff_source CHECK (source <> '')
);
INSERT INTO certificate.statement_tariff (issuer_kind, item, from_day, cents, source) VALUES
    ('', 'given',   '2021-06-07', 600,  'CoronaImpfV § 6 (BAnz AT 02.06.2021 V2)'),
    ('', 'seen',    '2021-06-07', 1800, 'CoronaImpfV § 6 Abs. 5, § 9 Abs. 3 (BAnz AT 02.06.2021 V2)'),
    ('', 'further', '2021-06-07', 600,  'CoronaImpfV § 6 Abs. 5, § 9 Abs. 3 (BAnz AT 02.06.2021 V2)'),
    ('', 'seen',    '2021-07-08', 600,  'CoronaImpfV § 6 Abs. 5, § 9 Abs. 3, 1. ÄndV (BAnz AT 07.07.2021 V1)'),
    ('', 'further', '2021-07-08', 600,  'CoronaImpfV § 6 Abs. 5, § 9 Abs. 3, 1. ÄndV (BAnz AT 07.07.2021 V1)'),
    -- Centres and mobile teams are paid for as a whole.
    ('centre', 'given', '2021-06-07', 0, 'CoronaImpfV § 7'), ('centre', 'seen', '2021-06-07', 0, 'CoronaImpfV § 7'), ('centre', 'further', '2021-06-07', 0, 'CoronaImpfV § 7'),
    ('mobile', 'given', '2021-06-07', 0, 'CoronaImpfV § 7'), ('mobile', 'seen', '2021-06-07', 0, 'CoronaImpfV § 7'), ('mobile', 'further', '2021-06-07', 0, 'CoronaImpfV § 7');

-- A month is the part of the log between the checkpoints of its two ends.
--   reading  leaves become lines        making   lines become statements
--   done     nothing changes any more   expired  kept long enough; may be deleted
CREATE TABLE certificate.statement_month (
    month      date        NOT NULL, -- its first day
    from_idx   bigint      NOT NULL,
    size       bigint      NOT NULL, -- of the checkpoint: the first leaf of the next month
    root       bytea       NOT NULL,
    note       bytea       NOT NULL, -- the signed checkpoint
    state      text        NOT NULL,
    read_upto  bigint      NOT NULL,
    made_upto  text,                 -- the last issuer whose statement is made
    statements integer     NOT NULL DEFAULT 0,
    lines      bigint      NOT NULL DEFAULT 0,
    cents      bigint      NOT NULL DEFAULT 0,
    digest     bytea,                -- SHA-256 over the statements' hashes, in the order of their numbers
    begun_at   timestamptz NOT NULL,
    done_at    timestamptz,
    CONSTRAINT statement_month_pk PRIMARY KEY (month),
    CONSTRAINT statement_month_first CHECK (extract(day FROM month) = 1),
    CONSTRAINT statement_month_range CHECK (0 <= from_idx AND from_idx <= read_upto AND read_upto <= size),
    CONSTRAINT statement_month_state CHECK (state IN ('reading', 'making', 'done', 'expired')),
    CONSTRAINT statement_month_done CHECK ((done_at IS NOT NULL AND digest IS NOT NULL) = (state IN ('done', 'expired')))
);
CREATE UNIQUE INDEX statement_month_one ON certificate.statement_month ((true)) WHERE state IN ('reading', 'making');

CREATE TABLE certificate.statement_line (
    month  date    NOT NULL,
    idx    bigint  NOT NULL, -- of the leaf
    issuer text    NOT NULL, -- pseudonym of the log; '' = none
    kind   text    NOT NULL, -- of the leaf
    item   text    NOT NULL,
    basis  text    NOT NULL,
    reason text    NOT NULL, -- of a revocation
    day    date    NOT NULL,
    digest bytea   NOT NULL,
    of_idx bigint,           -- credit: the leaf that was billed
    cents  integer NOT NULL,
    CONSTRAINT statement_line_pk PRIMARY KEY (month, idx),
    CONSTRAINT statement_line_month FOREIGN KEY (month) REFERENCES certificate.statement_month (month),
    CONSTRAINT statement_line_item CHECK (item IN ('given', 'seen', 'further', 'reissue', 'revocation', 'credit', 'held')),
    CONSTRAINT statement_line_cents CHECK (CASE item WHEN 'credit' THEN cents <= 0 WHEN 'given' THEN cents >= 0 WHEN 'seen' THEN cents >= 0 WHEN 'further' THEN cents >= 0 ELSE cents = 0 END),
    CONSTRAINT statement_line_credit CHECK ((item = 'credit') = (of_idx IS NOT NULL))
);
CREATE INDEX statement_line_issuer ON certificate.statement_line (month, issuer, idx);
-- Nothing is billed twice, and nothing credited twice, in whichever month.
CREATE UNIQUE INDEX statement_billed_once ON certificate.statement_line (idx) WHERE item IN ('given', 'seen', 'further');
CREATE UNIQUE INDEX statement_credited_once ON certificate.statement_line (of_idx) WHERE item = 'credit';

-- Certificates that were in the log but not handed out when their month was read.
CREATE TABLE certificate.statement_held (
    idx       bigint NOT NULL,
    month     date   NOT NULL,
    billed_in date,
    CONSTRAINT statement_held_pk PRIMARY KEY (idx)
);
CREATE INDEX statement_held_open ON certificate.statement_held (idx) WHERE billed_in IS NULL;

CREATE TABLE certificate.statement (
    id         uuid        NOT NULL,
    month      date        NOT NULL,
    number     integer     NOT NULL, -- within the month, from 1
    issuer     text        NOT NULL, -- pseudonym of the log
    issuer_ref text        NOT NULL, -- '' = an issuer that is not known any more
    name       text        NOT NULL, -- as printed
    lines      integer     NOT NULL,
    cents      bigint      NOT NULL,
    csv_sha256 bytea       NOT NULL,
    pdf_sha256 bytea       NOT NULL,
    pdf        bytea       NOT NULL,
    made_at    timestamptz NOT NULL,
    CONSTRAINT statement_pk PRIMARY KEY (id),
    CONSTRAINT statement_one UNIQUE (month, issuer),
    CONSTRAINT statement_number UNIQUE (month, number),
    CONSTRAINT statement_month FOREIGN KEY (month) REFERENCES certificate.statement_month (month)
);
CREATE INDEX statement_of ON certificate.statement (issuer_ref, month DESC);

-- +goose StatementBegin
CREATE FUNCTION certificate.statement_month_forward() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE steps CONSTANT text[] := ARRAY['reading', 'making', 'done', 'expired'];
BEGIN
    IF TG_OP = 'DELETE'
       OR (OLD.month, OLD.from_idx, OLD.size, OLD.root, OLD.note, OLD.begun_at) IS DISTINCT FROM (NEW.month, NEW.from_idx, NEW.size, NEW.root, NEW.note, NEW.begun_at)
       OR array_position(steps, NEW.state) < array_position(steps, OLD.state) OR NEW.read_upto < OLD.read_upto
       OR OLD.state IN ('done', 'expired') AND (OLD.statements, OLD.lines, OLD.cents, OLD.digest, OLD.done_at) IS DISTINCT FROM (NEW.statements, NEW.lines, NEW.cents, NEW.digest, NEW.done_at) THEN
        RAISE EXCEPTION 'the statements of a month go forward only' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'statement_keep';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION certificate.statement_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a statement is never changed' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'statement_keep';
END $$;

CREATE FUNCTION certificate.statement_expired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM certificate.statement_month m WHERE m.month = OLD.month AND m.state = 'expired') THEN
        RAISE EXCEPTION 'a statement is never changed' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'statement_keep';
    END IF;
    RETURN OLD;
END $$;

-- Lines are added while their month is read, statements while it is made.
CREATE FUNCTION certificate.statement_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT month FROM added) a JOIN certificate.statement_month m USING (month) WHERE m.state <> TG_ARGV[0]) THEN
        RAISE EXCEPTION 'the statements of this month are made' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'statement_keep';
    END IF;
    RETURN NULL;
END $$;

-- A tariff holds for days whose month is not settled yet.
CREATE FUNCTION certificate.statement_tariff_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' AND EXISTS (SELECT FROM certificate.statement_month m WHERE m.month + interval '1 month' > NEW.from_day)
       OR TG_OP <> 'INSERT' AND EXISTS (SELECT FROM certificate.statement_month m WHERE m.month + interval '1 month' > OLD.from_day) THEN
        RAISE EXCEPTION 'there are statements by this tariff' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'statement_tariff_past';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
-- +goose StatementEnd
CREATE TRIGGER statement_month_forward BEFORE UPDATE OR DELETE ON certificate.statement_month FOR EACH ROW EXECUTE FUNCTION certificate.statement_month_forward();
CREATE TRIGGER statement_line_keep BEFORE UPDATE OR TRUNCATE ON certificate.statement_line FOR EACH STATEMENT EXECUTE FUNCTION certificate.statement_keep();
CREATE TRIGGER statement_line_expired BEFORE DELETE ON certificate.statement_line FOR EACH ROW EXECUTE FUNCTION certificate.statement_expired();
CREATE TRIGGER statement_line_added AFTER INSERT ON certificate.statement_line REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION certificate.statement_added('reading');
CREATE TRIGGER statement_keep BEFORE UPDATE OR TRUNCATE ON certificate.statement FOR EACH STATEMENT EXECUTE FUNCTION certificate.statement_keep();
CREATE TRIGGER statement_expired BEFORE DELETE ON certificate.statement FOR EACH ROW EXECUTE FUNCTION certificate.statement_expired();
CREATE TRIGGER statement_added AFTER INSERT ON certificate.statement REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION certificate.statement_added('making');
CREATE TRIGGER statement_tariff_guard BEFORE INSERT OR UPDATE OR DELETE ON certificate.statement_tariff FOR EACH ROW EXECUTE FUNCTION certificate.statement_tariff_guard();

-- +goose Down
DROP TABLE certificate.statement, certificate.statement_held, certificate.statement_line, certificate.statement_month, certificate.statement_tariff;
DROP FUNCTION certificate.statement_month_forward, certificate.statement_keep, certificate.statement_expired, certificate.statement_added, certificate.statement_tariff_guard;
