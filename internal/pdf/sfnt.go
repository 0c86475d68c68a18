package pdf

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// trueType is the part of a TrueType file that a PDF needs: outlines and
// widths. Hints, names and the character table stay behind: a PDF chooses
// glyphs by number, and none of its readers asks for the hints of a font this
// large.
type trueType struct {
	head, hhea, maxp []byte
	glyf             [][]byte // outlines by glyph number
	advance          []uint16 // units
	bearing          []uint16
	unitsPerEm       int
}

var be = binary.BigEndian

func parseTrueType(file []byte) (*trueType, error) {
	tables := map[string][]byte{}
	for i := range int(be.Uint16(file[4:])) {
		e := file[12+16*i:]
		from := be.Uint32(e[8:])
		tables[string(e[:4])] = file[from : from+be.Uint32(e[12:])]
	}
	for _, name := range []string{"head", "hhea", "hmtx", "loca", "glyf", "maxp"} {
		if tables[name] == nil {
			return nil, fmt.Errorf("table %s is missing", name)
		}
	}
	f := &trueType{head: tables["head"], hhea: tables["hhea"], maxp: tables["maxp"]}
	f.unitsPerEm = int(be.Uint16(f.head[18:]))
	n, long := int(be.Uint16(f.maxp[4:])), be.Uint16(f.head[50:]) != 0
	offset := func(i int) uint32 {
		if long {
			return be.Uint32(tables["loca"][4*i:])
		}
		return 2 * uint32(be.Uint16(tables["loca"][2*i:]))
	}
	metrics, hmtx := int(be.Uint16(f.hhea[34:])), tables["hmtx"]
	for i := range n {
		f.glyf = append(f.glyf, tables["glyf"][offset(i):offset(i+1)])
		f.advance = append(f.advance, be.Uint16(hmtx[4*min(i, metrics-1):]))
		bearing := 4*i + 2
		if i >= metrics {
			bearing = 4*metrics + 2*(i-metrics)
		}
		f.bearing = append(f.bearing, be.Uint16(hmtx[bearing:]))
	}
	return f, nil
}

// The bits of a compound glyph (OpenType specification, table glyf).
const (
	wordArguments    = 0x0001
	oneScale         = 0x0008
	moreComponents   = 0x0020
	twoScales        = 0x0040
	fourScales       = 0x0080
	withInstructions = 0x0100
)

// components visits the parts of a compound glyph: at is where the flags of
// one stand. It returns where the last part ends.
func components(outline []byte, visit func(at int, glyph uint16)) int {
	at := 10
	for {
		flags := be.Uint16(outline[at:])
		visit(at, be.Uint16(outline[at+2:]))
		at += 6
		if flags&wordArguments != 0 {
			at += 2
		}
		switch {
		case flags&oneScale != 0:
			at += 2
		case flags&twoScales != 0:
			at += 4
		case flags&fourScales != 0:
			at += 8
		}
		if flags&moreComponents == 0 {
			return at
		}
	}
}

func compound(outline []byte) bool { return len(outline) > 10 && int16(be.Uint16(outline)) < 0 }

// unhinted is an outline without its instructions.
func unhinted(outline []byte) []byte {
	if len(outline) == 0 {
		return nil
	}
	if compound(outline) {
		end := components(outline, func(int, uint16) {})
		out := slices.Clone(outline[:end])
		components(out, func(at int, _ uint16) { be.PutUint16(out[at:], be.Uint16(out[at:])&^withInstructions) })
		return out
	}
	length := 10 + 2*int(be.Uint16(outline))
	out := append(slices.Clone(outline[:length]), 0, 0)
	return append(out, outline[length+2+int(be.Uint16(outline[length:])):]...)
}

// subset is a font file with the outlines of the glyphs in keep alone. Glyphs
// keep their numbers, so that text is the same with every subset.
func (f *trueType) subset(keep map[uint16]bool) []byte {
	all := map[uint16]bool{0: true}
	var add func(g uint16)
	add = func(g uint16) {
		if all[g] && g != 0 {
			return
		}
		all[g] = true
		if compound(f.glyf[g]) {
			components(f.glyf[g], func(_ int, part uint16) { add(part) })
		}
	}
	last := uint16(0)
	for g := range keep {
		add(g)
	}
	for g := range all {
		last = max(last, g)
	}
	var glyf, loca, hmtx []byte
	for g := range last + 1 {
		loca = be.AppendUint32(loca, uint32(len(glyf)))
		if !all[g] {
			hmtx = append(hmtx, 0, 0, 0, 0)
			continue
		}
		hmtx = be.AppendUint16(be.AppendUint16(hmtx, f.advance[g]), f.bearing[g])
		glyf = append(glyf, unhinted(f.glyf[g])...)
		glyf = append(glyf, make([]byte, -len(glyf)&3)...)
	}
	loca = be.AppendUint32(loca, uint32(len(glyf)))
	head, hhea, maxp := slices.Clone(f.head), slices.Clone(f.hhea), slices.Clone(f.maxp)
	be.PutUint32(head[8:], 0)
	be.PutUint16(head[50:], 1) // long offsets in loca
	be.PutUint16(hhea[34:], last+1)
	be.PutUint16(maxp[4:], last+1)
	be.PutUint16(maxp[26:], 0) // no instructions
	return fontFile([]fontTable{{"glyf", glyf}, {"head", head}, {"hhea", hhea}, {"hmtx", hmtx}, {"loca", loca}, {"maxp", maxp}})
}

type fontTable struct {
	name string
	data []byte
}

// fontFile puts tables, sorted by name, into a TrueType file.
func fontFile(tables []fontTable) []byte {
	const entry = 16
	n := len(tables)
	power, log := 1, 0
	for power*2 <= n {
		power, log = power*2, log+1
	}
	out := []byte{0, 1, 0, 0}
	for _, v := range []int{n, power * entry, log, (n - power) * entry} {
		out = be.AppendUint16(out, uint16(v))
	}
	at, head := 12+entry*n, 0
	for _, t := range tables {
		if t.name == "head" {
			head = at
		}
		out = append(out, t.name...)
		out = be.AppendUint32(out, checksum(t.data))
		out = be.AppendUint32(out, uint32(at))
		out = be.AppendUint32(out, uint32(len(t.data)))
		at += (len(t.data) + 3) &^ 3
	}
	for _, t := range tables {
		out = append(out, t.data...)
		out = append(out, make([]byte, -len(out)&3)...)
	}
	be.PutUint32(out[head+8:], 0xB1B0AFBA-checksum(out))
	return out
}

func checksum(data []byte) (sum uint32) {
	for ; len(data) >= 4; data = data[4:] {
		sum += be.Uint32(data)
	}
	var rest [4]byte
	copy(rest[:], data)
	return sum + be.Uint32(rest[:])
}
