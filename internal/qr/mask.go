package qr

import (
	"math/bits"
	"sync"
)

// row is one line of modules, the leftmost in the lowest bit of a. The largest
// code has 177 modules a side. (A struct and not an array: the compiler keeps
// its fields in registers, which makes scoring four times faster.)
type row struct{ a, b, c uint64 }

func (r *row) set(i int) {
	switch bit := uint64(1) << (i & 63); i >> 6 {
	case 0:
		r.a |= bit
	case 1:
		r.b |= bit
	default:
		r.c |= bit
	}
}

func (r *row) clear(i int) {
	switch bit := uint64(1) << (i & 63); i >> 6 {
	case 0:
		r.a &^= bit
	case 1:
		r.b &^= bit
	default:
		r.c &^= bit
	}
}

func (r row) has(i int) bool {
	switch i >> 6 {
	case 0:
		return r.a>>(i&63)&1 != 0
	case 1:
		return r.b>>(i&63)&1 != 0
	}
	return r.c>>(i&63)&1 != 0
}

func xor(r, s row) row { return row{r.a ^ s.a, r.b ^ s.b, r.c ^ s.c} }

func and(r, s row) row { return row{r.a & s.a, r.b & s.b, r.c & s.c} }

func not(r row) row { return row{^r.a, ^r.b, ^r.c} }

// shr looks n (1 to 63) modules to the right: its bit i is bit i+n of r.
func shr(r row, n uint) row {
	return row{r.a>>(n&63) | r.b<<((64-n)&63), r.b>>(n&63) | r.c<<((64-n)&63), r.c >> (n & 63)}
}

// from is the row beginning at module n.
func (r row) from(n int) row {
	for ; n >= 64; n -= 64 {
		r = row{r.b, r.c, 0}
	}
	if n == 0 {
		return r
	}
	return shr(r, uint(n))
}

// first is the number of light modules before the first dark one.
func (r row) first() int {
	switch {
	case r.a != 0:
		return bits.TrailingZeros64(r.a)
	case r.b != 0:
		return 64 + bits.TrailingZeros64(r.b)
	}
	return 128 + bits.TrailingZeros64(r.c)
}

// shl1 looks one module to the left.
func shl1(r row) row { return row{r.a << 1, r.b<<1 | r.a>>63, r.c<<1 | r.b>>63} }

func count(r row) int {
	return bits.OnesCount64(r.a) + bits.OnesCount64(r.b) + bits.OnesCount64(r.c)
}

// below has the lowest n bits set.
func below(n int) (r row) {
	for i := range n {
		r.set(i)
	}
	return r
}

// work holds the bits and lines of one code while its masks are scored.
type work struct {
	bits                    []byte // data and checks
	data, dataT, rows, cols []row
}

var workPool = sync.Pool{New: func() any { return new(work) }}

func (w *work) reset(size int) {
	if cap(w.data) < size {
		all := make([]row, 4*size)
		w.data, w.dataT, w.rows, w.cols = all[:size:size], all[size:2*size:2*size], all[2*size:3*size:3*size], all[3*size:]
		return
	}
	w.data, w.dataT, w.rows, w.cols = w.data[:size], w.dataT[:size], w.rows[:size], w.cols[:size]
	clear(w.data)
	clear(w.dataT)
}

// The weights of ISO/IEC 18004, section 7.8.3.
const (
	n1 = 3  // a run of five of one colour, one more for each module after it
	n2 = 3  // a block of two by two
	n3 = 40 // the pattern of a corner square beside four light modules
	n4 = 10 // every five per cent away from half dark
)

// penalty scores what a reader could stumble over in the rows: runs and false
// corners along the rows, blocks, and the balance of dark and light.
func penalty(rows []row, size int) int {
	score := lines(rows, size)
	valid := below(size - 1)
	dark, blocks := 0, 0
	for y, r := range rows {
		dark += count(r)
		if y+1 == size {
			break
		}
		next := rows[y+1]
		equal := and(not(xor(r, shr(r, 1))), not(xor(next, shr(next, 1))))
		blocks += count(and(and(equal, not(xor(r, next))), valid))
	}
	off := dark*100 - 50*size*size
	if off < 0 {
		off = -off
	}
	return score + n2*blocks + n4*(off/(5*size*size))
}

// lines scores runs and false corners along each line.
func lines(lines []row, size int) int {
	score := 0
	runValid, patternValid := below(size-4), below(size-10)
	for _, r := range lines {
		// same: bits whose four followers have their colour.
		pair := not(xor(r, shr(r, 1)))
		two := and(pair, shr(pair, 1))
		same := and(and(two, shr(two, 2)), runValid)
		if n := count(same); n > 0 {
			starts := and(same, not(shl1(same)))
			score += n + (n1-1)*count(starts)
		}
		score += n3 * falseCorners(r, patternValid)
	}
	return score
}

// falseCorners counts 1011101 with four light modules before or after it.
func falseCorners(r, valid row) int {
	light := not(r)
	l2 := and(light, shr(light, 1))
	l4 := and(l2, shr(l2, 2))
	// core: 1011101 begins here
	core := and(r, shr(light, 1))
	if core = and(core, shr(r, 2)); core == (row{}) {
		return 0
	}
	core = and(core, and(shr(r, 3), shr(r, 4)))
	core = and(core, and(shr(light, 5), shr(r, 6)))
	if core == (row{}) {
		return 0
	}
	return count(and(and(core, shr(l4, 7)), valid)) + count(and(and(l4, shr(core, 4)), valid))
}
