package booking

import (
	"crypto/rand"
	"errors"
	"strings"
)

// A reference (Buchungsnummer) names a series on paper, in the QR code and on
// the telephone: nine random characters (45 bits) and a check character. The
// alphabet has no 0, O, 1 and I. It is a name, no secret: with it alone nobody
// sees or changes anything; staff at the centre find the appointment by it.
const referenceAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

const referenceLen = 10

// ErrReference says that a text is no reference: mistyped or something else.
var ErrReference = errors.New("booking: not a reference")

// newReference draws a reference in the stored form.
func newReference() string {
	b := make([]byte, referenceLen-1, referenceLen)
	_, _ = rand.Read(b) // never fails (Go 1.24 and later)
	for i := range b {
		b[i] = referenceAlphabet[b[i]&31]
	}
	return string(append(b, checkCharacter(string(b))))
}

// checkCharacter computes the check character of ISO 7064, hybrid system
// MOD 33,32: one wrong character, and nearly every pair of swapped neighbours,
// is noticed.
func checkCharacter(s string) byte {
	const m = len(referenceAlphabet)
	p := m
	for i := range len(s) {
		sum := (p + strings.IndexByte(referenceAlphabet, s[i])) % m
		if sum == 0 {
			sum = m
		}
		p = sum * 2 % (m + 1)
	}
	return referenceAlphabet[(m+1-p)%m]
}

// ParseReference reads a reference as people type it, or as the QR code of a
// confirmation holds it ("IMPF:..."), and returns the stored form.
func ParseReference(s string) (string, error) {
	if len(s) > 40 {
		return "", ErrReference
	}
	s = strings.ToUpper(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, referencePrefix)
	s = strings.NewReplacer("-", "", " ", "", "\u2011", "", "\u2013", "").Replace(s)
	if len(s) != referenceLen || strings.Trim(s, referenceAlphabet) != "" || checkCharacter(s[:referenceLen-1]) != s[referenceLen-1] {
		return "", ErrReference
	}
	return s, nil
}

// PrintReference sets a stored reference for people: "K7M4-P2Q-XRA".
func PrintReference(s string) string {
	if len(s) != referenceLen {
		return s
	}
	return s[:4] + "-" + s[4:7] + "-" + s[7:]
}

// referencePrefix tells a scanner what it reads.
const referencePrefix = "IMPF:"

// QRText is what the QR code of a confirmation holds.
func QRText(reference string) string { return referencePrefix + reference }
