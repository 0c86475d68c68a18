// Package draw decides the order of a pre-queue by lot, so that anybody can
// recompute it: commitment, signed number of tickets, public beacon, reveal.
package draw

// Lot is a pre-queue that has closed and whose key is revealed: it tells the
// place of every ticket.
type Lot struct {
	Tickets   int64      // that took part
	LastIndex int64      // the highest index among them
	Gaps      [][2]int64 // indexes up to LastIndex that nobody holds, first and last
	Key       [32]byte
}

// Place returns the place of a ticket, 1 to Tickets; ok is false for an index
// that did not take part.
func (l *Lot) Place(index int64) (place int64, ok bool) {
	return index, index >= 1 && index <= l.LastIndex
}
