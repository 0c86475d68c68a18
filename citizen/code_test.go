package citizen

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCodesAreCodewords(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 5000 {
		n, s := newCaseNumber(), newSecret()
		if got, err := ParseCaseNumber(PrintCode(n)); err != nil || got != n {
			t.Fatalf("case number %q: %q, %v", n, got, err)
		}
		if got, err := ParseSecret(strings.ToLower(PrintCode(s))); err != nil || got != s {
			t.Fatalf("secret: %q, %v", got, err)
		}
		if seen[n] || seen[s] {
			t.Fatal("drawn twice")
		}
		seen[n], seen[s] = true, true
	}
}

// Every one or two wrong characters and every swapped pair are noticed.
func TestTyposAreNoticed(t *testing.T) {
	t.Parallel()
	for _, code := range []string{newCaseNumber(), newSecret()} {
		n := len(code)
		for i := range n {
			for _, r := range alphabet {
				one := []byte(code)
				if one[i] = byte(r); string(one) == code {
					continue
				}
				if _, err := parseCode(string(one), n); !errors.Is(err, ErrTypo) {
					t.Fatalf("one wrong character: %s for %s", one, code)
				}
				for j := i + 1; j < n; j++ {
					two := append([]byte(nil), one...)
					if two[j] = alphabet[(strings.IndexByte(alphabet, code[j])+7)%32]; string(two) == code {
						continue
					}
					if _, err := parseCode(string(two), n); !errors.Is(err, ErrTypo) {
						t.Fatalf("two wrong characters: %s for %s", two, code)
					}
				}
			}
			for j := i + 1; j < n; j++ {
				swapped := []byte(code)
				if swapped[i], swapped[j] = swapped[j], swapped[i]; string(swapped) == code {
					continue
				}
				if _, err := parseCode(string(swapped), n); !errors.Is(err, ErrTypo) {
					t.Fatalf("swapped: %s for %s", swapped, code)
				}
			}
		}
	}
}

func TestCodesAsPeopleType(t *testing.T) {
	t.Parallel()
	if _, err := ParseCaseNumber(CodeExample); err != nil {
		t.Errorf("the example %s must be a case number", CodeExample)
	}
	b := []byte{0, 1, 2, 0, 1, 5, 30, 0, 0, 0}
	setChecks(b)
	var code strings.Builder
	for _, v := range b {
		code.WriteByte(alphabet[v])
	}
	want := code.String()
	for _, typed := range []string{
		want, strings.ToLower(want), " " + want + " ", want[:4] + " " + want[4:], want[:4] + "\u2013" + want[4:8] + "\u00a0" + want[8:],
		strings.ReplaceAll(want, "0", "O"), strings.ReplaceAll(want, "0", "o"), strings.ReplaceAll(want, "1", "I"),
		strings.ReplaceAll(want, "1", "l"), strings.ReplaceAll(want, "1", "i"),
	} {
		if got, err := ParseCaseNumber(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"", "-", want[:9], want + "0", want + want, "U" + want[1:], "ä" + want[1:], strings.Repeat("0", 500), "0000000001", "'; DROP TABLE", "\x00" + want} {
		if got, err := ParseCaseNumber(typed); !errors.Is(err, ErrTypo) {
			t.Errorf("%q was taken as %q", typed, got)
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

func FuzzParseCode(f *testing.F) {
	f.Add(CodeExample)
	f.Add(PrintCode(newSecret()))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range []int{caseLen, secretLen} {
			code, err := parseCode(s, n)
			if err != nil {
				continue
			}
			if len(code) != n || strings.Trim(code, alphabet) != "" {
				t.Fatalf("%q gave %q", s, code)
			}
			if again, err := parseCode(PrintCode(code), n); err != nil || again != code {
				t.Fatalf("%q does not read back: %q, %v", code, again, err)
			}
		}
	})
}
