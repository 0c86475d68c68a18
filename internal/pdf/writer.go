package pdf

import (
	"fmt"
	"strings"
)

// lineHeight is the height of one line, in mm, of a font of size points.
func lineHeight(size float64) float64 { return size * ptToMM * 1.28 }

// writer is the cursor over an A4 document. Positions are mm from the page's
// top left corner.
type writer struct {
	doc                      document
	rep                      *repertoire
	page                     *page
	now                      *elem  // what is written belongs to it
	art                      string // or to an artifact of this kind
	left, right, top, bottom float64
	y                        float64
	face                     faceID
	size                     float64
	grey                     int
	body                     float64 // size of running text in points
	mark                     string
	hasTitle                 bool
	fields                   bool // slots are allowed
	dry                      bool // measure only
	keep                     int  // > 0: no page break inside
	err                      error
}

func newWriter(lang, title, author string) *writer {
	w := &writer{rep: typefaces(), body: bodySize}
	w.doc.lang = language(lang)
	w.doc.title, w.doc.author = oneLine(title), oneLine(author)
	if w.doc.title == "" {
		w.doc.title = w.words("Dokument", "Document")
	}
	w.doc.root = &elem{role: "Document"}
	w.now = w.doc.root
	return w
}

// language is a document's language as RFC 5646 writes it.
func language(lang string) string {
	switch {
	case lang == "", strings.HasPrefix(lang, "de"):
		return "de-DE"
	case strings.HasPrefix(lang, "en"):
		return "en-GB"
	}
	for _, r := range lang {
		if r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return "de-DE"
		}
	}
	return lang
}

func oneLine(text string) string { return strings.Join(strings.Fields(printable(text)), " ") }

func (w *writer) words(german, english string) string {
	if strings.HasPrefix(w.doc.lang, "de") {
		return german
	}
	return english
}

func (w *writer) width() float64 { return pageWidth - w.left - w.right }

func (w *writer) addPage() {
	if w.page != nil {
		w.page.leave()
	}
	w.page = newPage(len(w.doc.pages))
	w.doc.pages = append(w.doc.pages, w.page)
	w.y = w.top
	if w.mark != "" {
		w.watermark()
	}
}

// in writes what draw writes into a new element of the structure tree.
func (w *writer) in(role string, draw func()) { w.inside(&elem{role: role}, draw) }

func (w *writer) inside(e *elem, draw func()) {
	if w.dry {
		draw()
		return
	}
	w.now.kids = append(w.now.kids, kid{elem: e})
	w.more(e, draw)
}

// more adds what draw writes to an element that has been begun.
func (w *writer) more(e *elem, draw func()) {
	outer := w.now
	w.now = e
	draw()
	w.now = outer
}

// aside writes what draw writes as an artifact.
func (w *writer) aside(kind string, draw func()) {
	outer := w.art
	w.art = kind
	draw()
	w.art = outer
}

// enter opens the marked content that the next operators belong to.
func (w *writer) enter() {
	if w.art != "" {
		w.page.artifact(w.art)
	} else {
		w.page.enter(w.now)
	}
}

// font chooses what the next lines are set in.
func (w *writer) font(f faceID, size float64) { w.face, w.size = f, size }

func (w *writer) textWidth(printable string) float64 {
	return w.rep.textWidth(w.face, w.size, printable)
}

// line writes one line of printable text and moves down. It does not break.
func (w *writer) line(x, width float64, text, align string) {
	h := lineHeight(w.size)
	if !w.dry && text != "" {
		switch align {
		case "R":
			x += width - w.textWidth(strings.TrimRight(text, " "))
		case "C":
			x += (width - w.textWidth(strings.TrimRight(text, " "))) / 2
		}
		w.enter()
		w.show(w.page.text(x, baseline(w.y, w.size), w.face, w.size, w.grey, text))
	}
	w.y += h
}

// baseline is where the letters of a line stand that begins at y.
func baseline(y, size float64) float64 { return y + lineHeight(size)/2 + 0.3*size*ptToMM }

// show notes which part of the present face a text has needed.
func (w *writer) show(need tier) {
	w.doc.used[w.face] = true
	w.doc.need[w.face] = max(w.doc.need[w.face], need)
}

func (w *writer) rule(x, width, y float64) {
	if w.dry {
		return
	}
	kind := w.art
	if kind == "" {
		kind = artLayout
	}
	w.page.artifact(kind)
	w.page.stroke(0.15, 130)
	w.page.line(x, y, x+width, y)
}

// box fills a rectangle.
func (w *writer) box(x, y, width, height float64, grey int) {
	if !w.dry {
		w.page.artifact(artLayout)
		w.page.rect(x, y, width, height, grey)
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
	y, dry, face, size := w.y, w.dry, w.face, w.size
	w.dry = true
	draw()
	h := w.y - y
	w.y, w.dry = y, dry
	w.font(face, size)
	return h
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = fmt.Errorf("pdf: %w", err)
	}
}

// eachPage calls draw on every page again when the body is complete, for what
// depends on the number of pages.
func (w *writer) eachPage(draw func(page, pages int)) {
	for i, p := range w.doc.pages {
		w.page = p
		draw(i+1, len(w.doc.pages))
		p.leave()
	}
}

// footer writes the lines at the foot of a page: once for those who listen.
func (w *writer) footer(lines []string, page int) {
	if len(lines) == 0 {
		return
	}
	w.y = pageHeight - 13 - lineHeight(8)*float64(len(lines))
	w.font(regular, 8)
	w.grey = 80
	draw := func() {
		w.rule(w.left, w.width(), w.y-1)
		for _, l := range lines {
			w.line(w.left, w.width(), clip(w, l, w.width())+" ", "L")
		}
	}
	if page == 1 {
		w.in("P", draw)
	} else {
		w.aside(artFooter, draw)
	}
	w.grey = 0
}

func (w *writer) pageNumber(page, pages int) {
	w.font(regular, 8)
	w.y = pageHeight - 11
	w.grey = 80
	w.aside(artFooter, func() {
		w.line(w.left, w.width(), fmt.Sprintf(w.words("Seite %d von %d", "Page %d of %d"), page, pages), "R")
	})
	w.grey = 0
}
