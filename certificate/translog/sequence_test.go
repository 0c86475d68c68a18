package translog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
)

func TestAppendOnce(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	for range 2 { // before and after it has its place
		if err := b.append(b.leafOf(1), b.leafOf(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if now, err := b.Newest(ctx); err != nil || now.Size != 1 || b.told["certificate:1"] != 1 {
		t.Errorf("%d leaves, told %d times, %v", now.Size, b.told["certificate:1"], err)
	}

	other := b.leafOf(2)
	other.Subject = "certificate:1"
	if err := b.append(other); !errors.Is(err, ErrOther) {
		t.Errorf("another digest under the same reference: %v", err)
	}
	// A rewritten signature (r, n-s) has the same signed digest: whoever tries to log
	// it as another certificate is refused, also as a re-issue.
	for _, kind := range []string{KindCertificate, KindReissue} {
		again := b.leafOf(1)
		again.Subject, again.Kind = "certificate:forged", kind
		if err := b.append(again); !errors.Is(err, ErrOther) {
			t.Errorf("second leaf of what was signed, %s: %v", kind, err)
		}
	}
	revoked := b.leafOf(1)
	revoked.Subject, revoked.Kind = "revocation:1", KindRevocation
	if err := b.append(revoked); err != nil {
		t.Errorf("a revocation has the digest of its certificate: %v", err)
	}
	// A transaction that is rolled back leaves nothing.
	stop := errors.New("stop")
	err := pg.InTx(ctx, b.Pool, func(tx pgx.Tx) error {
		return errors.Join(b.Append(ctx, tx, "certificate:9", b.leafOf(9)), stop)
	})
	if n, seqErr := b.Sequence(ctx); !errors.Is(err, stop) || seqErr != nil || n != 1 {
		t.Errorf("%v, sequenced %d, %v", err, n, seqErr)
	}
}

// For random batches every proof of every size verifies with tlog's checkers,
// and the stored hashes are those that tlog computes from the leaves.
func TestAllProofsVerify(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		b := setupAt(t, pool, t.TempDir())
		b.bypass(`TRUNCATE certificate.log_leaf, certificate.log_hash, certificate.log_checkpoint; UPDATE certificate.log_told SET upto = 0`)
		roots := map[int64]tlog.Hash{}
		for size := 0; size < 40; {
			n := rapid.IntRange(1, 12).Draw(rt, "leaves")
			b.fill(size, size+n)
			size += n
			now, err := b.Newest(ctx)
			if err != nil || now.Size != int64(size) {
				rt.Fatalf("size %d, %v", now.Size, err)
			}
			roots[now.Size] = now.Root
		}
		if _, err := b.Check(ctx); err != nil {
			rt.Fatal(err)
		}
		last := int64(0)
		for size, root := range roots {
			last = max(last, size)
			index := rapid.Int64Range(0, size-1).Draw(rt, "index")
			leaves, err := Leaves(ctx, pool, index, 1)
			if err != nil {
				rt.Fatal(err)
			}
			proof, err := Inclusion(ctx, pool, index, size)
			if err != nil {
				rt.Fatal(err)
			}
			if err := tlog.CheckRecord(proof, size, root, index, leaves[0].Hash()); err != nil {
				rt.Fatalf("leaf %d of %d: %v", index, size, err)
			}
			for later, laterRoot := range roots {
				if later < size {
					continue
				}
				proof, err := Consistency(ctx, pool, size, later)
				if err != nil {
					rt.Fatal(err)
				}
				if err := tlog.CheckTree(proof, later, laterRoot, size, root); err != nil {
					rt.Fatalf("%d to %d: %v", size, later, err)
				}
			}
		}
		for _, c := range b.witnessFile() {
			if roots[c.Size] != c.Root {
				rt.Fatalf("witnessed %d with another root", c.Size)
			}
		}
		if _, err := Inclusion(ctx, pool, 0, last+1); !errors.Is(err, ErrRange) {
			rt.Fatalf("a proof of the future: %v", err)
		}
	})
}

// Many append while several sequencers run: every leaf once, told once, indices
// without holes.
func TestManySequencers(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	other := setupAt(t, b.Pool, t.TempDir()) // another machine: its own witness file, the same key
	other.Key, other.witness.key, other.OnSequenced = b.Key, b.Key.Verifier(), b.OnSequenced
	const writers, each = 4, 25
	var wg sync.WaitGroup
	var writing atomic.Int64
	writing.Store(writers)
	for w := range writers {
		wg.Go(func() {
			defer writing.Add(-1)
			for i := range each {
				if err := b.append(b.leafOf(w*each + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, l := range []*Log{b.Log, other.Log, b.Log} {
		wg.Go(func() {
			for writing.Load() > 0 {
				if _, err := l.Sequence(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, l := range []*Log{b.Log, other.Log} {
		if _, err := l.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := b.Check(ctx); err != nil || n != writers*each {
		t.Fatalf("checked %d, %v", n, err)
	}
	for i := range writers * each {
		if ref := fmt.Sprintf("certificate:%d", i); b.told[ref] != 1 {
			t.Errorf("%s was told %d times", ref, b.told[ref])
		}
	}
}

// cutter cancels a context at the n-th statement, as a killed process would stop
// there.
type cutter struct {
	left   atomic.Int64
	cancel atomic.Pointer[context.CancelFunc]
}

func (c *cutter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if cancel := c.cancel.Load(); cancel != nil && c.left.Add(-1) == 0 {
		(*cancel)()
	}
	return ctx
}

func (c *cutter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A sequencer that stops at any of its statements leaves a log that the next one
// completes: no leaf lost, none twice, every witnessed state kept.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	cut := &cutter{}
	cfg := b.Pool.Config().Copy()
	cfg.ConnConfig.Tracer = cut
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	whole, leaves := 0, 0
	for at := int64(1); whole < 2; at++ {
		for range 3 {
			if err := b.append(b.leafOf(leaves)); err != nil {
				t.Fatal(err)
			}
			leaves++
		}
		killed := New(b.Config) // a fresh process: it remembers nothing
		killed.Pool = pool
		cutCtx, cancel := context.WithCancel(ctx)
		cut.left.Store(at)
		cut.cancel.Store(&cancel)
		_, err := killed.Sequence(cutCtx)
		cut.cancel.Store(nil)
		if err == nil && cut.left.Load() > 0 {
			whole++
		}
		cancel()
		next := New(b.Config)
		deadline := time.Now().Add(20 * time.Second) // the server may notice the broken connection a moment later
		for {
			now, err := next.Newest(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := next.Sequence(ctx); err != nil && !pg.IsLockTimeout(err) {
				t.Fatalf("after a stop at statement %d: %v", at, err)
			}
			if now.Size == int64(leaves) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after a stop at statement %d: %d of %d leaves", at, now.Size, leaves)
			}
		}
	}
	if n, err := b.Check(ctx); err != nil || n != int64(leaves) {
		t.Fatalf("checked %d of %d, %v", n, leaves, err)
	}
	for i := range leaves {
		if ref := fmt.Sprintf("certificate:%d", i); b.told[ref] < 1 {
			t.Errorf("%s was never told", ref)
		}
	}
	for _, c := range b.witnessFile() {
		if root, err := RootAt(ctx, b.Pool, c.Size); err != nil || root != c.Root {
			t.Errorf("witnessed state of %d leaves is not in the log: %v", c.Size, err)
		}
	}
	if list, err := Alarms(ctx, b.Pool, 10); err != nil || len(list) > 0 && list[0].Kind != AlarmWitnessNew {
		t.Errorf("alarms %+v, %v", list, err)
	}
}

// An owner that fails is told again; the log goes on.
func TestOwnerFails(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	b.fail = errors.New("not now")
	if err := b.append(b.leafOf(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sequence(ctx); !errors.Is(err, b.fail) {
		t.Fatalf("%v", err)
	}
	b.fail = nil
	b.fill(1, 3)
	if len(b.told) != 3 {
		t.Errorf("told %v", b.told)
	}
}

// What was torn by a crash while the witness file was written counts for
// nothing, and is written again.
func TestTornWitness(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(0, 3)
	block, err := os.ReadFile(b.Witness)
	if err != nil {
		t.Fatal(err)
	}
	size := 3
	for cut := 1; cut < len(block); cut += 20 {
		f, err := os.OpenFile(b.Witness, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(block[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		b.Log = New(b.Config) // started again
		b.fill(size, size+2)
		size += 2
		if list := b.witnessFile(); list[len(list)-1].Size != int64(size) {
			t.Fatalf("cut at %d: the last witnessed state has %d of %d leaves", cut, list[len(list)-1].Size, size)
		}
	}
}
