package inventory

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// PlannedDelivery is what will come to a place, and when.
type PlannedDelivery struct {
	ID        string    `json:"id"`
	ProductID string    `json:"product_id"`
	Day       time.Time `json:"day"`
	Vials     int       `json:"vials"`
}

// Planned returns the deliveries of a product that are planned or confirmed for
// place on or after the day of from, soonest first. A centre also gets its share of
// what will be given out from the central store on arrival: in equal parts, or by
// an automatic allocation plan.
func (s *Service) Planned(ctx context.Context, q pg.Querier, place Place, productID string, from time.Time) ([]PlannedDelivery, error) {
	all, err := coming(ctx, q, productID, from, "")
	return all[place], err
}

// coming returns what will come by place, soonest first; productID "" = all. What
// will be given out on arrival stands at the places that get it. The delivery without is
// left out.
func coming(ctx context.Context, q pg.Querier, productID string, from time.Time, without string) (map[Place][]PlannedDelivery, error) {
	rows, err := q.Query(ctx, `
		SELECT d.id::text, d.product_id, d.planned_on, d.vials, d.place, d.equal_shares,
		       d.place = 'central' AND NOT d.equal_shares AND coalesce(a.automatic, false)
		FROM inventory.delivery d LEFT JOIN inventory.allocation a ON a.product_id = d.product_id
		WHERE d.state IN ('planned', 'confirmed') AND ($1 = '' OR d.product_id = $1) AND d.planned_on >= $2 AND d.id::text <> $3
		ORDER BY d.planned_on, d.id`, productID, clock.Day(from), without)
	if err != nil {
		return nil, err
	}
	type row struct {
		PlannedDelivery
		place       Place
		equal, plan bool
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x row, err error) {
		err = r.Scan(&x.ID, &x.ProductID, &x.Day, &x.Vials, &x.place, &x.equal, &x.plan)
		return x, err
	})
	if err != nil {
		return nil, err
	}
	out := map[Place][]PlannedDelivery{}
	var centres []centre.Centre
	shares := map[string][]Share{}
	for _, x := range list {
		switch {
		case x.equal:
			if centres == nil {
				if centres, err = centre.List(ctx, q); err != nil {
					return nil, err
				}
			}
			for _, c := range centres {
				if n := x.Vials / len(centres); n > 0 {
					d := x.PlannedDelivery
					d.Vials = n
					out[CentrePlace(c.ID)] = append(out[CentrePlace(c.ID)], d)
				}
			}
		case x.plan:
			sh, ok := shares[x.ProductID]
			if !ok {
				p, err := Plan(ctx, q, x.ProductID)
				if err != nil {
					return nil, err
				}
				if sh, err = weights(ctx, q, p); err != nil {
					return nil, err
				}
				shares[x.ProductID] = sh
			}
			for i, n := range apportion(x.Vials, weightsOf(sh)) {
				if n > 0 {
					d := x.PlannedDelivery
					d.Vials = n
					out[sh[i].Place] = append(out[sh[i].Place], d)
				}
			}
		default:
			out[x.place] = append(out[x.place], x.PlannedDelivery)
		}
	}
	return out, nil
}
