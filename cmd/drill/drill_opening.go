package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/waitingroom"
	"impfportal/waitingroom/draw"
)

// opening is an opening day: how it is set up and watched. On a portal of the
// drill's own everything is checked against what Postgres and the citizens
// hold; on a running one (URL=) against what it tells an administrator.
type opening struct {
	citizens
	p           *portal // nil = a running one
	name        string  // of the drill
	rate, bound int
	arrive      time.Duration // of one half: before the opening, and after it
	preQueue    time.Duration // begin, since the start; 0 = the room is open already
	opens       time.Duration // planned
	lastArrival time.Duration
	epoch       int64
	named       draw.Published // the draw as it was published before the opening
	doors       series         // polls that those at the door may send, by second
	calmOnce    sync.Once
	figures     func(ctx context.Context) (lineFigures, error) // of a running portal
	restore     func(ctx context.Context) error                // puts back what was changed
}

// wantedUse is the share of the bound that should be inside while people wait.
const wantedUse = 0.95

// lineFigures is how the line stands.
type lineFigures struct{ Waiting, Inside, Invited int64 }

// stayFactor is how much faster than the real one the drill's day goes: people
// stay one to six minutes, here 5 to 30 seconds.
const stayFactor = 12

// newOpening is an opening day, in small or (FULL=1) in the size of a state.
func newOpening(portal *balancer) *opening {
	o := &opening{
		citizens: citizens{portal: portal, n: 3000, lateAt: 45 * time.Second, stay: [2]time.Duration{time.Minute / stayFactor, 6 * time.Minute / stayFactor}, check: 10, calm: make(chan struct{})},
		name:     "opening", rate: 2400, bound: 375, arrive: 10 * time.Second,
	}
	if full() {
		o.n, o.rate, o.bound, o.arrive = 100_000, 30_000, 5_000, 29*time.Second
	}
	if os.Getenv("PEOPLE") != "" { // for trials of the drill itself
		var n int
		if _, err := fmt.Sscan(os.Getenv("PEOPLE"), &n); err == nil && n >= 100 {
			o.n, o.rate, o.bound = n, n*8/10, n/8
		}
	}
	o.arrival = o.arrivesAt
	return o
}

// arrivesAt spreads the arrivals: the early ones over the pre-queue, the others
// over the time after the opening.
func (o *opening) arrivesAt(i int) time.Duration {
	from, length := o.opens, o.arrive
	if i < o.early {
		from, length = o.preQueue+500*time.Millisecond, o.arrive-500*time.Millisecond
	}
	return from + rand.N(length)
}

// longestDay is how long an opening day may take, in either size.
const longestDay = 15 * time.Minute

// replicas is how many processes of the portal answer.
const replicas = 2

// drillOpening lets everybody arrive within a minute: half of them before the
// opening, whose order is then drawn, half after it. They poll as advised, 40 %
// never show up, some come late and all at once, some reload, some go and
// return, some copy their ticket, the others stay a while and leave. Nobody
// sees an error, rate and bound hold, the order is kept.
func drillOpening(ctx context.Context, r *Report) (err error) {
	if url := os.Getenv("URL"); url != "" {
		o, err := remoteOpening(ctx, url)
		if err != nil {
			return err
		}
		return o.carryOut(ctx, r)
	}
	return openOwn(ctx, r, nil)
}

// drillOpeningFaults is the same day with a replica killed, Redis emptied twice
// and frozen once. Nobody loses a place or is thrown out, nothing is given out
// or used twice, and the room recovers by itself.
func drillOpeningFaults(ctx context.Context, r *Report) error {
	return openOwn(ctx, r, func(o *opening) {
		o.name, o.check = "opening-faults", 1
		frozen := 10 * time.Second
		if full() {
			frozen = 30 * time.Second
		}
		live := o.opens + o.arrive/5
		victim := o.p.fleet.members[0]
		o.faults = &faults{all: []*fault{
			{name: "Redis emptied in the pre-queue", at: o.preQueue + o.arrive*6/10, lets: flushRedis(o.p.env)},
			{name: victim.name + " killed", at: live, lets: killAndRestart(victim, o.arrive/5)},
			{name: "Redis emptied in the rush", at: live + o.arrive/2, lets: flushRedis(o.p.env)},
			{name: fmt.Sprintf("Redis frozen for %v", frozen), at: o.opens + o.arrive + recoverWithin, lets: stopRedis(o.p.env, frozen), stops: true},
		}}
	})
}

// openOwn carries an opening day out on a portal of the drill's own.
func openOwn(ctx context.Context, r *Report, change func(*opening)) (err error) {
	p, err := startPortal(ctx, portalOptions{Replicas: replicas})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	o, err := ownOpening(ctx, p)
	if err != nil {
		return err
	}
	if change != nil {
		change(o)
	}
	return o.carryOut(ctx, r)
}

// ownOpening plans an opening on the drill's own portal, as an administrator
// does. A late comer's right of way lasts ten seconds, the shortest that the
// portal allows.
func ownOpening(ctx context.Context, p *portal) (*opening, error) {
	o := newOpening(p.fleet.spread)
	o.p, o.early = p, o.n/2
	p.log.Set(quiet) // the citizens count their errors
	token, err := p.env.NewSession(ctx, web.User{Kind: "staff", ID: id.New(), Name: "Drill", Roles: []web.Role{web.RoleAdmin}}, time.Hour)
	if err != nil {
		return nil, err
	}
	// The plans have just been made: as in the night before, Postgres tidies up
	// after that now and not in the rush.
	if _, err := p.env.Pool.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return nil, err
	}
	o.start = time.Now()
	o.preQueue = 2 * time.Second
	o.opens = o.preQueue + o.arrive
	o.lastArrival = o.opens + o.arrive
	plan, err := json.Marshal(map[string]any{
		"prequeue_from": o.start.Add(o.preQueue), "opens_at": o.start.Add(o.opens), "draw": true, "beacon": waitingroom.LocalBeacon,
		"rate_per_minute": o.rate, "active_bound": o.bound, "grace_seconds": 10, "end_line": true,
	})
	if err != nil {
		return nil, err
	}
	x := &exchange{method: http.MethodPut, path: roomPath + "/plan", body: string(plan), client: "127.0.0.1", accept: "application/json", jar: &jar{{"sid", token}}}
	if err := o.portal.do(ctx, x); err != nil {
		return nil, err
	}
	if x.status != http.StatusOK {
		return nil, fmt.Errorf("plan the opening: status %d: %.300q", x.status, x.answer)
	}
	o.restore = func(context.Context) error { return nil } // the scratch folder goes
	return o, nil
}

// carryOut lets the day happen and reports it.
func (o *opening) carryOut(ctx context.Context, r *Report) (err error) {
	defer func() { err = errors.Join(err, o.restore(context.WithoutCancel(ctx))) }()
	if o.preQueue > 0 {
		r.note("%d people within %v, half of them before the opening, whose order is drawn (with a value that the portal makes itself)", o.n, o.lastArrival-o.preQueue)
	} else {
		o.lastArrival = o.arrive
		r.note("%d people within %v", o.n, o.arrive)
	}
	r.note("%d a minute, %d inside at once, each for %v to %v (1 to 6 minutes, %d times as fast)", o.rate, o.bound, o.stay[0], o.stay[1], stayFactor)

	patience, cancel := context.WithTimeout(ctx, longestDay)
	defer cancel()
	w := &watcher{o: o, every: 100 * time.Millisecond}
	if o.p == nil {
		o.start, w.every = time.Now(), 500*time.Millisecond
	}
	watching, enough := context.WithCancel(patience)
	var side errgroup.Group
	side.Go(func() error { w.run(watching); return nil })
	side.Go(func() error { o.tell(watching, r, w); return nil })
	if o.early > 0 {
		side.Go(func() error { return o.keepNaming(watching) })
	}
	seen := &insideSeen{}
	if o.figures != nil {
		side.Go(func() error { return seen.watch(watching, o) })
	}
	if o.faults != nil {
		side.Go(func() error { return o.faults.run(watching, o.now, r.note) })
	}
	dayErr := o.run(patience)
	enough()
	if err := side.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.promise(dayErr == nil, "the day did not end within %v: %v", longestDay, dayErr)
	return o.report(ctx, r, w.all(), seen)
}

// keepNaming keeps the draw as it is published before the opening.
func (o *opening) keepNaming(ctx context.Context) (err error) {
	if pause(ctx, o.preQueue+o.arrive/2-o.now()) == nil {
		o.named, err = o.published(ctx)
	}
	return err
}

// published fetches the room's draw.json.
func (o *opening) published(ctx context.Context) (p draw.Published, err error) {
	x := &exchange{method: http.MethodGet, path: "/rooms/" + room + "/draw.json", client: "127.0.0.1"}
	if err := o.portal.do(ctx, x); err != nil {
		return p, err
	}
	if x.status != http.StatusOK {
		return p, fmt.Errorf("draw.json: status %d: %.200q", x.status, x.answer)
	}
	return p, json.Unmarshal(x.answer, &p)
}

// tell says how the day goes, and notes once a second how many stand at the door.
func (o *opening) tell(ctx context.Context, r *Report, w *watcher) {
	told := o.now()
	for pause(ctx, time.Second) == nil {
		l := w.newest()
		if at := int(o.now() / time.Second); at < len(o.doors) && l.st.Poll.Near > 0 {
			o.doors[at].Store(int32(float64(o.atDoor.Load()) / (float64(l.st.Poll.Near) * (1 - l.st.Poll.Spread)))) //nolint:gosec // few
		}
		if o.now()-told > 10*time.Second {
			told = o.now()
			r.note("%5.1f s: %s, %d waiting, %d in, %d of %d done", o.now().Seconds(), l.st.Phase, l.st.Waiting, o.entered.Load(), o.gone.Load(), o.n)
		}
	}
}

// insideSeen is what a running portal tells of the people inside.
type insideSeen struct {
	looks, tooMany int
	most           int64
}

func (s *insideSeen) watch(ctx context.Context, o *opening) error {
	for pause(ctx, 500*time.Millisecond) == nil {
		f, err := o.figures(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the day is over
		case err != nil:
			return fmt.Errorf("figures of the room: %w", err)
		}
		s.looks++
		s.most = max(s.most, f.Inside)
		if f.Inside > int64(o.bound) {
			s.tooMany++
		}
	}
	return nil
}

// stays are the admissions of this line, as Postgres has them. The end of a pass
// is the moment of the door's decision, by the clock of Redis, and the pass's
// length. A replica only estimates that clock when it notes the end of a stay,
// so that is taken from the citizen who asked to leave: the seat was not free
// before.
func (o *opening) stays(ctx context.Context) (out []stay, err error) {
	var seconds int
	pool := o.p.env.Pool
	err = pool.QueryRow(ctx, `SELECT l.epoch, r.pass_seconds FROM waitingroom.line l JOIN waitingroom.room r ON r.id = l.room_id WHERE r.id = $1`, room).Scan(&o.epoch, &seconds)
	if err != nil {
		return nil, err
	}
	owner := make(map[int64]*person, len(o.people))
	for i := range o.people {
		owner[o.people[i].index] = &o.people[i]
	}
	rows, err := pool.Query(ctx, `SELECT ticket_index, expires_at, coalesce(released_at, expires_at) FROM waitingroom.pass WHERE room_id = $1 AND epoch = $2`, room, o.epoch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			s     stay
			index int64
		)
		if err := rows.Scan(&index, &s.from, &s.to); err != nil {
			return nil, err
		}
		s.from = s.from.Add(-time.Duration(seconds) * time.Second)
		if p := owner[index]; p != nil && p.leaves > 0 {
			s.to = o.start.Add(p.leaves)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
