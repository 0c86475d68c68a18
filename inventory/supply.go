package inventory

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Batch is vaccine that can be used from one day to another, both included.
type Batch struct {
	From, Until time.Time
	Doses       int
}

// Forever is later than every last day of use.
var Forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Supply returns what a plan that begins on the day of today may count on: closed
// vials until the last day of use of their portion, doses of opened vials today,
// and deliveries that are planned or confirmed from marginDays after their day; one
// that is late counts as long as its margin is not over. Blocked lots and what is
// past are no supply. A batch counts by the lowest doses-per-vial rule that is in force or
// known to come while it may be opened: nothing is promised that a rule of
// tomorrow takes away.
func (s *Service) Supply(ctx context.Context, q pg.Querier, place Place, productID string, today time.Time, marginDays int) ([]Batch, error) {
	all, err := s.batches(ctx, q, place, productID, clock.Day(today), marginDays, "")
	return all[pair{place, productID}], err
}

// lowest is the fewest doses that a vial gives between two days, by the rules of
// its product, newest first.
func lowest(rules []VialRule, from, until time.Time) int {
	n := 0
	for _, r := range rules {
		if r.ValidFrom.After(until) {
			continue
		}
		if n == 0 || r.Doses < n {
			n = r.Doses
		}
		if !r.ValidFrom.After(from) {
			return n
		}
	}
	return 0 // no rule on the first day
}

// batches is what lies and will come, see Supply; place and productID "" = all. The
// delivery without is left out.
func (s *Service) batches(ctx context.Context, q pg.Querier, place Place, productID string, today time.Time, marginDays int, without string) (map[pair][]Batch, error) {
	all, err := VialRules(ctx, q, productID)
	if err != nil {
		return nil, err
	}
	rules := map[string][]VialRule{}
	for _, r := range all {
		rules[r.ProductID] = append(rules[r.ProductID], r)
	}
	rows, err := q.Query(ctx, `
		SELECT place, product_id, use_by, sum(vials)::int, 0 FROM inventory.held
		WHERE ($3 = '' OR place = $3) AND ($4 = '' OR product_id = $4) AND use_by >= $1 AND blocked_at IS NULL GROUP BY 1, 2, 3
		UNION ALL
		SELECT b.place, l.product_id, $1, 0, sum(b.doses)::int FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		WHERE ($3 = '' OR b.place = $3) AND ($4 = '' OR l.product_id = $4)
		  AND b.doses > 0 AND l.expiry >= $1 AND l.blocked_at IS NULL AND coalesce(inventory.opened_until(l.product_id, b.opened_at) >= $2, true)
		GROUP BY 1, 2
		ORDER BY 1, 2, 3`, today, s.moment(today), place, productID)
	if err != nil {
		return nil, err
	}
	out := map[pair][]Batch{}
	var (
		k           pair
		until       time.Time
		vials, open int
	)
	_, err = pgx.ForEachRow(rows, []any{&k.place, &k.product, &until, &vials, &open}, func() error {
		out[k] = append(out[k], Batch{From: today, Until: until, Doses: vials*lowest(rules[k.product], today, until) + open})
		return nil
	})
	if err != nil {
		return nil, err
	}
	planned, err := coming(ctx, q, productID, today.AddDate(0, 0, min(0, 1-marginDays)), without)
	if err != nil {
		return nil, err
	}
	for to, list := range planned {
		if place != "" && to != place {
			continue
		}
		for _, d := range list {
			k, from := pair{to, d.ProductID}, d.Day.AddDate(0, 0, marginDays)
			// Nobody opens a vial before the plan counts on it.
			out[k] = append(out[k], Batch{From: from, Until: Forever, Doses: d.Vials * lowest(rules[d.ProductID], from, Forever)})
		}
	}
	return out, nil
}
