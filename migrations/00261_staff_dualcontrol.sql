-- +goose Up
-- Two people decide (Vier-Augen-Prinzip). What is decided stands in a proposal;
-- each approval carries an assertion of a hardware key over the proposal's digest.
CREATE TABLE staff.proposal (
    id          uuid        PRIMARY KEY,
    kind        text        NOT NULL CONSTRAINT proposal_kind CHECK (kind <> ''),
    subject     text        NOT NULL CONSTRAINT proposal_subject CHECK (subject <> ''), -- what is changed
    payload     jsonb       NOT NULL, -- how; nothing personal
    why         text        NOT NULL CONSTRAINT proposal_why CHECK (why <> ''),
    proposed_by uuid        REFERENCES staff.account (id), -- NULL = the portal itself
    barred      uuid[]      NOT NULL, -- accounts that must not approve it: it is their own concern
    digest      bytea       NOT NULL,
    state       text        NOT NULL DEFAULT 'open' CONSTRAINT proposal_state CHECK (state IN ('open', 'applied', 'refused', 'withdrawn', 'expired')),
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    closed_at   timestamptz,
    closed_by   uuid        REFERENCES staff.account (id),
    closed_why  text        NOT NULL DEFAULT '',
    CONSTRAINT proposal_times CHECK (expires_at > created_at AND (closed_at IS NULL) = (state = 'open'))
);
CREATE INDEX proposal_open ON staff.proposal (created_at) WHERE state = 'open';
CREATE INDEX proposal_about ON staff.proposal (kind, subject, created_at DESC);

-- Only one approval of an account counts for what the proposal says at the
-- moment, and only one of a key.
CREATE TABLE staff.approval (
    id            uuid        PRIMARY KEY,
    proposal_id   uuid        NOT NULL REFERENCES staff.proposal (id),
    account_id    uuid        NOT NULL REFERENCES staff.account (id),
    credential_id uuid        NOT NULL REFERENCES staff.credential (id),
    touch_id      uuid        NOT NULL CONSTRAINT approval_touch_once UNIQUE REFERENCES staff.touch (id),
    digest        bytea       NOT NULL,
    at            timestamptz NOT NULL,
    voided_at     timestamptz -- the proposal was changed after it
);
CREATE UNIQUE INDEX approval_account_once ON staff.approval (proposal_id, account_id) WHERE voided_at IS NULL;
CREATE UNIQUE INDEX approval_credential_once ON staff.approval (proposal_id, credential_id) WHERE voided_at IS NULL;

-- Who may approve. Being an administrator is not enough: whoever can make
-- accounts could else be two people. The first two administrators with a key are
-- the first two; everybody after them is admitted by two.
CREATE TABLE staff.approver (
    id          uuid        PRIMARY KEY,
    account_id  uuid        NOT NULL REFERENCES staff.account (id),
    proposal_id uuid        CONSTRAINT approver_proposal UNIQUE REFERENCES staff.proposal (id), -- NULL = one of the first two
    since       timestamptz NOT NULL,
    ended_at    timestamptz,
    ended_why   text,
    CONSTRAINT approver_ended CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE UNIQUE INDEX approver_account ON staff.approver (account_id) WHERE ended_at IS NULL;

-- +goose StatementBegin
CREATE FUNCTION staff.proposal_digest(p staff.proposal) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to('impfportal proposal 1', 'UTF8') || '\x00'::bytea || string_agg(int4send(octet_length(part)) || part, ''::bytea ORDER BY n))
    FROM unnest(ARRAY[convert_to(p.id::text, 'UTF8'), convert_to(p.kind, 'UTF8'), convert_to(p.subject, 'UTF8'), convert_to(p.payload::text, 'UTF8'),
        convert_to(p.why, 'UTF8'), convert_to(coalesce(p.proposed_by::text, ''), 'UTF8'), convert_to(array_to_string(p.barred, ','), 'UTF8'),
        convert_to(extract(epoch FROM p.expires_at)::bigint::text, 'UTF8')]) WITH ORDINALITY AS t (part, n)
$$;

-- An account's own concern: it is barred, or the proposal is about it.
CREATE FUNCTION staff.concerns(p staff.proposal, account uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT account = ANY (p.barred) OR p.subject IN (account::text, 'staff:' || account::text) OR coalesce(p.payload ->> 'account' = account::text, false)
$$;

-- approved_payload returns what two people have decided: only within the
-- transaction in which the second of them approves, because after it the proposal
-- is closed. NULL = they have not. What is guarded by it asks in a trigger of its
-- own, and compares what is written with what was decided.
CREATE FUNCTION staff.approved_payload(proposal uuid, kind text, subject text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT p.payload
    FROM staff.proposal p
    WHERE p.id = $1 AND p.kind = $2 AND p.subject = $3 AND p.state = 'open' AND p.digest = staff.proposal_digest(p)
      AND (SELECT count(DISTINCT v.account_id) >= 2 AND count(DISTINCT v.credential_id) >= 2
           FROM staff.approval v
           JOIN staff.touch t ON t.id = v.touch_id AND t.account_id = v.account_id AND t.credential_id = v.credential_id AND t.action = 'approve' AND t.subject = p.digest
           JOIN staff.account a ON a.id = v.account_id AND a.disabled_at IS NULL AND 'admin' = ANY (a.roles)
           JOIN staff.credential k ON k.id = v.credential_id AND k.account_id = v.account_id AND k.disabled_at IS NULL
           JOIN staff.approver r ON r.account_id = v.account_id AND r.ended_at IS NULL
           WHERE v.proposal_id = p.id AND v.voided_at IS NULL AND v.digest = p.digest AND v.at < p.expires_at
             AND NOT staff.concerns(p, v.account_id))
$$;

-- two_approved is approved_payload for those who need not know what.
CREATE FUNCTION staff.two_approved(proposal uuid, kind text, subject text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT staff.approved_payload($1, $2, $3) IS NOT NULL
$$;

CREATE FUNCTION staff.refuse(name text, text text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', text USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = name;
END $$;

-- A proposal begins open. While it is open what it says may change, which voids
-- its approvals; it ends once, and as applied only when two have approved it.
CREATE FUNCTION staff.proposal_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM staff.refuse('proposal_keep', 'a proposal is kept');
    ELSIF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'open' THEN
            PERFORM staff.refuse('proposal_opens', 'a proposal begins open');
        END IF;
        NEW.digest := staff.proposal_digest(NEW);
        RETURN NEW;
    END IF;
    IF OLD.state <> 'open' OR (OLD.id, OLD.kind, OLD.subject, OLD.proposed_by, OLD.created_at, OLD.expires_at)
        IS DISTINCT FROM (NEW.id, NEW.kind, NEW.subject, NEW.proposed_by, NEW.created_at, NEW.expires_at) THEN
        PERFORM staff.refuse('proposal_keep', 'a closed proposal stays as it is, and what an open one is about too');
    END IF;
    NEW.digest := staff.proposal_digest(NEW);
    IF NEW.digest <> OLD.digest THEN
        IF NEW.state <> 'open' THEN
            PERFORM staff.refuse('proposal_keep', 'a proposal does not change while it closes');
        END IF;
        UPDATE staff.approval SET voided_at = created FROM (SELECT greatest(max(at), OLD.created_at) AS created FROM staff.approval WHERE proposal_id = OLD.id) t
        WHERE proposal_id = OLD.id AND voided_at IS NULL;
    END IF;
    IF NEW.state = 'applied' AND NOT staff.two_approved(OLD.id, OLD.kind, OLD.subject) THEN
        PERFORM staff.refuse('proposal_two', 'two people with two keys must have approved it');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION staff.approval_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    p staff.proposal;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
       AND (OLD.id, OLD.proposal_id, OLD.account_id, OLD.credential_id, OLD.touch_id, OLD.digest, OLD.at)
           IS NOT DISTINCT FROM (NEW.id, NEW.proposal_id, NEW.account_id, NEW.credential_id, NEW.touch_id, NEW.digest, NEW.at) THEN
        RETURN NEW;
    ELSIF TG_OP <> 'INSERT' THEN
        PERFORM staff.refuse('approval_keep', 'staff.approval is append-only');
    END IF;
    SELECT * INTO p FROM staff.proposal WHERE id = NEW.proposal_id FOR UPDATE;
    IF p.state <> 'open' OR NEW.at >= p.expires_at OR NEW.voided_at IS NOT NULL THEN
        PERFORM staff.refuse('approval_open', 'the proposal is not open');
    ELSIF NEW.digest <> p.digest THEN
        PERFORM staff.refuse('approval_digest', 'the proposal has changed');
    ELSIF staff.concerns(p, NEW.account_id) THEN
        PERFORM staff.refuse('approval_own', 'nobody approves their own concern');
    ELSIF NOT EXISTS (
        SELECT FROM staff.approver r JOIN staff.account a ON a.id = r.account_id
        WHERE r.account_id = NEW.account_id AND r.ended_at IS NULL AND a.disabled_at IS NULL AND 'admin' = ANY (a.roles)) THEN
        PERFORM staff.refuse('approval_account', 'the account may not approve');
    ELSIF NOT EXISTS (
        SELECT FROM staff.touch t JOIN staff.credential k ON k.id = t.credential_id
        WHERE t.id = NEW.touch_id AND t.account_id = NEW.account_id AND t.credential_id = NEW.credential_id AND k.account_id = NEW.account_id AND k.disabled_at IS NULL
          AND t.action = 'approve' AND t.subject = p.digest) THEN
        PERFORM staff.refuse('approval_touch', 'no touch of a key of this account for this proposal');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION staff.approver_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
       AND (OLD.id, OLD.account_id, OLD.proposal_id, OLD.since) IS NOT DISTINCT FROM (NEW.id, NEW.account_id, NEW.proposal_id, NEW.since) THEN
        RETURN NEW;
    ELSIF TG_OP <> 'INSERT' THEN
        PERFORM staff.refuse('approver_keep', 'who may approve is ended and never changed');
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('staff.approver'));
    IF NEW.proposal_id IS NOT NULL THEN
        IF NOT staff.two_approved(NEW.proposal_id, 'staff.approver', NEW.account_id::text) THEN
            PERFORM staff.refuse('approver_two', 'two people must have admitted the account');
        END IF;
    ELSIF (SELECT count(*) FROM staff.approver WHERE proposal_id IS NULL) >= 2
       OR EXISTS (SELECT FROM staff.approver WHERE account_id = NEW.account_id)
       OR NOT EXISTS (
           SELECT FROM staff.account a JOIN staff.credential k ON k.account_id = a.id AND k.disabled_at IS NULL
           WHERE a.id = NEW.account_id AND a.disabled_at IS NULL AND 'admin' = ANY (a.roles)) THEN
        PERFORM staff.refuse('approver_first', 'the first two are there already');
    END IF;
    RETURN NEW;
END $$;

-- A new key that no key of the account has vouched for may be somebody else's:
-- the account approves nothing more until two have admitted it again. The first two
-- administrators with a key are admitted by it.
CREATE FUNCTION staff.credential_approver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.shown <> 'key' THEN
        UPDATE staff.approver SET ended_at = NEW.created_at, ended_why = 'enrolled' WHERE account_id = NEW.account_id AND ended_at IS NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('staff.approver'));
    INSERT INTO staff.approver (id, account_id, since)
    SELECT gen_random_uuid(), a.id, NEW.created_at FROM staff.account a
    WHERE a.id = NEW.account_id AND a.disabled_at IS NULL AND 'admin' = ANY (a.roles)
      AND NOT EXISTS (SELECT FROM staff.approver WHERE account_id = a.id)
      AND (SELECT count(*) FROM staff.approver WHERE proposal_id IS NULL) < 2;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER proposal_check BEFORE INSERT OR UPDATE OR DELETE ON staff.proposal FOR EACH ROW EXECUTE FUNCTION staff.proposal_check();
CREATE TRIGGER approval_check BEFORE INSERT OR UPDATE OR DELETE ON staff.approval FOR EACH ROW EXECUTE FUNCTION staff.approval_check();
CREATE TRIGGER approver_check BEFORE INSERT OR UPDATE OR DELETE ON staff.approver FOR EACH ROW EXECUTE FUNCTION staff.approver_check();
CREATE TRIGGER credential_approver AFTER INSERT ON staff.credential FOR EACH ROW EXECUTE FUNCTION staff.credential_approver();

-- +goose Down
DROP TRIGGER credential_approver ON staff.credential;
DROP FUNCTION staff.credential_approver;
DROP TABLE staff.approver;
DROP FUNCTION staff.approver_check;
DROP TABLE staff.approval;
DROP FUNCTION staff.approval_check;
DROP FUNCTION staff.two_approved;
DROP FUNCTION staff.approved_payload;
DROP FUNCTION staff.concerns;
DROP FUNCTION staff.proposal_digest;
DROP TABLE staff.proposal;
DROP FUNCTION staff.proposal_check;
DROP FUNCTION staff.refuse;
