package code

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Every one or two wrong characters and every swapped pair are noticed.
func TestTyposAreNoticed(t *testing.T) {
	t.Parallel()
	for _, code := range []string{New(10), New(16), New(20)} {
		n := len(code)
		for i := range n {
			for _, r := range Alphabet {
				one := []byte(code)
				if one[i] = byte(r); string(one) == code {
					continue
				}
				if _, err := Parse(string(one), n); !errors.Is(err, ErrTypo) {
					t.Fatalf("one wrong character: %s for %s", one, code)
				}
				for j := i + 1; j < n; j++ {
					two := append([]byte(nil), one...)
					if two[j] = Alphabet[(strings.IndexByte(Alphabet, code[j])+7)%32]; string(two) == code {
						continue
					}
					if _, err := Parse(string(two), n); !errors.Is(err, ErrTypo) {
						t.Fatalf("two wrong characters: %s for %s", two, code)
					}
				}
			}
			for j := i + 1; j < n; j++ {
				swapped := []byte(code)
				if swapped[i], swapped[j] = swapped[j], swapped[i]; string(swapped) == code {
					continue
				}
				if _, err := Parse(string(swapped), n); !errors.Is(err, ErrTypo) {
					t.Fatalf("swapped: %s for %s", swapped, code)
				}
			}
		}
	}
}

func TestFieldArithmetic(t *testing.T) {
	t.Parallel()
	seen := map[byte]bool{}
	for i := range 31 {
		seen[gfExp[i]] = true
	}
	if len(seen) != 31 || seen[0] {
		t.Fatal("the generator does not generate GF(32)*")
	}
	rapid.Check(t, func(t *rapid.T) {
		e := rapid.ByteRange(0, 31)
		a, b, c := e.Draw(t, "a"), e.Draw(t, "b"), e.Draw(t, "c")
		if gfMul(a, b^c) != gfMul(a, b)^gfMul(a, c) || gfMul(a, b) != gfMul(b, a) || gfMul(a, 1) != a {
			t.Fatal("no field")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("7K2M-9QXD-KZ")
	f.Add(Print(New(20)))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range []int{10, 16, 20} {
			code, err := Parse(s, n)
			if err != nil {
				continue
			}
			if len(code) != n || strings.Trim(code, Alphabet) != "" {
				t.Fatalf("%q gives %q", s, code)
			}
			if again, err := Parse(Print(code), n); err != nil || again != code {
				t.Fatalf("%q: %q, %v", code, again, err)
			}
		}
	})
}
