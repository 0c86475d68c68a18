package waitingroom

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	at := time.Unix(1e9, 0)
	run := func(serving, inside func(second int64) int64) *paceMeter {
		var m paceMeter
		for i := range int64(120) {
			m.note(at.Add(time.Duration(i)*time.Second), serving(i), inside(i), true)
		}
		return &m
	}
	still := func(int64) int64 { return 50 }
	steady := run(func(s int64) int64 { return 2 * s }, still)
	stopped := run(func(s int64) int64 { return 2 * s }, still)
	stopped.note(at.Add(121*time.Second), 240, 50, false)
	for name, c := range map[string]struct {
		m        *paceMeter
		turnover float64
		want     Pace
	}{
		"unmeasured":             {&paceMeter{}, 500, Pace{300, 600}},
		"unmeasured, long stays": {&paceMeter{}, 40, Pace{40, 600}},
		"two a second":           {steady, 5, Pace{90, 130}},
		"after a pause":          {stopped, 500, Pace{300, 600}},
		// Nobody has come in since the opening: a wide range rather than none.
		"nobody yet":               {run(func(int64) int64 { return 5 }, still), 5, Pace{5, 600}},
		"nobody yet, long stays":   {run(func(int64) int64 { return 0 }, still), 0.5, Pace{0.5, 600}},
		"stands since a minute":    {run(func(s int64) int64 { return min(s, 60) }, still), 5, Pace{5, 33}},
		"slower than it must be":   {run(func(s int64) int64 { return s / 60 }, still), 5, Pace{5, 5}},
		"moves, and stands lately": {run(func(s int64) int64 { return 2 * min(s, 80) }, still), 5, Pace{5, 89}},
		// Ten a second come in, one a second leaves: when it is full, one a second will come in.
		"filling up":             {run(func(s int64) int64 { return 10 * s }, func(s int64) int64 { return 9 * s }), 5, Pace{45, 600}},
		"filling up, none leave": {run(func(s int64) int64 { return 10 * s }, func(s int64) int64 { return 10 * s }), 20, Pace{20, 600}},
	} {
		if got := c.m.pace(600, c.turnover); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestPollsStayBounded adds up what a line of any length asks in a second, while
// it moves and while it stands.
func TestPollsStayBounded(t *testing.T) {
	t.Parallel()
	for _, pace := range []Pace{{300, 600}, {1500, 3000}, {0, 0}} {
		for _, phase := range []Phase{Open, Paused, Closed} {
			for _, waiting := range []int64{100, 10_000, 1_000_000, 10_000_000} {
				st := State{Phase: phase, Pace: pace, Poll: AdvicePolls(phase, waiting)}
				perSecond := 0.0
				step := max(1, waiting/100_000)
				for i := int64(0); i < waiting; i += step {
					perSecond += float64(step) / st.PollIn(true, i, time.Time{}, 0.5).Seconds()
				}
				if perSecond > 3*pollsPerSecond {
					t.Errorf("%s: %d people at %v ask %.0f times a second", phase, waiting, pace, perSecond)
				}
			}
		}
	}
}

// TestPollsOfAnOpening lets a million browsers live through an opening, second
// by second: they come before it, wait for the draw and its beacon, learn their
// places, stand through a pause.
func TestPollsOfAnOpening(t *testing.T) {
	t.Parallel()
	const (
		people   = 1_000_000
		opens    = 1800 // seconds
		due      = opens + 30
		revealed = due + 8
		paused   = 2700
		resumed  = 3000
		end      = 4200
		perMin   = 3000
	)
	for name, drawn := range map[string]bool{"drawn": true, "in order of arrival": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zero := time.Unix(1_610_000_000, 0)
			opensAt, beaconDue := zero.Add(opens*time.Second), zero.Add(due*time.Second)
			rnd := rand.New(rand.NewPCG(1, 2))
			var buckets [end + 1][]int32
			for i := range int32(people) {
				at := rnd.IntN(opens - 60)
				buckets[at] = append(buckets[at], i)
			}
			var come, serving int64
			polls := make([]int, end)
			seen := make([]bool, people) // has shown up before: the first look is the page itself
			late := 0                    // browsers that learn of their turn after it
			for sec := range end {
				now := zero.Add(time.Duration(sec) * time.Second)
				st := State{Phase: Open, Pace: Pace{perMin / 2, perMin}}
				begun := sec >= opens
				if drawn {
					begun = sec >= revealed
				}
				switch {
				case sec < opens:
					st.Phase, st.OpensAt = PreQueue, &opensAt
				case !begun:
					st.Phase = Drawing
				case sec >= paused && sec < resumed:
					st.Phase = Paused
				default:
					serving += perMin / 60
				}
				if drawn && !begun {
					st.Draw = &DrawState{BeaconDue: &beaconDue}
				}
				st.Poll = AdvicePolls(st.Phase, max(0, come-serving))
				for _, i := range buckets[sec] {
					if !seen[i] {
						seen[i] = true
						come++
					} else {
						polls[sec]++
					}
					known, pos := begun || !drawn, int64(i)+1
					if drawn {
						pos = int64(i)*7919%people + 1 // as good as a draw
					}
					if known && begun && pos <= serving {
						if float64(sec-revealed) > 300 && serving-pos > 5*perMin/60 {
							late++
						}
						continue // one's turn
					}
					next := sec + int(st.PollIn(known, max(0, pos-serving-1), now, rnd.Float64()).Seconds()+0.5)
					if next = max(next, sec+1); next <= end {
						buckets[next] = append(buckets[next], i)
					}
				}
				buckets[sec] = nil
			}
			worst, at := 0, 0
			for sec, n := range polls {
				if n > worst {
					worst, at = n, sec
				}
				limit := 3 * pollsPerSecond
				if sec >= opens && sec <= revealed+2*people/wakesPerSecond {
					limit = 2 * wakesPerSecond
				}
				if n > limit {
					t.Errorf("second %d (%+d to the opening): %d polls, allowed %d", sec, sec-opens, n, limit)
				}
			}
			t.Logf("at most %d polls in a second, %+d s to the opening", worst, at-opens)
			if late > 0 {
				t.Errorf("%d browsers learned of their turn more than five seconds late", late)
			}
		})
	}
}
