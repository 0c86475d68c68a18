package pg_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
)

// Two programs that start at the same moment on an empty database: one
// applies all migrations, the other waits and finds nothing to do.
func TestTwoStartersMigrateOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.EmptyURL(t)
	var (
		wg      sync.WaitGroup
		applied [2]int
	)
	for i := range applied {
		wg.Go(func() {
			pool, err := pg.Open(ctx, url, 4)
			if err != nil {
				t.Error(err)
				return
			}
			defer pool.Close()
			if applied[i], err = pg.Migrate(ctx, pool); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if min(applied[0], applied[1]) != 0 || max(applied[0], applied[1]) < 10 {
		t.Errorf("applied %v", applied)
	}
}

func TestInTx(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), pgtest.New(t)
	put := func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO jobs.period (job, period, started_at) VALUES ('x', '2021-01-01', now())`)
		return err
	}
	count := func() (n int) {
		if err := pool.QueryRow(ctx, `SELECT count(*) FROM jobs.period`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	stop := errors.New("stop")
	if err := pg.InTx(ctx, pool, func(tx pgx.Tx) error { return errors.Join(put(tx), stop) }); !errors.Is(err, stop) || count() != 0 {
		t.Errorf("after an error: %v, %d rows", err, count())
	}
	func() {
		defer func() { _ = recover() }()
		_ = pg.InTx(ctx, pool, func(tx pgx.Tx) error {
			if err := put(tx); err != nil {
				return err
			}
			panic("x")
		})
	}()
	if count() != 0 {
		t.Error("a panic committed")
	}
	if err := pg.InTx(ctx, pool, put); err != nil || count() != 1 {
		t.Errorf("%v, %d rows", err, count())
	}
	if err := pg.InTx(ctx, pool, put); !pg.IsUnique(err) || !pg.Violates(err, "period_pkey") || pg.Violates(err, "other") {
		t.Errorf("violation not told: %v", err)
	}
}
