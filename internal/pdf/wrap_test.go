package pdf

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Lines fit, none is longer than its first word asks for, and nothing but
// spaces is lost.
func TestWrap(t *testing.T) {
	t.Parallel()
	rep := typefaces()
	rapid.Check(t, func(rt *rapid.T) {
		text := printable(rapid.OneOf(rapid.StringOf(rapid.RuneFrom([]rune("aWi-ä/ \n\u00a0ł."))), rapid.String()).Draw(rt, "text"))
		width, size := rapid.Float64Range(0, 120).Draw(rt, "mm"), rapid.Float64Range(4, 30).Draw(rt, "points")
		lines := rep.wrap(nil, text, width, bold, size)
		for i, l := range lines {
			shown := strings.TrimRight(l, " ")
			if utf8.RuneCountInString(shown) > 1 && rep.textWidth(bold, size, shown) > width+0.001 {
				rt.Errorf("line %d has %.3f mm of %.3f: %q", i, rep.textWidth(bold, size, shown), width, l)
			}
			first, _, whole := strings.Cut(l, " ")
			whole = whole || i == len(lines)-1 // and not the beginning of a word that was cut
			if i > 0 && whole && strings.HasSuffix(lines[i-1], " ") && !strings.Contains(text, "\n") && rep.textWidth(bold, size, lines[i-1]+first) <= width-0.001 {
				rt.Errorf("%q had room for %q", lines[i-1], first)
			}
		}
		bare := strings.NewReplacer(" ", "", "\n", "")
		if got := bare.Replace(strings.Join(lines, "")); got != bare.Replace(text) {
			rt.Errorf("%q became %q", text, lines)
		}
	})
}

// All faces can draw and measure the same characters, and every tier keeps the
// letters of the one below.
func TestFacesShareOneRepertoire(t *testing.T) {
	t.Parallel()
	rep := typefaces()
	seen := map[uint16]rune{}
	for r, g := range rep.glyph {
		if g == 0 {
			continue
		}
		if other, ok := seen[g]; ok {
			t.Errorf("%U and %U share a glyph: nobody could tell which was meant", r, other)
		}
		seen[g] = rune(r)
		for _, f := range rep.faces {
			if int(g) >= len(f.width) || f.width[g] == 0 {
				t.Errorf("%s has no %U", f.name, r)
			}
		}
	}
	for _, f := range rep.faces {
		for k := range tierCount - 1 {
			if small, large := f.cut[k](), f.cut[k+1](); small.length >= large.length {
				t.Errorf("%s: tier %d is not smaller than the next", f.name, k)
			}
		}
	}
	for _, r := range "äöüÄÖÜß§€–„“”…" {
		if rep.glyph[r] == 0 || tierOf(r) != tierGerman {
			t.Errorf("%c is not at hand", r)
		}
	}
	for _, r := range "řěłćńźśžčšóŕŘĚŁĆŃŹŠŽČğıő" {
		if rep.glyph[r] == 0 || tierOf(r) > tierLatin {
			t.Errorf("%c is not at hand", r)
		}
	}
}
