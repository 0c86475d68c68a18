package booking

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/inventory"
	"impfportal/programme"
)

// placeKey names a place row; slots are known by their start here.
type placeKey struct {
	Start    time.Time // UTC
	Channel  Channel
	Leg      int
	FirstDay time.Time
}

type placeRow struct {
	placeKey
	Day           time.Time
	Places, Taken int
}

// planView is everything that a plan follows from, as it was at one moment.
type planView struct {
	today    time.Time
	channels []ChannelRule
	book     *quotaBook
	input    planInput
	slots    [][]slotRoom // by day
	rows     []placeRow   // all of today and later
	over     []int        // by day: taken beyond what the stations can do
	back     []backRow    // places on their way back: taken, and nobody's
	gone     []string     // heads of them that the stations do not carry any more
}

// slotRoom is one time of a day and how many people can come then.
type slotRoom struct {
	Start   time.Time
	Persons int
}

func (v *planView) index(day time.Time) int { return daysBetween(v.today, day) }
func (v *planView) day(i int) time.Time     { return v.today.AddDate(0, 0, i) }

// daysBetween counts from day to day, both as clock.Day.
func daysBetween(from, to time.Time) int { return int(to.Sub(from).Hours() / 24) }

// view reads. With lock, place rows are locked in their order; from then on no
// appointment is made or given up until the transaction ends. What does not
// need the locks is read before.
func (s *Service) view(ctx context.Context, q pg.Querier, centreID, productID string, now time.Time, lock bool) (*planView, error) {
	v := &planView{today: clock.Day(now)}
	set, err := readSettings(ctx, q)
	if err != nil {
		return nil, err
	}
	if v.channels, err = Channels(ctx, q); err != nil {
		return nil, err
	}
	c, err := centre.Get(ctx, q, centreID)
	if err != nil {
		return nil, err
	}
	end, err := v.readSeries(ctx, q, productID, set.HorizonDays, c.Active)
	if err != nil {
		return nil, err
	}
	if err := s.readDays(ctx, q, v, c, productID, end, set, now); err != nil {
		return nil, err
	}
	// Appointments before the stock: a dose that is given meanwhile is then
	// counted as missing twice rather than as there twice, and the next plan mends it.
	if v.rows, err = placeRows(ctx, q, centreID, productID, v.today, lock); err != nil {
		return nil, err
	}
	if err := v.readCommitted(ctx, q, centreID, productID, end); err != nil {
		return nil, err
	}
	if v.back, err = backRows(ctx, q, centreID, productID, v.today); err != nil {
		return nil, err
	}
	if v.input.Supply, err = s.supply(ctx, q, centreID, productID, v.today, set.DeliveryMarginDays); err != nil {
		return nil, err
	}
	v.keep(productID, now)
	v.subtractTaken(now)
	return v, nil
}

// readSeries reads the series rule of the day and returns how many days the plan covers.
func (v *planView) readSeries(ctx context.Context, q pg.Querier, productID string, horizon int, active bool) (end int, err error) {
	rule, err := programme.SeriesFor(ctx, q, productID, v.today)
	if errors.Is(err, programme.ErrNoRule) {
		rule, active = programme.Series{Doses: 1}, false // nothing new is offered, what is booked stays
	} else if err != nil {
		return 0, err
	}
	maxDays := rule.MaxDays
	if rule.Doses > 1 {
		if maxDays >= programme.NoUpperLimit {
			maxDays = rule.PlanDays + noUpperLimit
		}
		maxDays = min(maxDays, rule.PlanDays+maxShift)
	}
	v.input = planInput{Horizon: horizon, Legs: rule.Doses, MinDays: rule.MinDays, MaxDays: maxDays, PlanDays: rule.PlanDays}
	if !active {
		v.input.Horizon = 0
	}
	for _, ch := range v.channels {
		v.input.Channels = append(v.input.Channels, planChannel{Lead: ch.LeadDays})
	}
	return horizon + (rule.Doses-1)*maxDays, nil
}

func placeRows(ctx context.Context, q pg.Querier, centreID, productID string, today time.Time, lock bool) ([]placeRow, error) {
	forUpdate := ""
	if lock {
		forUpdate = ` FOR UPDATE OF p`
	}
	rows, err := q.Query(ctx, `
		SELECT s.start_at, p.channel, p.leg, p.first_day, s.day, p.places, p.taken
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
		WHERE s.centre_id = $1 AND s.product_id = $2 AND s.start_at >= $3
		ORDER BY p.slot_id, p.channel, p.leg, p.first_day`+forUpdate, centreID, productID, clock.At(today, 0, 0))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (placeRow, error) {
		var r placeRow
		err := row.Scan(&r.Start, &r.Channel, &r.Leg, &r.FirstDay, &r.Day, &r.Places, &r.Taken)
		r.Start = r.Start.UTC()
		return r, err
	})
}

// readCommitted counts, by day from today, the doses that appointments still
// need and those of returning places. One statement sees both as they were at
// one moment: what changes from one to the other is never missed.
func (v *planView) readCommitted(ctx context.Context, q pg.Querier, centreID, productID string, end int) error {
	rows, err := q.Query(ctx, `
		SELECT day - $3::date, count(*) FILTER (WHERE NOT back)::int, count(*) FILTER (WHERE back)::int FROM (
			SELECT day, false AS back FROM booking.appointment
			WHERE centre_id = $1 AND product_id = $2 AND day >= $3 AND state IN ('held', 'confirmed', 'here')
			UNION ALL
			SELECT s.day, true FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id
			WHERE s.centre_id = $1 AND s.product_id = $2 AND s.day >= $3) d
		GROUP BY 1 ORDER BY 1`, centreID, productID, v.today)
	if err != nil {
		return err
	}
	v.input.Committed, v.input.Returning = make([]int, end), make([]int, end)
	var day, booked, back int
	_, err = pgx.ForEachRow(rows, []any{&day, &booked, &back}, func() error {
		for day >= len(v.input.Committed) {
			v.input.Committed, v.input.Returning = append(v.input.Committed, 0), append(v.input.Returning, 0)
		}
		v.input.Committed[day], v.input.Returning[day] = booked, back
		return nil
	})
	return err
}

// forever is later than every day of a plan.
const forever = 1 << 20

// supply is the centre's stock by its last day of use, and what is planned to
// come. Open doses are good for today only.
func (s *Service) supply(ctx context.Context, q pg.Querier, centreID, productID string, today time.Time, marginDays int) ([]planBatch, error) {
	batches, err := s.Inventory.Supply(ctx, q, inventory.CentrePlace(centreID), productID, today, marginDays)
	if err != nil {
		return nil, err
	}
	var out []planBatch
	for _, b := range batches {
		p := planBatch{From: daysBetween(today, b.From), Until: forever, Doses: b.Doses}
		if b.Until.Before(inventory.Forever) {
			p.Until = daysBetween(today, b.Until)
		}
		out = append(out, p)
	}
	return out, nil
}

// readDays fills what the stations can do and the quotas, by day.
func (s *Service) readDays(ctx context.Context, q pg.Querier, v *planView, c centre.Centre, productID string, end int, set settings, now time.Time) error {
	hours, err := centre.HoursBetween(ctx, q, c.ID, v.today, v.day(max(0, end-1)))
	if err != nil {
		return err
	}
	book, err := s.quotaBook(ctx, q, c, v.channels, v.today)
	if err != nil {
		return err
	}
	v.book = book
	book.openings.stage(&v.input, v.today, now, end, set.HorizonDays)
	book.divide(&v.input, productID, v.today, end, now)
	v.slots = make([][]slotRoom, end)
	for i := range end {
		if i < len(hours) && hours[i].Open && c.Active {
			v.slots[i] = daySlots(hours[i].Opens, hours[i].Closes, time.Duration(set.SlotMinutes)*time.Minute, book.stations(v.day(i), productID), hours[i].MinutesPerPerson)
		}
	}
	return nil
}

// subtractTaken leaves in capacity and slots what is free, and notes by day
// what is taken: first appointments by channel, and those beyond the stations.
func (v *planView) subtractTaken(now time.Time) {
	takenAt := map[time.Time]int{}
	channel := map[Channel]int{}
	for n, ch := range v.channels {
		channel[ch.ID] = n
	}
	v.over = make([]int, len(v.slots))
	for range v.slots {
		v.input.Taken = append(v.input.Taken, make([]int, len(v.channels)))
	}
	for _, r := range v.rows {
		takenAt[r.Start] += r.Taken
		if i := v.index(r.Day); r.Leg == 1 && i < len(v.slots) {
			v.input.Taken[i][channel[r.Channel.base()]] += r.Taken
		}
	}
	backAt := map[time.Time]int{}
	for _, r := range v.back {
		backAt[r.Start]++
	}
	tooMany := map[time.Time]bool{}
	for i, slots := range v.slots {
		capacity := 0
		for j, slot := range slots {
			room := slot.Persons - takenAt[slot.Start]
			delete(takenAt, slot.Start)
			switch {
			case !slot.Start.After(now):
				room = 0
			case room < 0:
				v.over[i] += max(0, -room-backAt[slot.Start])
				tooMany[slot.Start] = true
				room = 0
			}
			v.slots[i][j].Persons = room
			capacity += room
		}
		v.input.Capacity = append(v.input.Capacity, capacity)
	}
	for start, n := range takenAt { // taken at times that are not worked any more
		if i := v.index(clock.Day(start)); i < len(v.over) && start.After(now) {
			v.over[i] += max(0, n-backAt[start])
			tooMany[start] = true
		}
	}
	for _, r := range v.back {
		if tooMany[r.Start] && !r.Kept && !slices.Contains(v.gone, r.Head) {
			v.gone = append(v.gone, r.Head)
		}
	}
}

// daySlots cuts opening hours into times. Each station sees a person every
// minutes minutes, one after the other through the whole day; nobody is begun
// who would not be finished when the centre closes.
func daySlots(opens, closes time.Time, length time.Duration, stations, minutes int) []slotRoom {
	var out []slotRoom
	if stations <= 0 || minutes <= 0 {
		return nil
	}
	per := time.Duration(minutes) * time.Minute
	for start := opens; start.Before(closes); start = start.Add(length) {
		end := start.Add(length)
		if end.After(closes) {
			end = closes
		}
		n := int(end.Sub(opens)/per) - int(start.Sub(opens)/per)
		if n > 0 {
			out = append(out, slotRoom{Start: start.UTC(), Persons: n * stations})
		}
	}
	return out
}

// busyProducts are the products that have something to do at a centre, in
// their order: stock, something planned, or appointments.
func (s *Service) busyProducts(ctx context.Context, q pg.Querier, centreID string, today time.Time) ([]string, error) {
	products, err := programme.Products(ctx, q, "")
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `
		SELECT DISTINCT product_id FROM booking.appointment
		WHERE centre_id = $1 AND day >= $2 AND state IN ('held', 'confirmed', 'here')`, centreID, today)
	if err != nil {
		return nil, err
	}
	booked, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range products {
		busy := slices.Contains(booked, p.ID)
		if !busy {
			stock, err := s.Inventory.Doses(ctx, q, inventory.CentrePlace(centreID), p.ID, today)
			if err != nil {
				return nil, err
			}
			busy = stock.Doses > 0
		}
		if !busy {
			coming, err := s.Inventory.Planned(ctx, q, inventory.CentrePlace(centreID), p.ID, today)
			if err != nil {
				return nil, err
			}
			busy = len(coming) > 0
		}
		if busy {
			out = append(out, p.ID)
		}
	}
	return out, nil
}
