package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// joinWindow is how long a replica collects joins, in a rush, before it numbers
// them in one command; who comes after a quiet moment is numbered at once. Only
// within it may the order of two arrivals differ between replicas.
const joinWindow = 2 * time.Millisecond

// joinPatience bounds how long a batch is tried once it is its turn.
const joinPatience = 3 * time.Second

// joiner collects the joins of one room in this replica.
type joiner struct {
	mu   sync.Mutex
	next *joinBatch // collecting; nil = nobody waits
	send sync.Mutex // one batch at a time, so that the script needs to remember only the last
	seq  int64      // under send
	sent time.Time  // under send: when the last batch went off
}

// joinBatch is numbered by one command. Whoever comes is its n-th.
type joinBatch struct {
	n      int64
	done   chan struct{}
	first  int64
	epoch  int64
	cohort int64
	err    error
}

// cohort is what a place that is taken now belongs to. The number was given
// out under this version of the room, so none of a drawn cohort comes after its
// pre-queue has closed.
func (r Room) cohort(lane Lane) int64 {
	switch {
	case lane == Behind:
		return CohortBehind
	case r.Phase == PreQueue && r.Draw:
		return CohortDrawn
	}
	return CohortLive
}

// Join takes the next place of the line for the browser whose key has this hash:
// of cohort CohortDrawn while a pre-queue that will be drawn is open, else of
// CohortLive. It returns ErrNoRoom, ErrNotTaking, ErrUnavailable.
func (s *Service) Join(ctx context.Context, roomID string, key KeyHash) (Ticket, error) {
	return s.join(ctx, roomID, key, InLine)
}

// JoinBehind takes a place behind everybody in the line (CohortBehind).
func (s *Service) JoinBehind(ctx context.Context, roomID string, key KeyHash) (Ticket, error) {
	return s.join(ctx, roomID, key, Behind)
}

func (s *Service) join(ctx context.Context, roomID string, key KeyHash, lane Lane) (Ticket, error) {
	v, err := s.view(ctx, roomID)
	if err != nil {
		return Ticket{}, err
	}
	if !v.known.Load().Phase.TakesPlaces() {
		return Ticket{}, ErrNotTaking
	}
	place, err := s.number(ctx, v, lane)
	if err != nil {
		return Ticket{}, err
	}
	joins.WithLabelValues(v.id).Inc()
	return Ticket{Place: place, Issued: s.roomNow().Truncate(time.Second), Key: key}, nil
}

// number takes the next place.
func (s *Service) number(ctx context.Context, v *view, lane Lane) (Place, error) {
	return s.take(ctx, v, lane, 1)
}

// take joins the batch that is being collected, or begins one, with n people
// who come together; it returns the place of the first.
func (s *Service) take(ctx context.Context, v *view, lane Lane, n int64) (Place, error) {
	j := &v.joining
	if lane == Behind {
		j = &v.joiningBehind
	}
	j.mu.Lock()
	b := j.next
	if b == nil {
		b = &joinBatch{done: make(chan struct{})}
		j.next = b
		go s.sendBatch(v, j, lane, b)
	}
	place := b.n
	b.n += n
	j.mu.Unlock()
	select {
	case <-b.done:
		return Place{Room: v.id, Epoch: b.epoch, Cohort: b.cohort, Index: b.first + place}, b.err
	case <-ctx.Done():
		// The number is lost, as if its owner never showed up.
		return Place{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// sendBatch closes b when the window of the batch before is over, and numbers it. It outlives the request
// that began it, because others wait for it too.
func (s *Service) sendBatch(v *view, j *joiner, lane Lane, b *joinBatch) {
	j.send.Lock() // while the batch before is under way, this one goes on collecting
	defer j.send.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), joinPatience)
	defer cancel()
	time.Sleep(joinWindow - time.Since(j.sent))
	j.mu.Lock()
	j.next = nil
	n := b.n
	j.mu.Unlock()
	j.sent = time.Now()

	j.seq++
	for {
		first, r, err := s.numbers(ctx, v, lane, j.seq, n)
		b.first, b.epoch, b.cohort, b.err = first, r.Epoch, s.cohortOf(v, r, lane, first), err
		if err == nil || ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			break
		}
		// The answer may be lost although the numbers were given out: the same
		// batch number asks for the same numbers.
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	batches.WithLabelValues(v.id).Inc()
	close(b.done)
}
