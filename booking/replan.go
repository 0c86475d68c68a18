package booking

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

const (
	// noUpperLimit stands for the greatest distance of a series that has none:
	// so many days after the planned one the plan still looks for an open day.
	noUpperLimit = 28
	// maxShift bounds how far the plan moves a later appointment.
	maxShift = 42
	// replanLockTimeout is how long a replan waits for a booking under way.
	replanLockTimeout = "10s"
)

// Replan computes the places of a product at a centre anew and writes what has
// changed: whatever is taken stays, the free places follow supply, stations and
// shares. It looks first without locks; only when something is to change it
// locks the place rows (in their order, as bookings do), decides again and
// writes, all in one transaction. Two replans of the same pair run one after
// the other.
func (s *Service) Replan(ctx context.Context, centreID, productID string) error {
	err := s.replan(ctx, centreID, productID)
	if err != nil {
		return fmt.Errorf("replan %s at %s: %w", productID, centreID, err)
	}
	return nil
}

func (s *Service) replan(ctx context.Context, centreID, productID string) error {
	now := s.Now()
	var wanted int64
	err := s.Pool.QueryRow(ctx, `SELECT wanted FROM booking.plan WHERE centre_id = $1 AND product_id = $2`, centreID, productID).Scan(&wanted)
	if err != nil && !pg.NoRows(err) {
		return err
	}
	look, err := s.view(ctx, s.Pool, centreID, productID, now, false)
	if err != nil {
		return err
	}
	changes, result := look.decide()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, replanLockTimeout); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('booking.plan:' || $1 || ':' || $2, 0))`, centreID, productID); err != nil {
			return err
		}
		if len(changes) > 0 || len(look.gone) > 0 {
			if look, err = s.view(ctx, tx, centreID, productID, now, true); err != nil {
				return err
			}
			changes, result = look.decide()
			if len(look.gone) > 0 {
				if err := dropReturning(ctx, tx, look.gone); err != nil {
					return err
				}
				if look, err = s.view(ctx, tx, centreID, productID, now, true); err != nil {
					return err
				}
				changes, result = look.decide()
			}
			if err := write(ctx, tx, centreID, productID, changes); err != nil {
				return err
			}
			if err := s.newForList(ctx, tx, look, centreID, productID, now, changes); err != nil {
				return err
			}
		}
		if err := saveShortfall(ctx, tx, centreID, productID, now, look.shortfall(result)); err != nil {
			return err
		}
		offered := 0
		for _, c := range result.Carry {
			if !c.Closed {
				offered += c.N
			}
		}
		// Last, as those who want a plan do: they hold their places by then.
		_, err := tx.Exec(ctx, `
			INSERT INTO booking.plan AS p (centre_id, product_id, made, made_at, series, doses_left) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (centre_id, product_id) DO UPDATE
			SET made = greatest(p.made, excluded.made), made_at = excluded.made_at, series = excluded.series, doses_left = excluded.doses_left`,
			centreID, productID, wanted, now, offered, result.Left)
		return err
	})
}

// change is a place row as it is to be.
type change struct {
	placeKey
	Day    time.Time
	Places int
}

// decide makes the plan and lays it over the slots. It returns the rows that
// differ from what is there.
func (v *planView) decide() ([]change, planResult) {
	result := makePlan(v.input)
	if result.Gone > 0 { // the doses of what was given back are needed for those who have an appointment
		for _, r := range v.back {
			if !r.Kept && !slices.Contains(v.gone, r.Head) {
				v.gone = append(v.gone, r.Head)
			}
		}
	}
	// How many new places of each kind on each day.
	type kind struct {
		day, leg, first, channel, group int
	}
	wanted := map[kind]int{}
	for _, c := range result.Carry {
		if c.Closed {
			continue
		}
		for leg, day := range c.Days {
			wanted[kind{day, leg + 1, c.Days[0], c.Channel, c.Group}] += c.N
		}
	}
	free := map[placeKey]int{}
	for _, r := range v.rows {
		free[r.placeKey] = r.Places - r.Taken
	}
	kinds := make([]kind, 0, len(wanted))
	for k := range wanted {
		kinds = append(kinds, k)
	}
	sort.Slice(kinds, func(a, b int) bool {
		x, y := kinds[a], kinds[b]
		if x.day != y.day {
			return x.day < y.day
		}
		if x.leg != y.leg {
			return x.leg < y.leg
		}
		if x.first != y.first {
			return x.first < y.first
		}
		if x.channel != y.channel {
			return x.channel < y.channel
		}
		return x.group < y.group
	})
	target := map[placeKey]int{}
	for _, k := range kinds {
		slots := v.slots[k.day]
		room, have := make([]int, len(slots)), make([]int, len(slots))
		key := placeKey{Channel: v.pot(k.channel, k.group), Leg: k.leg, FirstDay: v.day(k.first)}
		for i, slot := range slots {
			key.Start = slot.Start
			room[i], have[i] = slot.Persons, free[key]
		}
		for i, n := range spread(wanted[k], room, have) {
			slots[i].Persons -= n
			if n > 0 {
				key.Start = slots[i].Start
				target[key] = n
			}
		}
	}
	var changes []change
	for _, r := range v.rows {
		if places := r.Taken + target[r.placeKey]; places != r.Places {
			changes = append(changes, change{r.placeKey, r.Day, places})
		}
		delete(target, r.placeKey)
	}
	for key, n := range target {
		changes = append(changes, change{key, clock.Day(key.Start), n})
	}
	return changes, result
}

// write stores the changes in two statements, whatever their number.
func write(ctx context.Context, tx pgx.Tx, centreID, productID string, changes []change) error {
	sort.Slice(changes, func(a, b int) bool { return changes[a].Start.Before(changes[b].Start) })
	n := len(changes)
	starts, days, firsts := make([]time.Time, n), make([]time.Time, n), make([]time.Time, n)
	channels, legs, places := make([]string, n), make([]int, n), make([]int, n)
	for i, c := range changes {
		starts[i], days[i], firsts[i], channels[i], legs[i], places[i] = c.Start, c.Day, c.FirstDay, string(c.Channel), c.Leg, c.Places
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO booking.slot (centre_id, product_id, day, start_at)
		SELECT DISTINCT $1, $2, u.day, u.start_at FROM unnest($3::date[], $4::timestamptz[]) AS u (day, start_at) ORDER BY u.start_at
		ON CONFLICT (centre_id, product_id, start_at) DO NOTHING`, centreID, productID, days, starts); err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO booking.place (slot_id, channel, leg, first_day, places)
		SELECT s.id, u.channel, u.leg, u.first_day, u.places
		FROM unnest($3::timestamptz[], $4::text[], $5::int[], $6::date[], $7::int[]) AS u (start_at, channel, leg, first_day, places)
		JOIN booking.slot s ON s.centre_id = $1 AND s.product_id = $2 AND s.start_at = u.start_at
		ORDER BY s.id
		ON CONFLICT (slot_id, channel, leg, first_day) DO UPDATE SET places = excluded.places`,
		centreID, productID, starts, channels, legs, firsts, places)
	if err != nil {
		return fmt.Errorf("places: %w", err)
	}
	return nil
}
