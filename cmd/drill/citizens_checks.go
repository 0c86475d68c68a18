package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"impfportal/waitingroom"
	"impfportal/waitingroom/draw"
)

// lotOf is the draw as the snapshot tells it.
func lotOf(d *waitingroom.DrawState) (*draw.Lot, error) {
	l := &draw.Lot{Tickets: d.Tickets, LastIndex: d.LastIndex, Gaps: d.Gaps}
	if n, err := hex.Decode(l.Key[:], []byte(d.Key)); err != nil || n != len(l.Key) || len(d.Key) != 2*len(l.Key) {
		return nil, fmt.Errorf("the key of the draw is %q", d.Key)
	}
	return l, nil
}

// inGap reports whether nobody was known to hold the index when the pre-queue
// closed: its number was given out just before Redis was lost.
func inGap(l *draw.Lot, index int64) bool {
	return slices.ContainsFunc(l.Gaps, func(g [2]int64) bool { return g[0] <= index && index <= g[1] })
}

// joined is a place as its owner got it.
type joined struct {
	asked, got time.Duration
	index      int64
}

// joinInversions counts people who got a higher number than somebody who asked
// only after they had theirs.
func joinInversions(joins []joined) (n int) {
	byAsked := slices.SortedFunc(slices.Values(joins), func(a, b joined) int { return cmp.Compare(a.asked, b.asked) })
	byGot := slices.SortedFunc(slices.Values(joins), func(a, b joined) int { return cmp.Compare(a.got, b.got) })
	var (
		done    int
		highest int64 // number of those who were served before the one in hand asked
	)
	for _, j := range byAsked {
		for done < len(byGot) && byGot[done].got < j.asked {
			highest = max(highest, byGot[done].index)
			done++
		}
		if j.index < highest {
			n++
		}
	}
	return n
}

// knocked is an answer at the door to somebody in the line.
type knocked struct {
	doorAnswer
	position int64
}

// doorInversions counts people who were told to wait although somebody behind
// them had been let in before they asked.
func doorInversions(doors []knocked) (n int) {
	var in, wait []knocked
	for _, d := range doors {
		switch d.verdict {
		case waitingroom.Admitted:
			in = append(in, d)
		case waitingroom.Wait:
			wait = append(wait, d)
		}
	}
	slices.SortFunc(in, func(a, b knocked) int { return cmp.Compare(a.got, b.got) })
	slices.SortFunc(wait, func(a, b knocked) int { return cmp.Compare(a.asked, b.asked) })
	var (
		done    int
		highest int64
	)
	for _, w := range wait {
		for done < len(in) && in[done].got < w.asked {
			highest = max(highest, in[done].position)
			done++
		}
		if w.position < highest {
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
	inside := 0
	for _, e := range doorEvents(stays) {
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

// doorEvent is somebody coming in or going out.
type doorEvent struct {
	at    time.Time
	enter bool
}

// doorEvents are those of all stays in order; who leaves at the moment when
// somebody enters is out.
func doorEvents(stays []stay) []doorEvent {
	events := make([]doorEvent, 0, 2*len(stays))
	for _, s := range stays {
		events = append(events, doorEvent{s.from, true}, doorEvent{s.to, false})
	}
	slices.SortFunc(events, func(a, b doorEvent) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		if a.enter == b.enter {
			return 0
		}
		if b.enter {
			return -1
		}
		return 1
	})
	return events
}

// insideAt returns how many are inside at each of the moments, which are in
// order, and when as many as bound were inside for the first time.
func insideAt(stays []stay, moments []time.Time, bound int) (inside []int, reached time.Time) {
	events := doorEvents(stays)
	inside = make([]int, len(moments))
	n, next := 0, 0
	for i, m := range moments {
		for next < len(events) && !events[next].at.After(m) {
			if events[next].enter {
				n++
			} else {
				n--
			}
			if n >= bound && reached.IsZero() {
				reached = events[next].at
			}
			next++
		}
		inside[i] = n
	}
	return inside, reached
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

// pollsAllowed is how many polls a second the advice of a snapshot makes at
// most, on average: those of everybody in line, each at the shortest of the
// times between which the advice spreads them.
func pollsAllowed(st waitingroom.State) float64 {
	if st.Waiting == 0 {
		return 0
	}
	if st.Phase == waitingroom.PreQueue || st.Phase == waitingroom.Drawing {
		return float64(st.Waiting) / (float64(st.Poll.Far) * (1 - st.Poll.Spread)) // nobody knows their place
	}
	sum := 0.0
	far := st.PollIn(false, 0, time.Time{}, 0)
	for ahead := range st.Waiting {
		in := st.PollIn(true, ahead, time.Time{}, 0)
		if in >= far { // the time grows with the place until it is far
			return sum + float64(st.Waiting-ahead)/far.Seconds()
		}
		sum += 1 / in.Seconds()
	}
	return sum
}

// wakes is how many polls a second a snapshot from before a moment that all
// know, the opening or the draw, makes after it: everybody looks once.
func wakes(st waitingroom.State) (from, to time.Time, polls float64) {
	if st.Phase == waitingroom.PreQueue && st.OpensAt != nil {
		from = *st.OpensAt
	}
	if st.Draw != nil && st.Draw.BeaconDue != nil && st.Draw.BeaconDue.After(from) {
		from = *st.Draw.BeaconDue
	}
	if from.IsZero() || st.Poll.Wake == 0 {
		return from, from, 0
	}
	window := time.Duration(st.Poll.Wake) * time.Second
	return from, from.Add(window + 2*time.Second), float64(st.Waiting) / window.Seconds()
}
