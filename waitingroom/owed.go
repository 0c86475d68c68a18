package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgresPatience is how long somebody at the door waits for Postgres.
const postgresPatience = 2500 * time.Millisecond

// owed is what has still to be told of stays, because Postgres or Redis did not
// answer: it is told with the next tick. Should this replica die before, a seat
// stays taken until its pass runs out.
type owed struct {
	mu    sync.Mutex
	stays map[Place]time.Time // their new end; zero = they are over
}

// note adds a stay. One that is over stays over, and none gets shorter.
func (o *owed) note(p Place, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stays == nil {
		o.stays = map[Place]time.Time{}
	}
	if old, ok := o.stays[p]; ok && (old.IsZero() || !until.IsZero() && old.After(until)) {
		return
	}
	o.stays[p] = until
}

// take empties it.
func (o *owed) take() map[Place]time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	stays := o.stays
	o.stays = nil
	return stays
}

// payOwed tells Postgres and Redis what they are owed, as far as they answer.
func (s *Service) payOwed(ctx context.Context, v *view) {
	var err error
	for p, until := range v.owed.take() {
		switch {
		case err != nil: // the rest waits
		case until.IsZero():
			err = s.release(ctx, v, p)
		default:
			_, _, err = s.extend(ctx, v, p, until)
		}
		if err != nil {
			v.owed.note(p, until)
		}
	}
	if err != nil {
		s.log.Warn("stays that have still to be told", "room", v.id, "err", err)
	}
}

// postgresAnswers returns ErrUnavailable while Postgres is known not to answer.
// Nobody takes a seat then: all of them would be written in the moment it is
// back, and the rate would not hold. One request at a time finds out whether it
// is.
func (s *Service) postgresAnswers(ctx context.Context) error {
	if !s.postgresLost.Load() {
		return nil
	}
	if !s.probing.TryLock() {
		return fmt.Errorf("%w: Postgres does not answer", ErrUnavailable)
	}
	defer s.probing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.postgresLost.Store(false)
	return nil
}

// notePostgres remembers whether Postgres answered. An error that it told about
// one statement is an answer; that it shuts down or takes no connections is none.
func (s *Service) notePostgres(err error) {
	var told *pgconn.PgError
	switch {
	case err == nil:
		s.postgresLost.Store(false)
	case errors.Is(err, context.Canceled):
	case errors.As(err, &told) && !strings.HasPrefix(told.Code, "57P") && !strings.HasPrefix(told.Code, "53"):
	default:
		s.postgresLost.Store(true)
	}
}
