package waitingroom

import (
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
		v := Valve{Open: true, Rate: rate, Bound: bound, Grace: 30 * time.Second, Pass: time.Duration(rapid.IntRange(60, 600).Draw(t, "pass")) * time.Second}
		l := NewLine()
		l.Gaps = drawGaps(t)
		l.Issued = lastOf(l.Gaps)
		now := int64(1_610_000_000_000_000)
		l.Invite, l.Door = Bucket{1 << 50, now}, Bucket{1 << 50, now}
		var admitted window
		served := map[int64]bool{}

		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				before := l.Issued
				n := rapid.Int64Range(1, 60).Draw(t, "n")
				if first := l.Join(n); first != before+1 || l.Issued != before+n {
					t.Fatalf("numbers %d..%d after %d", first, l.Issued, before)
				}
			},
			"wait": func(t *rapid.T) { now += rapid.Int64Range(0, 90_000_000).Draw(t, "us") },
			"tick": func(t *rapid.T) {
				l.Tick(now, v)
				again := *l
				l.Tick(now, v)
				if again.Serving != l.Serving || again.Invite != l.Invite {
					t.Fatalf("a second tick at the same moment changed the line: %+v, %+v", again, *l)
				}
			},
			"valve": func(t *rapid.T) { v.Open = rapid.Bool().Draw(t, "open") },
			"claim": func(t *rapid.T) {
				if l.Issued == 0 {
					t.Skip("nobody there")
				}
				i := rapid.Int64Range(max(1, l.Serving-30), min(l.Issued, l.Serving+10)+1).Draw(t, "index")
				_, inside := l.Inside[i]
				verdict := l.Claim(now, v, i)
				if verdict == Admitted && !inside {
					if served[i] {
						t.Fatalf("ticket %d came in twice", i)
					}
					if i > l.Serving {
						t.Fatalf("ticket %d came in before its turn (%d)", i, l.Serving)
					}
					if !v.Open {
						t.Fatal("came in through a closed door")
					}
					served[i] = true
					admitted.add(now)
				}
			},
			"release": func(t *rapid.T) {
				for i := range l.Inside {
					l.Release(i)
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
				for _, b := range l.Batches {
					if b.Left < 0 {
						t.Fatalf("batch %+v", b)
					}
				}
			},
		})
	})
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
			if !l.Used[i] && l.Claim(now, v, i) == Admitted {
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
	now += 130e6 // nobody came
	l.Tick(now, v)
	if l.Serving != 20 {
		t.Errorf("serving %d after the grace, want 20", l.Serving)
	}
	if got := l.Claim(now, v, 3); got != Admitted { // late, and still welcome
		t.Errorf("late comer: %s", got)
	}
}

func TestNobodyWaitsWhenThereIsNoLine(t *testing.T) {
	t.Parallel()
	for _, rate := range []int64{1, 6, 60, 3000} {
		l, now := NewLine(), int64(1e15)
		v := Valve{Open: true, Rate: rate, Bound: 10, Grace: time.Minute, Pass: time.Hour}
		l.Tick(now, v)
		now += int64(time.Minute/time.Microsecond) / rate
		if got := l.Claim(now, v, l.Join(1)); got != Admitted {
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

func TestPace(t *testing.T) {
	t.Parallel()
	var m paceMeter
	at := time.Unix(1e9, 0)
	if got := m.pace(600); got != (Pace{300, 600}) {
		t.Errorf("unmeasured: %v", got)
	}
	for i := range 120 { // two a second
		m.note(at.Add(time.Duration(i)*time.Second), int64(2*i), true)
	}
	if got := m.pace(600); got != (Pace{90, 130}) {
		t.Errorf("two a second: %v", got)
	}
	m.note(at.Add(121*time.Second), 240, false)
	if got := m.pace(600); got != (Pace{300, 600}) {
		t.Errorf("after a pause: %v", got)
	}
}

// TestPollsStayBounded adds up what a line of any length asks in a second.
func TestPollsStayBounded(t *testing.T) {
	t.Parallel()
	for _, waiting := range []int64{100, 10_000, 1_000_000, 3_000_000} {
		pace, advice := Pace{300, 600}, AdvicePolls(waiting)
		perSecond := 0.0
		for i := range waiting {
			perSecond += 1 / float64(PollAfter(i, pace, advice))
		}
		if perSecond > 1.5*pollsPerSecond {
			t.Errorf("%d people ask %.0f times a second", waiting, perSecond)
		}
	}
}
