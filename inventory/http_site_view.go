package inventory

import (
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// siteTotal is what a place can give of a product at the moment.
type siteTotal struct {
	ProductID string
	Doses     int        // usable, closed vials by the rule of the day
	Open      int        // of them in opened vials
	OpenUntil *time.Time // until then the first of these may be given
}

// totalsOf adds the lots of a place up, in the order of the products.
func totalsOf(n *names, hs []Holding) []siteTotal {
	var out []siteTotal
	for _, p := range n.Products {
		t, found := siteTotal{ProductID: p.Value}, false
		for _, h := range hs {
			if h.ProductID != p.Value {
				continue
			}
			found = true
			t.Doses += h.Doses
			if h.OpenDoses > 0 && !h.OpenDue && !h.Blocked {
				t.Open += h.OpenDoses
				if h.OpenUntil != nil && (t.OpenUntil == nil || h.OpenUntil.Before(*t.OpenUntil)) {
					t.OpenUntil = h.OpenUntil
				}
			}
		}
		if found {
			out = append(out, t)
		}
	}
	return out
}

// comingRow is a delivery that a place expects.
type comingRow struct {
	PlannedDelivery
	Late bool
	Own  bool // comes straight to the place, which confirms it
}

// expectedBefore is how many days a late delivery stays in the list.
const expectedBefore = 14

// comingTo lists what a place expects, also its share of what goes to the central
// store first.
func (s *Service) comingTo(c *web.Ctx, place Place) ([]comingRow, error) {
	today := clock.Day(c.Now)
	planned, err := s.Planned(c.Std(), s.pool, place, "", today.AddDate(0, 0, -expectedBefore))
	if err != nil {
		return nil, err
	}
	own, err := Deliveries(c.Std(), s.pool, "", 2*listLimit)
	if err != nil {
		return nil, err
	}
	straight := map[string]bool{}
	for _, d := range own {
		straight[d.ID] = d.Place == place && d.Coming() && d.Manual()
	}
	out := make([]comingRow, len(planned))
	for i, p := range planned {
		out[i] = comingRow{p, p.Day.Before(today), straight[p.ID]}
	}
	return out, nil
}

// thawing tells which products last a set time once they are thawed: only of these
// somebody notes it. The newest rule of a product comes first.
func thawing(rules []ShelfRule, today time.Time) map[string]bool {
	out := map[string]bool{}
	for _, r := range rules {
		if _, known := out[r.ProductID]; !known && r.Kind == AfterThaw && !r.ValidFrom.After(today) {
			out[r.ProductID] = r.Amount > 0
		}
	}
	return out
}
