// Package qr makes QR codes (ISO/IEC 18004) quickly and with the mask that the
// standard asks for: the layout of each version and level is computed once and
// kept as bit rows (layout.go), check bytes come from tables (solomon.go), all
// eight masks are scored on whole rows at a time, and the best one is drawn
// (mask.go).
package qr

import (
	"errors"
	"math/bits"
	"strings"
)

// Level is how much of a code may be damaged.
type Level int

// The levels of the standard.
const (
	L Level = iota // about 7 %
	M              // about 15 %
	Q              // about 25 %
	H              // about 30 %
)

// QuietZone is the white margin, in modules, that a reader needs around a code.
const QuietZone = 4

// ErrTooLong says that a text has no room in the largest QR code.
var ErrTooLong = errors.New("qr: text too long")

// Code is a finished QR code, quiet zone not included.
type Code struct {
	size          int
	version, mask int
	rows          []row
}

// Size is the number of modules on a side, without the quiet zone.
func (c *Code) Size() int { return c.size }

// Version is the standard's size class, 1 to 40.
func (c *Code) Version() int { return c.version }

// Mask is the pattern (0 to 7) that was laid over the data.
func (c *Code) Mask() int { return c.mask }

// Black tells whether the module in column x, row y is dark; outside the code
// it is not.
func (c *Code) Black(x, y int) bool {
	return x >= 0 && y >= 0 && x < c.size && y < c.size && c.rows[y].has(x)
}

// Rect is a block of dark modules.
type Rect struct{ X, Y, W, H uint8 }

// Rects appends the dark modules as few blocks that do not overlap: runs along
// the rows, and equal runs of neighbouring rows together.
func (c *Code) Rects(dst []Rect) []Rect {
	var above [177]int // by column: 1 + the index of the last block that began there
	for y, r := range c.rows {
		for x := 0; ; {
			free := r.from(x)
			if free == (row{}) {
				break
			}
			x += free.first()
			n := not(r.from(x)).first()
			if i := above[x] - 1; i >= 0 && int(dst[i].W) == n && int(dst[i].Y+dst[i].H) == y {
				dst[i].H++
			} else {
				dst = append(dst, Rect{uint8(x), uint8(y), uint8(n), 1})
				above[x] = len(dst)
			}
			x += n
		}
	}
	return dst
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

// alphaValue maps a byte to its alphanumeric value, or -1.
var alphaValue = func() (t [256]int8) {
	for i := range t {
		t[i] = int8(strings.IndexByte(alphabet, byte(i)))
	}
	return t
}()

// Encode makes the code of a text in the smallest version that holds it: in
// alphanumeric mode where every character allows it, otherwise as bytes.
func Encode(text string, level Level) (*Code, error) {
	alpha := isAlpha(text)
	for v := 1; v <= maxVersion; v++ {
		if bitLen(len(text), alpha, v) > 8*dataWords(v, level) {
			continue
		}
		w := workPool.Get().(*work)
		defer workPool.Put(w)
		b := bitWriter{out: w.bits[:0]}
		if alpha {
			b.alphanumeric(text, v)
		} else {
			b.bytes(text, v)
		}
		p := planFor(v, level)
		w.bits = p.appendChecks(b.padded(p.data))
		return p.draw(w), nil
	}
	return nil, ErrTooLong
}

func isAlpha(text string) bool {
	for i := range len(text) {
		if alphaValue[text[i]] < 0 {
			return false
		}
	}
	return true
}

// countBits is the width of the number of characters.
func countBits(alpha bool, version int) int {
	switch {
	case !alpha && version < 10:
		return 8
	case !alpha:
		return 16
	case version < 10:
		return 9
	case version < 27:
		return 11
	}
	return 13
}

func bitLen(n int, alpha bool, version int) int {
	if alpha {
		return 4 + countBits(alpha, version) + n/2*11 + n%2*6
	}
	return 4 + countBits(alpha, version) + 8*n
}

// bitWriter collects bits, the highest first.
type bitWriter struct {
	out  []byte
	held uint64
	n    int
}

func (b *bitWriter) write(v uint64, n int) {
	b.held, b.n = b.held<<n|v, b.n+n
	for ; b.n >= 8; b.n -= 8 {
		b.out = append(b.out, byte(b.held>>(b.n-8)))
	}
}

func (b *bitWriter) alphanumeric(text string, version int) {
	b.write(2, 4)
	b.write(uint64(len(text)), countBits(true, version))
	for ; len(text) >= 2; text = text[2:] {
		b.write(uint64(alphaValue[text[0]])*45+uint64(alphaValue[text[1]]), 11)
	}
	if text != "" {
		b.write(uint64(alphaValue[text[0]]), 6)
	}
}

func (b *bitWriter) bytes(text string, version int) {
	b.write(4, 4)
	b.write(uint64(len(text)), countBits(false, version))
	for i := range len(text) {
		b.write(uint64(text[i]), 8)
	}
}

// padded ends the bits and fills them up to size bytes.
func (b *bitWriter) padded(size int) []byte {
	b.write(0, min(4, 8*(size-len(b.out))-b.n))
	b.write(0, -b.n&7)
	for pad := byte(0xec); len(b.out) < size; pad ^= 0xec ^ 0x11 {
		b.out = append(b.out, pad)
	}
	return b.out
}

// draw places the bits of w, scores every mask and keeps the one with the
// lowest penalty (the lowest number of equals).
func (p *plan) draw(w *work) *Code {
	w.reset(p.size)
	for i, b := range w.bits {
		for ; b != 0; b &= b - 1 {
			at := p.place[8*i+7-bits.TrailingZeros8(b)]
			w.data[at.y].set(int(at.x))
			w.dataT[at.x].set(int(at.y))
		}
	}
	best, lowest := 0, int(^uint(0)>>1)
	for m := range 8 {
		for i := range p.size {
			w.rows[i] = xor(w.data[i], p.base[m][i])
			w.cols[i] = xor(w.dataT[i], p.baseT[m][i])
		}
		if s := penalty(w.rows, p.size) + lines(w.cols, p.size); s < lowest {
			best, lowest = m, s
		}
	}
	c := &Code{size: p.size, version: p.version, mask: best, rows: make([]row, p.size)}
	for i := range c.rows {
		c.rows[i] = xor(w.data[i], p.base[best][i])
	}
	return c
}
