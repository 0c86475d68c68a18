-- +goose Up
-- The transparency log of everything that is issued. A leaf is written in the
-- transaction of the fact and has no index; the sequencer gives it one.
CREATE TABLE certificate.log_leaf (
    id        bigint      GENERATED ALWAYS AS IDENTITY,
    ref       text        NOT NULL, -- what it stands for, within the portal: 'certificate:<id>'
    kind      text        NOT NULL,
    digest    bytea,                -- SHA-256 of what was signed or decided
    day       date        NOT NULL,
    data      bytea       NOT NULL, -- the canonical encoding, all of the leaf; kind, digest and day repeat it for searching
    queued_at timestamptz NOT NULL,
    idx       bigint,               -- place in the log, from 0, without holes
    CONSTRAINT log_leaf_pk PRIMARY KEY (id),
    CONSTRAINT log_leaf_ref UNIQUE (ref),
    CONSTRAINT log_leaf_idx UNIQUE (idx),
    CONSTRAINT log_leaf_digest_size CHECK (octet_length(digest) = 32)
);
CREATE INDEX log_leaf_open ON certificate.log_leaf (id) WHERE idx IS NULL;
CREATE INDEX log_leaf_digest ON certificate.log_leaf (digest) WHERE digest IS NOT NULL;
-- One signed payload has one leaf, however its signature is written.
CREATE UNIQUE INDEX log_leaf_signed_once ON certificate.log_leaf (digest) WHERE kind IN ('certificate', 'reissue');
CREATE INDEX log_leaf_day ON certificate.log_leaf (day, kind);

-- Hashes of the complete subtrees, in the order of golang.org/x/mod/sumdb/tlog.
CREATE TABLE certificate.log_hash (
    pos  bigint NOT NULL,
    hash bytea  NOT NULL,
    CONSTRAINT log_hash_pk PRIMARY KEY (pos),
    CONSTRAINT log_hash_size CHECK (octet_length(hash) = 32)
);

-- Every state of the log that was ever signed.
CREATE TABLE certificate.log_checkpoint (
    size    bigint      NOT NULL,
    root    bytea       NOT NULL,
    note    bytea       NOT NULL, -- the signed note as it is published
    made_at timestamptz NOT NULL,
    CONSTRAINT log_checkpoint_pk PRIMARY KEY (size),
    CONSTRAINT log_checkpoint_root CHECK (size > 0 AND octet_length(root) = 32)
);

-- How far the owners of the leaves were told that these are in the log.
CREATE TABLE certificate.log_told (
    one  boolean NOT NULL DEFAULT true,
    upto bigint  NOT NULL,
    CONSTRAINT log_told_pk PRIMARY KEY (one),
    CONSTRAINT log_told_one CHECK (one)
);
INSERT INTO certificate.log_told (upto) VALUES (0);

-- What an auditor has to look into.
CREATE TABLE certificate.log_alarm (
    kind     text        NOT NULL,
    subject  text        NOT NULL, -- what it is about: a digest, a size
    detail   text        NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    CONSTRAINT log_alarm_pk PRIMARY KEY (kind, subject)
);
CREATE INDEX log_alarm_last ON certificate.log_alarm (last_at DESC);

-- +goose StatementBegin
CREATE FUNCTION certificate.log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the log is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'log_append_only';
END $$;

CREATE FUNCTION certificate.log_leaf_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.idx IS NULL
       OR TG_OP = 'UPDATE' AND OLD.idx IS NULL AND NEW.idx IS NOT NULL
          AND (OLD.id, OLD.ref, OLD.kind, OLD.digest, OLD.day, OLD.data, OLD.queued_at)
              IS NOT DISTINCT FROM (NEW.id, NEW.ref, NEW.kind, NEW.digest, NEW.day, NEW.data, NEW.queued_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of leaf % is refused: the log is append-only', TG_OP, NEW.ref
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'log_append_only';
END $$;

CREATE FUNCTION certificate.log_leaf_holes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE n bigint; lo bigint; hi bigint;
BEGIN
    SELECT count(*), min(idx), max(idx) INTO n, lo, hi FROM changed;
    IF n > 0 AND (hi - lo + 1 <> n OR lo <> coalesce((SELECT max(l.idx) + 1 FROM certificate.log_leaf l WHERE l.idx < lo), 0)) THEN
        RAISE EXCEPTION 'leaves % to % would leave a hole in the log', lo, hi
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'log_no_holes';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION certificate.log_hash_holes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE n bigint; lo bigint; hi bigint;
BEGIN
    SELECT count(*), min(pos), max(pos) INTO n, lo, hi FROM added;
    IF n > 0 AND (hi - lo + 1 <> n OR lo <> coalesce((SELECT max(h.pos) + 1 FROM certificate.log_hash h WHERE h.pos < lo), 0)) THEN
        RAISE EXCEPTION 'hashes % to % would leave a hole in the log', lo, hi
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'log_no_holes';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION certificate.log_told_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.upto < OLD.upto THEN
        RAISE EXCEPTION 'what was told of the log cannot be taken back'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'log_append_only';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER log_leaf_changes BEFORE INSERT OR UPDATE ON certificate.log_leaf FOR EACH ROW EXECUTE FUNCTION certificate.log_leaf_changes();
CREATE TRIGGER log_leaf_holes AFTER UPDATE ON certificate.log_leaf REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION certificate.log_leaf_holes();
CREATE TRIGGER log_leaf_kept BEFORE DELETE OR TRUNCATE ON certificate.log_leaf FOR EACH STATEMENT EXECUTE FUNCTION certificate.log_append_only();
CREATE TRIGGER log_hash_holes AFTER INSERT ON certificate.log_hash REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION certificate.log_hash_holes();
CREATE TRIGGER log_hash_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON certificate.log_hash FOR EACH STATEMENT EXECUTE FUNCTION certificate.log_append_only();
CREATE TRIGGER log_checkpoint_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON certificate.log_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION certificate.log_append_only();
CREATE TRIGGER log_told_forward BEFORE UPDATE ON certificate.log_told FOR EACH ROW EXECUTE FUNCTION certificate.log_told_forward();
CREATE TRIGGER log_told_kept BEFORE DELETE OR TRUNCATE ON certificate.log_told FOR EACH STATEMENT EXECUTE FUNCTION certificate.log_append_only();
CREATE TRIGGER log_alarm_kept BEFORE DELETE OR TRUNCATE ON certificate.log_alarm FOR EACH STATEMENT EXECUTE FUNCTION certificate.log_append_only();

-- +goose Down
DROP TABLE certificate.log_alarm, certificate.log_told, certificate.log_checkpoint, certificate.log_hash, certificate.log_leaf;
DROP FUNCTION certificate.log_append_only, certificate.log_leaf_changes, certificate.log_leaf_holes, certificate.log_hash_holes, certificate.log_told_forward;
