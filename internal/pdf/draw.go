package pdf

import (
	"bytes"
	"fmt"

	"codeberg.org/go-pdf/fpdf"

	"impfportal/internal/qr"
)

const bodySize, smallSize = 11.0, 8.5

func (p Paragraph) draw(w *writer, x, width float64) {
	size, style := bodySize, ""
	if p.Small {
		size = smallSize
	}
	if p.Bold {
		style = "B"
	}
	w.font("", style, size)
	lines := w.wrap(p.Text, width)
	for i, l := range lines {
		need := lineHeight(size)
		switch { // no lonely first or last line
		case i == 0 && len(lines) == 3:
			need *= 3
		case i == 0 && len(lines) > 1, i == len(lines)-2:
			need *= 2
		}
		w.ensure(need)
		w.font("", style, size)
		w.line(x, width, l, "L")
	}
	w.y += lineHeight(size) * 0.55
}

func (h Heading) draw(w *writer, x, width float64) {
	w.font("", "B", 13)
	lines := w.wrap(h.Text, width)
	w.ensure(lineHeight(13)*float64(len(lines)) + 3*lineHeight(bodySize))
	w.font("", "B", 13)
	w.y += 1.5
	for _, l := range lines {
		w.line(x, width, l, "L")
	}
	w.y += 1.5
}

func (p Pairs) draw(w *writer, x, width float64) {
	key := p.KeyWidth
	if key == 0 {
		key = width * 0.4
	}
	for _, row := range p.Rows {
		w.font("", "", bodySize)
		keys := w.wrap(row.Key, key-3)
		w.font("", "B", bodySize)
		values := w.wrap(row.Value, width-key)
		h := lineHeight(bodySize) * float64(max(len(keys), len(values)))
		w.ensure(h + 1.8)
		top := w.y
		w.font("", "", bodySize)
		for _, l := range keys {
			w.line(x, key, l, "L")
		}
		w.y = top
		w.font("", "B", bodySize)
		for _, l := range values {
			w.line(x+key, width-key, l, "L")
		}
		w.y = top + h + 1.8
		w.rule(x, width, w.y-0.9)
	}
	w.y += 2
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
	head := func() {
		if len(t.Head) > 0 {
			w.tableRow(t.Head, widths, x, "B", 9.5)
			w.rule(x, width, w.y-0.7)
		}
	}
	head()
	for _, r := range t.Rows {
		h := w.measure(func() { w.tableRow(r, widths, x, "", 9.5) })
		page := w.f.PageNo()
		w.ensure(h)
		if w.f.PageNo() != page {
			head()
		}
		w.tableRow(r, widths, x, "", 9.5)
		w.rule(x, width, w.y-0.7)
	}
	w.y += 2.5
}

func (w *writer) tableRow(cells []string, widths []float64, x float64, style string, size float64) {
	w.font("", style, size)
	top, bottom := w.y, w.y
	for i, c := range cells {
		w.y = top
		for _, l := range w.wrap(c, widths[i]-2) {
			w.line(x, widths[i]-2, l, "L")
		}
		bottom = max(bottom, w.y)
		x += widths[i]
	}
	w.y = bottom + 1.5
}

func (l List) draw(w *writer, x, width float64) {
	for _, item := range l.Items {
		w.font("", "", bodySize)
		for i, text := range w.wrap(item, width-5) {
			w.ensure(lineHeight(bodySize))
			w.font("", "", bodySize)
			if i == 0 {
				w.line(x+0.5, 5, "–", "L")
				w.y -= lineHeight(bodySize)
			}
			w.line(x+5, width-5, text, "L")
		}
		w.y += 0.8
	}
	w.y += 2
}

func (n Note) draw(w *writer, x, width float64) {
	text := func() {
		w.y += 2.5
		if n.Title != "" {
			w.font("", "B", bodySize)
			for _, l := range w.wrap(n.Title, width-9) {
				w.line(x+6, width-9, l, "L")
			}
		}
		if n.Text != "" {
			w.font("", "", bodySize)
			for _, l := range w.wrap(n.Text, width-9) {
				w.line(x+6, width-9, l, "L")
			}
		}
		w.y += 2.5
	}
	h := w.measure(text)
	w.ensure(h)
	if !w.dry {
		w.f.SetFillColor(243, 243, 243)
		w.f.Rect(x, w.y, width, h, "F")
		w.f.SetFillColor(0, 0, 0)
		w.f.Rect(x, w.y, 1.5, h, "F")
	}
	text()
	w.y += 3
}

func (c Code) draw(w *writer, x, width float64) {
	text := func() {
		w.y += 2
		if c.Label != "" {
			w.font("", "", 9)
			w.line(x+4, width-8, c.Label, "L")
			w.y += 0.5
		}
		size := 19.0
		for w.font("mono", "B", size); size > 13 && w.textWidth(c.Text) > width-8; size-- {
			w.font("mono", "B", size-1)
		}
		for _, l := range w.wrap(c.Text, width-8) {
			w.line(x+4, width-8, l, "L")
		}
		w.y += 1.5
	}
	h := w.measure(text)
	w.ensure(h)
	if !w.dry {
		w.f.SetLineWidth(0.35)
		w.f.Rect(x, w.y, width, h, "D")
	}
	text()
	w.y += 3
}

// place reserves a box for a picture and tells where its left edge is.
func (w *writer) place(x, width, boxWidth, boxHeight float64, align string) float64 {
	w.ensure(boxHeight)
	switch align {
	case "C":
		return x + (width-boxWidth)/2
	case "R":
		return x + width - boxWidth
	default:
		return x
	}
}

func (w *writer) caption(x, width float64, text, align string) {
	if text == "" {
		return
	}
	if align == "" {
		align = "L"
	}
	w.font("", "", smallSize)
	for _, l := range w.wrap(text, width) {
		w.line(x, width, l, align)
	}
}

func (q QR) draw(w *writer, x, width float64) {
	left := w.place(x, width, q.Size, q.Size+lineHeight(smallSize), q.Align)
	code, err := qr.Encode(q.Text, q.Level)
	if err != nil {
		w.f.SetError(fmt.Errorf("pdf: %w", err))
		return
	}
	if !w.dry {
		w.modules(code, left, w.y, q.Size)
	}
	w.y += q.Size
	w.caption(x, width, q.Caption, q.Align)
	w.y += 2
}

// modules draws the dark modules of a row as few rectangles as possible: a run
// of them is one, or a fine white line would show between them.
func (w *writer) modules(code *qr.Code, x, y, size float64) {
	unit := size / float64(code.Size()+2*qr.QuietZone)
	x, y = x+qr.QuietZone*unit, y+qr.QuietZone*unit
	w.f.SetFillColor(0, 0, 0)
	for row := range code.Size() {
		for col := 0; col < code.Size(); col++ {
			from := col
			for col < code.Size() && code.Black(col, row) {
				col++
			}
			if col > from {
				w.f.Rect(x+float64(from)*unit, y+float64(row)*unit, float64(col-from)*unit, unit*1.01, "F")
			}
		}
	}
}

func (p Picture) draw(w *writer, x, width float64) {
	left := w.place(x, width, p.Width, p.Height+lineHeight(smallSize), p.Align)
	if !w.dry {
		w.images++
		name := fmt.Sprintf("image%d", w.images)
		opt := fpdf.ImageOptions{ImageType: "PNG"}
		w.f.RegisterImageOptionsReader(name, opt, bytes.NewReader(p.PNG))
		w.f.ImageOptions(name, left, w.y, p.Width, p.Height, false, opt, 0, "")
	}
	w.y += p.Height
	w.caption(x, width, p.Caption, p.Align)
	w.y += 2
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
		return func() {
			for _, b := range blocks {
				b.draw(w, x, width)
			}
		}
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

func (a At) draw(w *writer, _, _ float64) {
	if w.dry {
		return
	}
	y := w.y
	w.y = a.Y
	w.keep++
	for _, b := range a.Blocks {
		b.draw(w, a.X, a.Width)
	}
	w.keep--
	w.y = y
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
