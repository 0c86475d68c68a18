package booking

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestReferenceIsReadBack(t *testing.T) {
	t.Parallel()
	for range 200 {
		ref := newReference()
		for _, typed := range []string{ref, PrintReference(ref), strings.ToLower(PrintReference(ref)), " " + QRText(ref) + "\n"} {
			got, err := ParseReference(typed)
			if err != nil || got != ref {
				t.Fatalf("%q: %q, %v", typed, got, err)
			}
		}
	}
}

func TestReferenceNoticesAWrongCharacter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ref := newReference()
		i := rapid.IntRange(0, referenceLen-1).Draw(t, "at")
		c := rapid.SampledFrom([]byte(referenceAlphabet)).Draw(t, "character")
		if ref[i] == c {
			return
		}
		if got, err := ParseReference(ref[:i] + string(c) + ref[i+1:]); err == nil {
			t.Fatalf("%s read as %s", ref, got)
		}
	})
}

func FuzzParseReference(f *testing.F) {
	f.Add("K7M4-P2Q-XRA")
	f.Add("IMPF:")
	f.Add("äöü\x00")
	f.Fuzz(func(t *testing.T, s string) {
		if ref, err := ParseReference(s); err == nil {
			if again, err := ParseReference(PrintReference(ref)); err != nil || again != ref {
				t.Errorf("%q: %q, %q, %v", s, ref, again, err)
			}
		}
	})
}
