package booking

import (
	"context"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

// ReplanCentre plans every product that has something to do at a centre, or
// had before.
func (s *Service) ReplanCentre(ctx context.Context, centreID string) error {
	products, err := s.plannable(ctx, s.Pool, centreID)
	if err != nil {
		return err
	}
	for _, p := range products {
		if err := s.Replan(ctx, centreID, p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) plannable(ctx context.Context, q pg.Querier, centreID string) ([]string, error) {
	busy, err := s.busyProducts(ctx, q, centreID, clock.Day(s.Now()))
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT product_id FROM booking.plan WHERE centre_id = $1 AND NOT product_id = ANY (coalesce($2::text[], '{}')) ORDER BY 1`, centreID, busy)
	if err != nil {
		return nil, err
	}
	before, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return append(busy, before...), err
}

// ReplanAll plans everything and shows its progress; by is an actor. onStep
// may be nil.
func (s *Service) ReplanAll(ctx context.Context, by string, onStep func(done, total int64, message string)) error {
	centres, err := centre.All(ctx, s.Pool)
	if err != nil {
		return err
	}
	p, err := jobs.StartProgress(ctx, s.Pool, "booking.plan", int64(len(centres)), by)
	if err != nil {
		return err
	}
	p.OnStep = onStep
	return s.planCentres(ctx, p, centres)
}

// startReplanAll begins the progress of a plan of everything, under a name in the
// administrator's language, and returns what makes it.
func (s *Service) startReplanAll(ctx context.Context, name, by string) (progressID string, run func(context.Context) error, err error) {
	centres, err := centre.All(ctx, s.Pool)
	if err != nil {
		return "", nil, err
	}
	p, err := jobs.StartProgress(ctx, s.Pool, name, int64(len(centres)), by)
	if err != nil {
		return "", nil, err
	}
	return p.ID, func(ctx context.Context) error { return s.planCentres(ctx, p, centres) }, nil
}

func (s *Service) planCentres(ctx context.Context, p *jobs.Progress, centres []centre.Centre) (err error) {
	defer func() { p.Finish(ctx, err) }()
	for i, c := range centres {
		if err := s.ReplanCentre(ctx, c.ID); err != nil {
			return err
		}
		p.Step(ctx, int64(i+1), c.Name)
	}
	return nil
}

// want asks for a new plan; the worker makes it within seconds.
func want(ctx context.Context, q pg.Querier, centreID, productID string) error {
	_, err := q.Exec(ctx, `
		INSERT INTO booking.plan AS p (centre_id, product_id, wanted) VALUES ($1, $2, 1)
		ON CONFLICT (centre_id, product_id) DO UPDATE SET wanted = p.wanted + 1`, centreID, productID)
	return err
}

// wantCentre asks for new plans of all products of a centre: they share its stations.
func (s *Service) wantCentre(ctx context.Context, q pg.Querier, centreID string) error {
	products, err := s.plannable(ctx, q, centreID)
	if err != nil {
		return err
	}
	for _, p := range products {
		if err := want(ctx, q, centreID, p); err != nil {
			return err
		}
	}
	return nil
}

// ReplanWanted makes the plans that are asked for.
func (s *Service) ReplanWanted(ctx context.Context) error {
	rows, err := s.Pool.Query(ctx, `SELECT centre_id, product_id FROM booking.plan WHERE wanted > made ORDER BY made_at NULLS FIRST`)
	if err != nil {
		return err
	}
	type pair struct{ Centre, Product string }
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pair])
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := s.Replan(ctx, p.Centre, p.Product); err != nil {
			return err
		}
	}
	return nil
}
