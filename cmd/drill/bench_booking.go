package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

func benchRegister(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	if _, err := p.env.Pool.Exec(ctx, yardstickTables); err != nil {
		return err
	}
	// One pass is good for ten registrations.
	const perPass, fastest = 10, 3000 // fastest: a second, more than any machine of ours has reached
	heads, err := passes(ctx, p, int(fastest*d.Seconds()*rounds/perPass))
	if err != nil {
		return err
	}
	var made atomic.Int64
	register := func(c *caller, _ int) error {
		i := int(made.Add(1)-1) / perPass
		if i >= len(heads) {
			return errors.New("the passes of the bench ran out")
		}
		return expect(c, request(http.MethodPost, "/api/v1/registrations", registration(p.env.Now()), "Cookie", heads[i]), http.StatusCreated)
	}
	m, err := interleave(
		func() (float64, error) { return pgbench(ctx, p.env.Cfg.DatabaseURL, registerScript, clients, d) },
		func() (float64, error) { return load(ctx, p.addr, clients, d, register) },
	)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "citizen.register", Value: m.median(1), Unit: "registrations/s", Yardstick: m.median(0), Ratio: m.ratio(1, 0)})
	return nil
}

// slotPair are a first and a second slot that belong together.
type slotPair struct {
	centre string
	day    time.Time // of the first
	first  int64
	second int64
}

// pairSlots returns pairs that the web could book if there were places enough,
// in no order.
func pairSlots(ctx context.Context, p *portal) (out []slotPair, err error) {
	rows, err := p.env.Pool.Query(ctx, `
		WITH second AS (
			SELECT s.centre_id, p.first_day, array_agg(s.id) AS ids
			FROM booking.place p JOIN booking.slot s ON s.id = p.slot_id
			WHERE p.leg = 2 AND p.channel = 'web' AND s.product_id = 'comirnaty' GROUP BY 1, 2)
		SELECT s.centre_id, s.day, s.id, second.ids
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id AND p.leg = 1 AND p.channel = 'web' AND p.first_day = s.day
		JOIN second ON second.centre_id = s.centre_id AND second.first_day = s.day
		WHERE s.product_id = 'comirnaty' AND s.start_at > $1 ORDER BY random()`, p.env.Now().Add(time.Hour))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			s       slotPair
			seconds []int64
		)
		if err := rows.Scan(&s.centre, &s.day, &s.first, &seconds); err != nil {
			return nil, err
		}
		s.second = seconds[rand.IntN(len(seconds))]
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("the demo state offers no pairs")
	}
	return out, nil
}

// hotDay keeps the pairs of the first day at the centre that has most of them:
// everybody wants an appointment tomorrow, round the corner.
func hotDay(all []slotPair) (hot []slotPair) {
	first := all[0].day
	for _, s := range all {
		if s.day.Before(first) {
			first = s.day
		}
	}
	byCentre := map[string][]slotPair{}
	for _, s := range all {
		if s.day.Equal(first) {
			byCentre[s.centre] = append(byCentre[s.centre], s)
		}
	}
	for _, list := range byCentre {
		if len(list) > len(hot) || len(list) == len(hot) && list[0].centre < hot[0].centre {
			hot = list
		}
	}
	return hot
}

// benchPairs books one pair per call, each for another person.
type benchPairs struct {
	p     *portal
	heads []string // who has not booked yet; each can book once
	next  atomic.Int64
	mu    sync.Mutex
	holds []time.Duration
}

func (b *benchPairs) left() int { return len(b.heads) - int(b.next.Load()) }

// book holds and confirms one pair out of slots over HTTP. due is when it
// should have begun; the hold's time counts from there.
func (b *benchPairs) book(c *caller, slots []slotPair, due time.Time) error {
	i := int(b.next.Add(1)) - 1
	if i >= len(b.heads) {
		return errDone
	}
	s := slots[rand.IntN(len(slots))]
	status, body, err := c.do(request(http.MethodPost, "/api/v1/appointments/hold",
		fmt.Sprintf(`{"slot_ids":[%d,%d],"key":"drill-%d"}`, s.first, s.second, i), "Cookie", b.heads[i]))
	if status == http.StatusConflict {
		b.mu.Lock()
		b.holds = append(b.holds, time.Since(due))
		b.mu.Unlock()
		return errTaken
	}
	if err != nil || status != http.StatusOK {
		return errors.Join(err, fmt.Errorf("hold: %d %.200q", status, body))
	}
	took := time.Since(due)
	var series struct{ ID string }
	if err := json.Unmarshal(body, &series); err != nil {
		return err
	}
	if err := expect(c, request(http.MethodPost, "/api/v1/appointments/"+series.ID+"/confirm", "", "Cookie", b.heads[i]), http.StatusOK); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	b.mu.Lock()
	b.holds = append(b.holds, took)
	b.mu.Unlock()
	return nil
}

func (b *benchPairs) run(ctx context.Context, slots []slotPair, d time.Duration) (float64, error) {
	if b.left() < clients {
		return 0, errors.New("the people of the bench ran out")
	}
	return load(ctx, b.p.addr, clients, d, func(c *caller, _ int) error { return b.book(c, slots, time.Now()) })
}

// paced books perSecond pairs a second and no more.
func (b *benchPairs) paced(ctx context.Context, slots []slotPair, d time.Duration, perSecond float64) error {
	var turn atomic.Int64
	start := time.Now()
	_, err := load(ctx, b.p.addr, clients, d, func(c *caller, _ int) error {
		due := start.Add(time.Duration(float64(turn.Add(1)) / perSecond * float64(time.Second)))
		if due.Sub(start) > d {
			return errDone
		}
		if err := pause(ctx, time.Until(due)); err != nil {
			return err
		}
		return b.book(c, slots, due)
	})
	return err
}

// pacedUntil is paced that goes on until ctx ends. That somebody is too late for a
// place or that the people have run out is no error.
func (b *benchPairs) pacedUntil(ctx context.Context, slots []slotPair, perSecond float64) error {
	var turn atomic.Int64
	start := time.Now()
	_, err := load(context.WithoutCancel(ctx), b.p.addr, clients, time.Minute, func(c *caller, _ int) error {
		due := start.Add(time.Duration(float64(turn.Add(1)) / perSecond * float64(time.Second)))
		if pause(ctx, time.Until(due)) != nil || b.left() <= 0 {
			return errDone
		}
		err := b.book(c, slots, due)
		if errors.Is(err, errTaken) {
			return nil
		}
		return err
	})
	return err
}

// errTaken says that a place went to somebody else, or away with a plan.
var errTaken = errors.New("taken")

func benchPair(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	if _, err := p.env.Pool.Exec(ctx, yardstickTables); err != nil {
		return err
	}
	// As many places as anybody wants: what is measured is the engine.
	if _, err := p.env.Pool.Exec(ctx, `UPDATE booking.place SET places = 1000000 WHERE channel = 'web'`); err != nil {
		return err
	}
	slots, err := pairSlots(ctx, p)
	if err != nil {
		return err
	}
	hot := hotDay(slots)
	b := &benchPairs{p: p}
	// A first round that does not count tells how many people the others need.
	if b.heads, err = bookers(ctx, p, 3000); err != nil {
		return err
	}
	warm, err := b.run(ctx, slots, time.Second)
	if err != nil {
		return err
	}
	more := int(1.7*warm*d.Seconds()*(2*rounds+1)) - b.left()
	if more > 0 {
		r.note("registering %d people for the pairs", more)
		heads, err := bookers(ctx, p, more)
		if err != nil {
			return err
		}
		b.heads = append(b.heads, heads...)
	}
	m, err := interleave(
		func() (float64, error) { return pgbench(ctx, p.env.Cfg.DatabaseURL, pairScript, clients, d) },
		func() (float64, error) { return b.run(ctx, slots, d) },
		func() (float64, error) { return b.run(ctx, hot, d) },
	)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "booking.pair", Value: m.median(1), Unit: "pairs/s", Yardstick: m.median(0), Ratio: m.ratio(1, 0)})
	r.add(Figure{Name: "booking.hot_day", Value: m.median(2), Unit: "pairs/s", Yardstick: m.median(1), Ratio: m.ratio(2, 1)})
	b.holds = nil
	if missing := int(m.median(1)*d.Seconds()*1.1) - b.left(); missing > 0 {
		heads, err := bookers(ctx, p, missing)
		if err != nil {
			return err
		}
		b.heads = append(b.heads, heads...)
	}
	if err := b.paced(ctx, slots, 2*d, m.median(1)/2); err != nil {
		return err
	}
	r.add(Figure{Name: "booking.hold_p99_ms", Value: millis(percentile(b.holds, 0.99)), Unit: "ms at half load"})
	return checkBooked(ctx, p, r, 0)
}

// checkBooked looks for what must never be: more taken than there is, counts
// that are not those of the appointments, half pairs, people with two series.
// lost is what the caller knows to be missing.
func checkBooked(ctx context.Context, p *portal, r *Report, lost int) error {
	var oversold, half, double int
	err := p.env.Pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM booking.place WHERE taken > places),
		(SELECT count(*) FROM (SELECT series_id FROM booking.appointment WHERE state IN ('held', 'confirmed') AND product_id = 'comirnaty'
		                       GROUP BY series_id HAVING count(*) <> 2 OR count(DISTINCT state) <> 1) h),
		(SELECT count(*) FROM (SELECT person_id FROM booking.series WHERE state IN ('held', 'confirmed')
		                       GROUP BY person_id, programme_id HAVING count(*) > 1) d)`).
		Scan(&oversold, &half, &double)
	if err != nil {
		return err
	}
	wrong, err := p.Booking.Verify(ctx)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "booking.oversold", Value: float64(oversold), Unit: "places"})
	r.add(Figure{Name: "booking.double", Value: float64(double), Unit: "people"})
	r.add(Figure{Name: "booking.lost", Value: float64(len(wrong) + half + lost), Unit: "bookings"})
	r.promise(oversold == 0, "%d places are oversold", oversold)
	r.promise(double == 0, "%d people have two series", double)
	r.promise(half == 0, "%d half pairs", half)
	r.promise(len(wrong) == 0, "%d places whose count is not that of their appointments", len(wrong))
	r.promise(lost == 0, "%d bookings that were promised are not there", lost)
	return nil
}
