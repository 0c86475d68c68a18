package inventory

import (
	"context"
	"slices"
	"strings"
	"time"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// DemandWeek is what appointments need of a product at a centre in a week, in doses.
type DemandWeek struct {
	CentreID, ProductID string
	Week                int // 0 = the week of the first day that was asked for
	First               int // booked first doses
	Later               int // reserved for second and further doses
	Free                int // offered, taken by nobody yet
}

// Demand is what a plan has promised, by week.
type Demand struct {
	MarginDays int // a delivery carries appointments from so many days after its day
	Weeks      []DemandWeek
}

// DemandOf tells the demand of so many weeks from monday on, without what lies
// before today.
type DemandOf func(ctx context.Context, q pg.Querier, monday time.Time, weeks int) (Demand, error)

// OutlookWeek is a week of a product's stock, in doses.
type OutlookWeek struct {
	From, To time.Time // today or Monday, and Sunday
	Stock    int       // at its beginning
	Comes    int       // planned and confirmed deliveries, with their margin
	First    int       // see DemandWeek
	Later    int
	Free     int
	Lost     int // runs out before anybody needs it
	Short    int // booked, and not there
	Left     int // at its end, when everything that is offered is booked too
}

// Outlook is the next weeks of a product at a centre.
type Outlook struct {
	CentreID  string
	ProductID string
	Weeks     []OutlookWeek
}

// Sum adds the weeks up; Stock is that of the first, Left that of the last.
func (o Outlook) Sum() OutlookWeek {
	var t OutlookWeek
	for i, w := range o.Weeks {
		if i == 0 {
			t.Stock, t.From = w.Stock, w.From
		}
		t.To, t.Left = w.To, w.Left
		t.Comes, t.First, t.Later, t.Free, t.Lost, t.Short = t.Comes+w.Comes, t.First+w.First, t.Later+w.Later, t.Free+w.Free, t.Lost+w.Lost, t.Short+w.Short
	}
	return t
}

// Dry is the first week at whose end nothing is left, -1 when there is none.
func (o Outlook) Dry() int {
	return slices.IndexFunc(o.Weeks, func(w OutlookWeek) bool { return w.Left == 0 })
}

// Outlooks returns the next weeks of every product at every centre where there is
// something of it, is to come or is booked, by the order of centres and products.
// It takes the same queries however many there are.
func (s *Service) Outlooks(ctx context.Context, q pg.Querier, now time.Time, weeks int) ([]Outlook, error) {
	today := clock.Day(now)
	monday := today.AddDate(0, 0, -(int(today.Weekday())+6)%7)
	var demand Demand
	if s.Demand != nil {
		var err error
		if demand, err = s.Demand(ctx, q, monday, weeks); err != nil {
			return nil, err
		}
	}
	batches, err := s.batches(ctx, q, "", "", today, demand.MarginDays, "")
	if err != nil {
		return nil, err
	}
	centres, err := centre.All(ctx, q)
	if err != nil {
		return nil, err
	}
	wanted := map[pair][]DemandWeek{}
	for _, d := range demand.Weeks {
		k := pair{CentrePlace(d.CentreID), d.ProductID}
		wanted[k] = append(wanted[k], d)
	}
	var out []Outlook
	for _, c := range centres {
		products := map[string]bool{}
		for k := range batches {
			if k.place == CentrePlace(c.ID) {
				products[k.product] = true
			}
		}
		for k := range wanted {
			if k.place == CentrePlace(c.ID) {
				products[k.product] = true
			}
		}
		for _, p := range sorted(products) {
			k := pair{CentrePlace(c.ID), p}
			out = append(out, Outlook{c.ID, p, project(today, weeks, batches[k], wanted[k])})
		}
	}
	return out, nil
}

// pair is a product at a place.
type pair struct {
	place   Place
	product string
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// project goes through the weeks: what appointments need is taken first, then what
// is offered, always from what runs out first. Numbers in, numbers out.
func project(today time.Time, weeks int, batches []Batch, demand []DemandWeek) []OutlookWeek {
	left := slices.Clone(batches)
	slices.SortStableFunc(left, func(a, b Batch) int {
		if c := a.Until.Compare(b.Until); c != 0 {
			return c
		}
		return a.From.Compare(b.From)
	})
	out := make([]OutlookWeek, weeks)
	from := today
	for i := range out {
		w := &out[i]
		w.From, w.To = from, from.AddDate(0, 0, (7-int(from.Weekday()))%7)
		for _, d := range demand {
			if d.Week == i {
				w.First, w.Later, w.Free = w.First+d.First, w.Later+d.Later, w.Free+d.Free
			}
		}
		for _, b := range left {
			switch {
			case b.Doses == 0 || b.From.After(w.To):
			case b.From.After(from) || (i > 0 && b.From.Equal(from)):
				w.Comes += b.Doses
			default:
				w.Stock += b.Doses
			}
		}
		take := func(n int) (missing int) {
			for k := range left {
				if b := &left[k]; !b.From.After(w.To) {
					t := min(n, b.Doses)
					b.Doses -= t
					n -= t
				}
			}
			return n
		}
		w.Short = take(w.First + w.Later)
		take(w.Free)
		for k := range left {
			switch b := &left[k]; {
			case b.From.After(w.To):
			case !b.Until.After(w.To):
				w.Lost += b.Doses
				b.Doses = 0
			default:
				w.Left += b.Doses
			}
		}
		from = w.To.AddDate(0, 0, 1)
	}
	return out
}

// together adds outlooks of one product up, week by week.
func together(all []Outlook) Outlook {
	var t Outlook
	for i, o := range all {
		if i == 0 {
			t = Outlook{ProductID: o.ProductID, Weeks: slices.Clone(o.Weeks)}
			continue
		}
		for k, w := range o.Weeks {
			x := &t.Weeks[k]
			x.Stock, x.Comes, x.First, x.Later = x.Stock+w.Stock, x.Comes+w.Comes, x.First+w.First, x.Later+w.Later
			x.Free, x.Lost, x.Short, x.Left = x.Free+w.Free, x.Lost+w.Lost, x.Short+w.Short, x.Left+w.Left
		}
	}
	return t
}
