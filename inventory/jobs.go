package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

// Jobs registers the handlers of this slice and returns its schedules.
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, centre.Changed, s.centreChanged)
	return []jobs.Periodic{
		{Name: "inventory.arrivals", Every: 5 * time.Minute, Run: func(ctx context.Context, now time.Time) error {
			n, err := s.BookArrivals(ctx, now)
			if n > 0 {
				s.log.InfoContext(ctx, "imported deliveries have arrived", "rows", n)
			}
			return err
		}},
		{Name: "inventory.reconcile", Daily: "02:40", Run: s.reconcile},
	}
}

// centreChanged passes on that a centre can see more or fewer people: what its
// stock can carry is to be planned anew for every product that it has. Running
// twice only plans twice.
func (s *Service) centreChanged(ctx context.Context, p centre.ChangedPayload) error {
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT DISTINCT l.product_id FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id WHERE b.place = $1
			UNION SELECT product_id FROM inventory.delivery WHERE state = 'planned' AND (place = $1 OR equal_shares)
			ORDER BY 1`, CentrePlace(p.CentreID))
		if err != nil {
			return err
		}
		products, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, productID := range products {
			if err := s.changed(ctx, tx, productID, CentrePlace(p.CentreID)); err != nil {
				return err
			}
		}
		return nil
	})
}

// reconcile is the nightly alarm: one log line of level error for each place
// and lot whose balance is not the sum of its movements.
func (s *Service) reconcile(ctx context.Context, _ time.Time) error {
	diffs, err := Reconcile(ctx, s.pool)
	if err != nil {
		return err
	}
	for _, d := range diffs {
		s.log.ErrorContext(ctx, "ALARM: stock balance differs from the ledger", "place", d.Place, "lot", d.LotID,
			"balance_vials", d.Vials, "ledger_vials", d.SumVials, "balance_doses", d.Doses, "ledger_doses", d.SumDoses)
	}
	if len(diffs) > 0 {
		return fmt.Errorf("%d stock balances differ from the ledger", len(diffs))
	}
	s.log.InfoContext(ctx, "stock balances agree with the ledger")
	return nil
}
