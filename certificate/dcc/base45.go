package dcc

import (
	"errors"
	"fmt"
)

// ErrBase45 is wrapped by every error of base45 decoding.
var ErrBase45 = errors.New("dcc: not base45")

// alphabet45 is the alphabet of RFC 9285, which is also the alphanumeric
// alphabet of QR codes in the same order.
const alphabet45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

// value45 maps a byte to its value, or to 255 when it is not in the alphabet.
var value45 = func() (t [256]uint8) {
	for i := range t {
		t[i] = 255
	}
	for i := range len(alphabet45) {
		t[alphabet45[i]] = uint8(i)
	}
	return t
}()

// base45Len is the length of n bytes in base45.
func base45Len(n int) int { return n/2*3 + n%2*2 }

// appendBase45 appends the base45 form of src (RFC 9285, section 4).
func appendBase45(dst, src []byte) []byte {
	for len(src) >= 2 {
		n := uint32(src[0])<<8 | uint32(src[1])
		hi := n / 45
		dst = append(dst, alphabet45[n%45], alphabet45[hi%45], alphabet45[hi/45])
		src = src[2:]
	}
	if len(src) == 1 {
		dst = append(dst, alphabet45[src[0]%45], alphabet45[src[0]/45])
	}
	return dst
}

// decodeBase45 is the reverse of appendBase45. A group whose value does not
// fit into its bytes ("GGW" would be 65,536) is an error, never cut off, so
// every decodable text is the one encoding of its bytes.
func decodeBase45(text string) ([]byte, error) {
	if len(text)%3 == 1 {
		return nil, fmt.Errorf("%w: %d characters", ErrBase45, len(text))
	}
	out := make([]byte, 0, len(text)/3*2+1)
	for i := 0; i < len(text); i += 3 {
		c, d := value45[text[i]], value45[text[i+1]]
		if c == 255 || d == 255 {
			return nil, fmt.Errorf("%w: character near position %d", ErrBase45, i)
		}
		n := uint32(c) + 45*uint32(d)
		if i+2 == len(text) {
			if n > 0xff {
				return nil, fmt.Errorf("%w: group at %d exceeds one byte", ErrBase45, i)
			}
			return append(out, byte(n)), nil
		}
		e := value45[text[i+2]]
		if e == 255 {
			return nil, fmt.Errorf("%w: character near position %d", ErrBase45, i)
		}
		if n += 45 * 45 * uint32(e); n > 0xffff {
			return nil, fmt.Errorf("%w: group at %d exceeds two bytes", ErrBase45, i)
		}
		out = append(out, byte(n>>8), byte(n))
	}
	return out, nil
}
