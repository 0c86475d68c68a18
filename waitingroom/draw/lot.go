package draw

import "sync/atomic"

// Lot is a pre-queue that has closed and whose key is revealed: it tells the
// place of every ticket. It must not be changed once it was asked, nor copied.
type Lot struct {
	Tickets   int64      // that took part
	LastIndex int64      // the highest index among them
	Gaps      [][2]int64 // indexes up to LastIndex that nobody holds, first and last; ascending
	Key       [32]byte

	shuffle atomic.Pointer[permutation] // made when first asked
}

// MaxTickets is how many tickets a lot can have: what JavaScript counts exactly,
// and far more than there are people.
const MaxTickets = 1 << 40

func (l *Lot) permutation() *permutation {
	p := l.shuffle.Load()
	if p == nil {
		p = newPermutation(l.Key, uint64(l.Tickets), rounds) //nolint:gosec // at least 1: see the callers
		l.shuffle.Store(p)
	}
	return p
}

// rank counts the tickets below index; held is false inside a gap.
func (l *Lot) rank(index int64) (rank int64, held bool) {
	rank, held = index-1, true
	for _, g := range l.Gaps {
		switch {
		case g[1] < index:
			rank -= g[1] - g[0] + 1
		case g[0] <= index:
			held = false
		}
	}
	return rank, held
}

// Place returns the place of a ticket, 1 to Tickets; ok is false for an index
// that did not take part. An index inside a gap shares the place of another
// ticket; see the package comment.
func (l *Lot) Place(index int64) (place int64, ok bool) {
	if index < 1 || index > l.LastIndex {
		return 0, false
	}
	rank, held := l.rank(index)
	if l.Tickets < 1 {
		return 1, !held
	}
	if !held {
		rank = index % l.Tickets
	}
	if rank >= l.Tickets {
		return 0, false // the numbers contradict each other: Verify says so
	}
	return int64(l.permutation().forward(uint64(rank))) + 1, true //nolint:gosec // below Tickets
}

// Index returns the ticket that has a place; ok is false outside 1 to Tickets.
func (l *Lot) Index(place int64) (index int64, ok bool) {
	if place < 1 || place > l.Tickets {
		return 0, false
	}
	index = int64(l.permutation().back(uint64(place-1))) + 1 //nolint:gosec // below Tickets
	for _, g := range l.Gaps {
		if g[0] > index {
			break
		}
		index += g[1] - g[0] + 1
	}
	return index, true
}

// Places returns the place of every ticket, in the order of their indexes and
// without the gaps. It costs 16 bytes a ticket and one hash per 256 tickets and
// round.
func (l *Lot) Places() []int64 {
	if l.Tickets < 1 {
		return nil
	}
	places := make([]int64, l.Tickets)
	for rank, y := range l.permutation().all() {
		places[rank] = int64(y) + 1 //nolint:gosec // at most Tickets
	}
	return places
}

// count returns how many indexes up to last the gaps leave; ok is false when
// they are not ascending ranges within 1..last.
func count(last int64, gaps [][2]int64) (tickets int64, ok bool) {
	tickets = last
	end := int64(0)
	for _, g := range gaps {
		if g[0] <= end || g[1] < g[0] || g[1] > last {
			return 0, false
		}
		tickets -= g[1] - g[0] + 1
		end = g[1]
	}
	return tickets, last >= 0 && last <= MaxTickets
}
