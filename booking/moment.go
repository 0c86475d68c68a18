package booking

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Plans change at set moments without anybody doing something: a release takes
// effect, a contingent ends, new days open, a day ends. The worker looks every
// two seconds which of them have passed, and asks for the plans they concern. A
// plan follows from the time alone, so it does not matter how many moments have
// passed, nor whether one is noticed twice.

// maxGap is how long nobody may have looked before everything is planned anew
// rather than asked which moments have passed.
const maxGap = 48 * time.Hour

// PassMoments asks for the plans that change at the moments which have passed
// since it was called last, by whichever worker.
func (s *Service) PassMoments(ctx context.Context) error {
	now := s.Now()
	var reached *time.Time
	if err := s.Pool.QueryRow(ctx, `SELECT max(reached) FROM booking.moment`).Scan(&reached); err != nil {
		return err
	}
	var centres []string
	all := reached == nil || now.Sub(*reached) > maxGap
	switch {
	case !all && !now.After(*reached):
		return nil
	case !all:
		var err error
		if all, centres, err = s.passed(ctx, *reached, now); err != nil {
			return err
		}
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO booking.moment AS m (reached) VALUES ($1)
			ON CONFLICT (one) DO UPDATE SET reached = excluded.reached WHERE m.reached IS NOT DISTINCT FROM $2`, now, reached)
		if err != nil || tag.RowsAffected() == 0 {
			return err // somebody else has just done it
		}
		if all {
			return wantPlans(ctx, tx, "")
		}
		for _, id := range centres {
			if err := wantPlans(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// passed says which centres' plans change after from, up to and including to.
func (s *Service) passed(ctx context.Context, from, to time.Time) (all bool, centres []string, err error) {
	hit := func(at time.Time) bool { return at.After(from) && !at.After(to) }
	if hit(clock.At(clock.Day(to), 0, 0)) {
		return true, nil, nil // a new day
	}
	rules, err := Openings(ctx, s.Pool)
	if err != nil {
		return false, nil, err
	}
	for _, r := range rules {
		for _, st := range r.Stages {
			if hit(clock.At(clock.Day(to), st.AtMinute/60, st.AtMinute%60)) {
				return true, nil, nil
			}
		}
	}
	rows, err := s.Pool.Query(ctx, `SELECT DISTINCT centre_id, at_minute FROM booking.release_rule ORDER BY 1, 2`)
	if err != nil {
		return false, nil, err
	}
	type release struct {
		Centre string
		Minute int
	}
	releases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[release])
	if err != nil {
		return false, nil, err
	}
	for _, r := range releases {
		// No midnight lies between: from and to are on one day.
		if !hit(clock.At(clock.Day(to), r.Minute/60, r.Minute%60)) {
			continue
		}
		if r.Centre == "" {
			return true, nil, nil
		}
		if !slices.Contains(centres, r.Centre) {
			centres = append(centres, r.Centre)
		}
	}
	rows, err = s.Pool.Query(ctx, `SELECT DISTINCT centre_id FROM booking.contingent WHERE until_at > $1 AND until_at <= $2`, from, to)
	if err != nil {
		return false, nil, err
	}
	ended, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return slices.Contains(ended, ""), append(centres, ended...), err
}
