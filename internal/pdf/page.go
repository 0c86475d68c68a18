package pdf

import "strconv"

const (
	ptToMM     = 25.4 / 72
	pageWidth  = 210.0
	pageHeight = 297.0
)

// page is the content of one page. Everything on it stands in marked content
// of an element of the structure tree, or in an artifact. The fields below
// owners are what the content has set so far.
type page struct {
	index  int
	buf    []byte
	owners []*elem // by number of the marked content
	inside *elem   // whose marked content is open
	art    string  // which artifact is open
	face   faceID
	size   float64
	fill   int
}

func newPage(index int) *page { return &page{index: index, face: -1, fill: -1} }

// leave closes the marked content that is open.
func (p *page) leave() {
	if p.inside != nil || p.art != "" {
		p.buf = append(p.buf, "EMC\n"...)
		p.inside, p.art = nil, ""
	}
}

// claim gives e the next piece of marked content, and returns its number.
func (p *page) claim(e *elem) int {
	n := len(p.owners)
	p.owners = append(p.owners, e)
	e.kids = append(e.kids, kid{page: p.index, mcr: n})
	return n
}

// enter makes what follows the content of e.
func (p *page) enter(e *elem) {
	if p.inside == e {
		return
	}
	p.leave()
	p.buf = appendMark(p.buf, e.role, p.claim(e))
	p.inside = e
}

func appendMark(b []byte, role string, n int) []byte {
	b = append(append(append(b, '/'), role...), "<</MCID "...)
	return append(strconv.AppendInt(b, int64(n), 10), ">>BDC\n"...)
}

// artifact makes what follows something that is not read aloud; properties as
// in ISO 32000-1, 14.8.2.2.
func (p *page) artifact(properties string) {
	if p.art == properties {
		return
	}
	p.leave()
	p.buf = append(append(append(p.buf, "/Artifact"...), properties...), "BDC\n"...)
	p.art = properties
}

// The kinds of artifacts.
const (
	artLayout    = "<</Type/Layout>>"
	artPage      = "<</Type/Page>>"
	artHeader    = "<</Type/Pagination/Subtype/Header>>"
	artFooter    = "<</Type/Pagination/Subtype/Footer>>"
	artWatermark = "<</Type/Pagination/Subtype/Watermark>>"
	artRepeated  = "<</Type/Pagination>>"
)

func (p *page) number(mm float64) { p.buf = append(appendNumber(p.buf, mm/ptToMM), ' ') }

// point appends a place given in mm from the top left corner.
func (p *page) point(x, y float64) {
	p.number(x)
	p.number(pageHeight - y)
}

func (p *page) op(s string) { p.buf = append(append(p.buf, s...), '\n') }

func (p *page) setFill(grey int) {
	if p.fill != grey {
		p.fill = grey
		p.buf = appendGrey(p.buf, grey)
	}
}

func appendGrey(b []byte, grey int) []byte {
	return append(appendNumber(b, float64(grey)/255), " g\n"...)
}

func appendFont(b []byte, f faceID, size float64) []byte {
	b = append(b, "/F"...)
	b = append(strconv.AppendInt(b, int64(f), 10), ' ')
	return append(appendNumber(b, size), " Tf "...)
}

// text shows printable text with its baseline at y.
func (p *page) text(x, y float64, f faceID, size float64, grey int, text string) tier {
	p.setFill(grey)
	p.op("BT")
	if p.face != f || p.size != size {
		p.face, p.size = f, size
		p.buf = appendFont(p.buf, f, size)
	}
	p.point(x, y)
	p.buf = append(p.buf, "Td "...)
	var need tier
	p.buf, need = typefaces().appendText(p.buf, text)
	p.op("Tj ET")
	return need
}

func (p *page) rect(x, y, width, height float64, grey int) {
	p.setFill(grey)
	p.point(x, y+height)
	p.number(width)
	p.number(height)
	p.op("re f")
}

// stroke draws a line or, with op "re", the outline of a rectangle.
func (p *page) stroke(width float64, grey int) {
	p.number(width)
	p.buf = append(appendNumber(append(p.buf, "w "...), float64(grey)/255), " G\n"...)
}

func (p *page) line(x1, y1, x2, y2 float64) {
	p.point(x1, y1)
	p.buf = append(p.buf, "m "...)
	p.point(x2, y2)
	p.op("l S")
}

func (p *page) outline(x, y, width, height float64) {
	p.point(x, y+height)
	p.number(width)
	p.number(height)
	p.op("re S")
}
