package pdf

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// DIN 5008:2020, form B, in millimetres from the top left corner of an A4 page.
const (
	windowLeft   = 20.0 // address window
	windowTop    = 45.0
	windowWidth  = 85.0
	windowHeight = 45.0
	windowInset  = 5.0   // text begins here: 25 mm from the page's edge
	remarkHeight = 17.7  // return line and remarks (Rücksendeangabe, Zusatz- und Vermerkzone)
	infoLeft     = 125.0 // information block
	infoTop      = 50.0
	infoWidth    = 65.0
	subjectTop   = 98.46
	marginLeft   = 25.0
	marginRight  = 20.0
	foldUpper    = 105.0
	foldLower    = 210.0
	holeMark     = 148.5
	addressLines = 6
)

// ErrAddress says that an address does not fit the window.
var ErrAddress = errors.New("pdf: address does not fit the window")

// LetterSpec describes a letter after DIN 5008 form B.
type LetterSpec struct {
	Lang    string    // "de" or "en": the document's language and the words "Seite"/"page"
	Created time.Time // creation date of the file; the letter's date is Date
	Sender  []string  // name first, then street and city: letterhead and return line in the window
	Remark  string    // Zusatz- und Vermerkzone, as "Persönlich"; may be empty
	// Recipient is the address as it stands in the window: at most six lines,
	// the country last and only abroad.
	Recipient []string
	Info      []Pair  // information block at the right; the date is added as its last line
	Date      string  // ready to print
	Subject   string  // bold, without a word like "Betreff"
	Blocks    []Block // salutation, text, closing
	Footer    []string
	Mark      string // "MUSTER": large and grey across every page
}

// Letter writes a letter.
func Letter(s LetterSpec) ([]byte, error) {
	w, err := s.layout(nil)
	if err != nil {
		return nil, err
	}
	return w.file(s.Created)
}

// LetterWith writes a letter and, on pages of its own behind it, what it
// encloses: a sheet whose slots get these values.
func LetterWith(s LetterSpec, enclosed SheetSpec, values map[string]string) ([]byte, error) {
	w, err := s.layout(&enclosed)
	if err != nil {
		return nil, err
	}
	f, err := w.form()
	if err != nil {
		return nil, err
	}
	return f.Fill(s.Created, values)
}

// layout sets the letter, and behind it the enclosed sheet if there is one.
func (s LetterSpec) layout(enclosed *SheetSpec) (*writer, error) {
	w := newWriter(s.Lang, s.Subject, strings.Join(s.Sender[:min(1, len(s.Sender))], ""))
	w.left, w.right, w.top, w.bottom = marginLeft, marginRight, 30, 277
	if len(s.Footer) > 0 {
		w.bottom = pageHeight - 16 - 4*float64(len(s.Footer))
	}
	w.mark = printable(s.Mark)
	w.addPage()
	letterhead(w, s.Sender)
	if err := addressWindow(w, s); err != nil {
		return nil, err
	}
	infoBlock(w, s)
	w.y = subjectTop
	w.font(bold, 11)
	w.hasTitle = s.Subject != ""
	w.in("H1", func() {
		for _, line := range w.wrap(s.Subject, w.width()) {
			w.line(w.left, w.width(), line, "L")
		}
	})
	w.y += 2 * lineHeight(11)
	w.blocks(s.Blocks, w.left, w.width())
	own := len(w.doc.pages)
	if enclosed != nil {
		w.mark, w.fields = printable(enclosed.Mark), true
		w.addPage()
		w.blocks(enclosed.Blocks, w.left, w.width())
	}
	w.eachPage(func(page, _ int) {
		if page > own {
			if page == own+1 {
				w.folds(enclosed.Folds, enclosed.FoldMid)
			}
			return
		}
		w.marks(page)
		w.footer(s.Footer, page)
		if page > 1 {
			w.aside(artHeader, func() { pageHeader(w, s) })
		}
		if own > 1 {
			w.pageNumber(page, own)
		}
	})
	return w, w.err
}

// pageHeader says on later pages which letter they belong to.
func pageHeader(w *writer, s LetterSpec) {
	w.y = 15
	w.font(regular, 9)
	w.grey = 90
	w.line(w.left, w.width(), clip(w, s.Subject, w.width()-35), "L")
	w.y -= lineHeight(9)
	w.line(w.left, w.width(), oneLine(s.Date), "R")
	w.grey = 0
	w.rule(w.left, w.width(), w.y+1.5)
}

func letterhead(w *writer, sender []string) {
	w.y = 18
	w.in("P", func() {
		for i, l := range sender {
			w.font(regular, 9)
			if i == 0 {
				w.font(bold, 14)
			}
			w.line(w.left, w.width(), oneLine(l)+" ", "L")
		}
	})
}

// addressWindow fills the window: what stands there must lie inside 85 x 45 mm
// with an inset, or the post cannot read it. The return line is for the post
// alone; it says what the letterhead has said.
func addressWindow(w *writer, s LetterSpec) error {
	x, width := windowLeft+windowInset, windowWidth-2*windowInset
	ret, size := oneLine(strings.Join(s.Sender, " · ")), 7.0
	for w.font(regular, size); w.textWidth(ret) > width && size > 5; w.font(regular, size) {
		size -= 0.25
	}
	w.y = windowTop + 1
	w.aside(artRepeated, func() {
		w.line(x, width, clip(w, ret, width), "L")
		w.rule(x, width, windowTop+5)
	})
	if s.Remark != "" {
		w.font(bold, 9)
		w.y = windowTop + remarkHeight - lineHeight(9) - 1
		w.in("P", func() { w.line(x, width, clip(w, s.Remark, width), "L") })
	}
	var lines []string
	for size := 11.0; ; size -= 0.5 {
		if size < 8 {
			return fmt.Errorf("%w: %d lines", ErrAddress, len(lines))
		}
		w.font(regular, size)
		lines = lines[:0]
		for _, l := range s.Recipient {
			if strings.TrimSpace(l) != "" {
				lines = append(lines, w.wrap(l, width)...)
			}
		}
		if len(lines) <= addressLines {
			break
		}
	}
	w.y = windowTop + remarkHeight
	w.in("P", func() {
		for _, l := range lines {
			top := w.y
			w.line(x, width, strings.TrimRight(l, " ")+" ", "L")
			w.y = top + (windowHeight-remarkHeight)/addressLines
		}
	})
	return nil
}

func infoBlock(w *writer, s LetterSpec) {
	w.y = infoTop
	rows := append([]Pair(nil), s.Info...)
	if s.Date != "" {
		rows = append(rows, Pair{Key: w.words("Datum", "Date"), Value: s.Date})
	}
	for _, p := range rows {
		w.in("P", func() {
			w.font(regular, 8)
			w.grey = 90
			w.line(infoLeft, infoWidth, clip(w, p.Key, infoWidth)+" ", "L")
			w.grey = 0
			w.font(regular, 10)
			for _, l := range w.wrap(p.Value, infoWidth) {
				w.line(infoLeft, infoWidth, l, "L")
			}
		})
		w.y += 0.8
	}
}

// marks draws fold and hole marks; page two needs the hole mark as well.
func (w *writer) marks(page int) {
	p := w.page
	p.artifact(artPage)
	p.stroke(0.2, 0)
	if page == 1 {
		p.line(4, foldUpper, 8, foldUpper)
		p.line(4, foldLower, 8, foldLower)
	}
	p.line(4, holeMark, 10, holeMark)
}
