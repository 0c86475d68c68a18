package pdf

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// faceID is one of the typefaces, all of Bigelow & Holmes' Go family. They
// share one repertoire (Latin, Greek, Cyrillic) and the numbers of the glyphs.
type faceID int

const (
	regular faceID = iota
	bold
	monoBold
	faceCount
)

// tier is how much of a typeface a file carries. Nearly all documents need the
// first; each is cut out and compressed once in the life of the process.
type tier int

const (
	tierGerman tier = iota // ASCII, the western letters of Latin-1, typographic signs
	tierLatin              // and the letters of Sorbian, Polish, Czech, Turkish ...
	tierAll                // and Greek, Cyrillic, the rest
	tierCount
)

func tierOf(r rune) tier {
	switch {
	case r < 0x100, r >= 0x2010 && r <= 0x2026, r == '€':
		return tierGerman
	case r < 0x250, r >= 0x1e80 && r < 0x1f00, r >= 0x2000 && r < 0x2200:
		return tierLatin
	}
	return tierAll
}

// face is a typeface, ready to be measured and embedded.
type face struct {
	name  string // PostScript name
	font  *trueType
	mono  bool
	width []uint16 // by glyph, in thousandths of the size
	cut   [tierCount]func() cutFace
}

// cutFace is what a file carries of a face in one tier.
type cutFace struct {
	file   []byte // compressed
	length int    // before
	widths string // the array W
}

// repertoire is what the faces have in common.
type repertoire struct {
	glyph     [0x10000]uint16 // by character; 0 = none
	hex       []string        // by glyph: four digits
	toUnicode [tierCount]func() []byte
	faces     [faceCount]*face
}

var typefaces = sync.OnceValue(func() *repertoire {
	rep := &repertoire{}
	parsed, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		panic("pdf: embedded font: " + err.Error())
	}
	var buf sfnt.Buffer
	for r := rune(0x20); r < 0x10000; r++ {
		if g, err := parsed.GlyphIndex(&buf, r); err == nil {
			rep.glyph[r] = uint16(g)
		}
	}
	for g := range parsed.NumGlyphs() {
		rep.hex = append(rep.hex, fmt.Sprintf("%04X", g))
	}
	for i, f := range []face{{name: "GoRegular"}, {name: "Go-Bold"}, {name: "GoMono-Bold", mono: true}} {
		raw := [][]byte{goregular.TTF, gobold.TTF, gomonobold.TTF}[i]
		if f.font, err = parseTrueType(raw); err != nil {
			panic("pdf: embedded font: " + err.Error())
		}
		for _, a := range f.font.advance {
			f.width = append(f.width, uint16((int(a)*1000+f.font.unitsPerEm/2)/f.font.unitsPerEm))
		}
		for t := range tierCount {
			f.cut[t] = sync.OnceValue(func() cutFace { return f.cutTo(rep, t) })
		}
		rep.faces[i] = &f
	}
	for t := range tierCount {
		rep.toUnicode[t] = sync.OnceValue(func() []byte { return compress(nil, rep.unicodeMap(t), bestCompression) })
	}
	return rep
})

func (f *face) cutTo(rep *repertoire, t tier) cutFace {
	keep := map[uint16]bool{}
	for r, g := range rep.glyph {
		if g != 0 && tierOf(rune(r)) <= t {
			keep[g] = true
		}
	}
	file := f.font.subset(keep)
	var w strings.Builder
	w.WriteByte('[')
	for g, run := 0, false; g <= len(f.width); g++ {
		in := g < len(f.width) && (keep[uint16(g)] || g == 0)
		switch {
		case in && !run:
			fmt.Fprintf(&w, "%d[%d", g, f.width[g])
		case in:
			fmt.Fprintf(&w, " %d", f.width[g])
		case run:
			w.WriteByte(']')
		}
		run = in
	}
	w.WriteByte(']')
	return cutFace{file: compress(nil, file, bestCompression), length: len(file), widths: w.String()}
}

// unicodeMap tells readers which character a glyph is (the stream ToUnicode).
func (rep *repertoire) unicodeMap(t tier) []byte {
	var lines []string
	for r, g := range rep.glyph {
		if g != 0 && tierOf(rune(r)) <= t {
			lines = append(lines, fmt.Sprintf("<%04X><%04X>\n", g, r))
		}
	}
	var b strings.Builder
	b.WriteString("/CIDInit/ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo<</Registry(Adobe)/Ordering(UCS)/Supplement 0>>def\n" +
		"/CMapName/Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000><FFFF>\nendcodespacerange\n")
	for len(lines) > 0 {
		n := min(100, len(lines))
		fmt.Fprintf(&b, "%d beginbfchar\n%sendbfchar\n", n, strings.Join(lines[:n], ""))
		lines = lines[n:]
	}
	b.WriteString("endcmap\nCMapName currentdict/CMap defineresource pop\nend\nend\n")
	return []byte(b.String())
}

// textWidth is the width in mm of printable text.
func (rep *repertoire) textWidth(f faceID, size float64, text string) float64 {
	sum, width := 0, rep.faces[f].width
	for _, r := range text {
		if r < 0x10000 {
			sum += int(width[rep.glyph[r]])
		}
	}
	return float64(sum) * size * ptToMM / 1000
}

// appendText appends text as a string of glyphs and returns the tier it needs.
func (rep *repertoire) appendText(b []byte, text string) ([]byte, tier) {
	need := tierGerman
	b = append(b, '<')
	for _, r := range text {
		if r >= 0x10000 || rep.glyph[r] == 0 {
			continue
		}
		need = max(need, tierOf(r))
		b = append(b, rep.hex[rep.glyph[r]]...)
	}
	return append(b, '>'), need
}
