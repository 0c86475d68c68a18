package booking

import (
	"context"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/programme"
)

// newForList keeps new places back for the people on the waiting list: a plan
// that adds a series which somebody on the list would take lets it return like
// one that was given back, so that it is offered before it is free for everybody.
// At most one series per entry; what nobody takes is free when its time has come.
// The plan has locked the places and written the changes.
func (s *Service) newForList(ctx context.Context, tx pgx.Tx, look *planView, centreID, productID string, now time.Time, changes []change) error {
	list, err := s.wouldTake(ctx, tx, centreID, productID)
	if err != nil || len(list) == 0 {
		return err
	}
	picked := look.pick(changes, list, centreID, now)
	if len(picked) == 0 {
		return nil
	}
	var (
		heads, ofHead, channels []string
		starts, firsts          []time.Time
		legs                    []int
	)
	for _, p := range picked {
		headID := id.New()
		heads = append(heads, headID)
		for _, k := range p {
			ofHead, channels = append(ofHead, headID), append(channels, string(k.Channel))
			starts, firsts, legs = append(starts, k.Start), append(firsts, k.FirstDay), append(legs, k.Leg)
		}
	}
	// Without a delay nothing returns: the places are free at once.
	tag, err := tx.Exec(ctx, `
		INSERT INTO booking.returning (id, replan, since, due_at)
		SELECT u.id, false, $2::timestamptz, $2::timestamptz + make_interval(secs => t.return_delay_seconds + t.return_spread_seconds * booking.chance())
		FROM unnest($1::text[]::uuid[]) AS u (id), booking.setting t WHERE t.return_delay_seconds + t.return_spread_seconds > 0`, heads, now)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	const places = `unnest($3::text[]::uuid[], $4::text[], $5::timestamptz[], $6::date[], $7::int[]) AS u (head, channel, start_at, first_day, leg)
		JOIN booking.slot s ON s.centre_id = $1 AND s.product_id = $2 AND s.start_at = u.start_at`
	if _, err := tx.Exec(ctx, `
		UPDATE booking.place p SET taken = p.taken + x.n
		FROM (SELECT s.id, u.channel, u.leg, u.first_day, count(u.head) AS n FROM `+places+` GROUP BY 1, 2, 3, 4) x
		WHERE p.slot_id = x.id AND p.channel = x.channel AND p.leg = x.leg AND p.first_day = x.first_day`,
		centreID, productID, ofHead, channels, starts, firsts, legs); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO booking.returning_place (returning_id, slot_id, channel, leg, first_day)
		SELECT u.head, s.id, u.channel, u.leg, u.first_day FROM `+places,
		centreID, productID, ofHead, channels, starts, firsts, legs)
	return err
}

// wouldTake are the entries that could be asked for a centre, less as many as
// there are places on their way to them already.
func (s *Service) wouldTake(ctx context.Context, tx pgx.Tx, centreID, productID string) ([]Waiting, error) {
	product, err := programme.ProductByID(ctx, tx, productID)
	if err != nil {
		return nil, err
	}
	list, err := waitingWhere(ctx, tx, `state = 'waiting' AND programme_id = $1 AND centres @> ARRAY[$2]::text[]
		AND NOT EXISTS (SELECT FROM booking.series s WHERE s.person_id = waiting.person_id AND s.programme_id = waiting.programme_id AND s.state IN ('held', 'confirmed'))
		AND `+oneLot+` ORDER BY id LIMIT 5000`, product.ProgrammeID, centreID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var under int
	err = tx.QueryRow(ctx, `
		SELECT count(*) FROM booking.returning r JOIN booking.returning_place p ON p.returning_id = r.id JOIN booking.slot s ON s.id = p.slot_id
		WHERE s.centre_id = $1 AND s.product_id = $2 AND p.leg = 1 AND NOT r.kept`, centreID, productID).Scan(&under)
	return list[min(under, len(list)):], err
}

// pick chooses the series among new places that somebody of the list would take,
// one per entry: each a first place with the later ones that lie right.
func (v *planView) pick(changes []change, list []Waiting, centreID string, now time.Time) [][]placeKey {
	free, added := map[placeKey]int{}, map[placeKey]int{}
	for _, r := range v.rows {
		free[r.placeKey] = r.Places - r.Taken
		added[r.placeKey] = -r.Places
	}
	taken := map[placeKey]int{}
	for _, r := range v.rows {
		taken[r.placeKey] = r.Taken
	}
	var firsts []placeKey
	for _, c := range changes {
		free[c.placeKey] = c.Places - taken[c.placeKey]
		if added[c.placeKey] += c.Places; c.Leg == 1 && added[c.placeKey] > 0 && c.Start.After(now) {
			firsts = append(firsts, c.placeKey)
		}
	}
	sort.Slice(firsts, func(a, b int) bool {
		if !firsts[a].Start.Equal(firsts[b].Start) {
			return firsts[a].Start.Before(firsts[b].Start)
		}
		return firsts[a].Channel < firsts[b].Channel
	})
	later := map[placeKey][]placeKey{} // by channel, leg and first day
	for k := range free {
		if k.Leg > 1 {
			group := placeKey{Channel: k.Channel, Leg: k.Leg, FirstDay: k.FirstDay}
			later[group] = append(later[group], k)
		}
	}
	for _, l := range later {
		sort.Slice(l, func(a, b int) bool { return l[a].Start.Before(l[b].Start) })
	}
	var out [][]placeKey
	used := make([]bool, len(list))
	for _, first := range firsts {
		for n := added[first]; n > 0 && free[first] > 0; n-- {
			i := 0
			for i < len(list) && (used[i] || !list[i].mayTake(first.Channel) || !list[i].Match(centreID, first.Start, now)) {
				i++
			}
			if i == len(list) {
				break
			}
			series := v.complete(first, later, free)
			if series == nil {
				break
			}
			used[i] = true
			for _, k := range series {
				free[k]--
			}
			out = append(out, series)
		}
	}
	return out
}

// complete finds the later places of a series, nearest by the time of day.
func (v *planView) complete(first placeKey, later map[placeKey][]placeKey, free map[placeKey]int) []placeKey {
	series := []placeKey{first}
	for leg := 2; leg <= v.input.Legs; leg++ {
		before := series[len(series)-1].Start
		best := -1
		list := later[placeKey{Channel: first.Channel, Leg: leg, FirstDay: first.FirstDay}]
		for i, k := range list {
			days := daysBetween(clock.Day(before), clock.Day(k.Start))
			if free[k] <= 0 || days < v.input.MinDays || days > v.input.MaxDays {
				continue
			}
			if best < 0 || (timeOfDay(k.Start)-timeOfDay(before)).Abs() < (timeOfDay(list[best].Start)-timeOfDay(before)).Abs() {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		series = append(series, list[best])
	}
	return series
}
