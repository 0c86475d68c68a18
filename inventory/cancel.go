package inventory

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// DayNeed is what appointments need of a product at a centre on a day, in doses: one
// for each appointment.
type DayNeed struct {
	CentreID string
	Day      time.Time
	Doses    int
}

// NeedsOf tells what active appointments from today on need of a product, by day, and
// from how many days after its day a delivery carries appointments.
type NeedsOf func(ctx context.Context, q pg.Querier, productID string) (needs []DayNeed, marginDays int, err error)

// Loss is what follows when a delivery does not come.
type Loss struct {
	Vials        int
	Doses        int // that plans count on, by the lowest rule until they may be opened
	Appointments int // booked ones that have vaccine with the delivery and none without it
	Centres      int // at which these are
	Carried      int // booked ones that could be given from it and have vaccine as things are
}

// LossOf says what follows when a delivery that is to come does not: nobody is
// cancelled, but so many booked appointments have no vaccine any more.
func (s *Service) LossOf(ctx context.Context, q pg.Querier, d Delivery) (Loss, error) {
	var (
		out    = Loss{Vials: d.Vials}
		today  = clock.Day(s.now())
		needs  []DayNeed
		margin int
	)
	rules, err := VialRules(ctx, q, d.ProductID)
	if err != nil {
		return out, err
	}
	if s.Needs != nil {
		if needs, margin, err = s.Needs(ctx, q, d.ProductID); err != nil {
			return out, err
		}
	}
	from := d.Day.AddDate(0, 0, margin)
	out.Doses = d.Vials * lowest(rules, from, Forever)
	with, err := s.batches(ctx, q, "", d.ProductID, today, margin, "")
	if err != nil {
		return out, err
	}
	without, err := s.batches(ctx, q, "", d.ProductID, today, margin, d.ID)
	if err != nil {
		return out, err
	}
	byCentre := map[string][]DayNeed{}
	for _, n := range needs {
		byCentre[n.CentreID] = append(byCentre[n.CentreID], n)
	}
	for c, needs := range byCentre {
		k := pair{CentrePlace(c), d.ProductID}
		missing := uncovered(with[k], needs)
		if n := uncovered(without[k], needs) - missing; n > 0 {
			out.Appointments += n
			out.Centres++
		}
		if all(with[k]) == all(without[k]) {
			continue // nothing of it comes here
		}
		before, later := []DayNeed{}, 0
		for _, n := range needs {
			if n.Day.Before(from) {
				before = append(before, n)
			} else {
				later += n.Doses
			}
		}
		out.Carried += later - (missing - uncovered(with[k], before))
	}
	return out, nil
}

// all is how many doses the batches have together.
func all(batches []Batch) (doses int) {
	for _, b := range batches {
		doses += b.Doses
	}
	return doses
}

// uncovered is how many doses are needed and not there. What came first goes first, as
// in the plan of the appointments: a later delivery frees no dose that was reserved.
func uncovered(batches []Batch, needs []DayNeed) (missing int) {
	left := slices.Clone(batches)
	slices.SortStableFunc(left, func(a, b Batch) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return a.Until.Compare(b.Until)
	})
	needs = slices.Clone(needs)
	slices.SortStableFunc(needs, func(a, b DayNeed) int { return a.Day.Compare(b.Day) })
	for _, n := range needs {
		for i := range left {
			if b := &left[i]; !b.From.After(n.Day) && !b.Until.Before(n.Day) {
				t := min(n.Doses, b.Doses)
				b.Doses -= t
				n.Doses -= t
			}
		}
		missing += n.Doses
	}
	return missing
}

// cancelPage asks whether a delivery is really to be cancelled, and says what follows.
func (s *Service) cancelPage(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	if !d.Delivery.Coming() || !d.Delivery.Manual() { // its page says what has become of it
		return c.See(d.Base)
	}
	if d.Loss, err = s.LossOf(c.Std(), s.pool, d.Delivery); err != nil {
		return err
	}
	return c.Page("inventory/delivery_cancel", d)
}

func (s *Service) cancelForm(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	return s.deliveryDone(c, c.Form(), d, "cancel", "delivery", "inventory.delivery.cancelled", d.Back, func(tx pgx.Tx) error {
		return s.CancelDelivery(c.Std(), tx, d.Delivery.ID, by(c))
	})
}
