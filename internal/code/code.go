// Package code makes and reads codes that people read out and type: case
// numbers, secrets, admission codes.
//
// They are written in 32 characters that cannot be confused (Crockford's base
// 32: no I, L, O, U), so that they can be read out, typed off a letter and
// printed in any font. The last two characters check the others: the whole is a
// codeword of a Reed-Solomon code over GF(32) with distance 3. Any one or two
// wrong characters, and so every swapped pair wherever it stands, are noticed
// at once and without asking anybody.
package code

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// Alphabet are the characters of a code in its stored form.
const Alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const (
	groupLen = 4
	maxText  = 100 // longer input is no code: nothing is computed over it
	maxLen   = 31  // of a code: what the check characters can look after
)

// ErrTypo says that a text is no code of the demanded length, or that its check
// characters do not fit.
var ErrTypo = errors.New("code: check characters do not fit")

// New draws a code of n characters: n-2 random ones of 5 bits each, and two that
// check them. n is 3 to 31.
func New(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (Go 1.24 and later)
	return Of(b, n)
}

// Of makes a code of n characters out of random bytes, of which there must be n.
func Of(random []byte, n int) string {
	if n <= 2 || n > maxLen {
		panic("code: no such length")
	}
	b := append([]byte(nil), random[:n]...)
	for i := range b {
		b[i] &= 31
	}
	setChecks(b)
	for i, v := range b {
		b[i] = Alphabet[v]
	}
	return string(b)
}

// Print sets a stored code in groups of four.
func Print(stored string) string {
	var b strings.Builder
	for i, r := range stored {
		if i > 0 && i%groupLen == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Parse reads a code of n characters as people type it (small letters, spaces,
// hyphens, O for 0, I or L for 1) and returns the stored form. It returns
// ErrTypo when it cannot be one.
func Parse(s string, n int) (string, error) {
	if len(s) > maxText {
		return "", fmt.Errorf("%w: too long", ErrTypo)
	}
	symbols := make([]byte, 0, n)
	for _, r := range s {
		switch r {
		case ' ', '-', '\t', '\u00a0', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2212', '.', '_', '/':
			continue
		}
		v := symbol(r)
		if v < 0 || len(symbols) == n {
			return "", ErrTypo
		}
		symbols = append(symbols, byte(v))
	}
	if len(symbols) != n || !checksFit(symbols) {
		return "", ErrTypo
	}
	for i, v := range symbols {
		symbols[i] = Alphabet[v]
	}
	return string(symbols), nil
}

// symbol is the value of a typed character, or -1.
func symbol(r rune) int {
	if r >= 'a' && r <= 'z' {
		r -= 'a' - 'A'
	}
	switch r {
	case 'O':
		r = '0'
	case 'I', 'L':
		r = '1'
	}
	if r > 'Z' {
		return -1
	}
	return strings.IndexByte(Alphabet, byte(r))
}

// gfExp and gfLog are powers and logarithms of the generator of GF(32), built
// from the primitive polynomial x^5 + x^2 + 1.
var gfExp, gfLog = func() (exp [62]byte, log [32]byte) {
	x := 1
	for i := range 31 {
		exp[i], exp[i+31] = byte(x), byte(x)
		log[x] = byte(i)
		if x <<= 1; x&32 != 0 {
			x ^= 0b100101
		}
	}
	return exp, log
}()

func gfMul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return gfExp[int(gfLog[a])+int(gfLog[b])]
}

// syndromes are c(1) and c(α), where the first symbol has the highest power.
// Both are zero for a codeword; two wrong symbols cannot make both zero as
// long as there are at most 31 symbols.
func syndromes(c []byte) (s0, s1 byte) {
	for _, v := range c {
		s0 ^= v
		s1 = gfMul(s1, gfExp[1]) ^ v
	}
	return s0, s1
}

func checksFit(c []byte) bool {
	s0, s1 := syndromes(c)
	return s0 == 0 && s1 == 0
}

// setChecks overwrites the last two symbols p, q so that the whole fits:
// p + q = s0 and α·p + q = s1, so p = (s0 + s1) / (α + 1).
func setChecks(c []byte) {
	n := len(c)
	c[n-2], c[n-1] = 0, 0
	s0, s1 := syndromes(c)
	p := byte(0)
	if d := s0 ^ s1; d != 0 {
		p = gfExp[int(gfLog[d])+31-int(gfLog[gfExp[1]^1])]
	}
	c[n-2], c[n-1] = p, s0^p
}
