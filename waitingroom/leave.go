package waitingroom

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// leaveWindow is how long a replica collects ends of stays, in a rush, before it
// writes them together; the one after a quiet moment is written at once.
const leaveWindow = time.Millisecond

// leavers collects the ends of stays of one room in this replica, as [joiner]
// does joins: a batch costs one statement and one command, however many are in it.
type leavers struct {
	mu   sync.Mutex
	next *leaveBatch // collecting; nil = nobody waits
	send sync.Mutex  // one batch at a time
	sent time.Time   // under send: when the last batch went off
}

type leaveBatch struct {
	places []Place
	done   chan struct{}
	err    error
}

// release writes that a stay is over, and then frees its seat.
func (s *Service) release(ctx context.Context, v *view, p Place) error {
	j := &v.leaving
	j.mu.Lock()
	b := j.next
	if b == nil {
		b = &leaveBatch{done: make(chan struct{})}
		j.next = b
		go s.sendLeavers(v, j, b)
	}
	b.places = append(b.places, p)
	j.mu.Unlock()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done(): // written all the same
		return ctx.Err()
	}
}

// sendLeavers closes b when the window of the batch before is over, and writes
// it. It outlives the request that began it, because others wait for it too.
func (s *Service) sendLeavers(v *view, j *leavers, b *leaveBatch) {
	j.send.Lock() // while the batch before is under way, this one goes on collecting
	defer j.send.Unlock()
	time.Sleep(leaveWindow - time.Since(j.sent))
	j.mu.Lock()
	j.next = nil
	j.mu.Unlock()
	j.sent = time.Now()
	defer close(b.done)
	b.err = s.endStays(context.Background(), v, b.places)
}

// endStays writes that stays are over, and then frees their seats. Ending one
// twice is no error.
func (s *Service) endStays(ctx context.Context, v *view, places []Place) error {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.ID()
	}
	// Nobody waits for the disk here: should Postgres die within its next
	// moments, the seats stay taken until the passes run out, and no bound breaks.
	tag, err := s.pool.Exec(ctx, `
		WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
		UPDATE waitingroom.pass SET released_at = $2 FROM quick WHERE id = ANY ($1) AND released_at IS NULL`, ids, s.roomNow())
	if err != nil {
		return fmt.Errorf("release passes: %w", err)
	}
	releases.WithLabelValues(v.id).Add(float64(tag.RowsAffected()))
	return s.leave(ctx, v, places...)
}
