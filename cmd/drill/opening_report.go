package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"impfportal/waitingroom"
	"impfportal/waitingroom/draw"
)

// report holds the day against the promises.
func (o *opening) report(ctx context.Context, r *Report, looks []look, seen *insideSeen) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var stays []stay
	if o.p != nil {
		var err error
		if stays, err = o.stays(ctx); err != nil {
			return err
		}
		o.reportDoor(r, looks, stays)
	} else {
		r.note("at most %d of %d inside, by the portal's own figures; the rate cannot be checked from outside", seen.most, o.bound)
		r.add(Figure{Name: o.figure("bound_violations"), Value: float64(seen.tooMany), Unit: "times"})
		r.promise(seen.tooMany == 0, "the bound was exceeded %d times", seen.tooMany)
	}
	o.reportPlaces(r)
	if o.early > 0 {
		if err := o.reportDraw(ctx, r); err != nil {
			return err
		}
	}
	day := o.seconds(looks, stays)
	o.reportPolls(r, day)
	o.reportPeople(r, stays)
	if o.faults != nil {
		o.reportFaults(r, looks, stays)
	}
	path, err := o.draw(day, looks, stays)
	if err != nil {
		return err
	}
	r.note("the day as a picture: %s", path)
	return nil
}

// figure is a name for the drill's figures: those of a day with faults have
// names of their own.
func (o *opening) figure(name string) string {
	if o.faults != nil {
		return "waitingroom.faults_" + name
	}
	return "waitingroom." + name
}

// reportDoor checks rate and bound against the admissions that Postgres has.
func (o *opening) reportDoor(r *Report, looks []look, stays []stay) {
	most, bound := mostInside(stays, o.bound)
	within, rate := mostWithin(stays, time.Minute, o.rate)
	// The same for short windows: no bursts.
	size, refill := waitingroom.DoorSize(int64(o.rate)), waitingroom.DoorRate(int64(o.rate))
	short := int(size + refill/12 + 1)
	burst, bursts := mostWithin(stays, 5*time.Second, short)
	rate += bursts
	r.note("at most %d of %d inside, %d of %d let in within a minute, %d within 5 s (at most %d)", most, o.bound, within, o.rate, burst, short)
	r.add(Figure{Name: o.figure("bound_violations"), Value: float64(bound), Unit: "times"})
	r.add(Figure{Name: o.figure("rate_violations"), Value: float64(rate), Unit: "times"})
	r.promise(bound == 0, "the bound was exceeded %d times", bound)
	r.promise(rate == 0, "the rate was exceeded %d times", rate)

	var away []span
	for _, f := range o.recoveries(looks, stays) {
		away = append(away, span{f.from, f.to + f.took()})
	}
	used, reached, ok := o.use(looks, stays, away)
	switch {
	case !ok:
		r.promise(false, "the bound was never reached while people waited")
	default:
		r.note("active bound first reached at %.1f s; used = the average of what was inside by Postgres, looked at every %v from then on while the room was open and somebody not yet invited", reached.Seconds(), 100*time.Millisecond)
		r.add(Figure{Name: o.figure("active_used"), Value: used, Unit: "of the bound", Yardstick: wantedUse, Ratio: used / wantedUse})
		r.promise(used >= wantedUse || o.faults != nil, "%.3f of the active bound was used while people waited", used)
	}
}

// reportPlaces checks the numbers and the order.
func (o *opening) reportPlaces(r *Report) {
	var waits []time.Duration
	joins := make([]joined, 0, len(o.people))
	owner := map[int64]int{}
	twice := 0
	for i := range o.people {
		p := &o.people[i]
		if p.index == 0 {
			continue
		}
		waits = append(waits, p.got-p.asked)
		joins = append(joins, joined{p.asked, p.got, p.index})
		if _, ok := owner[p.index]; ok {
			twice++
		}
		owner[p.index] = p.id
	}
	p99 := percentile(waits, 0.99)
	r.add(Figure{Name: o.figure("join_p99_ms"), Value: millis(p99), Unit: "ms"})
	slow := map[int]int{} // second -> joins slower than p99
	for _, j := range joins {
		if j.got-j.asked > p99 {
			slow[int(j.asked/time.Second)]++
		}
	}
	var when []string
	for _, second := range slices.Sorted(maps.Keys(slow)) {
		when = append(when, fmt.Sprintf("%d (%d)", second, slow[second]))
	}
	r.note("half of the places took less than %.1f ms; second in which the slowest hundredth asked, and how many: %s", millis(percentile(waits, 0.5)), strings.Join(when, ", "))
	if o.faults == nil {
		r.promise(p99 < 250*time.Millisecond, "a place took %v (p99), more than 250 ms", p99)
	}
	early := joinInversions(joins)
	door := doorInversions(o.knocks())
	r.add(Figure{Name: o.figure("order_inversions"), Value: float64(early + door), Unit: "people"})
	r.add(Figure{Name: o.figure("double_numbers"), Value: float64(twice), Unit: "numbers"})
	r.promise(early == 0, "%d people got a higher number than somebody who asked only after they had theirs", early)
	r.promise(door == 0, "%d people were told to wait while somebody later in the order was in", door)
	r.promise(twice == 0, "%d numbers were given out twice", twice)
}

// knocks are the answers at the door, with the place in the order.
func (o *opening) knocks() (out []knocked) {
	for i := range o.people {
		p := &o.people[i]
		pos, known := p.position()
		if !known {
			continue
		}
		for _, d := range p.doors {
			out = append(out, knocked{d, pos})
		}
	}
	return out
}

// reportPolls holds the polls against the advice.
func (o *opening) reportPolls(r *Report, day []second) {
	var peak, at, worst int
	var over []string
	total := 0.0
	for i, s := range day {
		total += s.polls
		if int(s.polls) > peak {
			peak, at = int(s.polls), i
		}
		// The advice bounds the average; chance makes a second a little fuller.
		if s.polls > s.allowed+4*math.Sqrt(s.allowed)+10 {
			over = append(over, fmt.Sprintf("%d (%.0f, %.0f advised)", i, s.polls, s.allowed))
			worst = max(worst, int(s.polls-s.allowed))
		}
	}
	if len(day) == 0 {
		return
	}
	r.note("%.0f polls; the fullest second (%d) had %d, the advice of that moment allows %.0f", total, at, peak, day[at].allowed)
	r.add(Figure{Name: o.figure("polls_peak"), Value: float64(peak), Unit: "polls/s", Yardstick: day[at].allowed, Ratio: float64(peak) / max(1, day[at].allowed)})
	r.promise(len(over) == 0, "there were more polls than advised, %d more in the worst second, in these: %s", worst, strings.Join(over, ", "))
}

// reportPeople says how the citizens fared.
func (o *opening) reportPeople(r *Report, stays []stay) {
	came := 0
	for i := range o.people {
		if o.people[i].wanted {
			came++
		}
	}
	in := int(o.entered.Load())
	r.add(Figure{Name: o.figure("errors"), Value: float64(o.errors), Unit: "people"})
	r.note("%d came in of %d who wanted to; %d times somebody loaded the page or asked for the place again", in, came, o.visits.Load())
	r.note("%d tries with copied cookies and %d with used ones, %d of them not refused; %d looks while inside, %d thrown out; %d places lost",
		o.copiesTried.Load(), o.usedTried.Load(), o.worthless.Load(), o.looks.Load(), o.thrownOut.Load(), o.lostPlace.Load())
	if n := o.portal.retried.Load() + o.portal.cut.Load(); n > 0 && o.faults == nil {
		r.note("%d requests had to be repeated or were cut", n)
	}
	r.promise(o.errors == 0, "%d people saw an error, the first: %v", o.errors, o.example)
	if o.errors > 0 && o.p != nil && o.faults == nil {
		for _, m := range o.p.fleet.members {
			r.note("the end of the log of %s:\n%s", m.name, m.logEnd())
		}
	}
	r.promise(in == came || o.errors > 0, "%d people never came in", came-in)
	r.promise(o.worthless.Load() == 0, "%d copied or used tickets were not refused", o.worthless.Load())
	r.promise(o.thrownOut.Load() == 0, "%d people were thrown out", o.thrownOut.Load())
	r.promise(o.lostPlace.Load() == 0, "%d people lost their place", o.lostPlace.Load())
	if o.p != nil {
		r.promise(len(stays) == in || o.errors > 0, "%d people came in, and Postgres has %d passes", in, len(stays))
	}
}

// reportDraw recomputes the place of every ticket from what is published.
func (o *opening) reportDraw(ctx context.Context, r *Report) error {
	p, err := o.published(ctx)
	if err != nil {
		return err
	}
	for _, f := range draw.Findings(p) {
		r.promise(f.Err == nil, "draw: %s: %v", f.What, f.Err)
	}
	err = sameNaming(o.named, p)
	r.promise(err == nil, "draw: what was published before the opening does not hold: %v", err)
	l, ok := p.Lot()
	if !ok {
		r.promise(false, "the draw was never revealed")
		return nil
	}
	var asked, wrong, drawn, shared, missing int
	taken := make([]bool, l.Tickets+1)
	for i := range o.people {
		p := &o.people[i]
		if p.index == 0 || p.cohort != waitingroom.CohortDrawn {
			continue
		}
		drawn++
		pos, ok := l.Place(p.index)
		if !ok || pos < 1 || pos > l.Tickets {
			missing++
			continue
		}
		if p.told != 0 {
			asked++
			if p.told != pos {
				wrong++
			}
		}
		if taken[pos] && !inGap(l, p.index) {
			shared++
		}
		taken[pos] = taken[pos] || !inGap(l, p.index)
	}
	empty := 0
	for _, t := range taken[1:] {
		if !t {
			empty++
		}
	}
	r.note("draw of %d tickets (indexes to %d, %d gaps): %d places recomputed, %d of them told by the portal", l.Tickets, l.LastIndex, len(l.Gaps), drawn, asked)
	r.add(Figure{Name: o.figure("draw_wrong"), Value: float64(wrong + missing + shared), Unit: "places"})
	r.promise(wrong == 0, "%d people were told another place than the one that follows from the published draw", wrong)
	r.promise(missing == 0, "%d tickets of the pre-queue have no place", missing)
	r.promise(shared == 0, "%d places belong to two tickets", shared)
	if o.faults == nil {
		r.promise(empty == 0 && int64(drawn) == l.Tickets, "%d tickets took part of %d that were given out, %d places belong to nobody", l.Tickets, drawn, empty)
	} else if empty > 0 {
		r.note("%d places belong to tickets whose owners never got the answer", empty)
	}
	return nil
}

// reportFaults says what became of every fault.
func (o *opening) reportFaults(r *Report, looks []look, stays []stay) {
	slowest := time.Duration(0)
	for _, f := range o.recoveries(looks, stays) {
		shown := "no trouble shown"
		if f.shown > 0 {
			shown = fmt.Sprintf("trouble shown after %.1f s", f.shown.Seconds())
		}
		r.note("%5.1f s %s: %s, none any more %.1f s after its end, %s after %.1f s", f.from.Seconds(), f.name, shown, f.clear.Seconds(), f.happening, f.goesOn.Seconds())
		slowest = max(slowest, f.took())
		r.promise(!f.stops || f.shown > 0, "%s: the room did not say that it waits", f.name)
	}
	happened := len(o.faults.happened())
	r.promise(happened == len(o.faults.all), "only %d of %d faults happened before the day was over", happened, len(o.faults.all))
	r.note("%d times somebody heard 'not now, your place is safe' or saw the proxy's error page (%d requests died with the replica, %d others were answered by another one);",
		o.notNow.Load(), o.portal.cut.Load(), o.portal.retried.Load())
	r.note("that is no error when trying again as told succeeds within %v, or within %v after the fault; the slowest took %.1f s", recoverWithin, recoverWithin, time.Duration(o.slowest.Load()).Seconds())
	r.add(Figure{Name: "waitingroom.faults_recovered_s", Value: slowest.Seconds(), Unit: "s"})
	r.promise(slowest <= recoverWithin, "the room needed %v to recover", slowest)
}

// draw writes the picture of the day beside the program and returns its path.
func (o *opening) draw(day []second, looks []look, stays []stay) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), o.name+".svg")
	return path, os.WriteFile(path, o.picture(day, o.recoveries(looks, stays)), 0o644) //nolint:gosec // a picture for everybody
}

// column is one value of all seconds.
func column(day []second, value func(second) float64) []float64 {
	out := make([]float64, len(day))
	for i, s := range day {
		out[i] = value(s)
	}
	return out
}

// phases are the parts of the day for the picture, from a moment on.
func phases(day []second, from time.Duration) (out []band) {
	for i, s := range day {
		name, at := string(s.phase), time.Duration(i)*time.Second
		if n := len(out); n > 0 && out[n-1].name == name {
			out[n-1].to = float64(i + 1)
		} else if name != "" && at >= from-time.Second {
			out = append(out, band{name, float64(i), float64(i + 1)})
		}
	}
	return out
}
