package defence

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Window is how far back the signals reach.
const Window = 60 * time.Second

// Signals is how the arrivals at one room were in the last [Window], over all
// replicas.
type Signals struct {
	Joins   int64 // requests for a place, whatever came of them
	Keyless int64 // of them without a possession key: they never saw the waiting page
	Limited int64 // of them refused because of the hard limit of their network
	Behind  int64 // of them without proof, now behind the line
	Proven  int64 // solutions that counted
	Refused int64 // solutions that did not

	Placed   int64   // joins whose network is known
	Networks int64   // distinct networks of them (/24, /48), estimated
	Top      []Share // the biggest of them, biggest first

	Fine   Dispersion // of the arrivals in tenths of a second
	Coarse Dispersion // in seconds
}

// Share is what came from one network.
type Share struct {
	Network string `json:"network"`
	Joins   int64  `json:"joins"`
}

// Dispersion is how regular counts in equal windows of time are.
type Dispersion struct {
	Windows int     // windows that were looked at
	Mean    float64 // arrivals per window
	// Index of dispersion: about 1 when everybody comes independently of
	// everybody else (Poisson), more for a crowd that comes in waves, far below
	// for clockwork.
	Index float64
}

// Disperse measures the regularity of counts in successive windows. It
// compares neighbours (the mean square successive difference), so that a rush
// that swells or ebbs does not look irregular for that alone, and leaves out the
// largest twentieth, so that a sudden begin does not hide what follows. Windows
// before the first arrival do not count.
func Disperse(counts []int64) Dispersion {
	for len(counts) > 0 && counts[0] == 0 {
		counts = counts[1:]
	}
	n := len(counts)
	if n < 3 {
		return Dispersion{Windows: n, Index: 1}
	}
	var sum int64
	squares := make([]float64, 0, n-1)
	for i, c := range counts {
		sum += c
		if i > 0 {
			d := float64(c - counts[i-1])
			squares = append(squares, d*d/2)
		}
	}
	mean := float64(sum) / float64(n)
	if mean == 0 {
		return Dispersion{Windows: n, Index: 1}
	}
	slices.Sort(squares)
	squares = squares[:len(squares)-(len(squares)+19)/20]
	var total float64
	for _, s := range squares {
		total += s
	}
	return Dispersion{Windows: n, Mean: mean, Index: total / float64(len(squares)) / trimmed / mean}
}

// trimmed is what the lower 19 twentieths of squared normal differences are of
// all on average: (0.95 - 2*1.96*phi(1.96)) / 0.95.
const trimmed = 0.759

// Code names a reason.
type Code string

// The reasons.
const (
	Keyless      Code = "keyless"      // places wanted without having seen the page
	Regular      Code = "regular"      // arrivals like clockwork
	Concentrated Code = "concentrated" // most come from very few networks
	Refusals     Code = "refused"      // solutions that are wrong, old or used
)

// Codes lists all reasons in the order in which they are shown.
var Codes = []Code{Keyless, Regular, Concentrated, Refusals}

// Reason is one signal against its threshold.
type Reason struct {
	Code      Code    `json:"code"`
	Value     float64 `json:"value"`     // a share from 0 to 1; for Regular the index of dispersion
	Threshold float64 `json:"threshold"` // found from here on; for Regular from here down
	Weight    int     `json:"weight"`
	Found     bool    `json:"found"`
}

// Verdict is the judgement on the last minute.
type Verdict struct {
	Machines bool     `json:"machines"`
	Enough   bool     `json:"enough"` // arrivals to judge at all
	Score    int      `json:"score"`  // sum of the weights found
	Reasons  []Reason `json:"reasons"`
}

// The thresholds of [Judge]. They were set so that none of the crowds in the
// tests is taken for machines: an opening of 100,000 people in a minute, a
// hospital of 3,000 and a school class behind one address.
const (
	// MinJoins in the window, below which nothing is judged: so few do no harm.
	MinJoins = 200
	// MachineScore of weights makes machines.
	MachineScore = 2

	// keylessShare: a browser gets its key with the waiting page. People whose
	// browser keeps no cookies (well below 1 in 100) cannot hold a place anyway.
	// Alone enough, because no number of people looks like this.
	keylessShare = 0.20
	// regularIndex: with independent arrivals and 60 windows the index falls below
	// this in at most two minutes of 10,000, with 600 windows practically never.
	// Alone not enough: servers at their limit make any crowd regular.
	regularIndex = 0.25
	regularMean  = 3.0 // arrivals per window, below which the index says little
	// concentratedShare of the three biggest networks. Alone not enough: it may be
	// one hospital.
	concentratedShare = 0.60
	biggest           = 3
	// refusedShare of the solutions presented. Alone not enough: it may be one
	// old browser in a large school.
	refusedShare = 0.30
	minSolutions = 50

	minFine, minCoarse = 200, 30 // windows
)

// Judge finds what speaks for machines. It is pure: the same signals give the
// same verdict in every replica.
//
//	reason        found when                                                weight
//	keyless       >= 20 % of the joins brought no possession key            2
//	regular       index of dispersion <= 0.25, in seconds or tenths         1
//	concentrated  >= 60 % of the joins came from the three biggest networks 1
//	refused       >= 30 % of the solutions were refused (of 50 or more)     1
//
// Machines are at work when the weights found add up to 2, and at least 200
// joins came in the window.
func Judge(s Signals) Verdict {
	v := Verdict{Enough: s.Joins >= MinJoins}
	add := func(code Code, value, threshold float64, weight int, found bool) {
		found = found && v.Enough
		if found {
			v.Score += weight
		}
		v.Reasons = append(v.Reasons, Reason{code, value, threshold, weight, found})
	}

	keyless := share(s.Keyless, s.Joins)
	add(Keyless, keyless, keylessShare, 2, keyless >= keylessShare)

	index := math.Inf(1)
	for _, d := range []struct {
		Dispersion
		least int
	}{{s.Fine, minFine}, {s.Coarse, minCoarse}} {
		if d.Windows >= d.least && d.Mean >= regularMean {
			index = min(index, d.Index)
		}
	}
	if math.IsInf(index, 1) || math.IsNaN(index) {
		index = 1 // not known, so nothing against anybody
	}
	add(Regular, index, regularIndex, 1, index <= regularIndex)

	top := slices.SortedFunc(slices.Values(s.Top), func(a, b Share) int { return cmp.Compare(b.Joins, a.Joins) })
	var most int64
	for _, n := range top[:min(biggest, len(top))] {
		most += n.Joins
	}
	concentrated := share(most, s.Placed)
	add(Concentrated, concentrated, concentratedShare, 1, s.Placed >= MinJoins && concentrated >= concentratedShare)

	refused := share(s.Refused, s.Refused+s.Proven)
	add(Refusals, refused, refusedShare, 1, s.Refused+s.Proven >= minSolutions && refused >= refusedShare)

	v.Machines = v.Score >= MachineScore
	return v
}

// share is part of whole, from 0 to 1.
func share(part, whole int64) float64 {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return min(1, float64(part)/float64(whole))
}
