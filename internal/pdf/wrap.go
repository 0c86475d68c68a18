package pdf

import (
	"strings"
	"unicode/utf8"
)

// wrap breaks text into lines of at most width mm: at spaces, and inside a
// word only when it alone is too wide (after a hyphen where there is one). A
// line that ends between two words keeps the space, so that programs which
// read the text find two words too.
func (w *writer) wrap(text string, width float64) []string {
	return w.rep.wrap(nil, printable(text), width, w.face, w.size)
}

func (rep *repertoire) wrap(out []string, text string, width float64, f faceID, size float64) []string {
	limit := width/(size*ptToMM)*1000 + 1e-6 // in thousandths of the size
	advance := rep.faces[f].width
	measure := func(s string) (sum float64) {
		for _, r := range s {
			if r < 0x10000 {
				sum += float64(advance[rep.glyph[r]])
			}
		}
		return sum
	}
	space := measure(" ")
	for rest, more := text, true; more; {
		var para string
		para, rest, more = strings.Cut(rest, "\n")
		para = squeeze(para)
		start, end, used := 0, 0, 0.0 // the line so far: para[start:end]
		for at := 0; at < len(para); {
			next := strings.IndexByte(para[at:], ' ')
			if next < 0 {
				next = len(para) - at
			}
			word := para[at : at+next]
			wide := measure(word)
			if end > start && used+space+wide > limit {
				out = append(out, para[start:at])
				end = start
			}
			if end == start {
				start, end, used = at, at, 0
			}
			for end == start && wide > limit {
				cut := rep.cut(word, limit, advance)
				out = append(out, word[:cut])
				word = word[cut:]
				start += cut
				end, wide = start, measure(word)
			}
			if end > start {
				used += space
			}
			used += wide
			end = at + next
			at = min(end+1, len(para))
		}
		last := para[start:end]
		if more {
			last += " "
		}
		if end > start || para == "" {
			out = append(out, last)
		}
	}
	return out
}

// squeeze makes one space of several, and none at the ends.
func squeeze(para string) string {
	if para == "" || para[0] != ' ' && para[len(para)-1] != ' ' && !strings.Contains(para, "  ") {
		return para
	}
	return strings.Join(strings.FieldsFunc(para, func(r rune) bool { return r == ' ' }), " ")
}

// cut is the number of bytes of word that fit, at least one character.
func (rep *repertoire) cut(word string, limit float64, advance []uint16) int {
	fit, hyphen, used := 0, 0, 0.0
	for i, r := range word {
		if r < 0x10000 {
			used += float64(advance[rep.glyph[r]])
		}
		if fit > 0 && used > limit {
			break
		}
		fit = i + utf8.RuneLen(r)
		if r == '-' || r == '/' || r == '@' {
			hyphen = fit
		}
	}
	if hyphen > 0 && hyphen < len(word) {
		return hyphen
	}
	return fit
}

// clip shortens text to one line of width mm.
func clip(w *writer, text string, width float64) string {
	return w.rep.clip(printable(strings.ReplaceAll(text, "\n", " ")), width, w.face, w.size)
}

func (rep *repertoire) clip(text string, width float64, f faceID, size float64) string {
	if rep.textWidth(f, size, text) <= width {
		return text
	}
	for text != "" && rep.textWidth(f, size, text+"…") > width {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return strings.TrimSpace(text) + "…"
}
