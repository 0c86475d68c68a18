package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"impfportal/internal/await"
	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
)

type payload struct{ N int }

var thing = jobs.Define[payload]("test.thing")

type bundle struct {
	pool *pgxpool.Pool
	rdb  redis.UniversalClient
	mux  *jobs.Mux
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return &bundle{pool: pgtest.New(t), rdb: redistest.New(t), mux: jobs.NewMux()}
}

// run starts a worker until the test ends.
func (b *bundle) run(t *testing.T) (stop func()) {
	t.Helper()
	w := jobs.NewWorker(b.pool, b.rdb, b.mux, nil, clock.Shifted(0), slog.New(slog.DiscardHandler), 4)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

func (b *bundle) enqueue(t *testing.T, n int, fail bool) {
	t.Helper()
	err := pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) error {
		if err := thing.Enqueue(context.Background(), tx, payload{n}); err != nil {
			return err
		}
		if fail {
			return errors.New("rolled back")
		}
		return nil
	})
	if (err != nil) != fail {
		t.Fatal(err)
	}
}

func (b *bundle) count(t *testing.T, where string) int {
	t.Helper()
	var n int
	if err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM jobs.outbox WHERE `+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTaskExistsWhenItsTransactionCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var sum atomic.Int64
	jobs.Handle(b.mux, thing, func(_ context.Context, p payload) error { sum.Add(int64(p.N)); return nil })
	b.enqueue(t, 1, false)
	b.enqueue(t, 100, true)
	b.run(t)
	b.enqueue(t, 10, false)
	await.True(t, "both tasks done", func() bool { return b.count(t, "done_at IS NOT NULL") == 2 })
	if sum.Load() != 11 {
		t.Errorf("sum %d", sum.Load())
	}
}

func TestFailureIsTriedAgainAndPermanentIsNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var tries, useless atomic.Int64
	jobs.Handle(b.mux, thing, func(_ context.Context, p payload) error {
		if p.N == 2 {
			useless.Add(1)
			return jobs.Permanent(errors.New("never"))
		}
		if tries.Add(1) == 1 {
			panic("first time")
		}
		return nil
	})
	b.enqueue(t, 1, false)
	b.enqueue(t, 2, false)
	b.run(t)
	await.True(t, "done and failed", func() bool { return b.count(t, "done_at IS NOT NULL") == 1 && b.count(t, "failed_at IS NOT NULL") == 1 })
	if useless.Load() != 1 {
		t.Errorf("a permanent failure was tried %d times", useless.Load())
	}
}

// Redis forgets everything after the task was handed over: the reconciler
// brings it back under the next attempt.
func TestLosingRedisLosesNoTask(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	var done atomic.Int64
	jobs.Handle(b.mux, thing, func(context.Context, payload) error { done.Add(1); return nil })
	b.enqueue(t, 1, false)
	w := jobs.NewWorker(b.pool, b.rdb, b.mux, nil, clock.Shifted(0), slog.New(slog.DiscardHandler), 1)
	if n, err := w.Relay(ctx); err != nil || n != 1 {
		t.Fatalf("relay: %d, %v", n, err)
	}
	if err := b.rdb.FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Redrive(ctx); err != nil || n != 0 {
		t.Fatalf("re-driven too early: %d, %v", n, err)
	}
	if _, err := b.pool.Exec(ctx, `UPDATE jobs.outbox SET enqueued_at = enqueued_at - interval '2 minutes'`); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Redrive(ctx); err != nil || n != 1 {
		t.Fatalf("re-drive: %d, %v", n, err)
	}
	b.run(t)
	await.True(t, "the task is done", func() bool { return b.count(t, "done_at IS NOT NULL AND attempt = 2") == 1 })
	if done.Load() != 1 {
		t.Errorf("handled %d times", done.Load())
	}
}

// The relay dies between hand-over and commit: the next one hands over again
// and the task runs once, because its row says done.
func TestRelayTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	var done atomic.Int64
	jobs.Handle(b.mux, thing, func(context.Context, payload) error { done.Add(1); return nil })
	b.enqueue(t, 1, false)
	w := jobs.NewWorker(b.pool, b.rdb, b.mux, nil, clock.Shifted(0), slog.New(slog.DiscardHandler), 1)
	for range 2 {
		if n, err := w.Relay(ctx); err != nil || n != 1 {
			t.Fatalf("relay: %d, %v", n, err)
		}
		if _, err := b.pool.Exec(ctx, `UPDATE jobs.outbox SET enqueued_at = NULL WHERE done_at IS NULL`); err != nil {
			t.Fatal(err)
		}
	}
	b.run(t)
	await.True(t, "the task is done", func() bool { return b.count(t, "done_at IS NOT NULL") == 1 })
	if done.Load() != 1 {
		t.Errorf("handled %d times", done.Load())
	}
}

func TestPeriodicRunsOncePerPeriod(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Date(2021, 1, 11, 2, 0, 0, 0, time.UTC) // 03:00 in Berlin
	var runs atomic.Int64
	p := jobs.Periodic{Name: "test", Daily: "03:15", Run: func(context.Context, time.Time) error { runs.Add(1); return nil }}
	worker := func() *jobs.Worker {
		return jobs.NewWorker(b.pool, b.rdb, b.mux, nil, clock.Fixed(now), slog.New(slog.DiscardHandler), 1)
	}
	all := func() {
		t.Helper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := worker().RunPeriodic(context.Background(), p); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all()
	if runs.Load() != 1 {
		t.Fatalf("yesterday's run: %d", runs.Load())
	}
	now = now.Add(20 * time.Minute)
	all()
	all()
	if runs.Load() != 2 {
		t.Errorf("today's run: %d", runs.Load())
	}
}
