package pdf

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"impfportal/internal/qr"
)

// ErrSlot says that a slot stands in a document that nobody fills in, or has
// got no value.
var ErrSlot = errors.New("pdf: slot")

// slot is a place of a form, laid out.
type slot struct {
	name        string
	page, mcr   int
	role        string
	x, y, width float64
	lines       int
	face        faceID
	size        float64
	align       string
	code        *QR
}

func (s Slot) lines() float64 { return float64(max(1, s.Lines)) }

// slot keeps room for a text in the present font.
func (w *writer) slot(s Slot, x, width float64, align string) {
	if !w.dry {
		w.doc.used[w.face] = true
		w.reserve(slot{name: s.Name, x: x, y: w.y, width: width, lines: max(1, s.Lines), face: w.face, size: w.size, align: align})
	}
	w.y += lineHeight(w.size) * s.lines()
}

func (w *writer) reserve(s slot) {
	if !w.fields {
		w.fail(fmt.Errorf("%w %q in a document that is no form", ErrSlot, s.name))
		return
	}
	s.page, s.role = w.page.index, w.now.role
	s.mcr = w.page.claim(w.now)
	w.doc.slots = append(w.doc.slots, s)
}

// Form is a sheet for many: everything but the slots is laid out, tagged,
// compressed and put together once, and Fill adds what differs. It may be used
// by several goroutines.
type Form struct {
	doc  document
	base [tierCount]func() *base
}

// NewForm lays out a sheet whose blocks may have slots.
func NewForm(s SheetSpec) (*Form, error) { return s.layout(true).form() }

// form makes a form of what is laid out.
func (w *writer) form() (*Form, error) {
	if w.err != nil {
		return nil, w.err
	}
	f := &Form{doc: w.doc}
	for _, p := range f.doc.pages {
		p.leave()
	}
	var one sync.Mutex // assembling numbers the elements of the one tree
	for t := range tierCount {
		f.base[t] = sync.OnceValue(func() *base {
			one.Lock()
			defer one.Unlock()
			return f.doc.assemble(t, bestCompression)
		})
	}
	return f, nil
}

// filling is what a Fill works with.
type filling struct {
	content []byte
	packed  [][]byte
	lines   []string
}

var fillings = sync.Pool{New: func() any { return new(filling) }}

// Fill makes the document with these values, by name of the slot. A text that
// does not fit its slot is set smaller, and cut off with an ellipsis at last.
func (f *Form) Fill(created time.Time, values map[string]string) ([]byte, error) {
	w := fillings.Get().(*filling)
	defer fillings.Put(w)
	need, n := tierGerman, 0
	for i, page := range f.doc.filledPages() {
		w.content = w.content[:0]
		for ; n < len(f.doc.slots) && f.doc.slots[n].page == page; n++ {
			s := &f.doc.slots[n]
			value, ok := values[s.name]
			if !ok {
				return nil, fmt.Errorf("%w %q has no value", ErrSlot, s.name)
			}
			w.content = appendMark(w.content, s.role, s.mcr)
			if s.code != nil {
				code, err := qr.Encode(value, s.code.Level)
				if err != nil {
					return nil, fmt.Errorf("pdf: %w", err)
				}
				w.content = appendCode(w.content, code, s.x, s.y, s.code.Size, s.code.Side)
			} else {
				need = max(need, w.text(s, value))
			}
			w.content = append(w.content, "EMC\n"...)
		}
		if i == len(w.packed) {
			w.packed = append(w.packed, nil)
		}
		w.packed[i] = compress(w.packed[i][:0], w.content, fastCompression)
	}
	return f.base[need]().finish(created, w.packed[:len(f.doc.filledPages())]), nil
}

// text writes a value into its slot and returns the tier that it needs.
func (w *filling) text(s *slot, value string) tier {
	rep, text, size, lines := typefaces(), printable(value), s.size, s.lines
	w.lines = rep.wrap(w.lines[:0], text, s.width, s.face, size)
	for len(w.lines) > lines && size > s.size/2 {
		size -= 0.5
		lines = int(float64(s.lines) * s.size / size)
		w.lines = rep.wrap(w.lines[:0], text, s.width, s.face, size)
	}
	if len(w.lines) > lines {
		w.lines[lines-1] = rep.clip(w.lines[lines-1]+w.lines[lines], s.width, s.face, size)
		w.lines = w.lines[:lines]
	}
	need := tierGerman
	b := append(appendFont(appendGrey(append(w.content, "BT "...), 0), s.face, size), '\n')
	for i, l := range w.lines {
		var t tier
		x := s.x
		switch s.align {
		case "C":
			x += (s.width - rep.textWidth(s.face, size, l)) / 2
		case "R":
			x += s.width - rep.textWidth(s.face, size, l)
		}
		b = append(b, "1 0 0 1 "...)
		b = append(appendNumber(b, x/ptToMM), ' ')
		b = append(appendNumber(b, (pageHeight-baseline(s.y+float64(i)*lineHeight(size), size))/ptToMM), " Tm "...)
		b, t = rep.appendText(b, l)
		b = append(b, "Tj\n"...)
		need = max(need, t)
	}
	w.content = append(b, "ET\n"...)
	return need
}
