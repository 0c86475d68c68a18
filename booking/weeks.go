package booking

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/inventory"
)

// WeekDemand tells what appointments of all centres need, and what is offered, by
// week from monday on: one query, and what lies before now does not count.
func (s *Service) WeekDemand(ctx context.Context, q pg.Querier, monday time.Time, weeks int) (inventory.Demand, error) {
	set, err := readSettings(ctx, q)
	if err != nil {
		return inventory.Demand{}, err
	}
	now := s.Now()
	rows, err := q.Query(ctx, `
		SELECT centre_id, product_id, (day - $1::date) / 7, sum(first)::int, sum(later)::int, sum(free)::int
		FROM (
			SELECT centre_id, product_id, day, count(*) FILTER (WHERE dose_number = 1) AS first, count(*) FILTER (WHERE dose_number > 1) AS later, 0 AS free
			FROM booking.appointment WHERE day >= $2 AND state IN ('held', 'confirmed', 'here') GROUP BY 1, 2, 3
			UNION ALL
			SELECT s.centre_id, s.product_id, s.day, 0, 0, sum(p.places - p.taken)
			FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
			WHERE s.start_at > $3 AND p.places > p.taken GROUP BY 1, 2, 3
		) d
		WHERE day < $1::date + $4::int * 7
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, monday, clock.Day(now), now, weeks)
	if err != nil {
		return inventory.Demand{}, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[inventory.DemandWeek])
	return inventory.Demand{MarginDays: set.DeliveryMarginDays, Weeks: list}, err
}

// DayNeeds tells what active appointments from today on need of a product, by centre
// and day, and from how many days after its day a delivery carries appointments.
func (s *Service) DayNeeds(ctx context.Context, q pg.Querier, productID string) ([]inventory.DayNeed, int, error) {
	set, err := readSettings(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	rows, err := q.Query(ctx, `
		SELECT centre_id, day, count(*)::int FROM booking.appointment
		WHERE product_id = $1 AND day >= $2 AND state IN ('held', 'confirmed', 'here') GROUP BY 1, 2 ORDER BY 2, 1`, productID, clock.Day(s.Now()))
	if err != nil {
		return nil, 0, err
	}
	needs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[inventory.DayNeed])
	return needs, set.DeliveryMarginDays, err
}
