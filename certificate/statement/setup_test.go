package statement

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/vault"
)

// bench is a service over a log that the test writes.
type bench struct {
	*Service
	t   testing.TB
	mu  sync.Mutex
	now time.Time
	n   int // leaves appended
}

var begun = time.Date(2021, 6, 14, 8, 0, 0, 0, time.UTC)

func (b *bench) clock() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }

func (b *bench) at(year int, month time.Month, day int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = clock.At(time.Date(year, month, day, 0, 0, 0, 0, time.UTC), 12, 0)
}

var parties = []Party{
	{Ref: "issuer:018f0000-0000-7000-8000-000000000001", Kind: "pharmacy", Name: "Löwen-Apotheke MUSTER", Address: []string{"Markt 1", "04109 Leipzig"}, Lang: "de"},
	{Ref: "issuer:018f0000-0000-7000-8000-000000000002", Kind: "practice", Name: "Dr. Beispiel MUSTER", Address: []string{"Ring 2", "01067 Dresden"}, Lang: "en"},
	{Ref: "centre:leipzig", Kind: "centre", Name: "Impfzentrum Leipzig", Address: []string{"Messe 1", "04356 Leipzig"}, Lang: "de"},
}

func setup(t testing.TB) *bench { t.Helper(); return setupOn(t, pgtest.New(t), t.TempDir()) }

func setupOn(t testing.TB, pool *pgxpool.Pool, dir string) *bench {
	t.Helper()
	b := &bench{t: t, now: begun}
	key, err := translog.OpenKey(translog.KeyConfig{Local: true, Dir: dir, Origin: "portal.test/certificates/log"})
	b.ok(err)
	b.Service = New(Config{
		Pool: pool, Now: b.clock, Log: translog.New(translog.Config{Pool: pool, Vault: vault.ForTest(), Now: b.clock, Key: key, Witness: filepath.Join(dir, "witness")}),
		Parties: func(context.Context, pg.Querier) ([]Party, error) { return parties, nil },
		Sender:  []string{"Impfportal Sachsen (MUSTER)", "Musterstraße 1", "01067 Dresden"}, Mark: "MUSTER", BaseURL: "https://portal.test",
	})
	return b
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// leaf is a leaf of a kind of an issuer, of its own digest.
func (b *bench) leaf(kind string, party int, detail map[string]string) translog.Leaf {
	b.n++
	digest := sha256.Sum256(fmt.Append(nil, b.n))
	d := map[string]string{"issuer_kind": parties[party].Kind}
	for k, v := range detail {
		d[k] = v
	}
	return translog.Leaf{
		Kind: kind, Subject: fmt.Sprintf("certificate:%d", b.n), Digest: digest[:], Issuer: b.Log.Pseudonym("issuer", parties[party].Ref), Day: clock.Day(b.clock()), Detail: d,
	}
}

func (b *bench) issue(party int, basis string) translog.Leaf {
	return b.leaf(translog.KindCertificate, party, map[string]string{"basis": basis})
}

func (b *bench) reissue(party int, of translog.Leaf) translog.Leaf {
	return b.leaf(translog.KindReissue, party, map[string]string{"basis": of.Detail["basis"], "replaces": hex.EncodeToString(of.Digest)})
}

func (b *bench) revoke(party int, of translog.Leaf, reason string, replaced bool) translog.Leaf {
	d := map[string]string{"reason": reason}
	if replaced {
		d["replaced"] = "yes"
	}
	l := b.leaf(translog.KindRevocation, party, d)
	l.Digest, l.Subject = of.Digest, of.Subject
	return l
}

// log appends leaves and gives them their places.
func (b *bench) log(leaves ...translog.Leaf) {
	b.t.Helper()
	b.ok(pg.InTx(b.t.Context(), b.Pool, func(tx pgx.Tx) error {
		for _, l := range leaves {
			b.n++
			ref := l.Subject
			if l.Kind == translog.KindRevocation {
				ref = fmt.Sprintf("revocation:%d", b.n)
			}
			if err := b.Log.Append(b.t.Context(), tx, ref, l); err != nil {
				return err
			}
		}
		return nil
	}))
	_, err := b.Log.Sequence(b.t.Context())
	b.ok(err)
}

func (b *bench) run() {
	b.t.Helper()
	_, err := b.Run(b.t.Context())
	b.ok(err)
}

// of is an issuer's statement of a month with its lines.
func (b *bench) of(party int, month string) (Statement, []Line) {
	b.t.Helper()
	m, err := time.Parse("2006-01", month)
	b.ok(err)
	list, err := OfMonth(b.t.Context(), b.Pool, m, parties[party].Ref)
	b.ok(err)
	if len(list) != 1 {
		b.t.Fatalf("%d statements", len(list))
	}
	lines, err := b.Lines(b.t.Context(), list[0])
	b.ok(err)
	return list[0], lines
}
