package pdf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash"
	"strings"
	"time"
)

// document is what has been laid out: pages, their meaning, and the slots that
// a form fills in.
type document struct {
	title, author, lang string
	pages               []*page
	root                *elem
	used                [faceCount]bool
	need                [faceCount]tier
	slots               []slot
}

// base is the file of a document up to what differs between two fillings.
type base struct {
	body    []byte
	entries []byte // of the cross-reference table
	objects int
	digest  [sha256.Size]byte
	about   about
}

// about is what a file says of itself, cut where the date of creation stands.
type about struct{ info, xmp []string }

// assemble writes everything that does not depend on the values of the slots
// and on the date. Each typeface is embedded in the tier it needs, at least in
// the given one.
func (d *document) assemble(least tier, level int) *base {
	f := newFile(64 << 10)
	catalog, parent, resources := f.number(), f.number(), f.number()
	pages, contents := make([]int, len(d.pages)), make([]int, len(d.pages))
	for i := range d.pages {
		pages[i], contents[i] = f.number(), f.number()
	}
	d.writeFonts(f, resources, least)
	sum, packed := sha256.New(), []byte(nil)
	writeSum(sum, []byte(d.title+"\x00"+d.author+"\x00"+d.lang))
	for i, p := range d.pages {
		p.leave()
		writeSum(sum, p.buf)
		packed = compress(packed[:0], p.buf, level)
		f.stream(contents[i], "/Filter/FlateDecode", packed)
	}
	tree := f.writeTree(d.root, d.pages, pages)
	kids, filled := "", d.filledPages()
	tail := len(f.offset) + 1 // the date's two objects, then the filled pages'
	for i := range d.pages {
		kids += fmt.Sprintf("%d 0 R ", pages[i])
		own := fmt.Sprintf("%d 0 R", contents[i])
		for n, at := range filled {
			if at == i {
				own += fmt.Sprintf(" %d 0 R", tail+2+n)
			}
		}
		f.write(pages[i], fmt.Sprintf("<</Type/Page/Parent %d 0 R/Resources %d 0 R/Contents[%s]/StructParents %d/Tabs/S>>", parent, resources, own, i))
	}
	f.write(parent, fmt.Sprintf("<</Type/Pages/MediaBox[0 0 595.28 841.89]/Count %d/Kids[%s]>>", len(pages), kids))
	f.write(catalog, fmt.Sprintf("<</Type/Catalog/Pages %d 0 R/Lang (%s)/MarkInfo<</Marked true>>/StructTreeRoot %d 0 R/ViewerPreferences<</DisplayDocTitle true>>/Metadata %d 0 R>>",
		parent, d.lang, tree, tail+1))
	b := &base{body: f.buf, entries: appendEntries(nil, f.offset), objects: len(f.offset), about: d.describe()}
	copy(b.digest[:], sum.Sum(nil))
	return b
}

// writeSum adds a part to the digest that the file's identifier is made of.
func writeSum(sum hash.Hash, part []byte) { _, _ = sum.Write(part) } // never fails

// filledPages are the pages that have slots, in their order.
func (d *document) filledPages() (out []int) {
	for _, s := range d.slots {
		if len(out) == 0 || out[len(out)-1] != s.page {
			out = append(out, s.page)
		}
	}
	return out
}

// writeFonts embeds the typefaces that are used.
func (d *document) writeFonts(f *file, resources int, least tier) {
	rep, unicode := typefaces(), [tierCount]int{}
	dict := "<</Font<<"
	for id, face := range rep.faces {
		if !d.used[id] {
			continue
		}
		t := max(d.need[id], least)
		if unicode[t] == 0 {
			unicode[t] = f.number()
			f.stream(unicode[t], "/Filter/FlateDecode", rep.toUnicode[t]())
		}
		cut, em := face.cut[t](), face.font.unitsPerEm
		font, cid, descriptor, program := f.number(), f.number(), f.number(), f.number()
		// A subset's name begins with six letters of its own.
		name := fmt.Sprintf("%c%cPORT+%s", 'A'+id, 'A'+int(t), face.name)
		f.write(font, fmt.Sprintf("<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[%d 0 R]/ToUnicode %d 0 R>>", name, cid, unicode[t]))
		f.write(cid, fmt.Sprintf("<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/CIDToGIDMap/Identity/DW 0/W%s/FontDescriptor %d 0 R>>",
			name, cut.widths, descriptor))
		units := func(table []byte, at int) int { return int(int16(be.Uint16(table[at:]))) * 1000 / em }
		flags, stem := 4, 80
		if face.mono {
			flags |= 1
		}
		if faceID(id) != regular {
			stem = 140
		}
		f.write(descriptor, fmt.Sprintf("<</Type/FontDescriptor/FontName/%s/Flags %d/FontBBox[%d %d %d %d]/ItalicAngle 0/Ascent %d/Descent %d/CapHeight 720/StemV %d/FontFile2 %d 0 R>>",
			name, flags, units(face.font.head, 36), units(face.font.head, 38), units(face.font.head, 40), units(face.font.head, 42),
			units(face.font.hhea, 4), units(face.font.hhea, 6), stem, program))
		f.stream(program, fmt.Sprintf("/Filter/FlateDecode/Length1 %d", cut.length), cut.file)
		dict += fmt.Sprintf("/F%d %d 0 R", id, font)
	}
	f.write(resources, dict+">>>>")
}

// describe makes the information dictionary and the metadata, which names
// ISO 14289-1 (PDF/UA-1) as what the file conforms to.
func (d *document) describe() about {
	escape := func(s string) string {
		var b bytes.Buffer
		_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
		return b.String()
	}
	info := "<</Title" + textString(d.title)
	xmp := "<?xpacket begin=\"\ufeff\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n" +
		`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""` +
		` xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/">` +
		`<pdfuaid:part>1</pdfuaid:part><dc:title><rdf:Alt><rdf:li xml:lang="x-default">` + escape(d.title) + `</rdf:li></rdf:Alt></dc:title>` +
		`<dc:language><rdf:Bag><rdf:li>` + d.lang + `</rdf:li></rdf:Bag></dc:language>`
	if d.author != "" {
		info += "/Author" + textString(d.author)
		xmp += `<dc:creator><rdf:Seq><rdf:li>` + escape(d.author) + `</rdf:li></rdf:Seq></dc:creator>`
	}
	return about{
		info: []string{info + "/Producer(impfportal)/CreationDate", "/ModDate", ">>"},
		xmp: []string{
			xmp + `<pdf:Producer>impfportal</pdf:Producer><xmp:CreateDate>`, `</xmp:CreateDate><xmp:ModifyDate>`,
			"</xmp:ModifyDate></rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"r\"?>",
		},
	}
}

// finish adds the date and the content of the filled pages.
func (b *base) finish(created time.Time, contents [][]byte) []byte {
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	created = created.UTC()
	info := strings.Join(b.about.info, created.Format("(D:20060102150405Z)"))
	size := len(b.body) + len(b.entries) + 4096
	sum := sha256.New()
	writeSum(sum, b.digest[:])
	writeSum(sum, []byte(info))
	for _, c := range contents {
		writeSum(sum, c)
		size += len(c)
	}
	f := &file{buf: make([]byte, 0, size), offset: make([]int, b.objects)}
	f.buf = append(f.buf, b.body...)
	about := f.number()
	f.write(about, info)
	f.stream(f.number(), "/Type/Metadata/Subtype/XML", []byte(strings.Join(b.about.xmp, created.Format("2006-01-02T15:04:05Z"))))
	for _, c := range contents {
		f.stream(f.number(), "/Filter/FlateDecode", c)
	}
	start, id := len(f.buf), hex.EncodeToString(sum.Sum(nil)[:16])
	f.text(fmt.Sprintf("xref\n0 %d\n0000000000 65535 f \n", len(f.offset)+1))
	f.buf = append(f.buf, b.entries...)
	f.buf = appendEntries(f.buf, f.offset[b.objects:])
	f.text(fmt.Sprintf("trailer\n<</Size %d/Root 1 0 R/Info %d 0 R/ID[<%s><%s>]>>\nstartxref\n%d\n%%%%EOF\n", len(f.offset)+1, about, id, id, start))
	return f.buf
}
