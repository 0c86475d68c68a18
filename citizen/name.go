package citizen

import (
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
)

// tidy brings typed text into the stored form: Unicode NFC, no invisible
// formatting characters (they are how a name looks like another one), single
// spaces.
func tidy(s string) string {
	if len(s) > 10_000 {
		s = strings.ToValidUTF8(s[:10_000], "")
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\u00ad' || (unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d'):
			return -1 // soft hyphen, direction marks, byte order mark
		case r == '\u2018' || r == '\u2019' || r == '\u02bc' || r == '\u00b4' || r == '`':
			return '\'' // one apostrophe for O'Neill
		case r == '\u2010' || r == '\u2011' || r == '\u2013' || r == '\u2212':
			return '-'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return strings.Join(strings.FieldsFunc(norm.NFC.String(s), func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || unicode.Is(unicode.Zs, r)
	}), " ")
}

// nameProblem says what keeps s from being a name: the key of a message and
// its arguments, or "".
func nameProblem(s string) (key string, args []any) {
	letters := false
	for _, r := range s {
		letters = letters || unicode.IsLetter(r)
		switch {
		case unicode.IsLetter(r), strings.ContainsRune(" -'.·,", r), r == '\u200c': // zero-width non-joiner: Persian spelling
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r):
			if r == '\ufe0f' {
				return "emoji", nil
			}
		default:
			return characterProblem(r)
		}
	}
	if s != "" && !letters {
		return "no_letters", nil
	}
	return lengthProblem(s, maxName)
}

// addressProblem does the same for a line of an address.
func addressProblem(s string) (key string, args []any) {
	for _, r := range s {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), strings.ContainsRune(" -'.·,/()+&:;#\"№", r):
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r):
			if r == '\ufe0f' {
				return "emoji", nil
			}
		default:
			return characterProblem(r)
		}
	}
	return lengthProblem(s, maxAddress)
}

func characterProblem(r rune) (string, []any) {
	switch {
	case r != '\ufffd' && isEmoji(r):
		return "emoji", nil
	case unicode.IsControl(r) || r == '\ufffd' || unicode.Is(unicode.Co, r) || unicode.Is(unicode.Cf, r) || !unicode.IsPrint(r):
		return "control", nil
	case unicode.IsDigit(r):
		return "digit", []any{"Char", string(r)}
	}
	return "character", []any{"Char", string(r)}
}

// isEmoji covers pictographs, flags, skin tones and the parts they are made of.
func isEmoji(r rune) bool {
	return r >= 0x1f000 && r <= 0x1faff || r >= 0x2600 && r <= 0x27bf || r >= 0x2b00 && r <= 0x2bff ||
		r == '\u200d' || r == '\u20e3' || r >= 0xe0020 && r <= 0xe007f || unicode.Is(unicode.So, r)
}

// lengthProblem counts what people see as characters, and bounds what hides
// behind them (marks stacked on one letter).
func lengthProblem(s string, limit int) (string, []any) {
	if n := uniseg.GraphemeClusterCount(s); n > limit {
		return "too_long", []any{"Max", limit, "Have", n}
	}
	if len(s) > 4*limit {
		return "too_many_marks", nil
	}
	return "", nil
}

// letters that do not come apart into a base letter and marks, in the spelling
// of passports (ICAO Doc 9303-3, section 6), lower case. ä, ö, ü are written
// ae, oe, ue here because that is how people write them without the dots.
var spelled = map[rune]string{
	'ä': "ae", 'ö': "oe", 'ü': "ue", 'ß': "ss", 'ẞ': "ss", 'å': "aa", 'æ': "ae", 'ø': "oe", 'œ': "oe", 'ĳ': "ij",
	'đ': "d", 'ð': "d", 'þ': "th", 'ł': "l", 'ŧ': "t", 'ħ': "h", 'ı': "i", 'ĸ': "k", 'ŋ': "n", 'ŉ': "n", 'ə': "e",
	'а': "a", 'б': "b", 'в': "v", 'г': "g", 'ґ': "g", 'д': "d", 'е': "e", 'ё': "e", 'ж': "zh", 'з': "z", 'и': "i", 'й': "i",
	'і': "i", 'ї': "i", 'к': "k", 'л': "l", 'м': "m", 'н': "n", 'о': "o", 'п': "p", 'р': "r", 'с': "s", 'т': "t", 'у': "u",
	'ф': "f", 'х': "kh", 'ц': "ts", 'ч': "ch", 'ш': "sh", 'щ': "shch", 'ъ': "ie", 'ы': "y", 'ь': "", 'э': "e", 'ю': "iu", 'я': "ia",
	'є': "ie", 'ў': "u", 'ђ': "d", 'ј': "j", 'љ': "lj", 'њ': "nj", 'ћ': "c", 'џ': "dz", 'ѓ': "g", 'ќ': "k", 'ѕ': "dz",
}

// matchName is the form under which two spellings of one name meet: Müller,
// MUELLER and Mu\u0308ller; Weiß and Weiss; Karl-Heinz and Karl Heinz; Dvořák
// and Dvorak; Łukasz and Lukasz; Иванов and Ivanov. Letters of other scripts
// stay as they are.
func matchName(s string) string {
	var b strings.Builder
	for _, r := range norm.NFC.String(strings.ToLower(norm.NFKC.String(tidy(s)))) {
		if t, ok := spelled[r]; ok {
			b.WriteString(t)
			continue
		}
		for _, base := range norm.NFD.String(string(r)) {
			if t, ok := spelled[base]; ok {
				b.WriteString(t)
			} else if unicode.IsLetter(base) {
				b.WriteRune(base)
			}
		}
	}
	return b.String()
}
