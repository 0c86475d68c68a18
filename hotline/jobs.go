package hotline

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

const (
	// letterGrace is how long a wish for a letter is the business of the
	// request that made it.
	letterGrace = time.Minute
	// loginGrace is how long login data waits for a booking in the same call.
	loginGrace = 30 * time.Minute
	// sweepBatch bounds one run.
	sweepBatch = 500
)

// Jobs looks after letters whose request was killed, and after login data of
// people for whom nothing was booked.
func (s *Service) Jobs(*jobs.Mux) []jobs.Periodic {
	return []jobs.Periodic{{Name: "hotline.letters", Every: time.Minute, Run: s.sweep}}
}

func (s *Service) sweep(ctx context.Context, now time.Time) error {
	if err := s.wantLogins(ctx, now); err != nil {
		return err
	}
	rows, err := s.Pool.Query(ctx, `
		SELECT id::text FROM hotline.letter WHERE state = 'wanted' AND (kind = 'login' OR created_at < $1) ORDER BY created_at LIMIT $2`,
		now.Add(-letterGrace), sweepBatch)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	var failed error
	for _, letterID := range ids {
		if err := s.makeLetter(ctx, letterID); err != nil { // one bad letter must not keep the others
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// wantLogins wants a letter for login data that waited long enough. A
// registration that is being checked waits until an agent has found.
func (s *Service) wantLogins(ctx context.Context, now time.Time) error {
	rows, err := s.Pool.Query(ctx, `
		SELECT person_id::text FROM hotline.login_data d WHERE created_at < $1
		  AND NOT EXISTS (SELECT FROM hotline.letter l WHERE l.person_id = d.person_id AND l.state = 'wanted') ORDER BY created_at LIMIT $2`,
		now.Add(-loginGrace), sweepBatch)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, personID := range ids {
		err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			p, err := s.Citizens.Person(ctx, tx, personID)
			if errors.Is(err, citizen.ErrNotFound) {
				_, err = tx.Exec(ctx, `DELETE FROM hotline.login_data WHERE person_id = $1`, personID)
				return err
			}
			if err != nil || p.State != citizen.StateActive {
				return err
			}
			_, err = tx.Exec(ctx, `INSERT INTO hotline.letter (id, person_id, kind, state, actor, created_at) VALUES ($1, $2, 'login', 'wanted', 'system', $3)`,
				id.New(), personID, now)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
