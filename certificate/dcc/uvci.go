package dcc

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// ErrUVCI means a certificate id that cannot be formed or is malformed.
var ErrUVCI = errors.New("dcc: bad certificate id")

// uvciAlphabet is the alphabet over which the check character is computed
// (Luhn mod N, N = 38), fixed in the guidelines on verifiable vaccination
// certificates of the eHealth network, annex 2, and in the schema's notes.
const uvciAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/:"

// uvciPrefix begins every id of this portal.
const uvciPrefix = "URN:UVCI:01DE/"

// maxSite keeps the whole id well below the schema's 80 characters.
const maxSite = 20

// opaqueLen is the number of random characters, 5 bits each: 110 bits.
const opaqueLen = 22

// NewUVCI makes a certificate id (Zertifikatskennung) of the German form:
// URN:UVCI:01DE/<site>/<random>#<check>. The site is reduced to A-Z and 0-9;
// the random part carries nothing of the person or the dose.
func NewUVCI(site string) string {
	var b [opaqueLen*5/8 + 1]byte
	rand.Read(b[:])
	opaque := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])[:opaqueLen]
	id := uvciPrefix + siteCode(site) + "/" + opaque
	check, err := checkCharacter(id)
	if err != nil {
		panic(err) // every character above is in the alphabet
	}
	return id + "#" + string(check)
}

// siteCode writes a place of vaccination with A-Z and 0-9 only, "SN" when
// nothing is left of it.
func siteCode(site string) string {
	var b strings.Builder
	for _, r := range site {
		if '0' <= r && r <= '9' {
			b.WriteRune(r)
		} else if s, ok := transliterateRune(r); ok && s != string(filler) {
			b.WriteString(s)
		}
		if b.Len() >= maxSite {
			break
		}
	}
	if b.Len() == 0 {
		return "SN"
	}
	return b.String()[:min(b.Len(), maxSite)]
}

// checkCharacter computes the Luhn mod N check character of an id without
// its "#" part. The prefix URN:UVCI: counts.
func checkCharacter(id string) (byte, error) {
	const n = len(uvciAlphabet)
	factor, sum := 2, 0
	for i := len(id) - 1; i >= 0; i-- {
		v := strings.IndexByte(uvciAlphabet, id[i])
		if v < 0 {
			return 0, fmt.Errorf("%w: character %q", ErrUVCI, id[i])
		}
		v *= factor
		sum += v/n + v%n
		factor = 3 - factor
	}
	return uvciAlphabet[(n-sum%n)%n], nil
}

// CheckUVCI verifies an id of this portal: its form and its check character.
// Ids of other issuers may have no check character, or one of their own.
func CheckUVCI(id string) error {
	body, check, ok := strings.Cut(id, "#")
	if !ok || len(check) != 1 || !strings.HasPrefix(body, uvciPrefix) || len(id) > 80 {
		return ErrUVCI
	}
	want, err := checkCharacter(body)
	if err != nil {
		return err
	}
	if check[0] != want {
		return fmt.Errorf("%w: check character", ErrUVCI)
	}
	return nil
}

// ParseUVCI reads an id of this portal as people type it: in small letters, with
// blanks, without the beginning that all have, or without the check character.
// ErrUVCI for what is none, or has a typing error.
func ParseUVCI(typed string) (string, error) {
	id := strings.ToUpper(strings.Join(strings.Fields(typed), ""))
	id = "URN:UVCI:" + strings.TrimPrefix(strings.TrimPrefix(id, "URN:"), "UVCI:")
	if !strings.Contains(id, "#") {
		check, err := checkCharacter(id)
		if err != nil {
			return "", err
		}
		id += "#" + string(check)
	}
	if err := CheckUVCI(id); err != nil {
		return "", err
	}
	return id, nil
}
