package citizen

import (
	"errors"
	"strings"
	"testing"

	"impfportal/internal/code"
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

func TestCodesAsPeopleType(t *testing.T) {
	t.Parallel()
	if _, err := ParseCaseNumber(CodeExample); err != nil {
		t.Errorf("the example %s must be a case number", CodeExample)
	}
	want := code.Of([]byte{0, 1, 2, 0, 1, 5, 30, 0, 0, 0}, caseLen)
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
