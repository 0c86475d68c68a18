package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"impfportal/waitingroom"
)

// opening is an opening day: how it is set up and watched. On a portal of the
// drill's own everything is checked against what Postgres and Redis hold; on a
// running one (URL=) against what it tells an administrator.
type opening struct {
	citizens
	rate, bound int
	figures     func(ctx context.Context) (lineFigures, error)
	every       time.Duration                             // between two looks at the figures
	stays       func(ctx context.Context) ([]stay, error) // nil = cannot be known
	restore     func(ctx context.Context) error           // puts back what was changed
}

// wantedUse is the share of the bound that should be inside while people wait.
const wantedUse = 0.95

// lineFigures is how the line stands.
type lineFigures struct{ Waiting, Inside, Invited int64 }

// newOpening is an opening day at twelve times the speed: people stay one to
// six minutes, an invitation keeps its seat for two.
func newOpening(addr string) *opening {
	o := &opening{
		citizens: citizens{addr: addr, n: 3000, arrive: 20 * time.Second, lateAt: 60 * time.Second, stay: [2]time.Duration{5 * time.Second, 30 * time.Second}, calm: make(chan struct{})},
		rate:     2400, bound: 375, every: 100 * time.Millisecond,
	}
	if full() {
		o.n, o.rate, o.bound = 100_000, 30_000, 5_000
	}
	return o
}

// longestDay is how long an opening day may take, in either size.
const longestDay = 15 * time.Minute

// drillOpening lets thousands arrive within 20 seconds. They poll as advised,
// 40 % never show up, some come late and all at once, the others stay a while
// and leave. Nobody sees an error, rate and bound hold, the order is kept.
func drillOpening(ctx context.Context, r *Report) (err error) {
	var o *opening
	if url := os.Getenv("URL"); url != "" {
		o, err = remoteOpening(ctx, url)
	} else {
		p, startErr := startPortal(ctx, portalOptions{})
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		o, err = ownOpening(ctx, p)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.restore(context.WithoutCancel(ctx))) }()
	r.note("%d people in %v; %d a minute, %d inside at once, each for %v to %v", o.n, o.arrive, o.rate, o.bound, o.stay[0], o.stay[1])

	patience, cancel := context.WithTimeout(ctx, longestDay)
	defer cancel()
	o.start = time.Now()
	day := make(chan error, 1)
	go func() { day <- o.run(patience) }()
	w, err := o.watch(patience, r, day)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		r.promise(false, "the day did not end within %v: %v", longestDay, err)
	}
	return o.report(ctx, r, w)
}

// watched is what was seen while people stood in line.
type watched struct {
	looks, tooMany int
	most           int64
	used           float64 // sum of the shares of the bound that were inside, over the looks that count
	busy           int     // those looks: people waited, and the bound had been reached before
}

// watch looks at the figures until the day ends.
func (o *opening) watch(ctx context.Context, r *Report, day <-chan error) (w watched, err error) {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	reached, calm := false, false
	told := time.Now()
	for {
		select {
		case err := <-day:
			return w, err
		case <-tick.C:
		}
		f, err := o.figures(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return w, <-day
			}
			return w, fmt.Errorf("figures of the room: %w", err)
		}
		w.looks++
		w.most = max(w.most, f.Inside)
		if f.Inside > int64(o.bound) {
			w.tooMany++
		}
		if !calm && f.Waiting == 0 && time.Since(o.start) > o.arrive+o.every {
			calm = true
			close(o.calm)
		}
		reached = reached || f.Inside+f.Invited >= int64(o.bound)
		if reached && f.Waiting > 0 {
			w.busy++
			w.used += float64(f.Inside) / float64(o.bound)
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			r.note("%3.0f s: %d waiting, %d invited, %d inside, %d of %d done", time.Since(o.start).Seconds(), f.Waiting, f.Invited, f.Inside, o.gone.Load(), o.n)
		}
	}
}

// report prints the figures of the day and what promise broke.
func (o *opening) report(ctx context.Context, r *Report, w watched) error {
	var waits []time.Duration
	for _, j := range o.joins {
		waits = append(waits, j.got.Sub(j.asked))
	}
	bound, rate := w.tooMany, 0
	if o.stays != nil {
		stays, err := o.stays(ctx)
		if err != nil {
			return err
		}
		most, violations := mostInside(stays, o.bound)
		bound += violations
		within, violations := mostWithin(stays, time.Minute, o.rate)
		rate += violations
		// The same for short windows: no bursts.
		size, refill := waitingroom.DoorSize(int64(o.rate)), waitingroom.DoorRate(int64(o.rate))
		burst, violations := mostWithin(stays, 5*time.Second, int(size+refill/12+1))
		rate += violations
		r.note("at most %d of %d inside, %d of %d let in within a minute, %d within 5 s (at most %d)", most, o.bound, within, o.rate, burst, size+refill/12+1)
	} else {
		r.note("at most %d of %d inside, by the portal's own figures; the rate cannot be checked from outside", w.most, o.bound)
	}
	early, door := joinInversions(o.joins), doorInversions(o.doors)
	lost := o.came - int(o.entered.Load())
	// A running portal keeps its long grace, which says nothing at this speed.
	if w.busy > 0 && o.stays != nil {
		used := w.used / float64(w.busy)
		r.add(Figure{Name: "waitingroom.active_used", Value: used, Unit: "of the bound", Yardstick: wantedUse, Ratio: used / wantedUse})
	}
	r.add(Figure{Name: "waitingroom.bound_violations", Value: float64(bound), Unit: "times"})
	if o.stays != nil {
		r.add(Figure{Name: "waitingroom.rate_violations", Value: float64(rate), Unit: "times"})
	}
	r.add(Figure{Name: "waitingroom.order_inversions", Value: float64(early + door), Unit: "people"})
	r.add(Figure{Name: "waitingroom.errors", Value: float64(o.errors), Unit: "people"})
	r.add(Figure{Name: "waitingroom.join_p99_ms", Value: millis(percentile(waits, 0.99)), Unit: "ms"})
	r.note("%d places, %d came in of %d who wanted to, %d polls, %d looks at the room", len(o.joins), o.entered.Load(), o.came, o.polls.Load(), w.looks)
	r.promise(bound == 0, "the bound was exceeded %d times", bound)
	r.promise(rate == 0, "the rate was exceeded %d times", rate)
	r.promise(early+door == 0, "%d numbers out of order, %d people overtaken", early, door)
	r.promise(o.errors == 0, "%d people saw an error, the first: %v", o.errors, o.example)
	r.promise(lost == 0 || o.errors > 0, "%d people never came in", lost)
	return nil
}

// ownOpening sets a new line up on the drill's own portal. An invitation keeps
// its seat for ten seconds, the shortest that the portal allows.
func ownOpening(ctx context.Context, p *portal) (*opening, error) {
	o := newOpening(p.addr)
	p.log.Set(quiet) // the citizens count their errors
	if _, err := p.env.Pool.Exec(ctx, `UPDATE waitingroom.room SET grace_seconds = 10 WHERE id = $1`, room); err != nil {
		return nil, err
	}
	if err := p.valve(ctx, waitingroom.Change{Rate: &o.rate, Bound: &o.bound}); err != nil {
		return nil, err
	}
	if err := p.newLine(ctx); err != nil {
		return nil, err
	}
	var epoch, seconds int
	if err := p.env.Pool.QueryRow(ctx, `SELECT l.epoch, r.pass_seconds FROM waitingroom.line l JOIN waitingroom.room r ON r.id = l.room_id WHERE r.id = $1`, room).Scan(&epoch, &seconds); err != nil {
		return nil, err
	}
	passLength := time.Duration(seconds) * time.Second
	o.restore = func(context.Context) error { return nil } // the scratch folder goes
	o.figures = func(ctx context.Context) (f lineFigures, err error) {
		pipe := p.env.Redis.Pipeline()
		state := pipe.HMGet(ctx, "wr:{"+room+"}:s", "issued", "serving", "out")
		inside := pipe.ZCard(ctx, "wr:{"+room+"}:act")
		if _, err := pipe.Exec(ctx); err != nil {
			return f, err
		}
		var n [3]int64
		for i, v := range state.Val() {
			text, _ := v.(string)
			if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return f, fmt.Errorf("state of the room in Redis: %w", err)
			}
		}
		return lineFigures{Waiting: n[0] - n[1], Inside: inside.Val(), Invited: n[2]}, nil
	}
	o.stays = func(ctx context.Context) (out []stay, err error) {
		// The end of a pass is the moment of the door's decision, by the clock of
		// Redis, and the pass's length.
		rows, err := p.env.Pool.Query(ctx, `SELECT expires_at, coalesce(released_at, expires_at) FROM waitingroom.pass WHERE room_id = $1 AND epoch = $2`, room, epoch)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var s stay
			if err := rows.Scan(&s.from, &s.to); err != nil {
				return nil, err
			}
			s.from = s.from.Add(-passLength)
			out = append(out, s)
		}
		return out, rows.Err()
	}
	return o, nil
}
