package qr

import (
	"encoding/binary"
	"sync"
)

// Check bytes are the remainder of a division of polynomials over GF(256) with
// x^8+x^4+x^3+x^2+1. At most 30 belong to a block, so four words hold them, and
// a table says what each byte that comes out adds to them.

// words are up to 32 check bytes, the first in the highest bits.
type words [4]uint64

var dividers [31]struct {
	once  sync.Once
	table *[256]words
}

func dividerFor(checks int) *[256]words {
	d := &dividers[checks]
	d.once.Do(func() { d.table = newDivider(checks) })
	return d.table
}

func newDivider(checks int) *[256]words {
	// The generator's coefficients without the leading one: product of (x - 2^i).
	generator := make([]byte, checks)
	generator[checks-1] = 1
	root := byte(1)
	for range checks {
		for j := range generator {
			generator[j] = times(generator[j], root)
			if j+1 < checks {
				generator[j] ^= generator[j+1]
			}
		}
		root = times(root, 2)
	}
	table := new([256]words)
	for b := range table {
		var bytes [32]byte
		for i, g := range generator {
			bytes[i] = times(g, byte(b))
		}
		for i := range table[b] {
			table[b][i] = binary.BigEndian.Uint64(bytes[8*i:])
		}
	}
	return table
}

func times(a, b byte) (product byte) {
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		carry := a >> 7
		a = a<<1 ^ carry*0x1d
	}
	return product
}

// appendChecks appends the check bytes of every block of data.
func (p *plan) appendChecks(data []byte) []byte {
	table, rest := dividerFor(p.checks), data
	short, longer := p.data/p.blocks, p.blocks-p.data%p.blocks
	for b := range p.blocks {
		n := short
		if b >= longer {
			n++
		}
		var w words
		for _, d := range rest[:n] {
			t := &table[d^byte(w[0]>>56)]
			w[0] = (w[0]<<8 | w[1]>>56) ^ t[0]
			w[1] = (w[1]<<8 | w[2]>>56) ^ t[1]
			w[2] = (w[2]<<8 | w[3]>>56) ^ t[2]
			w[3] = w[3]<<8 ^ t[3]
		}
		rest = rest[n:]
		var bytes [32]byte
		for i, v := range w {
			binary.BigEndian.PutUint64(bytes[8*i:], v)
		}
		data = append(data, bytes[:p.checks]...)
	}
	return data
}
