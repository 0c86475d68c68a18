package registry

import (
	"bytes"
	"time"
)

// skew is how far an authority's clock may be ahead of ours.
const skew = 5 * time.Minute

// Have is the list that was applied last; the zero value is none.
type Have struct {
	Sequence int64
	Hash     []byte
}

// Acceptable tells whether a list may follow the one we have: nil, ErrExpired,
// ErrFuture, ErrRollback or ErrForked. same is true for the list we have.
func (l List) Acceptable(hash []byte, have Have, now time.Time) (same bool, err error) {
	switch {
	case l.Sequence < have.Sequence:
		return false, ErrRollback
	case l.Sequence == have.Sequence && !bytes.Equal(hash, have.Hash):
		return false, ErrForked
	case !now.Before(l.NextUpdate):
		return false, ErrExpired
	case l.IssuedAt.After(now.Add(skew)):
		return false, ErrFuture
	}
	return l.Sequence == have.Sequence, nil
}

// Change is what a new list says differently.
type Change struct {
	Added   []Entry
	Changed []Pair
	Missing []Entry // stand in the old list only
	Known   int     // entries of the old list
}

// Pair is an entry before and after.
type Pair struct{ Before, After Entry }

// Compare finds what a new list changes. old has the entries that stand in the
// list we have.
func Compare(old map[string]Entry, l List) Change {
	c := Change{Known: len(old)}
	seen := make(map[string]bool, len(l.Entries))
	for _, e := range l.Entries {
		seen[e.ID] = true
		switch was, ok := old[e.ID]; {
		case !ok:
			c.Added = append(c.Added, e)
		case !was.Equal(e):
			c.Changed = append(c.Changed, Pair{was, e})
		}
	}
	for id, e := range old {
		if !seen[id] {
			c.Missing = append(c.Missing, e)
		}
	}
	return c
}

// Implausible tells whether so many entries are missing that a mistake of the
// authority is likelier than the truth: more than share of all, and more than few.
func (c Change) Implausible(few int, share float64) bool {
	return len(c.Missing) > few && float64(len(c.Missing)) > share*float64(c.Known)
}
