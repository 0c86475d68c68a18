package booking

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Who needs only the last dose of a series (it was begun elsewhere, or its second
// appointment was given back) may take any place of a slot. The plan keeps places
// in pairs, first ones near, later ones far; a person who is to come three weeks
// after the first dose would find nothing among first places. The pair that loses
// its later place by it is mended by the next plan.

func onlyLast(ents []Entitlement) bool {
	return len(ents) > 0 && !slices.ContainsFunc(ents, func(e Entitlement) bool { return !e.Last() })
}

// lastRow is a slot with what is free of it, whatever it was meant for.
type lastRow struct {
	CentreID, ProductID string
	Day                 time.Time
	OfferTime
}

// lastTimes reads the slots at which the last dose can be had from day from on,
// by time; centreID "" means all. Days before the lead of the channel are left out.
func (s *Service) lastTimes(ctx context.Context, q pg.Querier, centreID string, ch Channel, from, to time.Time, ents []Entitlement) ([]lastRow, error) {
	now := s.Now()
	var products []string
	var notBefore []*time.Time
	for _, e := range ents {
		products, notBefore = append(products, e.ProductID), append(notBefore, nullDay(e.NotBefore))
	}
	rows, err := q.Query(ctx, `
		SELECT s.centre_id, s.product_id, s.day, s.id, s.start_at, sum(p.places - p.taken)::int
		FROM unnest($2::text[], $3::date[]) AS e (product_id, not_before)
		JOIN booking.slot s ON s.product_id = e.product_id JOIN booking.place p ON p.slot_id = s.id JOIN booking.channel c ON c.id = p.channel
		WHERE ($1 = '' OR s.centre_id = $1) AND p.channel = $4 AND c.bookable AND p.taken < p.places AND s.start_at > $5
		  AND s.day BETWEEN greatest($6::date, e.not_before, $7::date + c.lead_days) AND $8
		GROUP BY s.id ORDER BY s.start_at, s.id`,
		centreID, products, notBefore, ch, now, clock.Day(from), clock.Day(now), clock.Day(to))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r lastRow, err error) {
		err = row.Scan(&r.CentreID, &r.ProductID, &r.Day, &r.SlotID, &r.Start, &r.Free)
		r.Start = r.Start.UTC()
		return r, err
	})
}

// lastOffers are the offers of a centre for the last dose, by day and product.
func (s *Service) lastOffers(ctx context.Context, q pg.Querier, centreID string, ch Channel, from, to time.Time, ents []Entitlement) ([]OfferDay, error) {
	rows, err := s.lastTimes(ctx, q, centreID, ch, from, to, ents)
	if err != nil {
		return nil, err
	}
	var out []OfferDay
	for _, r := range rows {
		i := slices.IndexFunc(out, func(d OfferDay) bool { return d.Day.Equal(r.Day) && d.ProductID == r.ProductID })
		if i < 0 {
			e := ents[slices.IndexFunc(ents, func(e Entitlement) bool { return e.ProductID == r.ProductID })]
			i = len(out)
			out = append(out, OfferDay{Day: r.Day, CentreID: centreID, ProductID: r.ProductID, FirstDose: e.FirstDose, ent: e})
		}
		out[i].First = append(out[i].First, r.OfferTime)
	}
	return out, nil
}

// freeDays returns by centre (centreID "" means all) the days on which something
// of the entitlements is free. It takes the numbers from the picture a, but for
// the few who need only their last dose.
func (s *Service) freeDays(ctx context.Context, q pg.Querier, a *Availability, centreID string, ch Channel, ents []Entitlement) (map[string][]DayAvailability, error) {
	type at struct {
		centre string
		day    time.Time
	}
	sums := map[at]int{}
	if onlyLast(ents) {
		set, err := readSettings(ctx, q)
		if err != nil {
			return nil, err
		}
		today := clock.Day(s.Now())
		rows, err := s.lastTimes(ctx, q, centreID, ch, today, today.AddDate(0, 0, set.HorizonDays+maxShift), ents)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			sums[at{r.CentreID, r.Day}] += r.Free
		}
	} else {
		for key, byProduct := range a.days {
			if !slices.Contains(pots(ch, ents), string(key.channel)) || centreID != "" && key.centre != centreID {
				continue
			}
			for _, e := range ents {
				if !key.day.Before(e.NotBefore) {
					sums[at{key.centre, key.day}] += byProduct[e.ProductID]
				}
			}
		}
	}
	out := map[string][]DayAvailability{}
	for k, n := range sums {
		if n > 0 {
			out[k.centre] = append(out[k.centre], DayAvailability{k.day, n})
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(x, y DayAvailability) int { return x.Day.Compare(y.Day) })
	}
	return out, nil
}
