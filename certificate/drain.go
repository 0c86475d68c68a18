package certificate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// What waits for the end of a stop is made beside what is new: so few at once
// that the workers of new records keep the greater part of the machine.
const (
	drainEvery   = 2 * time.Second
	drainWorkers = 3
	drainPage    = 200
	drainFor     = 50 * time.Second // of one run of the periodic job
	drainAnyway  = time.Minute      // a look at all that waits, also when no stop has changed
)

// drained remembers when a process has last gone through everything that waits.
type drained struct {
	at      atomic.Int64 // when, Unix milliseconds of the portal's clock
	changed atomic.Int64 // newest change of a stop that was seen then
}

// Drain makes the certificates that no stop holds back any more, oldest first,
// and returns how many it looked after. It is cheap while nothing waits and no
// stop has changed.
func (s *Service) Drain(ctx context.Context, now time.Time) (done int, err error) {
	var waits bool
	var changed int64
	err = s.Pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM certificate.certificate WHERE waiting_since IS NOT NULL),
		       coalesce((SELECT (extract(epoch FROM max(changed_at)) * 1000)::bigint FROM certificate.stop), 0)`).Scan(&waits, &changed)
	if err != nil {
		return 0, fmt.Errorf("certificates that wait: %w", err)
	}
	if !waits || changed == s.drained.changed.Load() && now.UnixMilli()-s.drained.at.Load() < drainAnyway.Milliseconds() {
		return 0, nil
	}
	ctx, stop := context.WithTimeout(ctx, drainFor)
	defer stop()
	last := position{since: time.Unix(0, 0), id: "00000000-0000-0000-0000-000000000000"}
	for {
		page, err := s.waiting(ctx, last)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return done, nil // the next run goes on
		}
		if err != nil {
			return done, err
		}
		if len(page) == 0 {
			break
		}
		last = page[len(page)-1]
		n, err := s.drainAll(ctx, page)
		done += n
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
	s.drained.at.Store(now.UnixMilli())
	s.drained.changed.Store(changed)
	return done, nil
}

// position is a certificate in the order in which they wait.
type position struct {
	since        time.Time
	id, recordID string
	held         bool // a stop still applies
}

// waiting returns the next page of what waits.
func (s *Service) waiting(ctx context.Context, after position) ([]position, error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT waiting_since, id::text, record_id::text, certificate.stopped_by(issuer_ref, issuer_kind, path, region, NULL) IS NOT NULL
		  FROM certificate.certificate WHERE waiting_since IS NOT NULL AND (waiting_since, id) > ($1, $2::uuid) ORDER BY waiting_since, id LIMIT $3`,
		after.since, after.id, drainPage)
	if err != nil {
		return nil, fmt.Errorf("certificates that wait: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p position, err error) {
		return p, row.Scan(&p.since, &p.id, &p.recordID, &p.held)
	})
}

// drainAll makes a page of certificates. One that fails keeps no other from
// being made; the repair has it next.
func (s *Service) drainAll(ctx context.Context, page []position) (done int, err error) {
	var count atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(drainWorkers)
	for _, p := range page {
		if p.held {
			continue
		}
		g.Go(func() error {
			if err := s.goOn(ctx, p.recordID, s.sign); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				s.Log.ErrorContext(ctx, "a certificate that waited cannot be made", "certificate", p.id, "err", err)
				return nil
			}
			count.Add(1)
			return nil
		})
	}
	err = g.Wait()
	return int(count.Load()), err
}
