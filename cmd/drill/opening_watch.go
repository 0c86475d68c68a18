package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"impfportal/waitingroom"
)

// look is what one replica said of the line at one moment.
type look struct {
	at     time.Duration // since the start
	member int
	st     *waitingroom.State // nil = it did not answer
}

func (l look) open() bool { return l.st != nil && l.st.Phase == waitingroom.Open && !l.st.Trouble }

// watcher asks every replica how the line stands, past the balancer: what it
// asks does not count as a poll.
type watcher struct {
	o     *opening
	every time.Duration

	mu    sync.Mutex
	looks []look
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) {
	var wg sync.WaitGroup
	for i, u := range w.o.portal.upstreams {
		wg.Go(func() { w.follow(ctx, i, u) })
	}
	wg.Wait()
}

func (w *watcher) follow(ctx context.Context, member int, u *upstream) {
	x := &exchange{method: http.MethodGet, path: statePath, client: "127.0.0.1"}
	last := &waitingroom.State{}
	etag := ""
	for {
		if pause(ctx, w.every) != nil {
			return
		}
		st := last
		x.etag = etag
		switch err := u.ask(ctx, x); {
		case err != nil || x.status != http.StatusOK && x.status != http.StatusNotModified:
			st = nil
		case x.status == http.StatusOK:
			st = &waitingroom.State{}
			if json.Unmarshal(x.answer, st) != nil {
				st = nil
			} else {
				last, etag = st, x.etag
			}
		}
		w.note(look{w.o.now(), member, st})
	}
}

// ask sends one request to this replica and no other.
func (u *upstream) ask(ctx context.Context, x *exchange) error {
	c, err := u.take(ctx)
	if err != nil {
		return err
	}
	if err := c.exchange(x); err != nil {
		u.drop(c)
		return err
	}
	u.put(c)
	return nil
}

func (w *watcher) note(l look) {
	w.mu.Lock()
	w.looks = append(w.looks, l)
	w.mu.Unlock()
	if !l.open() {
		return
	}
	o := w.o
	o.opened.CompareAndSwap(0, int64(l.at))
	if l.st.Waiting == 0 && l.at > o.lastArrival+2*time.Second {
		o.calmOnce.Do(func() { close(o.calm) })
	}
}

// newest is the last look at any replica that answered.
func (w *watcher) newest() (l look) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.looks) - 1; i >= 0; i-- {
		if w.looks[i].st != nil {
			return w.looks[i]
		}
	}
	return look{st: &waitingroom.State{}}
}

// all are the looks so far, in order.
func (w *watcher) all() []look {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks[:len(w.looks):len(w.looks)]
}

// second is what happened within one second of the day.
type second struct {
	joins, polls, admissions float64
	allowed                  float64 // polls at most, by the advice in force
	waiting, inside          float64
	phase                    waitingroom.Phase
	trouble                  bool
}

// seconds puts the day together, second by second.
func (o *opening) seconds(looks []look, stays []stay) []second {
	if len(looks) == 0 {
		return nil
	}
	out := make([]second, int(looks[len(looks)-1].at/time.Second)+1)
	advised := make([]float64, len(out))
	lag := make([]int, len(out)) // how long advice may still be followed
	wake := make([]float64, len(out))
	known := map[*waitingroom.State]float64{}
	for _, l := range looks {
		s := &out[int(l.at/time.Second)]
		if l.st == nil {
			continue
		}
		i := int(l.at / time.Second)
		a, ok := known[l.st]
		if !ok {
			a = pollsAllowed(*l.st)
			known[l.st] = a
			from, to, polls := wakes(*l.st)
			for i := max(0, int(from.Sub(o.start)/time.Second)); i <= int(to.Sub(o.start)/time.Second) && i < len(wake); i++ {
				wake[i] = max(wake[i], polls)
			}
		}
		advised[i] = max(advised[i], a)
		lag[i] = max(lag[i], int(float64(l.st.Poll.Far)*(1+l.st.Poll.Spread))+2)
		s.waiting, s.phase, s.trouble = float64(l.st.Waiting), l.st.Phase, s.trouble || l.st.Trouble
	}
	moments := make([]time.Time, len(out))
	for i := range out {
		moments[i] = o.start.Add(time.Duration(i+1) * time.Second)
	}
	inside, _ := insideAt(stays, moments, o.bound)
	for i := range out {
		s := &out[i]
		if i > 0 && s.phase == "" {
			s.waiting, s.phase = out[i-1].waiting, out[i-1].phase
		}
		if i < len(o.polls) {
			s.joins, s.polls = float64(o.joinsAt[i].Load()), float64(o.polls[i].Load())
			s.allowed = float64(o.doors[i].Load())
		}
		s.inside = float64(inside[i])
		most := 0.0
		for back := 0; back <= i; back++ {
			if back <= lag[i-back] {
				most = max(most, advised[i-back])
			}
		}
		s.allowed += most + wake[i]
	}
	for _, st := range stays {
		if i := int(st.from.Sub(o.start) / time.Second); i >= 0 && i < len(out) {
			out[i].admissions++
		}
	}
	return out
}

// use is how much of the bound was inside on average while people waited, from
// the moment when it was first reached; ok is false when it never was. Times of
// faults, and until the room had recovered from them, do not count.
func (o *opening) use(looks []look, stays []stay, away []span) (share float64, reached time.Duration, ok bool) {
	var at []time.Time
	for _, l := range looks {
		if l.member == 0 && l.open() && l.st.Waiting > 0 && !inSpans(away, l.at) {
			at = append(at, o.start.Add(l.at))
		}
	}
	inside, first := insideAt(stays, at, o.bound)
	if first.IsZero() {
		return 0, 0, false
	}
	sum, n := 0.0, 0
	for i, m := range at {
		if !m.Before(first) {
			sum += float64(inside[i])
			n++
		}
	}
	if n == 0 {
		return 0, 0, false
	}
	return sum / float64(n) / float64(o.bound), first.Sub(o.start), true
}

// span is a part of the day.
type span struct{ from, to time.Duration }

func inSpans(spans []span, at time.Duration) bool {
	for _, s := range spans {
		if s.from <= at && at <= s.to {
			return true
		}
	}
	return false
}

// recovery is how long after a fault the room was well again.
type recovery struct {
	fault
	shown     time.Duration // from the begin until a replica told of trouble; 0 = none did
	clear     time.Duration // from the end until no replica told of trouble any more
	goesOn    time.Duration // from the end until the next place or admission
	happening string        // which of the two it was
}

func (r recovery) took() time.Duration { return max(r.clear, r.goesOn) }

// recoveries looks up what became of the faults.
func (o *opening) recoveries(looks []look, stays []stay) []recovery {
	all := o.faults.happened()
	out := make([]recovery, len(all))
	for i, f := range all {
		r := recovery{fault: f, happening: "nobody waited"}
		until := time.Duration(1<<63 - 1)
		if i+1 < len(all) {
			until = all[i+1].from
		}
		waited := false
		phase := waitingroom.Phase("")
		for _, l := range looks {
			if l.at < f.from || l.at >= until {
				continue
			}
			if l.st != nil && l.st.Trouble {
				if r.shown == 0 {
					r.shown = l.at - f.from
				}
				r.clear = max(r.clear, l.at-f.to)
			}
			if phase == "" && l.st != nil {
				phase = l.st.Phase
			}
			waited = waited || l.open() && l.st.Waiting > 0
		}
		var next time.Duration
		earlier := func(at time.Duration) {
			if at > f.to && (next == 0 || at < next) {
				next = at
			}
		}
		switch {
		case phase == waitingroom.PreQueue:
			r.happening = "next place"
			for i := range o.people {
				if p := &o.people[i]; p.asked > f.to {
					earlier(p.got)
				}
			}
		case waited:
			r.happening = "next admission"
			for _, s := range stays {
				earlier(s.from.Sub(o.start))
			}
		}
		if next > 0 {
			r.goesOn = next - f.to
		}
		out[i] = r
	}
	return out
}
