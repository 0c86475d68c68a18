// Package qr makes QR codes (ISO/IEC 18004) quickly and with the mask that the
// standard asks for. Layout, bit packing and Reed-Solomon come from
// rsc.io/qr/coding, whose own encoder always takes mask 0; here the layout of
// each version and level is computed once and kept as bit rows, all eight masks
// are scored on whole rows at a time, and the best one is drawn.
package qr

import (
	"errors"
	"strings"
	"sync"

	rsc "rsc.io/qr"
	"rsc.io/qr/coding"
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

// PNG is the code as a picture with scale pixels a module, quiet zone included.
func (c *Code) PNG(scale int) []byte {
	p := rsc.Code{Size: c.size, Stride: (c.size + 7) / 8, Scale: max(1, scale)}
	p.Bitmap = make([]byte, p.Stride*c.size)
	for y, r := range c.rows {
		for x := range c.size {
			if r.has(x) {
				p.Bitmap[y*p.Stride+x/8] |= 1 << (7 - x&7)
			}
		}
	}
	return p.PNG()
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
	for v := coding.Version(coding.MinVersion); v <= coding.MaxVersion; v++ {
		if bitLen(text, alpha, v) > v.DataBytes(coding.Level(level))*8 {
			continue
		}
		p, err := planFor(v, coding.Level(level))
		if err != nil {
			return nil, err
		}
		var b coding.Bits
		if alpha {
			writeAlpha(&b, text, v)
		} else {
			coding.String(text).Encode(&b, v)
		}
		b.AddCheckBytes(v, coding.Level(level))
		return p.draw(b.Bytes()), nil
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

func bitLen(text string, alpha bool, v coding.Version) int {
	if alpha {
		return coding.Alpha(text).Bits(v)
	}
	return coding.String(text).Bits(v)
}

// writeAlpha does what coding.Alpha.Encode does, with a table instead of a
// search for each character.
func writeAlpha(b *coding.Bits, text string, v coding.Version) {
	count := 9
	if v > 26 {
		count = 13
	} else if v > 9 {
		count = 11
	}
	b.Write(2, 4)
	b.Write(uint(len(text)), count)
	for len(text) >= 2 {
		b.Write(uint(alphaValue[text[0]])*45+uint(alphaValue[text[1]]), 11)
		text = text[2:]
	}
	if len(text) == 1 {
		b.Write(uint(alphaValue[text[0]]), 6)
	}
}

// plan is the layout of one version and level.
type plan struct {
	size, version int
	place         []place  // where the bits of data and checks go
	base          [8][]row // everything else, and the mask itself, per mask
	baseT         [8][]row // the same with x and y exchanged
}

type place struct{ x, y uint8 }

type planKey struct {
	v coding.Version
	l coding.Level
}

var plans sync.Map // planKey -> *plan

// planFor computes a layout once: that costs a hundred times what using it does.
func planFor(v coding.Version, l coding.Level) (*plan, error) {
	if p, ok := plans.Load(planKey{v, l}); ok {
		return p.(*plan), nil
	}
	p := &plan{version: int(v)}
	for m := range 8 {
		c, err := coding.NewPlan(v, l, coding.Mask(m))
		if err != nil {
			return nil, err
		}
		p.size = len(c.Pixel)
		if m == 0 {
			p.place = make([]place, (c.DataBytes+c.CheckBytes)*8)
		}
		p.base[m], p.baseT[m] = make([]row, p.size), make([]row, p.size)
		for y, line := range c.Pixel {
			for x, pix := range line {
				if pix&coding.Black != 0 {
					p.base[m][y].set(x)
					p.baseT[m][x].set(y)
				}
				if r := pix.Role(); m == 0 && (r == coding.Data || r == coding.Check) {
					p.place[pix.Offset()] = place{uint8(x), uint8(y)}
				}
			}
		}
	}
	got, _ := plans.LoadOrStore(planKey{v, l}, p)
	return got.(*plan), nil
}

// draw places the bits, scores every mask and keeps the one with the lowest
// penalty (the lowest number of equals).
func (p *plan) draw(bits []byte) *Code {
	w := workPool.Get().(*work)
	defer workPool.Put(w)
	w.reset(p.size)
	for i, at := range p.place {
		if bits[i>>3]>>(7-i&7)&1 != 0 {
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
