package pdf

import (
	"errors"
	"fmt"
	"strings"
)

// ErrRoom says that blocks do not fit the place that was made for them.
var ErrRoom = errors.New("blocks do not fit")

// bodySize is the size of running text in points, where nothing else is said.
const bodySize = 11.0

func (w *writer) small() float64 { return w.body * 8.5 / bodySize }

// scale is what distances between lines are multiplied with.
func (w *writer) scale() float64 { return w.body / bodySize }

func (p Paragraph) draw(w *writer, x, width float64) {
	size, f := w.body, regular
	if p.Small {
		size = w.small()
	}
	if p.Bold {
		f = bold
	}
	w.font(f, size)
	if p.Slot.Name != "" {
		w.ensure(lineHeight(size) * p.Slot.lines())
		w.in("P", func() { w.slot(p.Slot, x, width, p.Align) })
	} else {
		p.lines(w, w.wrap(p.Text, width), x, width)
	}
	w.y += lineHeight(size) * 0.55
}

// lines writes the lines of a paragraph; an empty one begins a new paragraph.
func (p Paragraph) lines(w *writer, lines []string, x, width float64) {
	var e *elem
	for i, l := range lines {
		need := lineHeight(w.size)
		switch { // no lonely first or last line
		case i == 0 && len(lines) == 3:
			need *= 3
		case i == 0 && len(lines) > 1, i == len(lines)-2:
			need *= 2
		}
		w.ensure(need)
		write := func() { w.line(x, width, l, p.Align) }
		switch {
		case strings.TrimSpace(l) == "":
			w.y += lineHeight(w.size)
			e = nil
		case e == nil:
			e = &elem{role: "P"}
			w.inside(e, write)
		default:
			w.more(e, write)
		}
	}
}

func (h Heading) draw(w *writer, x, width float64) {
	size := w.body * 13 / bodySize
	role := "H2"
	if h.Top || !w.hasTitle { // the first heading of a document is its title
		role = "H1"
		w.hasTitle = w.hasTitle || !w.dry
	}
	w.font(bold, size)
	lines := w.wrap(h.Text, width)
	w.ensure(lineHeight(size)*float64(len(lines)) + 3*lineHeight(w.body))
	w.y += 1.5 * w.scale()
	w.in(role, func() {
		for _, l := range lines {
			w.line(x, width, l, "L")
		}
	})
	w.y += 1.5 * w.scale()
}

func (p Pairs) draw(w *writer, x, width float64) {
	key := p.KeyWidth
	if key == 0 {
		key = width * 0.4
	}
	w.in("Table", func() {
		for _, row := range p.Rows {
			p.row(w, row, x, key, width)
		}
	})
	w.y += 2 * w.scale()
}

func (p Pairs) row(w *writer, row Pair, x, key, width float64) {
	size, small, gap := w.body, w.small(), 1.8*w.scale()
	w.font(regular, small)
	var others []string
	if row.Other != "" {
		others = w.wrap(row.Other, key-3)
	}
	w.font(regular, size)
	keys := w.wrap(row.Key, key-3)
	w.font(bold, size)
	values := w.wrap(row.Value, width-key)
	h := lineHeight(size) * float64(len(values))
	if row.Slot.Name != "" {
		values, h = nil, lineHeight(size)*row.Slot.lines()
	}
	h = max(h, lineHeight(size)*float64(len(keys))+lineHeight(small)*float64(len(others)))
	w.ensure(h + gap)
	top := w.y
	w.in("TR", func() {
		w.inside(&elem{role: "TH", scope: "Row"}, func() {
			w.font(regular, size)
			for _, l := range keys {
				w.line(x, key, l, "L")
			}
			if len(others) == 0 {
				return
			}
			w.inside(&elem{role: "Span", lang: language(p.OtherLang)}, func() {
				w.font(regular, small)
				w.grey = 70
				for _, l := range others {
					w.line(x, key, l, "L")
				}
				w.grey = 0
			})
		})
		w.y = top
		w.font(bold, size)
		w.in("TD", func() {
			for _, l := range values {
				w.line(x+key, width-key, l, "L")
			}
			if row.Slot.Name != "" {
				w.slot(row.Slot, x+key, width-key, "L")
			}
		})
	})
	w.y = top + h + gap
	w.rule(x, width, w.y-gap/2)
}

func (t Table) draw(w *writer, x, width float64) {
	cols := len(t.Head)
	for _, r := range t.Rows {
		cols = max(cols, len(r))
	}
	if cols == 0 {
		return
	}
	widths := make([]float64, cols)
	sum := 0.0
	for i := range widths {
		widths[i] = 1
		if i < len(t.Widths) {
			widths[i] = t.Widths[i]
		}
		sum += widths[i]
	}
	for i := range widths {
		widths[i] *= width / sum
	}
	size := w.body * 9.5 / bodySize
	head := func() {
		if len(t.Head) > 0 {
			w.font(bold, size)
			t.row(w, t.Head, widths, x, elem{role: "TH", scope: "Column"})
			w.rule(x, width, w.y-0.7*w.scale())
		}
	}
	w.in("Table", func() {
		head()
		for _, r := range t.Rows {
			w.font(regular, size)
			h := w.measure(func() { t.row(w, r, widths, x, elem{role: "TD"}) })
			page := w.page
			w.ensure(h)
			if w.page != page {
				w.aside(artRepeated, head)
			}
			w.font(regular, size)
			t.row(w, r, widths, x, elem{role: "TD"})
			w.rule(x, width, w.y-0.7*w.scale())
		}
	})
	w.y += 2.5 * w.scale()
}

// row writes as many cells as there are widths.
func (t Table) row(w *writer, cells []string, widths []float64, x float64, cell elem) {
	top, bottom := w.y, w.y
	row := func() {
		for i, width := range widths {
			w.y = top
			room, align := width-2, "L"
			if i >= len(widths)-t.Numbers {
				align = "R"
			}
			if align == "R" && i == len(widths)-1 {
				room = width
			}
			text := func() {
				if i < len(cells) {
					for _, l := range w.wrap(cells[i], room) {
						w.line(x, room, l, align)
					}
				}
			}
			if w.art != "" {
				text()
			} else {
				w.inside(&elem{role: cell.role, scope: cell.scope}, text)
			}
			bottom = max(bottom, w.y)
			x += width
		}
	}
	if w.art != "" {
		row()
	} else {
		w.in("TR", row)
	}
	w.y = bottom + 1.5*w.scale()
}

func (l List) draw(w *writer, x, width float64) {
	w.font(regular, w.body)
	h := lineHeight(w.body)
	w.in("L", func() {
		for _, item := range l.Items {
			w.in("LI", func() {
				w.ensure(h)
				w.in("Lbl", func() { w.line(x+0.5, 5, "– ", "L") })
				w.y -= h
				w.in("LBody", func() {
					for _, text := range w.wrap(item, width-5) {
						w.ensure(h)
						w.line(x+5, width-5, text, "L")
					}
				})
			})
			w.y += 0.8 * w.scale()
		}
	})
	w.y += 2 * w.scale()
}

func (n Note) draw(w *writer, x, width float64) {
	k := w.scale()
	part := func(f faceID, text string) {
		if text == "" {
			return
		}
		w.font(f, w.body)
		w.in("P", func() {
			for _, l := range w.wrap(text, width-9*k) {
				w.line(x+6*k, width-9*k, l, "L")
			}
		})
	}
	text := func() {
		w.y += 2.5 * k
		part(bold, n.Title)
		part(regular, n.Text)
		w.y += 2.5 * k
	}
	h := w.measure(text)
	w.ensure(h)
	w.box(x, w.y, width, h, 243)
	w.box(x, w.y, 1.5*k, h, 0)
	w.in("Div", text)
	w.y += 3 * k
}

func (c Code) draw(w *writer, x, width float64) {
	k := w.scale()
	text := func() {
		w.y += 2 * k
		if c.Label != "" {
			w.font(regular, 9*k)
			w.in("P", func() { w.line(x+4*k, width-8*k, clip(w, c.Label, width-8*k), "L") })
			w.y += 0.5 * k
		}
		size := 19 * k
		for w.font(monoBold, size); size > 13*k && w.textWidth(printable(c.Text)) > width-8*k; w.font(monoBold, size) {
			size--
		}
		w.in("P", func() {
			for _, l := range w.wrap(c.Text, width-8*k) {
				w.line(x+4*k, width-8*k, l, "L")
			}
		})
		w.y += 1.5 * k
	}
	h := w.measure(text)
	w.ensure(h)
	if !w.dry {
		w.page.artifact(artLayout)
		w.page.stroke(0.35, 0)
		w.page.outline(x, w.y, width, h)
	}
	w.in("Div", text)
	w.y += 3 * k
}

func (c Columns) draw(w *writer, x, width float64) {
	share, gap := c.LeftShare, c.Gap
	if share == 0 {
		share = 0.5
	}
	if gap == 0 {
		gap = 8
	}
	lw := (width - gap) * share
	rw := width - gap - lw
	all := func(blocks []Block, x, width float64) func() {
		return func() { w.blocks(blocks, x, width) }
	}
	left, right := all(c.Left, x, lw), all(c.Right, x+lw+gap, rw)
	h := max(w.measure(left), w.measure(right))
	if h > w.bottom-w.top && !w.dry && w.keep == 0 {
		all(c.Left, x, width)() // no page holds them beside each other
		all(c.Right, x, width)()
		return
	}
	w.ensure(h)
	top := w.y
	w.keep++
	left()
	w.y = top
	right()
	w.keep--
	w.y = top + h
}

func (w *writer) blocks(blocks []Block, x, width float64) {
	for _, b := range blocks {
		b.draw(w, x, width)
	}
}

func (a At) draw(w *writer, _, _ float64) {
	if w.dry {
		return
	}
	y, body := w.y, w.body
	w.y = a.Y
	if a.Size > 0 {
		w.body = a.Size
	}
	w.keep++
	w.blocks(a.Blocks, a.X, a.Width)
	w.keep--
	if a.Height > 0 && w.y > a.Y+a.Height {
		w.fail(fmt.Errorf("%w: %.1f mm of %.1f", ErrRoom, w.y-a.Y, a.Height))
	}
	w.y, w.body = y, body
}

func (l In) draw(w *writer, x, width float64) {
	w.inside(&elem{role: "Div", lang: language(l.Lang)}, func() { w.blocks(l.Blocks, x, width) })
}

func (g Gap) draw(w *writer, _, _ float64) { w.y += g.Height }

func (Rule) draw(w *writer, x, width float64) {
	w.ensure(4)
	w.rule(x, width, w.y+1.5)
	w.y += 4
}

func (PageBreak) draw(w *writer, _, _ float64) {
	if !w.dry && w.keep == 0 {
		w.addPage()
	}
}
