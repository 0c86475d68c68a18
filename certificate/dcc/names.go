package dcc

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// ErrName means that a name cannot be written in the letters A to Z by rule,
// for instance because it is in another script. The form in the passport
// (Schreibweise im Pass) must then be entered by a person.
var ErrName = errors.New("dcc: name has no transliteration")

// maxName is the longest name the EU schema allows, in characters.
const maxName = 80

// filler separates the parts of a transliterated name.
const filler = '<'

// latin is the transliteration of Latin letters recommended by ICAO Doc 9303
// part 3, section 6 A, for every capital letter that does not simply lose its
// accent. Where the document offers a choice (Ä: AE or A, Å: AA or A, Ö: OE
// or O, Ü: UE or U, Ñ: N or NXX) the form of German passports is taken; whose
// passport chose otherwise has the passport's form in the record. Letters of
// African, Azerbaijani and Sami alphabets that the document leaves out follow
// the sound that passports use.
var latin = map[rune]string{
	'Ä': "AE", 'Å': "AA", 'Æ': "AE", 'Ǽ': "AE", 'Ǣ': "AE",
	'Ö': "OE", 'Ø': "OE", 'Ǿ': "OE", 'Œ': "OE",
	'Ü': "UE", 'ß': "SS", 'ẞ': "SS", 'ſ': "S",
	'Ð': "D", 'Þ': "TH", 'Đ': "D", 'Ħ': "H", 'ı': "I", 'Ĳ': "IJ",
	'ĸ': "Q", 'Ŀ': "L", 'Ł': "L", 'ŉ': "N", 'Ŋ': "N", 'Ŧ': "T",
	'Ƀ': "B", 'Ɓ': "B", 'Ƈ': "C", 'Ȼ': "C", 'Ɖ': "D", 'Ɗ': "D",
	'Ǝ': "E", 'Ə': "A", 'Ɛ': "E", 'Ɇ': "E", 'Ƒ': "F", 'Ɠ': "G", 'Ǥ': "G", 'Ɣ': "G",
	'Ƕ': "HV", 'Ɨ': "I", 'Ɩ': "I", 'Ɉ': "J", 'Ƙ': "K", 'Ƚ': "L", 'Ɯ': "M",
	'Ɲ': "N", 'Ƞ': "N", 'Ɔ': "O", 'Ɵ': "O", 'Ƥ': "P", 'Ɍ': "R",
	'Ʃ': "SH", 'Ƭ': "T", 'Ʈ': "T", 'Ⱦ': "T", 'Ʉ': "U", 'Ʊ': "U", 'Ʋ': "V",
	'Ƿ': "W", 'Ɏ': "Y", 'Ƴ': "Y", 'Ȝ': "Y", 'Ƶ': "Z", 'Ʒ': "Z", 'Ȥ': "Z",
	'Ƃ': "B", 'Ƌ': "D", 'Ʀ': "R", 'Ȣ': "OU", 'ȷ': "J", 'Ɋ': "Q", 'Ʌ': "V", 'ẜ': "S", 'ẝ': "S",
	'ǀ': "", 'ǁ': "", 'ǂ': "", 'ǃ': "", 'Ɂ': "", 'ɂ': "", // clicks and stops, like apostrophes
	'Ⱥ': "A", 'Ⱡ': "L", 'Ɫ': "L", 'Ⱨ': "H", 'Ⱪ': "K", 'Ⱬ': "Z", 'Ỻ': "LL",
}

// Transliterate writes a name with the letters A to Z and '<' as ICAO Doc
// 9303 part 3 says: letters by the table above, other accents dropped,
// hyphens, spaces and commas as one '<', apostrophes and other punctuation
// left out, at most 80 characters. A letter of another script is ErrName; an
// empty name stays empty.
func Transliterate(name string) (string, error) {
	var b strings.Builder
	gap := false
	put := func(s string) {
		if gap && b.Len() > 0 {
			b.WriteByte(filler)
		}
		gap = false
		b.WriteString(s)
	}
	letters := false
	for _, r := range norm.NFC.String(name) {
		letters = letters || unicode.IsLetter(r)
		s, ok := transliterateRune(r)
		switch {
		case !ok:
			return "", fmt.Errorf("%w: U+%04X", ErrName, r)
		case s == string(filler):
			gap = true
		case s != "":
			put(s)
		}
	}
	if letters && b.Len() == 0 {
		return "", ErrName
	}
	out := b.String()
	if len(out) > maxName {
		out = strings.TrimRight(out[:maxName], string(filler))
	}
	return out, nil
}

// transliterateRune gives the letters of one character of an NFC text: "<"
// for a separator, "" for what is left out. Not ok is a letter without a rule.
func transliterateRune(r rune) (string, bool) {
	switch {
	case 'A' <= r && r <= 'Z':
		return string(r), true
	case 'a' <= r && r <= 'z':
		return string(r - 'a' + 'A'), true
	case r == '<' || r == ',' || unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || r == '\u00ad' || r == '\u2212' || r == '\u2043':
		return string(filler), true
	}
	if s, ok := latin[unicode.ToUpper(r)]; ok {
		return s, true
	}
	if s, ok := latin[r]; ok {
		return s, true
	}
	// Modifier letters that people type for an apostrophe (Hawaiian ʻokina,
	// Ukrainian ʼ) are punctuation here.
	if !unicode.IsLetter(r) || unicode.Is(unicode.Lm, r) && !hasLatinBase(r) {
		return "", true
	}
	if !hasLatinBase(r) {
		return "", false
	}
	var b strings.Builder
	for _, part := range norm.NFC.String(stripMarks(norm.NFKD.String(string(r)))) {
		if part == r {
			return "", false
		}
		s, ok := transliterateRune(part)
		if !ok {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}

// hasLatinBase reports whether r is a Latin letter or decomposes into one.
func hasLatinBase(r rune) bool {
	for _, part := range norm.NFKD.String(string(r)) {
		if unicode.Is(unicode.Latin, part) {
			return true
		}
	}
	return false
}

// stripMarks drops combining marks from a decomposed text.
func stripMarks(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.M, r) {
			return -1
		}
		return r
	}, s)
}

// displayName is a name as the certificate shows it: NFC, single spaces, at
// most 80 characters, never cut between a letter and its accent.
func displayName(name string) string {
	runes := []rune(norm.NFC.String(strings.Join(strings.Fields(name), " ")))
	if len(runes) <= maxName {
		return string(runes)
	}
	end := maxName
	for end > 0 && unicode.Is(unicode.M, runes[end]) {
		end--
	}
	return strings.TrimSpace(string(runes[:end]))
}
