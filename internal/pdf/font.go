package pdf

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/norm"
)

func face(family, style string) []byte {
	switch family + style {
	case "B":
		return gobold.TTF
	case "mono":
		return gomono.TTF
	case "monoB":
		return gomonobold.TTF
	default:
		return goregular.TTF
	}
}

// covered has the characters that all embedded faces can draw (they share one
// repertoire: Latin, Greek, Cyrillic).
var covered = sync.OnceValue(func() *[0x10000]bool {
	var has [0x10000]bool
	f, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		panic("pdf: embedded font: " + err.Error())
	}
	var buf sfnt.Buffer
	for r := rune(0x20); r < 0x10000; r++ {
		if g, err := f.GlyphIndex(&buf, r); err == nil && g != 0 {
			has[r] = true
		}
	}
	return &has
})

// replacements are letters that no decomposition leads back to Latin.
var replacements = map[rune]string{
	'ẞ': "ß", 'ſ': "s", '\u2010': "-", '\u2011': "-", '\u2012': "–", '\u2212': "-",
	'\u2009': " ", '\u202f': "\u00a0", '\u2007': "\u00a0", '\u3000': " ", '\t': " ",
}

// printable is text as the embedded fonts can show it: composed, without
// control and direction characters, foreign marks dropped (ạ becomes a), what
// remains unknown as "?". Newlines stay.
func printable(text string) string {
	has := covered()
	if plain(text, has) {
		return text
	}
	var b strings.Builder
	for _, r := range norm.NFC.String(text) {
		switch {
		case r == '\n':
			b.WriteByte('\n')
		case replacements[r] != "" && (r >= 0x10000 || !has[r]) || r == '\t':
			b.WriteString(replacements[r])
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Mn, r):
		case r < 0x10000 && has[r]:
			b.WriteRune(r)
		default:
			b.WriteString(fallback(r, has))
		}
	}
	return b.String()
}

func plain(text string, has *[0x10000]bool) bool {
	for _, r := range text {
		if r >= 0x10000 || r != '\n' && !has[r] || unicode.IsControl(r) && r != '\n' || r == 0xad {
			return false
		}
	}
	return norm.NFC.IsNormalString(text)
}

func fallback(r rune, has *[0x10000]bool) string {
	out := ""
	for _, d := range norm.NFKD.String(string(r)) {
		switch {
		case unicode.Is(unicode.Mn, d):
		case d < 0x10000 && has[d]:
			out += string(d)
		default:
			return "?"
		}
	}
	if out == "" {
		return "?"
	}
	return out
}
