package inventory

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Planned returns the deliveries of a product that are planned for place on or
// after the day of from, soonest first. A centre also gets its equal share of
// what will be given out from the central store on arrival.
func (s *Service) Planned(ctx context.Context, q pg.Querier, place Place, productID string, from time.Time) ([]PlannedDelivery, error) {
	rows, err := q.Query(ctx, `
		WITH active AS (SELECT count(*) AS n, coalesce(bool_or('centre:' || id = $1), false) AS mine FROM centre.centre WHERE active)
		SELECT id::text, product_id, planned_on, vials FROM inventory.delivery
		WHERE state = 'planned' AND product_id = $2 AND planned_on >= $3 AND place = $1 AND NOT equal_shares
		UNION ALL
		SELECT d.id::text, d.product_id, d.planned_on, (d.vials / a.n)::int FROM inventory.delivery d, active a
		WHERE d.state = 'planned' AND d.product_id = $2 AND d.planned_on >= $3 AND d.equal_shares AND a.mine AND d.vials >= a.n
		ORDER BY 3, 1`, place, productID, clock.Day(from))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PlannedDelivery])
}
