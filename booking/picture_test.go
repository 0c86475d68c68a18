package booking

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// However many replicas look at the same time, one of them counts for all.
func TestPictureIsSharedByReplicas(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	const long = time.Hour // nobody counts again within the test
	first, err := b.s.sharedFree(b.ctx, long)
	b.ok(err)
	b.book(b.person(), list[0])
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			rows, err := b.s.sharedFree(b.ctx, long)
			if err != nil || !slices.Equal(rows, first) {
				t.Errorf("%v, %v; want the picture %v", rows, err, first)
			}
		})
	}
	wg.Wait()

	// The period is over: whoever comes first counts, the others see it.
	_, err = b.pool.Exec(b.ctx, `UPDATE booking.picture SET taken_at = taken_at - interval '55 minutes'`)
	b.ok(err)
	next, err := b.s.sharedFree(b.ctx, long)
	b.ok(err)
	own, err := b.s.freeSeries(b.ctx, b.pool, "", "")
	b.ok(err)
	if slices.Equal(next, first) || !slices.Equal(next, own) {
		t.Errorf("after the period %v, counted %v", next, own)
	}
	if rows, err := b.s.sharedFree(b.ctx, long); err != nil || !slices.Equal(rows, own) {
		t.Errorf("another replica sees %v, %v", rows, err)
	}
}

// A replica that holds the lock and hangs does not leave the others with an old
// picture for ever.
func TestPictureOfAReplicaThatHangs(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	first, err := b.s.sharedFree(b.ctx, time.Second)
	b.ok(err)
	hanging, err := b.pool.Begin(b.ctx)
	b.ok(err)
	defer func() { _ = hanging.Rollback(b.ctx) }()
	_, err = hanging.Exec(b.ctx, `SELECT pg_advisory_xact_lock($1)`, pictureLock)
	b.ok(err)
	b.book(b.person(), list[0])
	set := func(age string) {
		t.Helper()
		_, err := b.pool.Exec(b.ctx, `UPDATE booking.picture SET taken_at = clock_timestamp() - $1::interval`, age)
		b.ok(err)
	}
	set("2 minutes")
	if rows, err := b.s.sharedFree(b.ctx, time.Minute); err != nil || !slices.Equal(rows, first) {
		t.Errorf("while somebody counts: %v, %v", rows, err)
	}
	set("6 minutes")
	if rows, err := b.s.sharedFree(b.ctx, time.Minute); err != nil || slices.Equal(rows, first) {
		t.Errorf("for long: %v, %v", rows, err)
	}
}
