package draw

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// rounds of the shuffle; see the package comment.
const rounds = 128

// permutation is the swap-or-not shuffle of 0..n-1 under a key. Round r pairs x
// with offset[r]-x (mod n) and swaps the two when the bit of the pair is set;
// both know the pair by its larger member. Each round undoes itself.
type permutation struct {
	key    [32]byte
	n      uint64
	offset []uint64 // one per round
}

// newPermutation needs n >= 1.
func newPermutation(key [32]byte, n uint64, rounds int) *permutation {
	p := &permutation{key: key, n: n, offset: make([]uint64, rounds)}
	for r := range p.offset {
		// 128 bits mod n: what is left of the bias is below n/2^128.
		h := sha256.Sum256(append(key[:], 'K', byte(r)))
		_, p.offset[r] = bits.Div64(binary.BigEndian.Uint64(h[:8])%n, binary.BigEndian.Uint64(h[8:16]), n)
	}
	return p
}

// block returns 256 bits for round r: the bits of the pairs whose larger member
// is 256*number to 256*number+255.
func (p *permutation) block(r int, number uint64) [32]byte {
	var in [42]byte
	copy(in[:], p.key[:])
	in[32], in[33] = 'B', byte(r)
	binary.BigEndian.PutUint64(in[34:], number)
	return sha256.Sum256(in[:])
}

func bit(block *[32]byte, x uint64) bool { return block[x%256/8]>>(x%8)&1 == 1 }

// pair returns the partner of x in round r, and the larger of the two.
func (p *permutation) pair(r int, x uint64) (partner, larger uint64) {
	partner = p.offset[r] + p.n - x
	if partner >= p.n {
		partner -= p.n
	}
	return partner, max(x, partner)
}

func (p *permutation) round(r int, x uint64) uint64 {
	partner, larger := p.pair(r, x)
	if b := p.block(r, larger/256); bit(&b, larger) {
		return partner
	}
	return x
}

// forward returns where x goes.
func (p *permutation) forward(x uint64) uint64 {
	for r := range p.offset {
		x = p.round(r, x)
	}
	return x
}

// back returns what goes to y.
func (p *permutation) back(y uint64) uint64 {
	for r := len(p.offset) - 1; r >= 0; r-- {
		y = p.round(r, y)
	}
	return y
}

// all returns forward of 0..n-1. It swaps in an array, with one hash per 256
// numbers and round.
func (p *permutation) all() []uint64 {
	at := make([]uint64, p.n) // at[y] is what stands at y now
	for x := range at {
		at[x] = uint64(x) //nolint:gosec // an index
	}
	for r := range p.offset {
		var (
			b      [32]byte
			number = ^uint64(0)
		)
		for x := range p.n {
			partner, larger := p.pair(r, x)
			if larger != x || partner == x {
				continue // the pair is met at its larger member
			}
			if x/256 != number {
				number = x / 256
				b = p.block(r, number)
			}
			if bit(&b, x) {
				at[x], at[partner] = at[partner], at[x]
			}
		}
	}
	to := make([]uint64, p.n)
	for y, x := range at {
		to[x] = uint64(y) //nolint:gosec // an index
	}
	return to
}
