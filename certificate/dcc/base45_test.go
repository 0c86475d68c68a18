package dcc

import (
	"bytes"
	"errors"
	"testing"
)

func TestBase45(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ plain, text string }{ // RFC 9285, sections 4.3 and 4.4
		{"", ""},
		{"AB", "BB8"},
		{"Hello!!", "%69 VD92EX0"},
		{"base-45", "UJCLQE7W581"},
		{"ietf!", "QED8WEX0"},
		{"\xff\xff", "FGW"},
		{"\xff", "U5"},
	} {
		if got := string(appendBase45(nil, []byte(c.plain))); got != c.text {
			t.Errorf("encode %q: %q, want %q", c.plain, got, c.text)
		}
		got, err := decodeBase45(c.text)
		if err != nil || string(got) != c.plain {
			t.Errorf("decode %q: %q, %v", c.text, got, err)
		}
	}
	// GGW would be 65,536 and V5 256: more than fits, never cut off.
	for _, text := range []string{"GGW", ":::", "V5", "::", "A", "ABCD", "ab8", "BB8\n", "ÄÖÜ", "BB\x00"} {
		if got, err := decodeBase45(text); !errors.Is(err, ErrBase45) {
			t.Errorf("decode %q: %x, %v", text, got, err)
		}
	}
}

func FuzzBase45(f *testing.F) {
	f.Add([]byte("QED8WEX0"))
	f.Add([]byte(":::"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text := appendBase45(nil, b)
		if len(text) != base45Len(len(b)) {
			t.Fatalf("length %d", len(text))
		}
		if got, err := decodeBase45(string(text)); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%x came back as %x, %v", b, got, err)
		}
		// Every text that decodes is the one encoding of its bytes.
		if plain, err := decodeBase45(string(b)); err == nil && !bytes.Equal(appendBase45(nil, plain), b) {
			t.Fatalf("%q decodes to %x, which encodes otherwise", b, plain)
		}
	})
}
