package issuer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer/registry"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/notify"
	"impfportal/programme"
	"impfportal/staff/dualcontrol/dualcontroltest"
)

var start = time.Date(2021, 7, 21, 8, 0, 0, 0, time.UTC) // 10 o'clock in Berlin, a Wednesday

type bench struct {
	*Service
	t       *testing.T
	desk    *dualcontroltest.Desk
	key     ed25519.PrivateKey
	mu      sync.Mutex
	now     time.Time
	raw     []byte // what the authority offers
	err     error  // or why it does not answer
	seq     int64
	says    []string // leaves
	alarmed []string
}

func (b *bench) clock() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }

func (b *bench) pass(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

func setup(t *testing.T) *bench {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, key: key, now: start}
	pool, v, rdb := pgtest.New(t), vault.ForTest(), redistest.New(t)
	b.desk = dualcontroltest.New(t, pool, rdb, b.clock)
	b.Service = New(Config{
		Pool: pool, Vault: v, Now: b.clock, Log: slog.New(slog.DiscardHandler), Limiter: redis_rate.NewLimiter(rdb),
		Notify: notify.New(notify.Config{Pool: pool, Vault: v, Now: b.clock, Local: true, Sender: []string{"Impfportal", "Musterstraße 1", "01067 Dresden"}}),
		Fetch:  func(context.Context) ([]byte, error) { return b.raw, b.err }, Authority: []crypto.PublicKey{key.Public()}, Grace: 24 * time.Hour,
		BaseURL: "https://impfen.example", Hotline: "0800", Staff: b.desk.Staff, Keys: b.desk.Keys, Dual: b.desk.Service,
		Alarmed: func(_ context.Context, _ pgx.Tx, ref, alarm string) error {
			b.alarmed = append(b.alarmed, ref+" "+alarm)
			return nil
		},
		Leaf: func(_ context.Context, _ pgx.Tx, _ string, l Leaf) error {
			b.says = append(b.says, l.Kind+" "+l.Detail["why"])
			return nil
		},
	})
	if err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error { return programme.SeedDemo(t.Context(), tx, start) }); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.Pool.Exec(b.t.Context(), sql, args...)
	b.ok(err)
}

func (b *bench) count(sql string, args ...any) (n int) {
	b.t.Helper()
	b.ok(b.Pool.QueryRow(b.t.Context(), sql, args...).Scan(&n))
	return n
}

func entry(entryID string) registry.Entry {
	return registry.Entry{
		ID: entryID, Name: "Apotheke " + entryID + " MUSTER", Street: "Markt 1", Postcode: "04109", City: "Leipzig", Kind: registry.Pharmacy,
		Licence: registry.LicenceValid, Region: "DE-SN", Keys: []string{fmt.Sprintf("%064x", []byte(entryID))},
		From: registry.Day{Time: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
}

func entriesOf(n int) (out []registry.Entry) {
	for i := range n {
		out = append(out, entry(fmt.Sprintf("A-%03d", i)))
	}
	return out
}

// offer lets the authority publish a list under the next sequence number.
func (b *bench) offer(list ...registry.Entry) {
	b.t.Helper()
	b.seq++
	b.offerAs(b.seq, b.key, list...)
}

func (b *bench) offerAs(seq int64, key crypto.Signer, list ...registry.Entry) {
	b.t.Helper()
	now := b.clock()
	raw, err := registry.Sign(registry.List{
		Authority: "Behörde MUSTER", Sequence: seq, IssuedAt: now.Add(-time.Minute), NextUpdate: now.Add(24 * time.Hour), Entries: list,
	}, key)
	b.ok(err)
	b.raw = raw
}

// pull looks at the registry and wants an outcome.
func (b *bench) pull(outcome, problem string) Pull {
	b.t.Helper()
	p, err := b.Pull(b.t.Context())
	b.ok(err)
	if p.Outcome != outcome || p.Problem != problem {
		b.t.Fatalf("pull: %s %s, wanted %s %s", p.Outcome, p.Problem, outcome, problem)
	}
	return p
}

func (b *bench) publish(list ...registry.Entry) Pull {
	b.t.Helper()
	b.offer(list...)
	return b.pull("applied", "")
}

// claim claims as somebody from a network of their own.
func (b *bench) claim(entryID string) error {
	return b.Claim(b.t.Context(), Claim{EntryID: entryID, Contact: Contact{"a@example.org", "Anke Beispiel"}, Lang: "de", Network: id.New()})
}

// letters does what the worker does with wishes for letters.
func (b *bench) letters() {
	b.t.Helper()
	rows, err := b.Pool.Query(b.t.Context(), `SELECT id::text FROM certificate.issuer WHERE state IN ('claimed', 'sent', 'suspended')`)
	b.ok(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.ok(err)
	for _, i := range ids {
		b.ok(b.writeLetter(b.t.Context(), i))
	}
}

func (b *bench) byEntry(entryID string) Issuer {
	b.t.Helper()
	list, err := collect(b.t.Context(), b.Pool, `WHERE i.entry_id = $1 ORDER BY i.created_at DESC`, entryID)
	b.ok(err)
	if len(list) == 0 {
		b.t.Fatalf("no issuer of %s", entryID)
	}
	return list[0]
}

func (b *bench) state(entryID string) string { b.t.Helper(); return b.byEntry(entryID).State }

// secret replaces the letter's code by one that the test knows.
func (b *bench) secret(entryID string) string {
	b.t.Helper()
	const known = "0123456789ABCDEFGH"
	s := knownCode(known)
	b.exec(`UPDATE certificate.issuer_code SET hash = $2 WHERE issuer_id = $1 AND used_at IS NULL AND void_at IS NULL`, b.byEntry(entryID).ID, b.codeHash(b.byEntry(entryID).ID, s))
	return s
}

func (b *bench) prove(entryID, secret string) error {
	_, err := b.Prove(b.t.Context(), Proof{EntryID: entryID, Code: secret, Contact: Contact{"o@example.org", "Olga Offizin"}, Lang: "de", Network: id.New()})
	return err
}

// fake lets a table say what two administrators' keys prove, so that a test can
// ask what the triggers of this package let through.
func (b *bench) fake() {
	b.t.Helper()
	b.exec(`CREATE TABLE staff.test_approved (proposal uuid, kind text, subject text, payload jsonb)`)
	b.exec(`CREATE OR REPLACE FUNCTION staff.approved_payload(proposal uuid, kind text, subject text) RETURNS jsonb LANGUAGE sql STABLE AS
		$$ SELECT payload FROM staff.test_approved a WHERE a.proposal = $1 AND a.kind = $2 AND a.subject = $3 $$`)
}

// approved makes a proposal that two administrators approved, after fake.
func (b *bench) approved(kind, subject, payload string) string {
	p := id.New()
	b.exec(`INSERT INTO staff.test_approved VALUES ($1, $2, $3, $4)`, p, kind, subject, payload)
	return p
}

// active brings an entry all the way.
func (b *bench) active(entryID string) Issuer {
	b.t.Helper()
	b.ok(b.claim(entryID))
	b.letters()
	b.ok(b.prove(entryID, b.secret(entryID)))
	b.activate(entryID)
	return b.byEntry(entryID)
}

// activate lets two administrators bring an issuer (back) to work.
func (b *bench) activate(entryID string) {
	b.t.Helper()
	p, err := b.Propose(b.t.Context(), b.byEntry(entryID).ID, "alles geprüft", b.desk.Approvers[0].AccountID)
	b.ok(err)
	b.ok(b.desk.ApproveByTwo(p))
	if b.state(entryID) != Active {
		b.t.Fatal(b.state(entryID))
	}
}

// attempt is one more person with a dose.
func (b *bench) attempt(i Issuer, change ...func(*Attempt)) error {
	a := Attempt{IssuerID: i.ID, Operator: "op", Path: PathWeb, Basis: BasisSeen, ProductID: "comirnaty", LotNumber: "EX3599", Day: today(b.clock()), Person: []byte(id.New()), At: b.clock()}
	for _, c := range change {
		c(&a)
	}
	return pg.InTx(context.Background(), b.Pool, func(tx pgx.Tx) error { return b.Authorize(context.Background(), tx, a) })
}

func given(lot string) func(*Attempt) {
	return func(a *Attempt) { a.Basis, a.LotNumber = BasisGiven, lot }
}

func (b *bench) declare(i Issuer, lot string, doses int) {
	b.t.Helper()
	b.ok(b.Declare(b.t.Context(), i.ID, Receipt{"comirnaty", lot, doses, today(b.clock())}, "staff:test"))
}

// wide gives an issuer limits that nothing in a test reaches.
func (b *bench) wide(i Issuer) {
	b.t.Helper()
	p, err := b.SetLimits(b.t.Context(), i.ID, Limits{100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 1_000_000}, "für den Test", b.desk.Approvers[1].AccountID)
	b.ok(err)
	b.ok(b.desk.ApproveByTwo(p))
}

func same(t *testing.T, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if !bytes.Equal(g, w) {
		t.Errorf("got %s, want %s", g, w)
	}
}
