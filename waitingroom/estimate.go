package waitingroom

import (
	"math"
	"time"
)

// Pace is how fast the line moves, in places per minute: what may be expected
// at worst and at best. The page's script computes the same from it.
type Pace struct {
	Slow float64 `json:"slow"`
	Fast float64 `json:"fast"`
}

// turnover is how many people per minute the room takes at least when it is
// full and everybody stays as long as they may.
func (r Room) turnover() float64 { return float64(r.Bound) / r.PassLength.Minutes() }

// stuckPace is so slow that nothing can be promised any more.
const stuckPace = 0.05

// Estimate is a range of whole minutes. High 0 means that nobody can say.
type Estimate struct{ Low, High int }

// EstimateFor returns how long ahead people will take at pace.
func EstimateFor(ahead int64, pace Pace) Estimate {
	var e Estimate
	if pace.Fast > stuckPace {
		e.Low = roundMinutes(float64(ahead) / pace.Fast)
	}
	if pace.Slow > stuckPace {
		e.High = max(roundMinutes(float64(ahead)/pace.Slow), e.Low)
	}
	return e
}

// roundMinutes rounds up to what can honestly be told: minutes, then fives,
// then quarters of an hour. Never 0: going in takes its minute, too.
func roundMinutes(m float64) int {
	step := 1.0
	switch {
	case m > 60:
		step = 15
	case m > 10:
		step = 5
	}
	return max(1, int(math.Ceil(m/step)*step))
}

// paceWindow is how far back the measurement looks, paceShort the recent part.
const (
	paceWindow = 3 * time.Minute
	paceShort  = 30 * time.Second
	paceNeeds  = 15 * time.Second
)

type paceSample struct {
	at      time.Time
	serving int64
	inside  int64
}

// paceMeter measures the pace of one line while people wait.
type paceMeter struct{ samples []paceSample }

// note takes a sample. A line that stands for another reason than its length
// (pause, nobody waiting) tells nothing about its pace: the measurement begins
// anew.
func (m *paceMeter) note(at time.Time, serving, inside int64, moving bool) {
	if n := len(m.samples); !moving || n > 0 && (serving < m.samples[n-1].serving || at.Before(m.samples[n-1].at)) {
		m.samples = m.samples[:0]
		return
	}
	m.samples = append(m.samples, paceSample{at, serving, inside})
	for len(m.samples) > 1 && at.Sub(m.samples[0].at) > paceWindow {
		m.samples = m.samples[1:]
	}
}

// pace returns the range between the long and the short measurement, widened
// by what changes from minute to minute, and never faster than the valve.
//
// A room that fills up will be slower when it is full: then as many come in as
// leave, at least turnover a minute. So the slow end goes by those who leave,
// and before anything is measured by turnover: an estimate rather begins too
// wide than jumps. While the valve lets people in, it does not vanish either:
// where nobody has moved, the range is what it is before anything is measured,
// and its slow end never falls below that.
func (m *paceMeter) pace(rate int64, turnover float64) Pace {
	limit := float64(rate)
	least := min(limit/2, turnover)
	n := len(m.samples)
	if n < 2 || m.samples[n-1].at.Sub(m.samples[0].at) < paceNeeds || m.samples[n-1].serving == m.samples[0].serving {
		return Pace{Slow: tidy(least), Fast: limit}
	}
	first, last := m.samples[0], m.samples[n-1]
	long := perMinute(first, last)
	short := long
	for _, s := range m.samples {
		if last.at.Sub(s.at) <= paceShort {
			if last.at.Sub(s.at) >= paceNeeds {
				short = perMinute(s, last)
			}
			break
		}
	}
	slow := 0.75 * min(long, short)
	if filling := float64(last.inside-first.inside) / last.at.Sub(first.at).Minutes(); filling > long/10 {
		slow = min(slow, max(turnover, 0.75*(long-filling)))
	}
	slow = max(slow, least)
	return Pace{Slow: tidy(slow), Fast: tidy(min(limit, max(slow, 1.1*max(long, short))))}
}

func perMinute(a, b paceSample) float64 {
	return float64(b.serving-a.serving) / b.at.Sub(a.at).Minutes()
}

// tidy keeps two digits, so that the snapshot does not change with every tick.
func tidy(x float64) float64 {
	if x <= 0 {
		return 0
	}
	step := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Round(math.Round(x/step)*step*100) / 100
}

// PollAdvice tells browsers how often to ask: Near seconds for those whose turn
// is close, Far for the others, each spread by the share Spread so that they do
// not come together. After a moment that everybody knows (the opening, the
// beacon of a draw) they look once within Wake seconds.
type PollAdvice struct {
	Near   int     `json:"near"`
	Far    int     `json:"far"`
	Spread float64 `json:"spread"`
	Wake   int     `json:"wake,omitempty" doc:"seconds over which all look again after opens_at and beacon_due"`
}

// pollsPerSecond is what the whole line may ask of all replicas together, apart
// from the few whose turn is near; wakesPerSecond is that for the minutes around
// an opening, when nobody knows yet whose turn is near.
const (
	pollsPerSecond = 1000
	wakesPerSecond = 5000
)

// AdvicePolls keeps the polls of a line in bounds however long it is.
func AdvicePolls(phase Phase, people int64) PollAdvice {
	a := PollAdvice{Near: 3, Far: int(max(10, people/pollsPerSecond)), Spread: 0.3}
	switch phase {
	case PreQueue:
		a.Wake = int(5 + people/wakesPerSecond)
	case Drawing:
		a.Far = int(max(10, people/wakesPerSecond))
		a.Wake = int(5 + people/wakesPerSecond)
	}
	return a
}

// PollAfter returns the seconds after which somebody with ahead people in front
// should ask again while the line moves: a third of the shortest time it can
// take, within advice. A paused line asks as often as one that moves at the
// speed of its valve, so nobody comes late when it goes on, and not everybody
// at once.
func PollAfter(ahead int64, pace Pace, advice PollAdvice) int {
	if pace.Fast <= stuckPace {
		return advice.Far
	}
	third := float64(ahead) / pace.Fast * 60 / 3
	return int(min(float64(advice.Far), max(float64(advice.Near), third)))
}

// wakeDelay is how long after a known moment the first look at what it brought
// can be worth anything.
const wakeDelay = time.Second

// PollIn returns after how long somebody should look at the snapshot again.
// known says whether the place is, ahead how many people come before it, luck is
// a random number of at least 0 and below 1. The page's script computes the
// same.
func (st State) PollIn(known bool, ahead int64, now time.Time, luck float64) time.Duration {
	moment := st.moment()
	seconds, window := float64(st.Poll.Far), float64(st.Poll.Wake)
	if known {
		after := float64(PollAfter(ahead, st.Pace, st.Poll))
		window = min(window, after)
		if st.Phase != PreQueue || st.OpensAt == nil {
			seconds = after
		}
	}
	in := time.Duration(seconds * (1 + st.Poll.Spread*(2*luck-1)) * float64(time.Second))
	if until := moment.Sub(now); !moment.IsZero() && until > 0 && in > until {
		return until + wakeDelay + time.Duration(luck*window*float64(time.Second))
	}
	return in
}

// moment is when everybody who waits will want to know more; zero = there is no
// such moment.
func (st State) moment() (at time.Time) {
	if st.Phase == PreQueue && st.OpensAt != nil {
		at = *st.OpensAt
	}
	if (st.Phase == PreQueue || st.Phase == Drawing) && st.Draw != nil && st.Draw.BeaconDue != nil && st.Draw.BeaconDue.After(at) {
		at = *st.Draw.BeaconDue
	}
	return at
}
