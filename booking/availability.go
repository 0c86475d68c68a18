package booking

import (
	"context"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// freeRow is how many series of a product start on a day and are free.
type freeRow struct {
	CentreID  string    `json:"centre"`
	ProductID string    `json:"product"`
	Channel   Channel   `json:"channel"`
	Day       time.Time `json:"day"`
	Free      int       `json:"free"`
}

// freeSeries counts free series by centre, product, channel and first day over
// the channels that are bookable; empty arguments mean all. A first place counts as
// long as there are later ones for its day; times that have begun do not count.
func (s *Service) freeSeries(ctx context.Context, q pg.Querier, centreID, productID string) ([]freeRow, error) {
	now := s.Now()
	today := clock.Day(now)
	rows, err := q.Query(ctx, `
		SELECT s.centre_id, s.product_id, p.channel, p.first_day, p.leg, sum(p.places - p.taken)::int
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id JOIN booking.channel c ON c.id = split_part(p.channel, ':', 1)
		WHERE s.start_at > $1 AND p.first_day >= $2 AND ($3 = '' OR s.centre_id = $3) AND ($4 = '' OR s.product_id = $4)
		  AND c.bookable AND p.first_day >= $2 + c.lead_days
		GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`, now, today, centreID, productID)
	if err != nil {
		return nil, err
	}
	type legRow struct {
		freeRow
		Leg int
	}
	legs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (legRow, error) {
		var r legRow
		err := row.Scan(&r.CentreID, &r.ProductID, &r.Channel, &r.Day, &r.Leg, &r.Free)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	need := map[string]int{}
	var out []freeRow
	for i := 0; i < len(legs); {
		key, min, n := legs[i].freeRow, legs[i].Free, 0
		for ; i < len(legs) && sameKey(legs[i].freeRow, key); i++ {
			if legs[i].Leg != n+1 {
				min = 0
			}
			n++
			if legs[i].Free < min {
				min = legs[i].Free
			}
		}
		if _, ok := need[key.ProductID]; !ok {
			rule, err := programme.SeriesFor(ctx, q, key.ProductID, today)
			if err != nil {
				rule.Doses = 1 << 10 // nothing is offered without a rule
			}
			need[key.ProductID] = rule.Doses
		}
		if n < need[key.ProductID] {
			min = 0
		}
		if min > 0 {
			key.Free = min
			out = append(out, key)
		}
	}
	return out, nil
}

func sameKey(a, b freeRow) bool {
	a.Free, b.Free = 0, 0
	return a == b
}

// Availability is what everybody may see: a picture that is a few seconds old
// and costs no query.
type Availability struct {
	At      time.Time                 `json:"at" doc:"when the picture was taken"`
	Centres []CentreAvailability      `json:"centres"`
	byID    map[string]int            // index in Centres
	days    map[dayKey]map[string]int // free by product

	// Next is when new appointments open by rule; zero when no rule says so.
	Next time.Time `json:"-"`

	unplanned bool // nothing is free because nothing was ever planned
}

// Unplanned reports that no plan was made yet: that nothing is free says
// nothing. So it is for some seconds after the very first start.
func (a *Availability) Unplanned() bool { return a.unplanned }

type dayKey struct {
	centre  string
	channel Channel
	day     time.Time
}

// CentreAvailability is what is free at a centre over the web.
type CentreAvailability struct {
	centre.Centre
	Products []ProductAvailability `json:"products"`
	Free     int                   `json:"free" doc:"series (all appointments together) that are free"`
}

// ProductAvailability is what is free of one product.
type ProductAvailability struct {
	ProductID string            `json:"product_id"`
	Free      int               `json:"free"`
	FirstDay  time.Time         `json:"first_day" doc:"first day with a free appointment"`
	Days      []DayAvailability `json:"days"`
}

// DayAvailability is how many series that start on a day are free.
type DayAvailability struct {
	Day  time.Time `json:"day"`
	Free int       `json:"free"`
}

// Free returns how many series are free over the web, over all centres.
func (a *Availability) Free() (n int) {
	for _, c := range a.Centres {
		n += c.Free
	}
	return n
}

// Centre returns the entry of a centre, or nil.
func (a *Availability) Centre(id string) *CentreAvailability {
	if i, ok := a.byID[id]; ok {
		return &a.Centres[i]
	}
	return nil
}

// Availability returns the last picture; the first call takes one.
func (s *Service) Availability(ctx context.Context) (*Availability, error) {
	if a := s.available.Load(); a != nil {
		return a, nil
	}
	return s.RefreshAvailability(ctx)
}

// RefreshAvailability takes a new picture.
func (s *Service) RefreshAvailability(ctx context.Context) (*Availability, error) {
	rows, err := s.freeSeries(ctx, s.Pool, "", "")
	if err != nil {
		return nil, err
	}
	return s.picture(ctx, rows)
}

// picture makes the picture of what is free and publishes it.
func (s *Service) picture(ctx context.Context, rows []freeRow) (*Availability, error) {
	centres, err := centre.List(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	a := &Availability{At: s.Now(), byID: map[string]int{}, days: map[dayKey]map[string]int{}, Centres: []CentreAvailability{}}
	for i, c := range centres {
		a.byID[c.ID] = i
		a.Centres = append(a.Centres, CentreAvailability{Centre: c, Products: []ProductAvailability{}})
	}
	for _, r := range rows {
		c := a.Centre(r.CentreID)
		if c == nil {
			continue
		}
		key := dayKey{r.CentreID, r.Channel, r.Day}
		if a.days[key] == nil {
			a.days[key] = map[string]int{}
		}
		a.days[key][r.ProductID] += r.Free
		if r.Channel != Web {
			continue
		}
		c.Free += r.Free
		i := sort.Search(len(c.Products), func(i int) bool { return c.Products[i].ProductID >= r.ProductID })
		if i == len(c.Products) { // rows come in the order of products and days
			c.Products = append(c.Products, ProductAvailability{ProductID: r.ProductID, FirstDay: r.Day})
		}
		p := &c.Products[i]
		p.Free += r.Free
		p.Days = append(p.Days, DayAvailability{Day: r.Day, Free: r.Free})
	}
	if a.Next, err = s.NextOpening(ctx, s.Pool); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		err := s.Pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM booking.plan WHERE made_at IS NOT NULL)`).Scan(&a.unplanned)
		if err != nil {
			return nil, err
		}
	}
	if err := s.publish(a); err != nil {
		return nil, err
	}
	s.available.Store(a)
	return a, nil
}

// KeepAvailability renews the picture every so often until ctx ends, together with
// the other replicas. A picture that cannot be taken leaves the one before standing.
func (s *Service) KeepAvailability(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		rows, err := s.sharedFree(ctx, every)
		if err == nil {
			_, err = s.picture(ctx, rows)
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Error("availability", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
