package pdf

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// replacements are letters that no decomposition leads back to Latin.
var replacements = map[rune]string{
	'ẞ': "ß", 'ſ': "s", '\u2010': "-", '\u2011': "-", '\u2012': "–", '\u2212': "-",
	'\u2009': " ", '\u202f': "\u00a0", '\u2007': "\u00a0", '\u3000': " ", '\t': " ",
}

// printable is text as the embedded fonts can show it: composed, without
// control and direction characters, foreign marks dropped (ạ becomes a), what
// remains unknown as "?". Newlines stay.
func printable(text string) string {
	has := &typefaces().glyph
	text = strings.ToValidUTF8(text, "?")
	if plain(text, has) {
		return text
	}
	var b strings.Builder
	for _, r := range norm.NFC.String(text) {
		switch {
		case r == '\n':
			b.WriteByte('\n')
		case replacements[r] != "" && has[r] == 0 || r == '\t':
			b.WriteString(replacements[r])
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Mn, r):
		case r < 0x10000 && has[r] != 0:
			b.WriteRune(r)
		default:
			b.WriteString(fallback(r, has))
		}
	}
	return b.String()
}

func plain(text string, has *[0x10000]uint16) bool {
	composed := true
	for _, r := range text {
		switch {
		case r >= 0x20 && r < 0x7f || r == '\n':
		case r >= 0x10000 || r == 0xad || has[r] == 0 || unicode.IsControl(r):
			return false
		case r >= 0x300: // below, every letter is composed
			composed = false
		}
	}
	return composed || norm.NFC.IsNormalString(text)
}

func fallback(r rune, has *[0x10000]uint16) string {
	out := ""
	for _, d := range norm.NFKD.String(string(r)) {
		switch {
		case unicode.Is(unicode.Mn, d):
		case d < 0x10000 && has[d] != 0:
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
