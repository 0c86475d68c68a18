package pdf

import (
	"math"
	"strconv"
	"time"
)

// SheetSpec describes a document that is handed out or downloaded: a
// confirmation, login data, a certificate.
type SheetSpec struct {
	Lang     string // "de" or "en"
	Created  time.Time
	Issuer   []string // small lines at the top: who made this
	Title    string
	Subtitle string
	// Bare leaves the page to the blocks: Issuer and Title only say what the
	// file is, and nothing is printed above the blocks.
	Bare    bool
	Mark    string // "MUSTER": large and grey across every page
	Blocks  []Block
	Footer  []string
	Folds   []float64 // fold lines, dashed, in mm from the top of page one
	FoldMid bool      // and one down the middle
}

// Sheet writes a document with a title.
func Sheet(s SheetSpec) ([]byte, error) { return s.layout(false).file(s.Created) }

// file is the document without slots.
func (w *writer) file(created time.Time) ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	return w.doc.assemble(tierGerman, fastCompression).finish(created, nil), nil
}

func (s SheetSpec) layout(fields bool) *writer {
	author := ""
	if len(s.Issuer) > 0 {
		author = s.Issuer[0]
	}
	w := newWriter(s.Lang, s.Title, author)
	w.fields = fields
	w.left, w.right, w.top, w.bottom = marginLeft, marginRight, 22, 277
	if len(s.Footer) > 0 {
		w.bottom = pageHeight - 16 - 4*float64(len(s.Footer))
	}
	w.mark = printable(s.Mark)
	w.addPage()
	if !s.Bare {
		s.head(w)
	}
	w.blocks(s.Blocks, w.left, w.width())
	w.eachPage(func(page, pages int) {
		if page == 1 {
			w.folds(s.Folds, s.FoldMid)
		}
		w.footer(s.Footer, page)
		if pages > 1 {
			w.pageNumber(page, pages)
		}
	})
	return w
}

func (s SheetSpec) head(w *writer) {
	w.y = 15
	for i, l := range s.Issuer {
		w.font(regular, 9)
		if i == 0 {
			w.font(bold, 9)
		}
		w.in("P", func() { w.line(w.left, w.width(), oneLine(l), "L") })
	}
	w.y += 5
	if s.Title != "" {
		w.font(bold, 19)
		w.hasTitle = true
		w.in("H1", func() {
			for _, l := range w.wrap(s.Title, w.width()) {
				w.line(w.left, w.width(), l, "L")
			}
		})
	}
	if s.Subtitle != "" {
		w.y++
		w.font(regular, 12)
		w.grey = 70
		w.in("P", func() {
			for _, l := range w.wrap(s.Subtitle, w.width()) {
				w.line(w.left, w.width(), l, "L")
			}
		})
		w.grey = 0
	}
	w.y += 4
}

func (w *writer) folds(ys []float64, mid bool) {
	if len(ys) == 0 && !mid {
		return
	}
	p := w.page
	p.artifact(artPage)
	p.op("q [4.25] 0 d")
	p.stroke(0.15, 150)
	for _, y := range ys {
		p.line(0, y, pageWidth, y)
	}
	if mid {
		p.line(pageWidth/2, 0, pageWidth/2, pageHeight)
	}
	p.op("Q")
}

// watermark prints w.mark across the page, below everything that follows. On
// the first page it is read aloud before everything else.
func (w *writer) watermark() {
	const size, angle = 110, 55 * math.Pi / 180
	defer w.font(w.face, w.size) // a page may begin in the middle of a paragraph
	w.font(bold, size)
	half, below := w.textWidth(w.mark)/2, 14.0
	cos, sin := math.Cos(angle), math.Sin(angle)
	draw := func() {
		w.enter()
		p := w.page
		p.setFill(228)
		p.op("BT")
		p.face, p.size = w.face, w.size
		p.buf = appendFont(p.buf, w.face, w.size)
		for _, v := range []float64{cos, sin, -sin, cos} {
			p.buf = append(strconv.AppendFloat(p.buf, v, 'f', 5, 64), ' ')
		}
		p.point(pageWidth/2-half*cos+below*sin, pageHeight/2+half*sin+below*cos)
		p.buf = append(p.buf, "Tm "...)
		var need tier
		p.buf, need = w.rep.appendText(p.buf, w.mark)
		w.show(need)
		p.op("Tj ET")
	}
	if w.page.index == 0 {
		w.in("P", draw)
	} else {
		w.aside(artWatermark, draw)
	}
}
