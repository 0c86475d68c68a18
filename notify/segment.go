package notify

import "strings"

// gsmBasic is the GSM 7-bit default alphabet (3GPP TS 23.038, 6.2.1); one
// septet each.
const gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// gsmExtended needs an escape: two septets each.
const gsmExtended = "\f^{}\\[~]|€"

// maxSMS is what the provider takes at most, in characters.
const maxSMS = 1600

// Size is how an SMS travels.
type Size struct {
	Coding string // "gsm7" or "ucs2"
	Units  int    // septets, or 16-bit units
	Parts  int    // what is paid for and what the telephone puts together again
}

// Segments counts an SMS: 160 septets or 70 UCS-2 units in one part, 153 or 67
// in each of several. No part ends inside an escape or a surrogate pair.
func Segments(text string) Size {
	var units []int // length of each character
	gsm := true
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			units = append(units, 1)
		case strings.ContainsRune(gsmExtended, r):
			units = append(units, 2)
		default:
			gsm = false
		}
		if !gsm {
			break
		}
	}
	size := Size{Coding: "gsm7"}
	single, multi := 160, 153
	if !gsm {
		size.Coding, single, multi = "ucs2", 70, 67
		units = units[:0]
		for _, r := range text {
			if r > 0xffff {
				units = append(units, 2)
			} else {
				units = append(units, 1)
			}
		}
	}
	for _, u := range units {
		size.Units += u
	}
	if size.Units == 0 {
		return size
	}
	size.Parts = 1
	if size.Units <= single {
		return size
	}
	used := 0
	for _, u := range units {
		if used+u > multi {
			size.Parts++
			used = 0
		}
		used += u
	}
	return size
}

// typographic are characters that a telephone need not have, each of which
// would more than halve what fits into a part.
var typographic = strings.NewReplacer("„", `"`, "“", `"`, "”", `"`, "‚", "'", "‘", "'", "’", "'", "–", "-", "—", "-",
	"…", "...", "\u00a0", " ", "\u202f", " ", "\u2009", " ", "\u00ad", "", "\u2011", "-", "•", "-", "\r\n", "\n")

// smsText is text as it is sent: plain quotes and dashes, no control
// characters. Letters stay as they are: nobody's name is changed to save a cent.
func smsText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, typographic.Replace(strings.TrimSpace(text)))
}
