package translog

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the right edge of a growing log: of each complete subtree that is not
// yet part of a larger one, the hash. It is all that is needed to add leaves and
// to name the root. The zero value is the empty log.
type Tree struct {
	size int64
	edge [64]tlog.Hash // by level; valid where size has that bit
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// ReadHashes gives tlog the hashes of the edge.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		if t.size>>level&1 == 0 || n != t.size>>level-1 {
			return nil, fmt.Errorf("hash %d is not at the edge of a log of %d leaves", index, t.size)
		}
		out[i] = t.edge[level]
	}
	return out, nil
}

// Add appends the hash of a leaf and returns the hashes to store, which belong
// behind those of the leaves before it.
func (t *Tree) Add(leaf tlog.Hash) ([]tlog.Hash, error) {
	stored, err := tlog.StoredHashesForRecordHash(t.size, leaf, t)
	if err != nil {
		return nil, err
	}
	t.edge[len(stored)-1] = stored[len(stored)-1]
	t.size++
	return stored, nil
}

// Root is the hash of the whole log.
func (t *Tree) Root() (tlog.Hash, error) { return tlog.TreeHash(t.size, t) }

// readTree reads the edge of the log with size leaves from stored hashes.
func readTree(size int64, r tlog.HashReader) (*Tree, error) {
	t := &Tree{size: size}
	var at []int64
	for rest := uint64(size); rest != 0; rest &= rest - 1 { //nolint:gosec // sizes are not negative
		level := bits.TrailingZeros64(rest)
		at = append(at, tlog.StoredHashIndex(level, size>>level-1))
	}
	if len(at) == 0 {
		return t, nil
	}
	hashes, err := r.ReadHashes(at)
	if err != nil {
		return nil, err
	}
	for i, index := range at {
		level, _ := tlog.SplitStoredHashIndex(index)
		t.edge[level] = hashes[i]
	}
	return t, nil
}
