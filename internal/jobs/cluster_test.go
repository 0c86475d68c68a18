package jobs_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest/topology"
)

// TestTasksOnACluster: tasks go through a cluster, also over the loss of the
// node that has the queue.
func TestTasksOnACluster(t *testing.T) {
	t.Parallel()
	c := topology.NewCluster(t)
	pool := pgtest.New(t)
	var done atomic.Int64
	mux := jobs.NewMux()
	jobs.Handle(mux, thing, func(context.Context, payload) error { done.Add(1); return nil })
	w := jobs.NewWorker(pool, c.Client(), mux, nil, clock.Shifted(0), slog.New(slog.DiscardHandler), 4)
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	enqueue := func(n int) {
		t.Helper()
		err := pg.InTx(ctx, pool, func(tx pgx.Tx) error { return thing.Enqueue(ctx, tx, payload{n}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		enqueue(i)
	}
	topology.Await(t, "the tasks are done", func() bool { return done.Load() >= 20 })
	at := c.Master("asynq:{outbox}:pending")
	c.Masters[at].Kill()
	enqueue(21)
	c.AwaitFailover(at)
	topology.Await(t, "the task is done by the replica", func() bool { return done.Load() >= 21 })
}
