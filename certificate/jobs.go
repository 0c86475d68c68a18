package certificate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/vaccination"
)

// stale is how long a certificate may stand between two steps before the
// repair looks after it; the task's own retries come first.
const stale = time.Minute

// releaseBatch bounds the certificates of one task of release.
const releaseBatch = 50

// logged asks for the release of certificates whose leaves are in the log.
type logged struct {
	CertificateIDs []string `json:"certificate_ids"`
}

var taskLogged = jobs.Define[logged]("certificate.logged")

// Jobs registers the handlers of what happens to records and of the log, and
// returns the repair.
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	once := func(err error) error {
		if errors.Is(err, ErrDiffers) {
			return jobs.Permanent(err) // trying again changes nothing; somebody must look
		}
		return err
	}
	jobs.Handle(m, vaccination.Recorded, func(ctx context.Context, p vaccination.RecordedPayload) error {
		return once(s.Make(ctx, p.RecordID))
	})
	jobs.Handle(m, vaccination.Corrected, func(ctx context.Context, p vaccination.RecordedPayload) error {
		return once(s.Make(ctx, p.RecordID))
	})
	jobs.Handle(m, taskLogged, func(ctx context.Context, p logged) error {
		return once(s.finish(ctx, p.CertificateIDs))
	})
	return []jobs.Periodic{
		{Name: "certificate.repair", Every: stale, Run: func(ctx context.Context, now time.Time) error {
			_, err := s.Repair(ctx, now)
			return err
		}},
		{Name: "certificate.drain", Every: drainEvery, Run: func(ctx context.Context, now time.Time) error {
			_, err := s.Drain(ctx, now)
			return err
		}},
	}
}

// Sequenced is the log's call for the leaves that have got their place: it
// moves their certificates on, and calls for the release. A reference that is none to
// a certificate is told to whoever runs the portal, and keeps no other back.
func (s *Service) Sequenced(ctx context.Context, tx pgx.Tx, refs []string) error {
	var ids []string
	for _, ref := range refs {
		switch certificateID, ok := strings.CutPrefix(ref, refPrefix); {
		case !ok:
		case !id.Valid(certificateID):
			s.Log.ErrorContext(ctx, "a leaf of the log names no certificate", "ref", ref)
		default:
			ids = append(ids, certificateID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `
		UPDATE certificate.certificate SET state = 'logged', logged_at = $2 WHERE id = ANY ($1::uuid[]) AND state = 'signed' RETURNING id::text`, ids, s.Now())
	if err != nil {
		return fmt.Errorf("certificates in the log: %w", err)
	}
	if ids, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return fmt.Errorf("certificates in the log: %w", err)
	}
	slices.Sort(ids)
	for batch := range slices.Chunk(ids, releaseBatch) {
		if err := taskLogged.Enqueue(ctx, tx, logged{batch}); err != nil {
			return err
		}
	}
	return nil
}

// finish releases certificates. One that cannot be released keeps no other
// from it.
func (s *Service) finish(ctx context.Context, certificateIDs []string) error {
	records, err := recordsOf(ctx, s.Pool, `id = ANY ($1::uuid[])`, certificateIDs)
	if err != nil {
		return err
	}
	_, err = each(ctx, records, func(ctx context.Context, recordID string) error { return s.goOn(ctx, recordID, s.release) })
	return err
}

// Repair finishes certificates that were begun and left, and returns how many
// it looked after.
func (s *Service) Repair(ctx context.Context, now time.Time) (done int, err error) {
	records, err := recordsOf(ctx, s.Pool, `state IN ('intent', 'logged') AND waiting_since IS NULL AND revoked_at IS NULL AND created_at < $1`, now.Add(-stale))
	if err != nil {
		return 0, err
	}
	return each(ctx, records, s.Make)
}

// recordsOf returns the records of certificates, oldest first, no more than
// one round of the repair takes. where is a constant of this package, never
// input.
func recordsOf(ctx context.Context, q pg.Querier, where string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT record_id::text FROM certificate.certificate WHERE `+where+` ORDER BY created_at LIMIT 500`, args...)
	if err != nil {
		return nil, fmt.Errorf("certificates that are not finished: %w", err)
	}
	records, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("certificates that are not finished: %w", err)
	}
	return records, nil
}

// each works on records one after the other. One that fails keeps no other
// from its turn.
func each(ctx context.Context, records []string, work func(context.Context, string) error) (done int, err error) {
	var failed []error
	for _, r := range records {
		if err := work(ctx, r); err != nil {
			failed = append(failed, err)
			continue
		}
		done++
	}
	return done, errors.Join(failed...)
}
