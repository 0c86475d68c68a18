package defence

import "time"

// Limits is what one network may do. Rates are per minute.
type Limits struct {
	Soft      int // places per minute, above which work must be proven
	SoftBurst int // places at once, before that counts
	Hard      int // how many times Soft is refused: rate and burst alike
	Wide      int // how many times the limits of a /64 hold for a /48
}

// DefaultLimits: of a hospital of 3,000 behind one address, who all come in the
// same minute, 120 have a place at once, 2,280 after a second's work, and the
// rest within the next half minute.
var DefaultLimits = Limits{Soft: 60, SoftBurst: 120, Hard: 20, Wide: 4}

// orDefault fills in what is not set.
func (l Limits) orDefault() Limits {
	fill := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	fill(&l.Soft, DefaultLimits.Soft)
	fill(&l.SoftBurst, DefaultLimits.SoftBurst)
	fill(&l.Hard, DefaultLimits.Hard)
	fill(&l.Wide, DefaultLimits.Wide)
	return l
}

// The buckets of a network.
const (
	softJoins = iota // places that were had without proof
	hardJoins        // places, however they were had
	fetches          // challenges asked for
	wrongs           // solutions that were wrong
	bucketKinds
)

// What counts into them.
const (
	eventJoin = iota
	eventFree // a join that was asked for nothing
	eventFetch
	eventWrong
	eventKinds
)

// eventOf says which event fills a bucket.
var eventOf = [bucketKinds]int{softJoins: eventFree, hardJoins: eventJoin, fetches: eventFetch, wrongs: eventWrong}

// keepLimit bounds how long anything about a network is kept.
const keepLimit = 15 * time.Minute

// rule is one kind of bucket for a narrow network, in microseconds: what one
// event costs, how full it may get, and how deep the debt of several replicas
// may reach.
type rule struct{ cost, size, most int64 }

// rules returns the buckets' rules. As many challenges may be fetched as places
// be taken, twice over (a reload, a second attempt); a wrong solution is rare,
// so those have the soft limit as their hard one.
func (l Limits) rules() [bucketKinds]rule {
	bucket := func(rate, burst int) rule {
		cost := max(1, time.Minute.Microseconds()/int64(rate))
		return rule{cost, min(cost*int64(burst), keepLimit.Microseconds()), keepLimit.Microseconds()}
	}
	return [bucketKinds]rule{
		softJoins: bucket(l.Soft, l.SoftBurst),
		hardJoins: bucket(l.Soft*l.Hard, l.SoftBurst*l.Hard),
		fetches:   bucket(2*l.Soft*l.Hard, 2*l.SoftBurst*l.Hard),
		wrongs:    bucket(l.Soft, l.SoftBurst),
	}
}

// wide returns the rule for a network that holds many.
func (r rule) wide(factor int) rule {
	r.cost = max(1, r.cost/int64(factor))
	return r
}

// full tells for how long a bucket that is filled up to the time tat takes
// nothing more; <= 0 = it takes one more now.
func (r rule) full(tat, now int64) time.Duration {
	return time.Duration(max(r.sane(tat, now), now)+r.cost-now-r.size) * time.Microsecond
}

// fill puts n events in that came from the time since on, at most now.
func (r rule) fill(tat, since, now, n int64) int64 {
	return min(max(r.sane(tat, now), min(since, now))+n*r.cost, now+r.most)
}

// sane is tat, or 0 = empty when no rule could have filled a bucket that far: the
// clock has gone back since.
func (r rule) sane(tat, now int64) int64 {
	if tat > now+r.most {
		return 0
	}
	return tat
}
