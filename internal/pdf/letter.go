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
	pageWidth    = 210.0
	pageHeight   = 297.0
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
}

// Letter writes a letter.
func Letter(s LetterSpec) ([]byte, error) {
	w, err := newWriter(s.Lang, s.Subject, strings.Join(s.Sender[:min(1, len(s.Sender))], ""), s.Created)
	if err != nil {
		return nil, err
	}
	w.left, w.right, w.top, w.bottom = marginLeft, marginRight, 30, 277
	if len(s.Footer) > 0 {
		w.bottom = 297 - 16 - 4*float64(len(s.Footer))
	}
	w.addPage()
	letterhead(w, s.Sender)
	if err := addressWindow(w, s); err != nil {
		return nil, err
	}
	infoBlock(w, s)
	w.y = subjectTop
	w.font("", "B", 11)
	for _, line := range w.wrap(s.Subject, w.width()) {
		w.line(w.left, w.width(), line, "L")
	}
	w.y += 2 * lineHeight(11)
	for _, b := range s.Blocks {
		b.draw(w, w.left, w.width())
	}
	w.eachPage(func(page, pages int) {
		w.marks(page)
		w.footer(s.Footer)
		if page > 1 {
			w.y = 15
			w.font("", "", 9)
			w.grey(90)
			w.line(w.left, w.width(), clip(w, s.Subject, w.width()-35), "L")
			w.y -= lineHeight(9)
			w.line(w.left, w.width(), s.Date, "R")
			w.grey(0)
			w.rule(w.left, w.width(), w.y+1.5)
		}
		if pages > 1 {
			w.pageNumber(page, pages)
		}
	})
	return w.bytes()
}

func letterhead(w *writer, sender []string) {
	w.y = 18
	for i, l := range sender {
		if i == 0 {
			w.font("", "B", 14)
		} else {
			w.font("", "", 9)
		}
		w.line(w.left, w.width(), l, "L")
	}
}

// addressWindow fills the window: what stands there must lie inside 85 x 45 mm
// with an inset, or the post cannot read it.
func addressWindow(w *writer, s LetterSpec) error {
	x, width := windowLeft+windowInset, windowWidth-2*windowInset
	w.font("", "", 7)
	ret := strings.Join(s.Sender, " · ")
	for size := 7.0; w.textWidth(ret) > width && size > 5; size -= 0.25 {
		w.font("", "", size)
	}
	w.y = windowTop + 1
	w.line(x, width, clip(w, ret, width), "L")
	w.rule(x, width, windowTop+5)
	if s.Remark != "" {
		w.font("", "B", 9)
		w.y = windowTop + remarkHeight - lineHeight(9) - 1
		w.line(x, width, clip(w, s.Remark, width), "L")
	}
	var lines []string
	for size := 11.0; ; size -= 0.5 {
		if size < 8 {
			return fmt.Errorf("%w: %d lines", ErrAddress, len(lines))
		}
		w.font("", "", size)
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
	for _, l := range lines {
		top := w.y
		w.line(x, width, l, "L")
		w.y = top + (windowHeight-remarkHeight)/addressLines
	}
	return nil
}

func infoBlock(w *writer, s LetterSpec) {
	w.y = infoTop
	label := map[bool]string{true: "Date", false: "Datum"}[strings.HasPrefix(s.Lang, "en")]
	rows := append([]Pair(nil), s.Info...)
	if s.Date != "" {
		rows = append(rows, Pair{label, s.Date})
	}
	for _, p := range rows {
		w.font("", "", 8)
		w.grey(90)
		w.line(infoLeft, infoWidth, p.Key, "L")
		w.grey(0)
		w.font("", "", 10)
		for _, l := range w.wrap(p.Value, infoWidth) {
			w.line(infoLeft, infoWidth, l, "L")
		}
		w.y += 0.8
	}
}

// marks draws fold and hole marks; page two needs the hole mark as well.
func (w *writer) marks(page int) {
	w.f.SetLineWidth(0.2)
	if page == 1 {
		w.f.Line(4, foldUpper, 8, foldUpper)
		w.f.Line(4, foldLower, 8, foldLower)
	}
	w.f.Line(4, holeMark, 10, holeMark)
}
