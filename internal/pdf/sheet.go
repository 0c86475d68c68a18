package pdf

import "time"

// SheetSpec describes a document that is handed out or downloaded: a
// confirmation, login data, a certificate.
type SheetSpec struct {
	Lang     string // "de" or "en"
	Created  time.Time
	Issuer   []string // small lines at the top: who made this
	Title    string
	Subtitle string
	Mark     string // "MUSTER": large and grey across every page
	Blocks   []Block
	Footer   []string
	Folds    []float64 // fold lines, dashed, in mm from the top of page one
	FoldMid  bool      // and one down the middle
}

// Sheet writes a document with a title.
func Sheet(s SheetSpec) ([]byte, error) {
	author := ""
	if len(s.Issuer) > 0 {
		author = s.Issuer[0]
	}
	w, err := newWriter(s.Lang, s.Title, author, s.Created)
	if err != nil {
		return nil, err
	}
	w.left, w.right, w.top, w.bottom = marginLeft, marginRight, 22, 277
	if len(s.Footer) > 0 {
		w.bottom = 297 - 16 - 4*float64(len(s.Footer))
	}
	w.mark = s.Mark
	w.addPage()
	w.y = 15
	for i, l := range s.Issuer {
		style := ""
		if i == 0 {
			style = "B"
		}
		w.font("", style, 9)
		w.line(w.left, w.width(), l, "L")
	}
	w.y += 5
	if s.Title != "" {
		w.font("", "B", 19)
		for _, l := range w.wrap(s.Title, w.width()) {
			w.line(w.left, w.width(), l, "L")
		}
	}
	if s.Subtitle != "" {
		w.y++
		w.font("", "", 12)
		w.grey(70)
		for _, l := range w.wrap(s.Subtitle, w.width()) {
			w.line(w.left, w.width(), l, "L")
		}
		w.grey(0)
	}
	w.y += 4
	for _, b := range s.Blocks {
		b.draw(w, w.left, w.width())
	}
	w.eachPage(func(page, pages int) {
		if page == 1 {
			w.folds(s.Folds, s.FoldMid)
		}
		w.footer(s.Footer)
		if pages > 1 {
			w.pageNumber(page, pages)
		}
	})
	return w.bytes()
}

func (w *writer) folds(ys []float64, mid bool) {
	if len(ys) == 0 && !mid {
		return
	}
	w.f.SetLineWidth(0.15)
	w.f.SetDrawColor(150, 150, 150)
	w.f.SetDashPattern([]float64{1.5, 1.5}, 0)
	for _, y := range ys {
		w.f.Line(0, y, pageWidth, y)
	}
	if mid {
		w.f.Line(pageWidth/2, 0, pageWidth/2, pageHeight)
	}
	w.f.SetDashPattern(nil, 0)
	w.f.SetDrawColor(0, 0, 0)
}
