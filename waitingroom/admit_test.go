package waitingroom

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// window counts admissions in any 60 seconds.
type window struct{ at []int64 }

func (w *window) add(now int64) { w.at = append(w.at, now) }

// worst returns the most admissions in any half-open window of 60 seconds.
func (w *window) worst() int {
	worst, from := 0, 0
	for i, at := range w.at {
		for at-w.at[from] >= int64(time.Minute/time.Microsecond) {
			from++
		}
		worst = max(worst, i-from+1)
	}
	return worst
}

// TestLineKeepsItsPromises runs random histories of joins, ticks, claims,
// releases, waiting and changes of the valve against the rules.
func TestLineKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1, 300).Draw(t, "rate")
		bound := rapid.Int64Range(1, 40).Draw(t, "bound")
		v := Valve{
			Open: true, Rate: rate, Bound: bound, Grace: time.Duration(rapid.IntRange(10, 60).Draw(t, "grace")) * time.Second,
			Pass: time.Duration(rapid.IntRange(60, 600).Draw(t, "pass")) * time.Second, Guests: rapid.Int64Range(0, 50).Draw(t, "guests"),
		}
		l := NewLine()
		l.Gaps = drawGaps(t)
		l.Issued = lastOf(l.Gaps)
		now := int64(1_610_000_000_000_000)
		l.Invite, l.Door, l.Late, l.Guest = Bucket{1 << 50, now}, Bucket{1 << 50, now}, Bucket{1 << 50, now}, Bucket{1 << 50, now}
		var admitted, guests window
		served := map[string]bool{}

		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				before := l.Issued
				n := rapid.Int64Range(1, 60).Draw(t, "n")
				if first := l.Join(n); first != before+1 || l.Issued != before+n {
					t.Fatalf("numbers %d..%d after %d", first, l.Issued, before)
				}
			},
			"join behind": func(t *rapid.T) { l.JoinBehind(rapid.Int64Range(1, 20).Draw(t, "n")) },
			"wait":        func(t *rapid.T) { now += rapid.Int64Range(0, 90_000_000).Draw(t, "us") },
			"tick": func(t *rapid.T) {
				behind := l.BehindServing
				l.Tick(now, v)
				if l.BehindServing > behind && Waiting(l.Issued, l.Serving, l.Gaps) > 0 {
					t.Fatal("somebody behind was called while others wait")
				}
				again := *l
				again.Fresh = append([]Batch{}, l.Fresh...)
				l.Tick(now, v)
				if again.Serving != l.Serving || again.BehindServing != l.BehindServing || again.Invite != l.Invite || len(again.Fresh) != len(l.Fresh) {
					t.Fatalf("a second tick at the same moment changed the line: %+v, %+v", again, *l)
				}
			},
			"valve": func(t *rapid.T) { v.Open = rapid.Bool().Draw(t, "open") },
			"claim": func(t *rapid.T) {
				lane, pos := drawClaim(t, l)
				member := memberOf(lane, pos)
				_, inside := l.Inside[member]
				verdict := l.Claim(now, v, lane, pos, member)
				if verdict != Admitted || inside {
					return
				}
				switch {
				case served[member]:
					t.Fatalf("%s came in twice", member)
				case lane == InLine && pos > l.Serving, lane == Behind && pos > l.BehindServing:
					t.Fatalf("%s came in before its turn (%d, %d)", member, l.Serving, l.BehindServing)
				case !v.Open:
					t.Fatal("came in through a closed door")
				}
				served[member] = true
				admitted.add(now)
				if lane == Guest {
					guests.add(now)
				}
			},
			"release": func(t *rapid.T) {
				for m := range l.Inside {
					l.Release(m)
					break
				}
			},
			"extend": func(t *rapid.T) {
				for m, end := range l.Inside {
					if l.Extend(now, m, end+60e6) != (end > now) {
						t.Fatal("a stay that is over was extended, or one that is not was not")
					}
					break
				}
			},
			"": func(t *rapid.T) {
				live := int64(0)
				for _, until := range l.Inside {
					if until > now {
						live++
					}
				}
				if live > v.Bound {
					t.Fatalf("%d inside, bound %d", live, v.Bound)
				}
				if worst := admitted.worst(); int64(worst) > rate {
					t.Fatalf("%d admissions in a minute, rate %d", worst, rate)
				}
				if worst := guests.worst(); int64(worst) > GuestRate(rate, v.Guests)+DoorSize(GuestRate(rate, v.Guests)) {
					t.Fatalf("%d guests in a minute, rate %d, %d percent", worst, rate, v.Guests)
				}
				if l.Show() < showLeast || l.Show() > showUnit || l.NoShows < 0 || l.Came > l.Called || l.Leaving < 0 {
					t.Fatalf("what the line has learned: %+v", *l)
				}
				for i, b := range append(append([]Batch{}, l.Old...), l.Fresh...) {
					if b.From >= b.UpTo || b.UpTo > l.Serving || b.Called < 1 {
						t.Fatalf("batch %d: %+v", i, b)
					}
				}
			},
		})
	})
}

// drawClaim picks who comes to the door: around the head of a lane.
func drawClaim(t *rapid.T, l *Line) (Lane, int64) {
	lane := rapid.SampledFrom([]Lane{InLine, InLine, InLine, Behind, Guest}).Draw(t, "lane")
	switch lane {
	case Behind:
		return lane, rapid.Int64Range(1, l.BehindIssued+1).Draw(t, "behind")
	case Guest:
		return lane, rapid.Int64Range(1, 50).Draw(t, "guest")
	}
	first := max(1, l.Serving-40)
	return lane, rapid.Int64Range(first, first+60).Draw(t, "position")
}

// memberOf names a place as Place.member does.
func memberOf(lane Lane, pos int64) string {
	return Place{Epoch: 1, Cohort: map[Lane]int64{InLine: CohortLive, Behind: CohortBehind, Guest: CohortInvited}[lane], Index: pos}.member()
}

func drawGaps(t *rapid.T) []Gap {
	var gaps []Gap
	at := int64(0)
	for range rapid.IntRange(0, 3).Draw(t, "gaps") {
		first := at + rapid.Int64Range(1, 40).Draw(t, "first")
		at = first + rapid.Int64Range(0, 40).Draw(t, "length")
		gaps = append(gaps, Gap{first, at})
	}
	return gaps
}

// lastOf is the least that was given out when there are gaps.
func lastOf(gaps []Gap) int64 {
	if len(gaps) == 0 {
		return 0
	}
	return gaps[len(gaps)-1].Last
}

// TestGaps compares the arithmetic of gaps with counting one by one.
func TestGaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		gaps := drawGaps(t)
		isGap := func(i int64) bool {
			for _, g := range gaps {
				if g.First <= i && i <= g.Last {
					return true
				}
			}
			return false
		}
		serving := rapid.Int64Range(0, 300).Draw(t, "serving")
		index := rapid.Int64Range(1, 400).Draw(t, "index")
		var ahead, waiting int64
		for i := serving + 1; i < index; i++ {
			if !isGap(i) {
				ahead++
			}
		}
		if got := Ahead(index, serving, gaps); got != ahead {
			t.Fatalf("Ahead(%d, %d, %v) = %d, want %d", index, serving, gaps, got, ahead)
		}
		for i := serving + 1; i <= index; i++ {
			if !isGap(i) {
				waiting++
			}
		}
		if got := Waiting(index, serving, gaps); got != waiting {
			t.Fatalf("Waiting(%d, %d, %v) = %d, want %d", index, serving, gaps, got, waiting)
		}
		// n steps pass n places that somebody holds.
		n := rapid.Int64Range(1, 50).Draw(t, "n")
		to := Advance(serving, n, gaps)
		if got := Waiting(to, serving, gaps); got != n {
			t.Fatalf("Advance(%d, %d, %v) = %d passes %d places", serving, n, gaps, to, got)
		}
		if isGap(to + 1) {
			t.Fatalf("Advance(%d, %d, %v) = %d stops in a gap or before one", serving, n, gaps, to)
		}
	})
}

func TestQuietRoomLetsInOnlyTheRate(t *testing.T) {
	t.Parallel()
	l, now := NewLine(), int64(1e15)
	v := Valve{Open: true, Rate: 600, Bound: 100_000, Grace: time.Minute, Pass: time.Hour}
	for range 3600 { // a quiet hour
		l.Tick(now, v)
		now += 1e6
	}
	l.Join(10_000)
	in := 0
	for range 60 {
		l.Tick(now, v)
		for i := int64(1); i <= l.Serving; i++ {
			if m := memberOf(InLine, i); !l.Used[m] && l.Claim(now, v, InLine, i, m) == Admitted {
				in++
			}
		}
		now += 1e6
	}
	if in > 600 || in < 570 {
		t.Errorf("%d came in within the first minute, rate 600", in)
	}
}

func TestNoShowsDoNotStopTheLine(t *testing.T) {
	t.Parallel()
	l, now := NewLine(), int64(1e15)
	v := Valve{Open: true, Rate: 6000, Bound: 10, Grace: 2 * time.Minute, Pass: time.Hour}
	l.Join(1000)
	for range 10 {
		l.Tick(now, v)
		now += 1e6
	}
	if l.Serving != 10 {
		t.Fatalf("serving %d, want the bound", l.Serving)
	}
	now += 16e6 // nobody came
	l.Tick(now, v)
	if l.Serving < 20 || l.NoShows != 10 {
		t.Errorf("serving %d after the time to come, %d no-shows", l.Serving, l.NoShows)
	}
	if got := l.Claim(now, v, InLine, 3, "late"); got != Admitted { // within the grace, and there is room
		t.Errorf("late comer: %s", got)
	}
}

// TestFewWhoComeFillTheRoom is an opening day in fast motion: 40 % of those who
// are invited never come, the others need some seconds; the seats are used
// nevertheless, and not many people find the room full.
func TestFewWhoComeFillTheRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		bound, rate  int64
		comes        int   // percent
		slow, stay   int64 // seconds to come, at most; seconds inside, on average
		used, turned float64
	}{
		{"forty percent no-shows", 400, 3000, 60, 4, 60, 0.97, 1.0},
		{"everybody comes", 400, 3000, 100, 4, 60, 0.97, 1.5},
		{"one in five comes, slowly", 400, 3000, 20, 12, 60, 0.93, 1.5},
		{"short stays", 400, 3000, 60, 4, 20, 0.95, 1.5},
		{"a small room", 20, 100, 60, 4, 60, 0.90, 2.0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			v := Valve{Open: true, Rate: c.rate, Bound: c.bound, Grace: time.Minute, Pass: time.Hour}
			l, now := NewLine(), int64(1e15)
			l.Join(1_000_000)
			type person struct{ pos, at int64 }
			var coming []person         // invited, and when they knock next
			leave := map[string]int64{} // member -> moment
			called, in, full, looks := int64(0), 0, 0, 0
			var used float64
			filled := int64(0)
			for range 1200 { // a quarter of a second each
				l.Tick(now, v)
				for called < l.Serving {
					called++
					if rng.IntN(100) < c.comes {
						coming = append(coming, person{called, now + rng.Int64N(c.slow*1e6)})
					}
				}
				for i := range coming {
					p := &coming[i]
					if p.at > now {
						continue
					}
					m := memberOf(InLine, p.pos)
					if l.Claim(now, v, InLine, p.pos, m) == Admitted {
						in++
						leave[m] = now + c.stay*1e6/2 + rng.Int64N(c.stay*1e6)
						p.at = -1
						continue
					}
					full++
					p.at = now + 2e6 + rng.Int64N(2e6)
				}
				coming = slices.DeleteFunc(coming, func(p person) bool { return p.at < 0 })
				for m, at := range leave {
					if at <= now {
						l.Release(m)
						delete(leave, m)
					}
				}
				now += 250_000
				if filled == 0 && int64(len(l.Inside)) >= c.bound*9/10 {
					filled = now
				}
				if filled > 0 && now > filled+30e6 { // the room has learned who comes
					looks++
					used += float64(len(l.Inside)) / float64(c.bound)
				}
			}
			used /= float64(looks)
			turned := float64(full) / float64(in)
			t.Logf("%.3f used, %d came in, %.2f times found full each, %d %% come by the line's reckoning", used, in, turned, l.Show()*100/showUnit)
			if looks == 0 || used < c.used || turned > c.turned {
				t.Errorf("%.3f of the bound used, want %.2f; %.2f times found full each, want at most %.2f", used, c.used, turned, c.turned)
			}
		})
	}
}

// TestLateComersDoNotStopTheLine: thousands who come back together get their
// part of the rate, and the line goes on.
func TestLateComersDoNotStopTheLine(t *testing.T) {
	t.Parallel()
	l, now := NewLine(), int64(1e15)
	v := Valve{Open: true, Rate: 240, Bound: 10_000, Grace: time.Minute, Pass: time.Hour}
	l.Join(100_000)
	for range 120 { // nobody comes
		l.Tick(now, v)
		now += 1e6
	}
	v.Open = false // all of them are late by now
	now += 16e6
	l.Tick(now, v)
	v.Open = true
	missed := l.Serving
	onTime, late := 0, 0
	came := map[int64]bool{}
	for range 60 {
		l.Tick(now, v)
		for i := int64(1); i <= missed; i++ {
			if m := memberOf(InLine, i); !l.Used[m] && l.Claim(now, v, InLine, i, m) == Admitted {
				late++
			}
		}
		for i := missed + 1; i <= l.Serving; i++ {
			if !came[i] && l.Claim(now, v, InLine, i, memberOf(InLine, i)) == Admitted {
				came[i] = true
				onTime++
			}
		}
		now += 1e6
	}
	if late < 50 || late > 64 || onTime < 140 {
		t.Errorf("%d late comers and %d others in a minute of rate %d", late, onTime, v.Rate)
	}
}

// TestBehindComesAfterEverybody: places taken without proof of work while
// machines came are called only when nobody else waits.
func TestBehindComesAfterEverybody(t *testing.T) {
	t.Parallel()
	l, now := NewLine(), int64(1e15)
	v := Valve{Open: true, Rate: 600, Bound: 1000, Grace: time.Minute, Pass: time.Hour}
	l.JoinBehind(50)
	l.Join(100)
	for l.Serving < 100 {
		l.Tick(now, v)
		if l.BehindServing > 0 && l.Serving < 100 {
			t.Fatalf("behind %d called at %d", l.BehindServing, l.Serving)
		}
		if got := l.Claim(now, v, Behind, 1, "b1"); l.BehindServing == 0 && got != Wait {
			t.Fatalf("behind: %s", got)
		}
		now += 1e6
	}
	for range 30 {
		l.Tick(now, v)
		now += 1e6
	}
	if l.BehindServing != 50 {
		t.Errorf("%d behind called when nobody waits, want 50", l.BehindServing)
	}
	if got := l.Claim(now, v, Behind, 50, "b50"); got != Admitted {
		t.Errorf("behind: %s", got)
	}
}

func TestNobodyWaitsWhenThereIsNoLine(t *testing.T) {
	t.Parallel()
	for _, rate := range []int64{1, 6, 60, 3000} {
		l, now := NewLine(), int64(1e15)
		v := Valve{Open: true, Rate: rate, Bound: 10, Grace: time.Minute, Pass: time.Hour}
		l.Tick(now, v)
		now += int64(time.Minute/time.Microsecond) / rate
		if got := l.Claim(now, v, InLine, l.Join(1), "first"); got != Admitted {
			t.Errorf("rate %d: %s", rate, got)
		}
	}
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	cases := []struct {
		ahead int64
		pace  Pace
		want  Estimate
	}{
		{0, Pace{30, 60}, Estimate{1, 1}},
		{59, Pace{30, 60}, Estimate{1, 2}},
		{600, Pace{30, 60}, Estimate{10, 20}},
		{610, Pace{30, 60}, Estimate{15, 25}},
		{6000, Pace{30, 60}, Estimate{105, 210}},
		{100, Pace{0, 60}, Estimate{2, 0}},
		{100, Pace{0, 0}, Estimate{0, 0}},
	}
	for _, c := range cases {
		if got := EstimateFor(c.ahead, c.pace); got != c.want {
			t.Errorf("EstimateFor(%d, %v) = %v, want %v", c.ahead, c.pace, got, c.want)
		}
	}
}
