package inventory

import (
	"context"
	"fmt"
	"time"

	"impfportal/internal/jobs"
)

// Jobs returns this slice's schedules; it handles no task.
func (s *Service) Jobs(*jobs.Mux) []jobs.Periodic {
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

// reconcile is the nightly alarm: one log line of level error for each place
// and lot whose balance is not the sum of its movements.
func (s *Service) reconcile(ctx context.Context, _ time.Time) error {
	diffs, err := Reconcile(ctx, s.pool)
	if err != nil {
		return err
	}
	for _, d := range diffs {
		s.log.ErrorContext(ctx, "ALARM: stock balance differs from the ledger", "place", d.Place, "lot", d.LotID, "thawed", d.Thawed,
			"balance_vials", d.Vials, "ledger_vials", d.SumVials, "balance_doses", d.Doses, "ledger_doses", d.SumDoses)
	}
	if len(diffs) > 0 {
		return fmt.Errorf("%d stock balances differ from the ledger", len(diffs))
	}
	s.log.InfoContext(ctx, "stock balances agree with the ledger")
	return nil
}
