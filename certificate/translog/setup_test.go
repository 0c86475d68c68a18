package translog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/vault"
)

// bundle is a log with its owner: what it was told of.
type bundle struct {
	*Log
	t    testing.TB
	mu   sync.Mutex
	told map[string]int
	now  time.Time
	fail error // what OnSequenced returns
}

const testOrigin = "localhost/certificates/log"

func setup(t testing.TB) *bundle {
	t.Helper()
	return setupAt(t, pgtest.New(t), t.TempDir())
}

// setupAt is the log of a database, with key and witness file in a folder.
func setupAt(t testing.TB, pool *pgxpool.Pool, dir string) *bundle {
	t.Helper()
	key, err := OpenKey(KeyConfig{Local: true, Dir: dir, Origin: testOrigin})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, told: map[string]int{}, now: time.Date(2021, 6, 14, 8, 0, 0, 0, time.UTC)}
	b.Log = New(Config{
		Pool: pool, Vault: vault.ForTest(), Now: b.clock, Key: key, Witness: filepath.Join(dir, "witness.txt"),
		OnSequenced: func(_ context.Context, _ pgx.Tx, refs []string) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.fail != nil {
				return b.fail
			}
			for _, r := range refs {
				b.told[r]++
			}
			return nil
		},
	})
	return b
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

// leafOf is the leaf of the i-th certificate.
func (b *bundle) leafOf(i int) Leaf {
	digest := sha256.Sum256(fmt.Appendf(nil, "payload %d", i))
	return Leaf{
		Kind: KindCertificate, Subject: fmt.Sprintf("certificate:%d", i), Digest: digest[:],
		Issuer: b.Pseudonym("issuer", "centre:leipzig"), Operator: b.Pseudonym("operator", "staff:7"),
		Day: time.Date(2021, 6, 14, 0, 0, 0, 0, time.UTC), Detail: map[string]string{"basis": "given"},
	}
}

func (b *bundle) append(leaves ...Leaf) error {
	return pg.InTx(context.Background(), b.Pool, func(tx pgx.Tx) error {
		for _, l := range leaves {
			if err := b.Append(context.Background(), tx, l.Subject, l); err != nil {
				return err
			}
		}
		return nil
	})
}

// fill appends and sequences leaves from up to before to.
func (b *bundle) fill(from, to int) {
	b.t.Helper()
	for i := from; i < to; i++ {
		if err := b.append(b.leafOf(i)); err != nil {
			b.t.Fatal(err)
		}
	}
	if n, err := b.Sequence(context.Background()); err != nil || n != to-from {
		b.t.Fatalf("sequenced %d of %d, %v", n, to-from, err)
	}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.Pool.Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// bypass does what a superuser can: change rows past the triggers.
func (b *bundle) bypass(sql string, args ...any) {
	b.t.Helper()
	err := pg.InTx(context.Background(), b.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SET LOCAL session_replication_role = 'replica'`); err != nil {
			return err
		}
		_, err := tx.Exec(context.Background(), sql, args...)
		return err
	})
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) alarms(kind string) (out []Alarm) {
	b.t.Helper()
	list, err := Alarms(context.Background(), b.Pool, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, a := range list {
		if a.Kind == kind {
			out = append(out, a)
		}
	}
	return out
}

func (b *bundle) witnessFile() []Checkpoint {
	b.t.Helper()
	text, err := os.ReadFile(b.Witness)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := ReadWitness(bytes.NewReader(text), b.Key.Verifier())
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}
