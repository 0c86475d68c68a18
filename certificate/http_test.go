package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"html"
	"image"
	"image/draw"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"impfportal/certificate/dcc"
	"impfportal/internal/id"
	"impfportal/internal/qr"
	"impfportal/internal/qr/qrtest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

func (b *bench) app() *webtest.App {
	b.t.Helper()
	return webtest.New(b.t, webtest.Config{Pool: b.Pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{Assets}})
}

func citizen(personID string) web.User {
	return web.User{Kind: "citizen", ID: personID, Roles: []web.Role{web.RoleCitizen}}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(func(v *Vaccination) { v.FamilyName = "<b>Müller</b>" })
	app := b.app()
	for _, path := range []string{"/certificates", "/certificates/" + id.New() + "/hc1.txt"} {
		if a := app.Get(path); a.Status != http.StatusSeeOther || a.Body != "" {
			t.Errorf("%s without login: %d", path, a.Status)
		}
	}
	app.LoginAs(citizen(v.PersonID))
	contains := func(a webtest.Answer, wants ...string) {
		t.Helper()
		for _, w := range wants {
			if a.Status != http.StatusOK || !strings.Contains(a.Body, w) {
				t.Errorf("%d, lacks %q in %s", a.Status, w, a.Body)
			}
		}
	}
	contains(app.Get("/certificates"), "wird gerade erstellt", "MUSTER")
	if err := b.intend(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	contains(app.Get("/certificates"), "wird gerade erstellt")
	begun := "/certificates/" + b.list(v)[0].ID
	for _, path := range []string{begun + "/certificate.pdf", begun + "/qr.png", begun + "/hc1.txt"} {
		if a := app.Get(path); a.Status != http.StatusConflict {
			t.Errorf("%s before it is ready: %d", path, a.Status)
		}
	}
	b.make(v)
	c := b.exactlyOne(v)
	page := app.Get("/certificates")
	contains(page, "Impfung 2 von 2: Comirnaty", "Gabriele Jiřina &lt;b&gt;Müller&lt;/b&gt;", "Montag, 19. Juli 2021", "MUSTER Impfportal Sachsen", c.Entry().ID,
		"Dienstag, 3. August 2021" /* the 15th day after */, `src="/certificates/`+c.ID+`/qr.png"`)
	if page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("cache: %s", page.Header.Get("Cache-Control"))
	}
	own := "/certificates/" + c.ID
	if a := app.Get(own + "/qr.png"); a.Header.Get("Content-Type") != "image/png" || qrtest.Read(t, []byte(a.Body)) != c.HC1 {
		t.Errorf("picture: %d %s", a.Status, a.Header.Get("Content-Type"))
	}
	if a := app.Get(own + "/hc1.txt"); a.Body != c.HC1 || !strings.Contains(a.Header.Get("Content-Disposition"), "impfzertifikat-2021-07-19.txt") {
		t.Errorf("text: %d %v", a.Status, a.Header)
	}
	if a := app.Get(own + "/certificate.pdf"); !strings.HasPrefix(a.Body, "%PDF-") {
		t.Errorf("PDF: %d", a.Status)
	}

	wallet := app.Get(own + "/wallet")
	contains(wallet, `src="`+own+`/qr.png"`, own+`/wallet"`, "MUSTER")
	if wallet.Header.Get("Cache-Control") != "no-store" || !strings.Contains(html.UnescapeString(wallet.Body), ">"+c.HC1+"</textarea>") || strings.Count(wallet.Body, "HC1:") != 1 {
		t.Errorf("the certificate stands elsewhere than in the text field: %s", wallet.Body)
	}

	stranger := app.Another()
	stranger.LoginAs(citizen(id.New()))
	contains(stranger.Get("/certificates"), "noch kein Impfzertifikat")
	for _, path := range []string{own + "/certificate.pdf", own + "/qr.png", own + "/hc1.txt", own + "/wallet", "/certificates/1/hc1.txt", "/api/v1/certificates/" + c.ID} {
		if a := stranger.Get(path); a.Status != http.StatusNotFound {
			t.Errorf("%s for a stranger: %d", path, a.Status)
		}
	}
	staff := app.Another()
	staff.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "S", Roles: web.StaffRoles})
	if a := staff.Get(own + "/hc1.txt"); a.Status != http.StatusSeeOther || a.Body != "" {
		t.Errorf("staff: %d", a.Status)
	}

	english := app.Another()
	english.Lang = "en"
	english.LoginAs(citizen(v.PersonID))
	contains(english.Get("/certificates"), "Vaccination 2 of 2: Comirnaty", "This is a sample")

	refused := b.vaccinate(func(v *Vaccination) { v.FamilyName = "Иванова" })
	b.make(refused)
	app.LoginAs(citizen(refused.PersonID))
	contains(app.Get("/certificates"), "Schreibweise in Ihrem Pass")
}

func TestCards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	b.make(v)
	w := b.vaccinate(func(w *Vaccination) { w.PersonID, w.DoseNumber = v.PersonID, 1 })
	if err := b.intend(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	b.make(b.vaccinate(func(v *Vaccination) { v.FamilyName = "Иванова" }))
	if f, err := b.Count(t.Context(), b.Pool, b.clock().Add(2*stale)); err != nil || f != (Figures{Today: 1, Released: 1, Open: 1, Late: 1, Refused: 1, Muster: true}) {
		t.Errorf("%+v, %v", f, err)
	}
	show := func(card web.Card) func(c *web.Ctx) error {
		return func(c *web.Ctx) error {
			html, err := c.Cards([]web.Card{card})
			if err != nil {
				return err
			}
			body := ""
			for _, h := range html {
				body += string(h)
			}
			return c.SendString(body)
		}
	}
	app := webtest.New(t, webtest.Config{Pool: b.Pool, Now: b.clock, Bundles: []web.Bundle{Assets}, Routes: []web.Route{
		{Method: http.MethodGet, Path: "/card", Roles: []web.Role{web.RoleCitizen}, Handle: show(b.Card())},
		{Method: http.MethodGet, Path: "/figures", Handle: show(b.AdminCard())},
	}})
	app.LoginAs(citizen(v.PersonID))
	if a := app.Get("/card"); !strings.Contains(a.Body, "Impfung 2 von 2 mit Comirnaty am") || !strings.Contains(a.Body, "wird gerade erstellt") {
		t.Errorf("%s", a.Body)
	}
	if a := app.Get("/figures"); !strings.Contains(a.Body, "brauchen eine Klärung") {
		t.Errorf("%s", a.Body)
	}
	app.LoginAs(citizen(id.New()))
	if a := app.Get("/card"); a.Body != "" {
		t.Errorf("a card without certificates: %s", a.Body)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	app := b.app()
	app.LoginAs(citizen(v.PersonID))
	var list listJSON
	if app.JSON(http.MethodGet, "/api/v1/certificates", nil, &list); len(list.Certificates) != 1 || list.Certificates[0].State != "making" {
		t.Errorf("%+v", list)
	}
	b.make(v)
	app.JSON(http.MethodGet, "/api/v1/certificates", nil, &list)
	first := list.Certificates[0]
	if first.State != "ready" || first.HC1 != "" || !first.Test || first.Product != "Comirnaty" || first.VaccinatedOn != "2021-07-19" {
		t.Errorf("%+v", first)
	}
	var one JSON
	app.JSON(http.MethodGet, "/api/v1/certificates/"+first.ID, nil, &one)
	if a := app.JSON(http.MethodGet, "/api/v1/certificates/"+id.New(), nil, nil); a.Status != http.StatusNotFound {
		t.Errorf("unknown: %d", a.Status)
	}

	// A verifier who knows nothing but the trust list.
	var trust trustJSON
	if a := app.Another().JSON(http.MethodGet, "/api/v1/certificates/trust", nil, &trust); a.Status != http.StatusOK || len(trust.Signers) != 1 || len(trust.Authorities) != 1 {
		t.Fatalf("trust list: %d %+v", a.Status, trust)
	}
	d, err := dcc.Decode(one.HC1)
	if err != nil {
		t.Fatal(err)
	}
	if kid := base64.StdEncoding.EncodeToString(d.KID); kid != trust.Signers[0].KID {
		t.Errorf("key id %s, trust list has %s", kid, trust.Signers[0].KID)
	}
	parse := func(text string) *x509.Certificate {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	dsc, ca := parse(trust.Signers[0].Certificate), parse(trust.Authorities[0].Certificate)
	if err := dsc.CheckSignatureFrom(ca); err != nil {
		t.Error(err)
	}
	if err := d.Verify(dsc); err != nil {
		t.Error(err)
	}
}

// The printed code is read by a stranger's reader from the page, and has the
// size that scanners expect.
func TestPDF(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(func(v *Vaccination) { v.FamilyName = strings.Repeat("Łańcucka-", 9); v.Birth = "1964" })
	b.make(v)
	c := b.exactlyOne(v)
	body, err := b.PDF(c, "de")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.pdf")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command("pdftotext", "-layout", file, "-").Output()
	if err != nil {
		t.Fatalf("pdftotext: %v", err)
	}
	for _, want := range []string{
		"MUSTER", "Digitales COVID-Zertifikat der EU", "EU Digital COVID Certificate", "Gabriele Jiřina", "2021-07-19",
		"Comirnaty (EU/1/20/1528)", "Biontech Manufacturing GmbH", "URN:UVCI:01DE/LEIPZIG/", "GABRIELE<JIRINA",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if n := strings.Count(string(text), "\f"); n != 1 {
		t.Errorf("%d pages", n)
	}
	// A person moves the camera until the reader finds the code; here the
	// distance changes. What is read must be right at once.
	found := false
	for _, dpi := range []string{"300", "240", "360", "200"} {
		if got, ok := qrtest.Try(t, scan(t, file, dpi)); ok {
			found = true
			if got != c.HC1 {
				t.Error("the printed code says something else")
			}
			break
		}
	}
	if !found {
		t.Error("the printed code cannot be read")
	}
	code, _ := qr.Encode(c.HC1, qr.Q)
	if diagonal := printedSide * 1.4142; diagonal < 35 || diagonal > 60 || printedSide/float64(code.Size()) < 0.35 {
		t.Errorf("diagonal %.1f mm, module %.2f mm", diagonal, printedSide/float64(code.Size()))
	}
}

// scan prints a page and takes a picture of its upper left part.
func scan(t *testing.T, file, dpi string) []byte {
	t.Helper()
	root := strings.TrimSuffix(file, ".pdf")
	if err := exec.Command("pdftoppm", "-r", dpi, "-png", "-singlefile", file, root).Run(); err != nil {
		t.Fatalf("pdftoppm: %v", err)
	}
	raw, err := os.ReadFile(root + ".png")
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("CERTIFICATE_PREVIEW"); dir != "" {
		_ = os.WriteFile(filepath.Join(dir, "certificate.png"), raw, 0o600)
	}
	return upperLeft(t, raw)
}

// upperLeft is the part of a page's picture in which the code is.
func upperLeft(t *testing.T, raw []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	part := image.NewGray(image.Rect(0, 0, b.Dx()*2/5, b.Dy()*3/10))
	draw.Draw(part, part.Bounds(), img, image.Pt(0, b.Dy()/9), draw.Src)
	var out bytes.Buffer
	if err := png.Encode(&out, part); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
