package pdf

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
)

const ptToMM = 25.4 / 72

// lineHeight is the height of one line, in mm, of a font of size points.
func lineHeight(size float64) float64 { return size * ptToMM * 1.28 }

// writer is the cursor over an A4 document. Positions are mm from the page's
// top left corner.
type writer struct {
	f                        *fpdf.Fpdf
	lang                     string
	left, right, top, bottom float64
	y                        float64
	family, style            string
	size                     float64
	fonts                    map[string]bool
	images                   int
	mark                     string
	dry                      bool // measure only
	keep                     int  // > 0: no page break inside
}

func newWriter(lang, title, author string, created time.Time) (*writer, error) {
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	created = created.UTC()
	f := fpdf.New("P", "mm", "A4", "")
	f.SetCatalogSort(true)
	f.SetCreationDate(created)
	f.SetModificationDate(created)
	f.SetProducer("impfportal", true)
	f.SetTitle(printable(title), true)
	f.SetAuthor(printable(author), true)
	switch {
	case strings.HasPrefix(lang, "de"):
		f.SetLang("de-DE")
	case lang != "":
		f.SetLang(lang)
	}
	f.SetAutoPageBreak(false, 0)
	f.SetMargins(0, 0, 0)
	f.SetCellMargin(0)
	w := &writer{f: f, lang: lang, fonts: map[string]bool{}}
	return w, f.Error()
}

func (w *writer) width() float64 { return pageWidth - w.left - w.right }

func (w *writer) addPage() {
	w.f.AddPage()
	w.y = w.top
	if w.mark != "" {
		w.watermark()
	}
}

// watermark prints w.mark across the page, below everything that follows.
func (w *writer) watermark() {
	family, style, size := w.family, w.style, w.size
	w.font("", "B", 110)
	w.f.SetTextColor(228, 228, 228)
	width := w.textWidth(w.mark)
	w.f.TransformBegin()
	w.f.TransformRotate(55, pageWidth/2, pageHeight/2)
	w.f.Text((pageWidth-width)/2, pageHeight/2+14, printable(w.mark))
	w.f.TransformEnd()
	w.grey(0)
	if size > 0 {
		w.font(family, style, size)
	}
}

// font chooses family "" (proportional) or "mono", style "" or "B".
func (w *writer) font(family, style string, size float64) {
	w.family, w.style, w.size = family, style, size
	name := "go" + family
	if !w.fonts[name+style] {
		w.fonts[name+style] = true
		// A copy: fpdf's subsetting writes into the font it is given.
		w.f.AddUTF8FontFromBytes(name, style, bytes.Clone(face(family, style)))
	}
	w.f.SetFont(name, style, size)
}

func (w *writer) grey(level int) { w.f.SetTextColor(level, level, level) }

func (w *writer) textWidth(s string) float64 { return w.f.GetStringWidth(printable(s)) }

// line writes one line and moves down. It does not break.
func (w *writer) line(x, width float64, text, align string) {
	h := lineHeight(w.size)
	if !w.dry {
		w.f.SetXY(x, w.y)
		w.f.CellFormat(width, h, printable(text), "", 0, align, false, 0, "")
	}
	w.y += h
}

func (w *writer) rule(x, width, y float64) {
	if !w.dry {
		w.f.SetLineWidth(0.15)
		w.f.SetDrawColor(130, 130, 130)
		w.f.Line(x, y, x+width, y)
		w.f.SetDrawColor(0, 0, 0)
	}
}

// ensure begins a new page unless h mm are left on this one.
func (w *writer) ensure(h float64) {
	if w.dry || w.keep > 0 || w.y+h <= w.bottom {
		return
	}
	w.addPage()
}

// measure tells how high draw would make things, without drawing.
func (w *writer) measure(draw func()) float64 {
	y, dry := w.y, w.dry
	family, style, size := w.family, w.style, w.size
	w.dry = true
	draw()
	h := w.y - y
	w.y, w.dry = y, dry
	if size > 0 {
		w.font(family, style, size)
	}
	return h
}

// wrap breaks text into lines of at most width mm: at spaces, and inside a
// word only when it alone is too wide (after a hyphen where there is one).
func (w *writer) wrap(text string, width float64) []string {
	var out []string
	for para := range strings.SplitSeq(printable(text), "\n") {
		line := ""
		for _, word := range strings.Fields(strings.ReplaceAll(para, "\u00a0", "\u2007")) {
			word = strings.ReplaceAll(word, "\u2007", "\u00a0")
			next := word
			if line != "" {
				next = line + " " + word
			}
			if w.f.GetStringWidth(next) <= width {
				line = next
				continue
			}
			if line != "" {
				out = append(out, line)
			}
			for w.f.GetStringWidth(word) > width {
				cut := w.cut(word, width)
				out = append(out, word[:cut])
				word = word[cut:]
			}
			line = word
		}
		out = append(out, line)
	}
	return out
}

// cut is the number of bytes of word that fit into width, at least one rune.
func (w *writer) cut(word string, width float64) int {
	fit, hyphen := 0, 0
	for i, r := range word {
		end := i + len(string(r))
		if fit > 0 && w.f.GetStringWidth(word[:end]) > width {
			break
		}
		fit = end
		if r == '-' || r == '/' || r == '@' {
			hyphen = end
		}
	}
	if hyphen > 0 && hyphen < len(word) {
		return hyphen
	}
	return fit
}

// clip shortens text to one line of width mm.
func clip(w *writer, text string, width float64) string {
	text = printable(text)
	if w.f.GetStringWidth(text) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && w.f.GetStringWidth(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimSpace(string(runes)) + "…"
}

// eachPage calls draw on every page again when the body is complete, for what
// depends on the number of pages. The page's own font is unknown there, so
// draw must set it.
func (w *writer) eachPage(draw func(page, pages int)) {
	pages := w.f.PageCount()
	for p := 1; p <= pages; p++ {
		w.f.SetPage(p)
		w.font("", "", 1) // the writer's memory of the font is the last page's
		w.f.SetDrawColor(0, 0, 0)
		w.grey(0)
		draw(p, pages)
	}
}

func (w *writer) footer(lines []string) {
	if len(lines) == 0 {
		return
	}
	w.y = 297 - 13 - lineHeight(8)*float64(len(lines))
	w.rule(w.left, w.width(), w.y-1)
	w.font("", "", 8)
	w.grey(80)
	for _, l := range lines {
		w.line(w.left, w.width(), clip(w, l, w.width()), "L")
	}
	w.grey(0)
}

func (w *writer) pageNumber(page, pages int) {
	text := fmt.Sprintf("Seite %d von %d", page, pages)
	if !strings.HasPrefix(w.lang, "de") {
		text = fmt.Sprintf("Page %d of %d", page, pages)
	}
	w.font("", "", 8)
	w.y = 297 - 11
	w.grey(80)
	w.line(w.left, w.width(), text, "R")
	w.grey(0)
}

func (w *writer) bytes() ([]byte, error) {
	var buf bytes.Buffer
	if err := w.f.Output(&buf); err != nil {
		return nil, fmt.Errorf("pdf: %w", err)
	}
	return buf.Bytes(), nil
}
