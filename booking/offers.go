package booking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// OfferQuery asks what a person could book.
type OfferQuery struct {
	Person   citizen.Person
	CentreID string
	Channel  Channel
	From, To time.Time // days of the first appointment, both included
	One      bool      // the first dose alone, where the rules allow it
}

// OfferTime is one time and how many places are free then.
type OfferTime struct {
	SlotID int64     `json:"slot_id"`
	Start  time.Time `json:"start"`
	Free   int       `json:"free"`
}

// OfferDay is what of one product is free for series that start on a day. A
// series is one of First and, for every further appointment that the person
// needs, one of Later: the places that are kept for exactly this day's series.
// What is kept for the person's group on that day is an OfferDay of its own, and
// comes first.
type OfferDay struct {
	Day       time.Time     `json:"day"` // as clock.Day
	CentreID  string        `json:"centre_id"`
	ProductID string        `json:"product_id"`
	FirstDose int           `json:"first_dose" doc:"number of the dose of the first appointment"`
	First     []OfferTime   `json:"first"`
	Later     [][]OfferTime `json:"later" doc:"one list per further appointment; empty when one appointment is enough"`
	ent       Entitlement
	pot       Channel // the channel, or the contingent of the person's group
}

// Free returns how many series are free.
func (d OfferDay) Free() int {
	free := total(d.First)
	for _, l := range d.Later {
		free = min(free, total(l))
	}
	return free
}

func total(list []OfferTime) int {
	n := 0
	for _, t := range list {
		n += t.Free
	}
	return n
}

// Choice is a series that could be held: one time per appointment.
type Choice struct {
	CentreID  string      `json:"centre_id"`
	ProductID string      `json:"product_id"`
	FirstDose int         `json:"first_dose"`
	Times     []OfferTime `json:"times"`
}

// SlotIDs is what Hold wants.
func (c Choice) SlotIDs() []int64 {
	var ids []int64
	for _, t := range c.Times {
		ids = append(ids, t.SlotID)
	}
	return ids
}

// Choice completes a first time to a series. Each first place has a later one
// of its own, by rank: the first times and the later ones lie equally over
// their days, so the time of day stays about the same, and people who choose
// different first times do not run into each other at the second. ok is false
// when the slot is not among First or something is missing.
func (d OfferDay) Choice(firstSlot int64) (c Choice, ok bool) {
	i := slices.IndexFunc(d.First, func(t OfferTime) bool { return t.SlotID == firstSlot })
	if i < 0 {
		return Choice{}, false
	}
	c = Choice{CentreID: d.CentreID, ProductID: d.ProductID, FirstDose: d.FirstDose, Times: []OfferTime{d.First[i]}}
	rank, of := total(d.First[:i]), total(d.First)
	for _, list := range d.Later {
		before := c.Times[len(c.Times)-1].Start
		later, ok := d.later(list, before, rank, of)
		if !ok {
			return Choice{}, false
		}
		c.Times = append(c.Times, later)
	}
	return c, true
}

// later returns the place of the same rank, or where that one is too near or too
// far, the one that is nearest by the time of day.
func (d OfferDay) later(list []OfferTime, before time.Time, rank, of int) (OfferTime, bool) {
	fits := func(t OfferTime) bool {
		days := daysBetween(clock.Day(before), clock.Day(t.Start))
		return days >= d.ent.MinDays && days <= d.ent.MaxDays
	}
	want, so := rank*total(list)/of, 0
	for _, t := range list {
		if so += t.Free; so > want {
			if fits(t) {
				return t, true
			}
			break
		}
	}
	best := -1
	for i, t := range list {
		if fits(t) && (best < 0 || (timeOfDay(t.Start)-timeOfDay(before)).Abs() < (timeOfDay(list[best].Start)-timeOfDay(before)).Abs()) {
			best = i
		}
	}
	if best < 0 {
		return OfferTime{}, false
	}
	return list[best], true
}

func timeOfDay(t time.Time) time.Duration {
	t = t.In(clock.Berlin)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

// Offers returns what the person could book, by day and product; days without
// a free series are left out. *IneligibleError when the rules allow nothing.
func (s *Service) Offers(ctx context.Context, q pg.Querier, in OfferQuery) ([]OfferDay, error) {
	ents, err := s.entitlements(ctx, q, in.Person)
	if err != nil {
		return nil, err
	}
	if in.One {
		if ents = waivable(ents); len(ents) == 0 {
			return nil, &IneligibleError{ReasonSeries}
		}
	}
	return s.offers(ctx, q, in.CentreID, in.Channel, in.From, in.To, ents)
}

func (s *Service) offers(ctx context.Context, q pg.Querier, centreID string, ch Channel, from, to time.Time, ents []Entitlement) ([]OfferDay, error) {
	now := s.Now()
	channels, err := Channels(ctx, q)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(channels, func(c ChannelRule) bool { return c.ID == ch && c.Bookable })
	if i < 0 {
		return nil, &IneligibleError{ReasonChannel}
	}
	from, to = clock.Day(from), clock.Day(to)
	if earliest := clock.Day(now).AddDate(0, 0, channels[i].LeadDays); from.Before(earliest) {
		from = earliest
	}
	if to.Before(from) {
		return nil, nil
	}
	if onlyLast(ents) {
		return s.lastOffers(ctx, q, centreID, ch, from, to, ents)
	}
	byProduct := map[string]Entitlement{}
	var products []string
	maxDays, legs := 0, 1
	for _, e := range ents {
		byProduct[e.ProductID] = e
		products = append(products, e.ProductID)
		legs = max(legs, e.Legs)
		if e.Legs > 1 {
			maxDays = max(maxDays, min(e.MaxDays, 366)*(e.Legs-1))
		}
	}
	rows, err := q.Query(ctx, `
		SELECT p.first_day, s.product_id, p.channel, p.leg, s.id, s.start_at, p.places - p.taken
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
		WHERE s.centre_id = $1 AND s.product_id = ANY ($2) AND s.start_at > $3 AND s.start_at < $4
		  AND p.channel = ANY ($5) AND p.first_day BETWEEN $6 AND $7 AND p.leg <= $8 AND p.taken < p.places
		ORDER BY p.first_day, s.product_id, array_position($5, p.channel), p.leg, s.start_at`,
		centreID, products, latest(now, clock.At(from, 0, 0)), clock.At(to.AddDate(0, 0, maxDays+1), 0, 0), pots(ch, ents), from, to, legs)
	if err != nil {
		return nil, err
	}
	var (
		out  []OfferDay
		day  time.Time
		prod string
		pot  Channel
		leg  int
		t    OfferTime
	)
	_, err = pgx.ForEachRow(rows, []any{&day, &prod, &pot, &leg, &t.SlotID, &t.Start, &t.Free}, func() error {
		e := byProduct[prod]
		if day.Before(e.NotBefore) || leg > e.Legs {
			return nil
		}
		t.Start = t.Start.UTC()
		if n := len(out); n == 0 || !out[n-1].Day.Equal(day) || out[n-1].ProductID != prod || out[n-1].pot != pot {
			out = append(out, OfferDay{Day: day, CentreID: centreID, ProductID: prod, FirstDose: e.FirstDose, Later: make([][]OfferTime, e.Legs-1), ent: e, pot: pot})
		}
		d := &out[len(out)-1]
		if leg == 1 {
			d.First = append(d.First, t)
		} else {
			d.Later[leg-2] = append(d.Later[leg-2], t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(d OfferDay) bool { return d.Free() == 0 }), nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// nearest returns up to three series that are free for so many people, nearest to
// what was wanted.
func (s *Service) nearest(ctx context.Context, in HoldRequest, ents []Entitlement, people int) ([]Choice, error) {
	key := fmt.Sprint(in.Channel, in.SlotIDs, ents, people)
	list, err := s.nearby.ask(ctx, key, func(ctx context.Context) ([]Choice, error) { return s.findNearest(ctx, in, ents, people) })
	return slices.Clone(list), err
}

func (s *Service) findNearest(ctx context.Context, in HoldRequest, ents []Entitlement, people int) ([]Choice, error) {
	var (
		centreID string
		start    time.Time
	)
	err := s.Pool.QueryRow(ctx, `SELECT centre_id, start_at FROM booking.slot WHERE id = $1`, in.SlotIDs[0]).Scan(&centreID, &start)
	if pg.NoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	set, err := readSettings(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	today := clock.Day(s.Now())
	// First close to the day, then the whole time that can be booked.
	for _, around := range []int{3, set.HorizonDays} {
		day := clock.Day(start)
		from, to := day.AddDate(0, 0, -around), day.AddDate(0, 0, around)
		if from.Before(today) {
			from = today
		}
		list, err := s.offers(ctx, s.Pool, centreID, in.Channel, from, to, ents)
		if errors.Is(err, ErrNotEligible) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if people > 1 {
			list = forTwo(list)
		}
		var out []Choice
		seen := map[int64]bool{}
		for _, d := range list {
			for _, t := range d.First {
				if c, ok := d.Choice(t.SlotID); ok && !seen[t.SlotID] {
					seen[t.SlotID] = true
					out = append(out, c)
				}
			}
		}
		sort.SliceStable(out, func(a, b int) bool {
			return out[a].Times[0].Start.Sub(start).Abs() < out[b].Times[0].Start.Sub(start).Abs()
		})
		if len(out) >= 3 || around == set.HorizonDays {
			return out[:min(3, len(out))], nil
		}
	}
	return nil, nil
}
