package certificate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate/dcc"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/vault"
	"impfportal/notify"
)

var issuedAt = time.Date(2021, 7, 19, 10, 30, 0, 0, time.UTC)

var sample = dcc.Vaccination{
	ProductID: "comirnaty", Place: "leipzig", DoseNumber: 2, DosesTotal: 2,
	Day:        time.Date(2021, 7, 19, 0, 0, 0, 0, time.UTC),
	FamilyName: "Musterfrau-Gößinger", GivenName: "Gabriele Jiřina", Birth: "1998-02-26",
}

func keyConfig(t testing.TB) signing.Config {
	return signing.Config{Local: true, Dir: filepath.Join(t.TempDir(), "keys"), Master: bytes.Repeat([]byte{7}, 32), Issuer: "MUSTER Impfportal", Now: issuedAt}
}

func openKeys(t testing.TB, cfg signing.Config) *signing.Keys {
	t.Helper()
	k, err := signing.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// bench is a service over a database of its own with records that the test
// makes up.
type bench struct {
	*Service
	t        testing.TB
	mu       sync.Mutex
	records  map[string]Vaccination
	void     map[string]bool
	log      *translog.Log
	stopped  bool
	held     map[string]bool // issuers that may not issue any more
	failures []string
	now      time.Time
	told     []notify.Message // committed or not
}

func setup(t testing.TB) *bench {
	t.Helper()
	return setupOn(t, pgtest.New(t))
}

func setupOn(t testing.TB, pool *pgxpool.Pool) *bench {
	t.Helper()
	b := &bench{t: t, records: map[string]Vaccination{}, void: map[string]bool{}, now: issuedAt}
	dir := t.TempDir()
	logKey, err := translog.OpenKey(translog.KeyConfig{Local: true, Dir: dir, Origin: "portal.test/certificates/log"})
	if err != nil {
		t.Fatal(err)
	}
	b.log = translog.New(translog.Config{
		Pool: pool, Vault: vault.ForTest(), Now: b.clock, Key: logKey, Witness: filepath.Join(dir, "witness"),
		OnSequenced: func(ctx context.Context, tx pgx.Tx, refs []string) error { return b.Sequenced(ctx, tx, refs) },
	})
	s, err := New(Config{
		Pool: pool, Vault: vault.ForTest(), Keys: openKeys(t, keyConfig(t)), Now: b.clock, Issuer: "MUSTER Impfportal Sachsen",
		PublicURL: "https://portal.test", Log: slog.New(slog.DiscardHandler), Source: Source{Record: b.record, OfPerson: b.ofPerson}, Send: b.send,
		Transparency: b.log, Revocations: revocation.New(b.log), Stop: b,
		Holds: func(_ context.Context, _ pg.Querier, issuerRef string) (bool, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.held[issuerRef], nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Service = s
	s.Revocations.Told = s.Revoked
	return b
}

// Check and Fail are the switch.
func (b *bench) Check(context.Context, pgx.Tx, stop.Subject) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return stop.ErrStopped
	}
	return nil
}

func (b *bench) Fail(_ context.Context, _ pgx.Tx, issuerRef, _ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, issuerRef)
	return nil
}

func (b *bench) clock() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return clock.Fixed(b.now)() }

func (b *bench) record(_ context.Context, _ pg.Querier, recordID string) (Vaccination, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.records[recordID]
	switch {
	case !ok:
		return v, ErrGone
	case b.void[recordID]:
		return v, ErrVoid
	}
	return v, nil
}

func (b *bench) ofPerson(_ context.Context, _ pg.Querier, personID string) (out []Vaccination, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.records {
		if v.PersonID == personID {
			out = append(out, v)
		}
	}
	return out, nil
}

func (b *bench) send(_ context.Context, _ pgx.Tx, to notify.Recipient, m notify.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if to.KeyID == "" {
		return errors.New("no key")
	}
	b.told = append(b.told, m)
	return nil
}

// vaccinate makes a record up.
func (b *bench) vaccinate(change func(*Vaccination)) Vaccination {
	b.t.Helper()
	v := Vaccination{Vaccination: sample}
	v.RecordID, v.PersonID, v.Email, v.Lang = id.New(), id.New(), "erika@example.org", "de"
	v.Origin = Origin{IssuerRef: "centre:leipzig", IssuerKind: "centre", Region: "04", Path: "site", Basis: "given", Operator: "anna", LotNumber: "EM0477"}
	err := pg.InTx(b.t.Context(), b.Pool, func(tx pgx.Tx) error {
		key, err := b.Vault.NewKey(b.t.Context(), tx)
		v.KeyID = key.ID
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if change != nil {
		change(&v)
	}
	b.put(v)
	return v
}

func (b *bench) put(v Vaccination) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records[v.RecordID] = v
}

// make does what task, sequencer and release do together.
func (b *bench) make(v Vaccination) {
	b.t.Helper()
	if err := b.whole(v); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) whole(v Vaccination) error {
	if err := b.Make(b.t.Context(), v.RecordID); err != nil {
		return err
	}
	if err := b.sequence(b.t.Context(), v); err != nil {
		return err
	}
	return b.Make(b.t.Context(), v.RecordID)
}

// sequence gives every leaf its place. Who finds another sequencer at work
// has to come again.
func (b *bench) sequence(ctx context.Context, _ Vaccination) error {
	_, err := b.log.Sequence(ctx)
	return err
}

func (b *bench) list(v Vaccination) []Certificate {
	b.t.Helper()
	list, err := b.OfPerson(b.t.Context(), b.Pool, v.PersonID)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bench) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.Pool.QueryRow(b.t.Context(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// exactlyOne demands one released, verifiable certificate of a record, one
// entry in the audit and one message.
func (b *bench) exactlyOne(v Vaccination) Certificate {
	b.t.Helper()
	list := b.list(v)
	if len(list) != 1 || !list[0].Ready() {
		b.t.Fatalf("certificates of the person: %+v", list)
	}
	c := list[0]
	d, err := dcc.Decode(c.HC1)
	if err != nil {
		b.t.Fatal(err)
	}
	dsc := b.Keys.DSC(c.KID)
	if err := errors.Join(d.Verify(dsc), d.ValidAt(b.clock(), dsc)); err != nil {
		b.t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1`, v.RecordID); n != 1 {
		b.t.Fatalf("%d rows", n)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'certificate.released' AND subject = $1`, "certificate:"+c.ID); n != 1 {
		b.t.Fatalf("%d entries in the audit", n)
	}
	return c
}

// revoke revokes a certificate, as staff do.
func (b *bench) revoke(certificateID string, why revocation.Reason) error {
	ctx := context.Background()
	return pg.InTx(ctx, b.Pool, func(tx pgx.Tx) error {
		return b.Revocations.Revoke(ctx, tx, revocation.Revocation{CertificateID: certificateID, Reason: why, Actor: "staff:a", Role: "admin", At: b.clock()})
	})
}
