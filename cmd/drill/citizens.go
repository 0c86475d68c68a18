package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"impfportal/waitingroom"
)

// kind is what a virtual citizen is like.
type kind int

const (
	patient kind = iota // comes in when invited
	noShow              // takes a place and never comes back
	late                // comes when the invitation is long over, together with all the others who are late
	last                // comes when nobody waits any more, together with all others who do
)

// citizens are the people of an opening day.
type citizens struct {
	addr    string
	n       int
	arrive  time.Duration // within which all arrive
	lateAt  time.Duration // after the start
	stay    [2]time.Duration
	calm    chan struct{} // closed when nobody waits any more
	client  *http.Client
	start   time.Time // set before run
	polls   atomic.Int64
	entered atomic.Int64
	gone    atomic.Int64 // who has left, or never wanted to come in

	mu      sync.Mutex
	joins   []joined
	doors   []doorAnswer
	errors  int
	example error // the first of the errors
	came    int   // who wanted to come in
}

// joined is a place as its owner got it.
type joined struct {
	asked, got time.Time
	index      int64
}

// doorAnswer is an answer at the door.
type doorAnswer struct {
	asked, got time.Time
	index      int64
	verdict    waitingroom.Verdict
}

// kindOf shares out: 40 % never show up, 5 % are late, 5 % come last.
func kindOf(i int) kind {
	switch i % 20 {
	case 1, 3, 6, 8, 11, 13, 16, 18:
		return noShow
	case 5:
		return late
	case 15:
		return last
	}
	return patient
}

// run lets all of them live through the day. It returns when the last has left.
func (cs *citizens) run(ctx context.Context) error {
	cs.client = newClient(1024)
	defer cs.client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range cs.n {
		wg.Go(func() {
			if err := cs.live(ctx, i); err != nil && ctx.Err() == nil {
				cs.mu.Lock()
				defer cs.mu.Unlock()
				cs.errors++
				cs.example = cmp.Or(cs.example, err)
			}
			cs.gone.Add(1)
		})
	}
	wg.Wait()
	return ctx.Err()
}

// live is the day of one citizen.
func (cs *citizens) live(ctx context.Context, i int) error {
	if err := pause(ctx, time.Duration(rand.Int64N(int64(cs.arrive)))); err != nil {
		return err
	}
	b := newBrowser(cs.addr, cs.client)
	var ticket struct {
		Index    int64
		Turn     bool
		AskAgain int `json:"ask_again_seconds"`
	}
	j := joined{asked: time.Now()}
	if err := b.want(ctx, http.StatusOK, http.MethodPost, joinPath, "", &ticket); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	j.got, j.index = time.Now(), ticket.Index
	who := kindOf(i)
	cs.mu.Lock()
	cs.joins = append(cs.joins, j)
	if who != noShow {
		cs.came++
	}
	cs.mu.Unlock()
	switch who {
	case noShow:
		return nil
	case late:
		if err := pause(ctx, time.Until(cs.start.Add(cs.lateAt))); err != nil {
			return err
		}
		ticket.Turn, ticket.AskAgain = false, 0
	case last:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-cs.calm:
		}
		ticket.Turn, ticket.AskAgain = false, 0
	}
	if err := cs.comeIn(ctx, b, ticket.Index, ticket.Turn, ticket.AskAgain); err != nil {
		return err
	}
	cs.entered.Add(1)
	if err := pause(ctx, cs.stay[0]+rand.N(cs.stay[1]-cs.stay[0])); err != nil {
		return err
	}
	status, answer, err := b.call(ctx, http.MethodPost, "/rooms/"+room+"/leave", "")
	if err == nil && status != http.StatusSeeOther {
		err = fmt.Errorf("leave: status %d: %.200q", status, answer)
	}
	return err
}

// comeIn follows the line as the waiting page does, until the door lets in.
func (cs *citizens) comeIn(ctx context.Context, b *browser, index int64, turn bool, wait int) error {
	spread := 0.3
	for {
		if turn {
			a := doorAnswer{asked: time.Now(), index: index}
			var out struct {
				Verdict  waitingroom.Verdict
				AskAgain int `json:"ask_again_seconds"`
			}
			if err := b.want(ctx, http.StatusOK, http.MethodPost, "/api/v1/rooms/"+room+"/enter", "", &out); err != nil {
				return fmt.Errorf("enter: %w", err)
			}
			a.got, a.verdict = time.Now(), out.Verdict
			cs.mu.Lock()
			cs.doors = append(cs.doors, a)
			cs.mu.Unlock()
			if out.Verdict == waitingroom.Admitted {
				return nil
			}
			wait = out.AskAgain
		}
		// As advised, spread so that not all ask together.
		if err := pause(ctx, time.Duration(float64(wait)*(1+spread*(2*rand.Float64()-1))*float64(time.Second))); err != nil {
			return err
		}
		st, err := cs.poll(ctx, b)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		spread = st.Poll.Spread
		ahead := st.Ahead(index)
		turn = index <= st.Serving && st.Phase == waitingroom.Open && !st.Trouble
		wait = waitingroom.PollAfter(ahead, st.Pace, st.Poll)
	}
}

// poll fetches the public snapshot, without cookies, as a cache would.
func (cs *citizens) poll(ctx context.Context, b *browser) (st waitingroom.State, err error) {
	cs.polls.Add(1)
	plain := newBrowser(b.addr, b.http)
	status, body, err := plain.call(ctx, http.MethodGet, "/rooms/"+room+"/state.json", "")
	if err != nil || status != http.StatusOK {
		return st, errors.Join(err, fmt.Errorf("status %d", status))
	}
	return st, json.Unmarshal(body, &st)
}

// joinInversions counts people who got a higher number than somebody who asked
// only after they had theirs.
func joinInversions(joins []joined) (n int) {
	byAsked := slices.SortedFunc(slices.Values(joins), func(a, b joined) int { return a.asked.Compare(b.asked) })
	byGot := slices.SortedFunc(slices.Values(joins), func(a, b joined) int { return a.got.Compare(b.got) })
	var (
		done    int
		highest int64 // number of those who were served before the one in hand asked
	)
	for _, j := range byAsked {
		for done < len(byGot) && byGot[done].got.Before(j.asked) {
			highest = max(highest, byGot[done].index)
			done++
		}
		if j.index < highest {
			n++
		}
	}
	return n
}

// doorInversions counts people who were told to wait although somebody behind
// them had been let in before they asked.
func doorInversions(doors []doorAnswer) (n int) {
	var in, wait []doorAnswer
	for _, d := range doors {
		switch d.verdict {
		case waitingroom.Admitted:
			in = append(in, d)
		case waitingroom.Wait:
			wait = append(wait, d)
		}
	}
	slices.SortFunc(in, func(a, b doorAnswer) int { return a.got.Compare(b.got) })
	slices.SortFunc(wait, func(a, b doorAnswer) int { return a.asked.Compare(b.asked) })
	var (
		done    int
		highest int64
	)
	for _, w := range wait {
		for done < len(in) && in[done].got.Before(w.asked) {
			highest = max(highest, in[done].index)
			done++
		}
		if w.index < highest {
			n++
		}
	}
	return n
}

// stay is the time that somebody was inside, by the clock of the door.
type stay struct{ from, to time.Time }

// mostInside returns the greatest number of stays at one moment, and how many
// began when there were bound already.
func mostInside(stays []stay, bound int) (most, violations int) {
	type event struct {
		at    time.Time
		enter bool
	}
	events := make([]event, 0, 2*len(stays))
	for _, s := range stays {
		events = append(events, event{s.from, true}, event{s.to, false})
	}
	slices.SortFunc(events, func(a, b event) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		if a.enter == b.enter {
			return 0
		}
		if b.enter { // who leaves at the same moment is out
			return -1
		}
		return 1
	})
	inside := 0
	for _, e := range events {
		if !e.enter {
			inside--
			continue
		}
		if inside >= bound {
			violations++
		}
		inside++
		most = max(most, inside)
	}
	return most, violations
}

// mostWithin returns the greatest number of admissions in any window, and how
// many were one too many for limit.
func mostWithin(stays []stay, window time.Duration, limit int) (most, violations int) {
	at := make([]time.Time, len(stays))
	for i, s := range stays {
		at[i] = s.from
	}
	slices.SortFunc(at, time.Time.Compare)
	first := 0
	for i := range at {
		for at[i].Sub(at[first]) >= window {
			first++
		}
		n := i - first + 1
		most = max(most, n)
		if n > limit {
			violations++
		}
	}
	return most, violations
}
