package certificate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"impfportal/internal/pdf/pdftest"
)

// Each form can be read by everybody, names its fields in both languages, and
// says MUSTER when and only when it must.
func TestPaperForms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(func(v *Vaccination) { v.FamilyName = "Łańcucka" })
	b.make(v)
	c := b.exactlyOne(v)
	for kind := range papers {
		t.Run(kind.lang+map[bool]string{true: "", false: "-muster"}[kind.production], func(t *testing.T) {
			t.Parallel()
			s := *b.Service
			s.Production = kind.production
			body, err := s.PDF(c, kind.lang)
			if err != nil {
				t.Fatal(err)
			}
			pdftest.Accessible(t, body, map[string]string{"de": "de-DE", "en": "en-GB"}[kind.lang])
			if len(body) > 100_000 {
				t.Errorf("%d bytes", len(body))
			}
			file := filepath.Join(t.TempDir(), "c.pdf")
			if err := os.WriteFile(file, body, 0o600); err != nil {
				t.Fatal(err)
			}
			tree := string(pdftest.Run(t, "pdfinfo", "-struct-text", file))
			for _, want := range []string{"Figure", "Impfstoff", "Vaccine", "Łańcucka", "Zertifikatskennung", say(kind.lang, "pdf.title"), say(kind.other(), "pdf.fold")[:20]} {
				if !strings.Contains(tree, want) {
					t.Errorf("lacks %q:\n%s", want, tree)
				}
			}
			if got := strings.Contains(tree, say("de", "muster.text")[:12]); got == kind.production {
				t.Errorf("says MUSTER: %v", got)
			}
		})
	}
}
