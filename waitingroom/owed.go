package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// owedAtOnce bounds one statement and one command.
const owedAtOnce = 1000

// payOwed tells Postgres and Redis what they are owed, as far as they answer.
func (s *Service) payOwed(ctx context.Context, v *view) {
	var err error
	var over []Place
	for p, until := range v.owed.take() {
		switch {
		case until.IsZero():
			over = append(over, p)
		case err == nil: // else the rest waits
			_, _, err = s.extend(ctx, v, p, until)
		}
		if err != nil && !until.IsZero() {
			v.owed.note(p, until)
		}
	}
	for some := range slices.Chunk(over, owedAtOnce) {
		if err == nil {
			err = s.endStays(ctx, v, some)
		}
		if err != nil {
			for _, p := range some {
				v.owed.note(p, time.Time{})
			}
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
