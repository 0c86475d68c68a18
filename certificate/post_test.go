package certificate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"impfportal/internal/pdf/pdftest"
	"impfportal/internal/pg"
	"impfportal/internal/qr/qrtest"
	"impfportal/notify"
)

// Who has no e-mail gets the certificate itself by post, and by SMS word of it.
func TestByPost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Sender = []string{"Impfportal Sachsen", "Musterstraße 1", "01067 Dresden"}
	postal := &notify.Address{Name: "Gabriele Musterfrau", Street: "Weg 1", Postcode: "04109", City: "Leipzig"}
	to := map[string]notify.Recipient{}
	b.Recipient = func(_ context.Context, _ pg.Querier, personID string) (notify.Recipient, bool, error) {
		r, ok := to[personID]
		return r, ok, nil
	}
	last := func(r notify.Recipient, change func(*Vaccination)) (Certificate, notify.Message) {
		t.Helper()
		v := b.vaccinate(change)
		r.KeyID = v.KeyID
		to[v.PersonID] = r
		b.make(v)
		return b.exactlyOne(v), b.told[len(b.told)-1]
	}
	if _, m := last(notify.Recipient{Email: "a@example.org", Postal: postal}, nil); m.ByPost || m.Letter != nil {
		t.Error("with an e-mail address it comes by post")
	}
	if _, m := last(notify.Recipient{Phone: "+491701234567"}, nil); m.ByPost || !strings.Contains(m.SMS, "https://") {
		t.Error("without a postal address it comes by post")
	}
	for _, r := range []notify.Recipient{{Phone: "+491701234567", Postal: postal, Lang: "de"}, {Postal: postal, Lang: "en"}} {
		c, m := last(r, nil)
		if !m.ByPost || !strings.Contains(m.SMS, "Post") && !strings.Contains(m.SMS, "post") {
			t.Fatalf("%+v", m)
		}
		pdftest.Accessible(t, m.Letter, map[string]string{"de": "de-DE", "en": "en-GB"}[r.Lang])
		file := filepath.Join(t.TempDir(), "letter.pdf")
		if dir := os.Getenv("CERTIFICATE_PREVIEW"); dir != "" {
			file = filepath.Join(dir, "letter-"+r.Lang+".pdf")
		}
		if err := os.WriteFile(file, m.Letter, 0o600); err != nil {
			t.Fatal(err)
		}
		text := string(pdftest.Run(t, "pdftotext", "-layout", file, "-"))
		for _, want := range []string{"Gabriele Musterfrau", "04109 Leipzig", "MUSTER", "Comirnaty", c.Entry().ID[:20], "2021-07-19"} {
			if !strings.Contains(text, want) {
				t.Errorf("lacks %q:\n%s", want, text)
			}
		}
		if n := strings.Count(text, "\f"); n != 2 {
			t.Errorf("%d pages", n)
		}
		root := strings.TrimSuffix(file, ".pdf")
		pdftest.Run(t, "pdftoppm", "-r", "240", "-f", "2", "-l", "2", "-png", "-singlefile", file, root)
		picture, err := os.ReadFile(root + ".png")
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := qrtest.Try(t, upperLeft(t, picture)); !ok || got != c.HC1 {
			t.Error("the printed code cannot be read, or says something else")
		}
	}
}
