package dualcontrol_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/dualcontrol/dualcontroltest"
	"impfportal/staff/passkey"
	"impfportal/staff/passkey/passkeytest"
)

const kind = "test.limit"

// bundle is a desk with one guarded row: the limit of an issuer.
type bundle struct {
	*dualcontroltest.Desk

	pool    *pgxpool.Pool
	mu      sync.Mutex
	now     time.Time
	applied atomic.Int64
	told    atomic.Int64
	fail    error
}

func (b *bundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bundle) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.New(t), now: time.Date(2021, 6, 14, 9, 0, 0, 0, time.UTC)}
	b.Desk = dualcontroltest.New(t, b.pool, redistest.New(t), b.clock)
	b.exec(t, `CREATE TABLE public.guarded (subject text PRIMARY KEY, allowed int NOT NULL, proposal uuid)`)
	b.exec(t, `INSERT INTO public.guarded VALUES ('issuer:1', 10, NULL)`)
	b.exec(t, `CREATE FUNCTION public.guard() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.allowed > OLD.allowed AND (staff.approved_payload(NEW.proposal, 'test.limit', NEW.subject) ->> 'allowed')::int IS DISTINCT FROM NEW.allowed THEN
				RAISE EXCEPTION 'not approved' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'guard';
			END IF;
			RETURN NEW;
		END $$`)
	b.exec(t, `CREATE TRIGGER guard BEFORE UPDATE ON public.guarded FOR EACH ROW EXECUTE FUNCTION public.guard()`)
	b.Handle(kind, dualcontrol.Handler{
		Title:   func(*web.Ctx, dualcontrol.Proposal) (string, error) { return "Mehr Zertifikate", nil },
		Changes: func(*web.Ctx, dualcontrol.Proposal) ([]dualcontrol.Change, error) { return nil, nil },
		Approved: func(context.Context, pgx.Tx, dualcontrol.Proposal, dualcontrol.Approval) error {
			b.told.Add(1)
			return nil
		},
		Apply: func(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
			var in struct {
				Allowed int `json:"allowed"`
			}
			if err := json.Unmarshal(p.Payload, &in); err != nil {
				return err
			}
			if b.fail != nil {
				return b.fail
			}
			b.applied.Add(1)
			_, err := tx.Exec(ctx, `UPDATE public.guarded SET allowed = $2, proposal = $3 WHERE subject = $1`, p.Subject, in.Allowed, p.ID)
			return err
		},
	})
	return b
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) propose(t *testing.T, barred ...string) string {
	t.Helper()
	var proposalID string
	err := pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) (err error) {
		proposalID, err = b.Propose(context.Background(), tx, dualcontrol.Proposal{
			Kind: kind, Subject: "issuer:1", Payload: json.RawMessage(`{"allowed": 500}`), Why: "Impfaktion am Samstag", ProposedBy: b.Approvers[0].AccountID, Barred: barred,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return proposalID
}

func (b *bundle) allowed(t *testing.T) (n int) {
	t.Helper()
	if err := b.pool.QueryRow(context.Background(), `SELECT allowed FROM public.guarded`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *bundle) want(t *testing.T, proposalID, state string, allowed int) {
	t.Helper()
	p, err := dualcontrol.Get(context.Background(), b.pool, proposalID)
	if err != nil || p.State != state {
		t.Errorf("state %s, %v, want %s", p.State, err, state)
	}
	if got := b.allowed(t); got != allowed {
		t.Errorf("allowed %d, want %d", got, allowed)
	}
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestTwoPeopleApply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.propose(t)
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	b.want(t, p, dualcontrol.Open, 10)
	is(t, "the same again", b.ApproveBy(b.Approvers[0], p), dualcontrol.ErrTwice)
	is(t, "second", b.ApproveBy(b.Approvers[1], p), nil)
	b.want(t, p, dualcontrol.Applied, 500)
	is(t, "third", b.ApproveBy(b.Approvers[1], p), dualcontrol.ErrClosed)
	if b.told.Load() != 2 || b.applied.Load() != 1 {
		t.Errorf("told %d, applied %d", b.told.Load(), b.applied.Load())
	}
	good, bad, err := b.VerifyAll(context.Background())
	if good != 2 || len(bad) != 0 || err != nil {
		t.Errorf("stored assertions: %d good, bad %v, %v", good, bad, err)
	}
	// What was decided once applies to nothing more.
	_, err = b.pool.Exec(context.Background(), `UPDATE public.guarded SET allowed = 10`)
	is(t, "less", err, nil)
	if _, err := b.pool.Exec(context.Background(), `UPDATE public.guarded SET allowed = 500`); !pg.Violates(err, "guard") {
		t.Errorf("the same proposal again: %v", err)
	}
}

func TestOneApproverWithTwoKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.propose(t)
	one := b.Approvers[0]
	is(t, "first key", b.ApproveBy(one, p), nil)
	one.Key = b.Maker.EnrolAnother(b.Keys, one.AccountID, one.Key)
	is(t, "second key", b.ApproveBy(one, p), dualcontrol.ErrTwice)
	b.want(t, p, dualcontrol.Open, 10)
}

func TestNobodyApprovesTheirOwnConcern(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.propose(t, b.Approvers[1].AccountID)
	is(t, "barred", b.ApproveBy(b.Approvers[1], p), dualcontrol.ErrOwnConcern)
	is(t, "barred refuses", b.Refuse(context.Background(), p, b.Approvers[1].AccountID, "nein"), dualcontrol.ErrOwnConcern)

	third := b.Admin()
	is(t, "not admitted yet", b.ApproveBy(third, p), dualcontrol.ErrNotApprover)
	admit, err := b.ProposeApprover(context.Background(), third.AccountID, "Vertretung", third.AccountID)
	is(t, "propose", err, nil)
	is(t, "admits herself", b.ApproveBy(third, admit), dualcontrol.ErrOwnConcern)
	is(t, "admitted by two", b.ApproveByTwo(admit), nil)
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	is(t, "admitted", b.ApproveBy(third, p), nil)
	b.want(t, p, dualcontrol.Applied, 500)
}

// An administrator who makes accounts is not two people.
func TestAdministratorMakesAnotherAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.propose(t)
	straw := b.Admin()
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	is(t, "straw", b.ApproveBy(straw, p), dualcontrol.ErrNotApprover)
	for _, sql := range []string{
		`INSERT INTO staff.approver (id, account_id, since) VALUES (gen_random_uuid(), $1, now())`,
		`INSERT INTO staff.approver (id, account_id, proposal_id, since) SELECT gen_random_uuid(), $1, id, now() FROM staff.proposal`,
		`UPDATE staff.approver SET account_id = $1 WHERE account_id <> $1`,
	} {
		if _, err := b.pool.Exec(context.Background(), sql, straw.AccountID); err == nil {
			t.Errorf("%s: done", sql)
		}
	}
	b.want(t, p, dualcontrol.Open, 10)
}

// Who takes over the account of an approver with a new key approves nothing.
func TestNewKeyByCodeEndsApproving(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	victim := b.Approvers[1]
	keys, err := passkey.Keys(ctx, b.pool, victim.AccountID, b.clock())
	is(t, "keys", err, nil)
	is(t, "revoke", b.Keys.Revoke(ctx, keys[0].ID, "staff:"+b.Approvers[0].AccountID), nil)
	taken := dualcontroltest.Person{AccountID: victim.AccountID, Key: b.Maker.Enrol(b.Keys, b.pool, victim.AccountID)}
	p := b.propose(t)
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	is(t, "taken over", b.ApproveBy(taken, p), dualcontrol.ErrNotApprover)
	b.want(t, p, dualcontrol.Open, 10)
}

func TestTouchesThatDoNotFit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	p, other := b.propose(t), b.propose(t)
	one, two := b.Approvers[0], b.Approvers[1]
	ask := func(proposalID string, who dualcontroltest.Person) passkey.Asked {
		t.Helper()
		asked, err := b.AskTouch(ctx, proposalID, who.AccountID)
		is(t, "ask", err, nil)
		return asked
	}
	is(t, "of another proposal", b.Approve(ctx, p, one.AccountID, one.Key.Touch(ask(other, one))), passkey.ErrRefused)
	asked, err := b.Keys.Ask(ctx, one.AccountID, "issuing", passkey.DigestOf("x"))
	is(t, "ask", err, nil)
	is(t, "of another deed", b.Approve(ctx, p, one.AccountID, one.Key.Touch(asked)), passkey.ErrRefused)
	is(t, "somebody else's key", b.Approve(ctx, p, one.AccountID, two.Key.Touch(ask(p, one))), passkey.ErrRefused)
	is(t, "somebody else's challenge", b.Approve(ctx, p, one.AccountID, one.Key.Touch(ask(p, two))), passkey.ErrRefused)
	asked = ask(p, one)
	b.pass(2*time.Minute + time.Second)
	is(t, "too late", b.Approve(ctx, p, one.AccountID, one.Key.Touch(asked)), passkey.ErrExpired)
	touch := one.Key.Touch(ask(p, one))
	is(t, "right", b.Approve(ctx, p, one.AccountID, touch), nil)
	is(t, "again", b.Approve(ctx, p, one.AccountID, touch), passkey.ErrExpired)
	b.want(t, p, dualcontrol.Open, 10)
}

func TestPayloadChangedBetweenTheApprovals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	p := b.propose(t)
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	asked, err := b.AskTouch(ctx, p, b.Approvers[1].AccountID)
	is(t, "ask", err, nil)
	b.exec(t, `UPDATE staff.proposal SET payload = '{"allowed": 100000}' WHERE id = $1`, p)
	is(t, "touched before the change", b.Approve(ctx, p, b.Approvers[1].AccountID, b.Approvers[1].Key.Touch(asked)), passkey.ErrRefused)
	is(t, "touched after it", b.ApproveBy(b.Approvers[1], p), nil)
	b.want(t, p, dualcontrol.Open, 10) // the first one is void
	is(t, "the first one again", b.ApproveBy(b.Approvers[0], p), nil)
	b.want(t, p, dualcontrol.Applied, 100000)
}

func TestTwoAtTheSameMoment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	p := b.propose(t)
	touches := make([]passkey.Touch, 2)
	for i, who := range b.Approvers {
		asked, err := b.AskTouch(ctx, p, who.AccountID)
		is(t, "ask", err, nil)
		touches[i] = who.Key.Touch(asked)
	}
	var wg sync.WaitGroup
	for i, who := range b.Approvers {
		wg.Go(func() { is(t, "approve", b.Approve(ctx, p, who.AccountID, touches[i]), nil) })
	}
	wg.Wait()
	b.want(t, p, dualcontrol.Applied, 500)
	if n := b.applied.Load(); n != 1 {
		t.Errorf("applied %d times", n)
	}
}

func TestDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	for name, disable := range map[string]func(b *bundle, who dualcontroltest.Person) error{
		"account": func(b *bundle, who dualcontroltest.Person) error {
			u := b.Approvers[1].User()
			return b.Staff.Disable(context.Background(), who.AccountID, true, &u)
		},
		"key": func(b *bundle, who dualcontroltest.Person) error {
			keys, err := passkey.Keys(context.Background(), b.pool, who.AccountID, b.clock())
			return errors.Join(err, b.Keys.Revoke(context.Background(), keys[0].ID, "system"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.propose(t)
			asked, err := b.AskTouch(context.Background(), p, b.Approvers[0].AccountID)
			is(t, "ask", err, nil)
			late := b.propose(t)
			is(t, "before", b.ApproveBy(b.Approvers[0], late), nil)
			is(t, "disable", disable(b, b.Approvers[0]), nil)
			if err := b.Approve(context.Background(), p, b.Approvers[0].AccountID, b.Approvers[0].Key.Touch(asked)); err == nil {
				t.Error("approves")
			}
			// What was approved before does not count any more.
			is(t, "other", b.ApproveBy(b.Approvers[1], late), nil)
			b.want(t, late, dualcontrol.Open, 10)
		})
	}
}

func TestEndsOfAProposal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	one, two := b.Approvers[0], b.Approvers[1]
	refused, withdrawn, old := b.propose(t), b.propose(t), b.propose(t)
	is(t, "refuse", b.Refuse(ctx, refused, two.AccountID, "Nicht belegt"), nil)
	is(t, "refused", b.ApproveBy(one, refused), dualcontrol.ErrClosed)
	is(t, "another's", b.Withdraw(ctx, withdrawn, two.AccountID), dualcontrol.ErrNotFound)
	is(t, "withdraw", b.Withdraw(ctx, withdrawn, one.AccountID), nil)
	is(t, "first", b.ApproveBy(one, old), nil)
	b.pass(dualcontrol.Life)
	is(t, "too late", b.ApproveBy(two, old), dualcontrol.ErrClosed)
	if n, err := b.Expire(ctx); n != 1 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	b.want(t, refused, dualcontrol.Refused, 10)
	b.want(t, withdrawn, dualcontrol.Withdrawn, 10)
	b.want(t, old, dualcontrol.Expired, 10)
}

// A failed application leaves nothing of the second approval.
func TestApplyFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.propose(t)
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	b.fail = web.Fail(409, "x")
	if err := b.ApproveBy(b.Approvers[1], p); err == nil {
		t.Error("applied")
	}
	b.want(t, p, dualcontrol.Open, 10)
	b.fail = nil
	is(t, "again", b.ApproveBy(b.Approvers[1], p), nil)
	b.want(t, p, dualcontrol.Applied, 500)
}

// What a program could try with plain SQL.
func TestForgeriesInSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	p, other := b.propose(t), b.propose(t)
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	is(t, "other", b.ApproveBy(b.Approvers[1], other), nil)
	two := b.Approvers[1].AccountID
	for name, sql := range map[string]string{
		"guarded row":               `UPDATE public.guarded SET allowed = 500, proposal = $1 WHERE $2 <> ''`,
		"state":                     `UPDATE staff.proposal SET state = 'applied', closed_at = created_at WHERE id = $1 AND $2 <> ''`,
		"another's approval":        `UPDATE staff.approval SET account_id = $2 WHERE proposal_id = $1`,
		"approval taken over":       `UPDATE staff.approval SET proposal_id = $1 WHERE account_id = $2`,
		"approval without a touch":  `INSERT INTO staff.approval SELECT gen_random_uuid(), proposal_id, $2, credential_id, gen_random_uuid(), digest, at, NULL FROM staff.approval WHERE proposal_id = $1`,
		"with the touch of another": `INSERT INTO staff.approval SELECT gen_random_uuid(), $1, $2, t.credential_id, t.id, p.digest, t.at, NULL FROM staff.touch t, staff.proposal p WHERE t.account_id = $2 AND p.id = $1`,
		"touch of nothing":          `INSERT INTO staff.touch SELECT gen_random_uuid(), gen_random_uuid(), $2, k.id, 'approve', t.subject, t.nonce, t.client_data, t.auth_data, t.signature, t.at FROM staff.touch t, staff.credential k, staff.approval a WHERE a.proposal_id = $1 AND t.id = a.touch_id AND k.account_id = $2`,
		"key given on":              `UPDATE staff.credential SET account_id = $2 WHERE account_id <> $2 AND $1 <> ''`,
		"proposal deleted":          `DELETE FROM staff.proposal WHERE id = $1 AND $2 <> ''`,
		"touch changed":             `UPDATE staff.touch SET signature = 'x' WHERE $1 <> $2`,
		"born applied":              `INSERT INTO staff.proposal SELECT gen_random_uuid(), kind, subject, payload, why, proposed_by, barred, digest, 'applied', created_at, expires_at, created_at, NULL, '' FROM staff.proposal WHERE id = $1 AND $2 <> ''`,
	} {
		if _, err := b.pool.Exec(ctx, sql, p, two); !forbidden(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.want(t, p, dualcontrol.Open, 10)
}

// forbidden: refused by a named constraint and not because the statement is wrong.
func forbidden(err error) bool {
	for _, c := range []string{
		"guard", "proposal_two", "approval_keep", "approval_touch", "approval_digest", "touch_challenge", "touch_assertion", "touch_keep", "credential_keep", "proposal_keep", "proposal_opens",
	} {
		if pg.Violates(err, c) {
			return true
		}
	}
	return false
}

// A proof that was written past the program does not verify.
func TestForgedSignatureIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.propose(t)
	is(t, "first", b.ApproveBy(b.Approvers[0], p), nil)
	b.exec(t, `ALTER TABLE staff.touch DISABLE TRIGGER touch_keep`)
	b.exec(t, `UPDATE staff.touch SET signature = set_byte(signature, 12, get_byte(signature, 12) # 1)`)
	good, bad, err := b.VerifyAll(context.Background())
	if good != 0 || len(bad) != 1 || err != nil {
		t.Errorf("%d good, bad %v, %v", good, bad, err)
	}
}

// So is a key that was written past the program: nobody attests it.
func TestForgedKeyIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	p := b.propose(t)
	// A key in software, enrolled as the second approver's in plain SQL, with the
	// attestation of the genuine key.
	soft := passkeytest.NewMaker(t).NewKey()
	soft.Account = b.Approvers[1].AccountID
	b.exec(t, `INSERT INTO staff.credential (id, account_id, raw_id, public_key, name, aaguid, format, attestation, sign_count, transports, shown, nonce, client_data, attestation_object, created_at)
		SELECT gen_random_uuid(), account_id, $2, $3, 'Neu', aaguid, format, attestation, 0, transports, 'key', nonce, client_data, attestation_object, created_at
		FROM staff.credential WHERE account_id = $1`, soft.Account, soft.RawID, soft.PublicKey())
	is(t, "approves", b.ApproveBy(dualcontroltest.Person{AccountID: soft.Account, Key: soft}, p), nil)
	good, bad, err := b.VerifyAll(ctx)
	if good != 0 || len(bad) != 1 || err != nil {
		t.Errorf("%d good, bad %v, %v", good, bad, err)
	}
}
