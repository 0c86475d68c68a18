package certificate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/jobs"
	"impfportal/vaccination"
)

// stale is how long a certificate may stand between two steps before the
// repair looks after it; the task's own retries come first.
const stale = time.Minute

// Jobs registers the handler of vaccination.Recorded and returns the repair.
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, vaccination.Recorded, func(ctx context.Context, p vaccination.RecordedPayload) error {
		err := s.Make(ctx, p.RecordID)
		if errors.Is(err, ErrDiffers) {
			return jobs.Permanent(err) // trying again changes nothing; somebody must look
		}
		return err
	})
	return []jobs.Periodic{{Name: "certificate.repair", Every: stale, Run: func(ctx context.Context, now time.Time) error {
		_, err := s.Repair(ctx, now)
		return err
	}}}
}

// Repair finishes certificates that were begun and left, and returns how many.
func (s *Service) Repair(ctx context.Context, now time.Time) (done int, err error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT record_id::text FROM certificate.certificate
		 WHERE state IN ('intent', 'signed') AND created_at < $1 ORDER BY created_at LIMIT 500`, now.Add(-stale))
	if err != nil {
		return 0, fmt.Errorf("certificates left behind: %w", err)
	}
	records, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("certificates left behind: %w", err)
	}
	var failed []error
	for _, r := range records {
		if err := s.Make(ctx, r); err != nil {
			failed = append(failed, err)
			continue
		}
		done++
	}
	return done, errors.Join(failed...)
}
