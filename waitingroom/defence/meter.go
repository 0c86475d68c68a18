package defence

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Bounds of a replica's memory per room. A network beyond them is counted in
// the sums, but has no bucket in this replica: who owns that many networks is
// stopped by the proof of work and not by limits.
const (
	maxNetworks = 1 << 16
	maxSlots    = 600 // tenths of a second, as many as the window has
	reported    = 32  // biggest networks of a replica's second
)

// What a replica keeps to itself. Most networks of a rush bring one person or
// two: telling Redis of each would cost more than the places themselves.
const (
	// untold is the part of a burst that may come before Redis is told: 1/untold.
	untold = 8
	// untoldFor is how long what was not told is remembered.
	untoldFor = time.Minute
)

// Standing is what a newcomer of a network has to do.
type Standing int

// The standings.
const (
	Free    Standing = iota
	Prove            // above the soft limit: prove work
	Refused          // above the hard limit
)

// bucket is what a replica knows of one network.
type bucket struct {
	tat     [bucketKinds]int64 // unix microseconds at which the bucket is empty again
	pending [eventKinds]int64  // not yet told to Redis, but already in tat
	since   [bucketKinds]int64 // unix microseconds from which pending fills a bucket that was empty
	shared  bool               // Redis knows of it, so other replicas may have filled its buckets
	joins   int64              // since the last report
	seen    int64              // bucket of time in which it was told of as one of the distinct networks
}

// empty reports whether nothing of the network counts any more. What lies further
// ahead than any debt reaches comes from a clock that has gone back.
func (b *bucket) empty(now int64) bool {
	for _, tat := range b.tat {
		if tat > now && tat <= now+keepLimit.Microseconds() {
			return false
		}
	}
	return true
}

// worthTelling reports whether enough is pending that other replicas should know.
func (b *bucket) worthTelling(rules *[bucketKinds]rule) bool {
	for kind, e := range eventOf {
		if n := b.pending[e]; n > 0 && n*rules[kind].cost >= rules[kind].size/untold {
			return true
		}
	}
	return false
}

// Meter counts the arrivals at one room in one replica. Its zero value works,
// with the default limits.
type Meter struct {
	mu     sync.Mutex
	limits Limits
	rules  [2][bucketKinds]rule // for narrow and wide networks
	nets   map[Network]*bucket
	sums   sums
	slots  map[int64]int64 // tenth of a second (unix) -> joins
}

// sums are what is added up over all replicas.
type sums struct{ joins, keyless, limited, behind, proven, refused, placed int64 }

// NewMeter makes a meter; zero fields of l take the defaults.
func NewMeter(l Limits) *Meter {
	m := &Meter{limits: l}
	m.init()
	return m
}

// init is called under mu, or before anybody else knows of m.
func (m *Meter) init() {
	if m.nets != nil {
		return
	}
	m.limits = m.limits.orDefault()
	m.rules[0] = m.limits.rules()
	for i, r := range m.rules[0] {
		m.rules[1][i] = r.wide(m.limits.Wide)
	}
	m.nets, m.slots = map[Network]*bucket{}, map[int64]int64{}
}

func (m *Meter) rulesOf(n Network) *[bucketKinds]rule {
	if n.Wide() {
		return &m.rules[1]
	}
	return &m.rules[0]
}

// bucketOf returns the bucket of n, nil when there are too many.
func (m *Meter) bucketOf(n Network) *bucket {
	b := m.nets[n]
	if b == nil && len(m.nets) < maxNetworks {
		b = &bucket{}
		m.nets[n] = b
	}
	return b
}

// full returns how long the fullest of the networks' buckets takes nothing more.
func (m *Meter) full(now int64, nets []Network, kind int) (wait time.Duration) {
	for _, n := range nets {
		if b := m.nets[n]; b != nil {
			wait = max(wait, m.rulesOf(n)[kind].full(b.tat[kind], now))
		}
	}
	return wait
}

func (m *Meter) fill(now int64, nets []Network, event int) {
	for _, n := range nets {
		b := m.bucketOf(n)
		if b == nil {
			continue
		}
		if event == eventJoin {
			b.joins++
		}
		rules := m.rulesOf(n)
		for kind, e := range eventOf {
			if e != event {
				continue
			}
			// What came before has run out in the meantime, as far as it has.
			b.since[kind] = max(min(b.since[kind], now), now-b.pending[e]*rules[kind].cost)
			b.tat[kind] = rules[kind].fill(b.tat[kind], now, now, 1)
		}
		b.pending[event]++
	}
}

// Join counts a request for a place and tells what the networks' limits say;
// wait is when to come again after Refused. hasKey: it brought a possession key.
func (m *Meter) Join(now time.Time, nets []Network, hasKey bool) (st Standing, wait time.Duration) {
	us := now.UnixMicro()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	m.sums.joins++
	if !hasKey {
		m.sums.keyless++
	}
	if slot := us / 100_000; m.slots[slot] > 0 || len(m.slots) < maxSlots {
		m.slots[slot]++
	}
	if len(nets) > 0 {
		m.sums.placed++
	}
	if wait = m.full(us, nets, hardJoins); wait > 0 {
		m.sums.limited++
		return Refused, wait
	}
	if m.full(us, nets, softJoins) > 0 {
		st = Prove
	}
	m.fill(us, nets, eventJoin)
	if st == Free {
		m.fill(us, nets, eventFree)
	}
	return st, 0
}

// Peek tells what Join would say, and counts nothing.
func (m *Meter) Peek(now time.Time, nets []Network) Standing {
	us := now.UnixMicro()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	switch {
	case m.full(us, nets, hardJoins) > 0:
		return Refused
	case m.full(us, nets, softJoins) > 0:
		return Prove
	}
	return Free
}

// Fetch counts a challenge that is asked for; wait > 0 refuses it.
func (m *Meter) Fetch(now time.Time, nets []Network) (wait time.Duration) {
	return m.limited(now, nets, fetches, eventFetch)
}

// Wrong counts a solution that did not count; wait > 0: there were too many, and
// this one was not counted any more.
func (m *Meter) Wrong(now time.Time, nets []Network) (wait time.Duration) {
	wait = m.limited(now, nets, wrongs, eventWrong)
	m.mu.Lock()
	m.sums.refused++
	m.mu.Unlock()
	return wait
}

func (m *Meter) limited(now time.Time, nets []Network, kind, event int) (wait time.Duration) {
	us := now.UnixMicro()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	if wait = m.full(us, nets, kind); wait > 0 {
		return wait
	}
	m.fill(us, nets, event)
	return 0
}

// Proven counts a solution that counted.
func (m *Meter) Proven() { m.mu.Lock(); m.sums.proven++; m.mu.Unlock() }

// Behind counts a place behind the line, taken without proof.
func (m *Meter) Behind() { m.mu.Lock(); m.sums.behind++; m.mu.Unlock() }

// report is what a replica tells Redis of one second.
type report struct {
	sums     sums
	slots    []slotCount
	top      []Share
	distinct []any       // names of networks for the HLL, where the bucket of time has not seen them yet
	nets     []netReport // what their buckets are charged with
}

type slotCount struct{ slot, joins int64 }

// netReport is what happened for one network, and from when on it fills each of
// its buckets (unix microseconds).
type netReport struct {
	net    Network
	events [eventKinds]int64
	since  [bucketKinds]int64
}

// netJoins is how many joins of a network came since the last report.
type netJoins struct {
	net   Network
	joins int64
}

// take returns what was counted since the last call, and forgets networks whose
// buckets are empty.
func (m *Meter) take(now time.Time) report {
	r, joined := m.collect(now)
	r.top = biggestOf(joined) // outside the lock: joins are waiting for it
	return r
}

func (m *Meter) collect(now time.Time) (r report, joined []netJoins) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	r.sums = m.sums
	m.sums = sums{}
	for slot, n := range m.slots {
		r.slots = append(r.slots, slotCount{slot, n})
	}
	clear(m.slots)
	us, period := now.UnixMicro(), bucketAt(now)
	crowded := len(m.nets) > maxNetworks/2 // then room for newcomers is worth more than what is small and over
	for n, b := range m.nets {
		if b.joins > 0 && n.bits != 64 { // a /64 is told of in its /48
			if b.seen != period {
				b.seen = period
				r.distinct = append(r.distinct, n.raw())
			}
			joined = append(joined, netJoins{n, b.joins})
		}
		b.joins = 0
		switch {
		case b.worthTelling(m.rulesOf(n)), b.shared && (!b.empty(us) || b.pending != [eventKinds]int64{}):
			// Also what had no arrivals here: other replicas may have had some.
			r.nets = append(r.nets, netReport{n, b.pending, b.since})
			b.pending = [eventKinds]int64{}
			b.shared = true
		case b.empty(us) && (crowded || us-slices.Max(b.since[:]) > untoldFor.Microseconds()):
			delete(m.nets, n)
		}
	}
	return r, joined
}

// biggestOf returns the networks with the most joins. It leaves out those of a
// single one when there are many: they are not big.
func biggestOf(joined []netJoins) []Share {
	if len(joined) > reported {
		joined = slices.DeleteFunc(joined, func(n netJoins) bool { return n.joins == 1 })
	}
	slices.SortFunc(joined, func(a, b netJoins) int {
		return cmp.Or(cmp.Compare(b.joins, a.joins), cmp.Compare(a.net.top, b.net.top))
	})
	top := make([]Share, min(len(joined), reported))
	for i := range top {
		top[i] = Share{joined[i].net.String(), joined[i].joins}
	}
	return top
}

// learn takes over what Redis knows of a network, on top of which comes what
// was counted here since the report.
func (m *Meter) learn(n Network, tat [bucketKinds]int64, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.bucketOf(n)
	if b == nil {
		return
	}
	rules := m.rulesOf(n)
	b.shared = slices.Max(tat[:]) > now
	for kind, t := range tat {
		if p := b.pending[eventOf[kind]]; p > 0 {
			t = rules[kind].fill(t, b.since[kind], now, p)
		}
		b.tat[kind] = rules[kind].sane(t, now)
	}
}
