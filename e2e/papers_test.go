package e2e

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// The papers of the story, read by programs that are not ours: poppler for
// PDF, zbar for QR codes, go-cose for signatures.

// fact is what the browser tests tell of a person.
type fact struct {
	Family, Given, Street, Postcode, City, Sex, Year, Month, Day string
	CaseNumber, Secret, Reference                                string
	Appointments                                                 []string
	Certificate                                                  struct{ PDF, PNG, TXT string }
}

func facts(t *testing.T, folder string) map[string]fact {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]fact{}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// printed is what a program prints.
func printed(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return string(out)
}

// words is the text of a PDF in one line.
func words(t *testing.T, args ...string) string {
	t.Helper()
	return strings.Join(strings.Fields(printed(t, "pdftotext", append(args, "-")...)), " ")
}

// checkLetters reads the letter to the caller in the print job: the address in
// the window of DIN 5008 form B, both appointments, the login data.
func checkLetters(t *testing.T, folder string) {
	t.Helper()
	gerda := facts(t, folder)["gerda"]
	job, err := zip.OpenReader(filepath.Join(folder, "letters.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	var letters []string
	for _, f := range job.File {
		if !strings.HasSuffix(f.Name, ".pdf") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, filepath.Base(f.Name))
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		letters = append(letters, path)
	}
	if len(letters) != 1 {
		t.Fatalf("%d letters wait for printing, not the one", len(letters))
	}
	// At 72 dpi a point is a pixel. The window: 20 mm from the left, 45 mm from
	// the top, 85 x 45 mm.
	window := words(t, "-f", "1", "-l", "1", "-r", "72", "-x", "57", "-y", "128", "-W", "241", "-H", "128", "-layout", letters[0])
	for _, want := range []string{gerda.Given + " " + gerda.Family, gerda.Street, gerda.Postcode + " " + gerda.City} {
		if !strings.Contains(window, want) {
			t.Errorf("the address window lacks %q: %q", want, window)
		}
	}
	all := words(t, "-layout", letters[0])
	for _, want := range append(slices.Clone(gerda.Appointments), gerda.Reference, gerda.CaseNumber, gerda.Secret) {
		if want == "" || !strings.Contains(all, want) {
			t.Errorf("the letter lacks %q:\n%s", want, all)
		}
	}
	if len(gerda.Appointments) != 2 {
		t.Errorf("the caller has %d appointments", len(gerda.Appointments))
	}
}

// checkCertificates verifies what the citizens downloaded.
func checkCertificates(t *testing.T, p *portal, folder string) {
	t.Helper()
	signers := trusted(t, p)
	all := facts(t, folder)
	for _, name := range []string{"erika", "karl"} {
		who := all[name]
		file := func(name string) string { return filepath.Join(folder, name) }
		text, err := os.ReadFile(file(who.Certificate.TXT))
		if err != nil {
			t.Fatal(err)
		}
		hc1 := strings.TrimSpace(string(text))
		if fromPicture := readQR(t, file(who.Certificate.PNG)); fromPicture != hc1 {
			t.Errorf("%s: the picture says %q, the text %q", name, fromPicture, hc1)
		}
		sheet := strings.TrimSuffix(file(who.Certificate.PDF), ".pdf") + "-page"
		printed(t, "pdftoppm", "-png", "-r", "200", "-f", "1", "-singlefile", file(who.Certificate.PDF), sheet)
		if fromPaper := readQR(t, sheet+".png"); fromPaper != hc1 {
			t.Errorf("%s: the paper says %q, the text %q", name, fromPaper, hc1)
		}
		paper := words(t, file(who.Certificate.PDF))
		for _, want := range []string{"MUSTER", who.Family, who.Given} {
			if !strings.Contains(paper, want) {
				t.Errorf("%s: the paper lacks %q:\n%s", name, want, paper)
			}
		}
		checkHC1(t, hc1, who, "2021-01-12", signers)
	}
}

// checkIssued verifies what a pharmacy has printed.
func checkIssued(t *testing.T, p *portal, folder string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "issued.txt"))
	if err != nil {
		t.Fatal(err)
	}
	hc1 := strings.TrimSpace(string(text))
	sheet := filepath.Join(folder, "issued-page")
	printed(t, "pdftoppm", "-png", "-r", "200", "-f", "1", "-singlefile", filepath.Join(folder, "issued.pdf"), sheet)
	for _, picture := range []string{sheet + ".png", filepath.Join(folder, "issued.png")} {
		if got := readQR(t, picture); got != hc1 {
			t.Errorf("%s says %q, the text %q", picture, got, hc1)
		}
	}
	checkHC1(t, hc1, fact{Family: "Müßiggang", Given: "Erika", Year: "1964", Month: "8", Day: "12"}, "2021-06-15", trusted(t, p))
}

// readQR reads the one HC1 code of a picture.
func readQR(t *testing.T, png string) string {
	t.Helper()
	for line := range strings.Lines(printed(t, "zbarimg", "--quiet", "--nodbus", "--raw", "-Sdisable", "-Sqrcode.enable", png)) {
		if strings.HasPrefix(line, "HC1:") {
			return strings.TrimRight(line, "\n")
		}
	}
	t.Fatalf("%s: no HC1 code", png)
	return ""
}

// trusted fetches the trust list by key id; each signer is vouched for by an
// authority of the list.
func trusted(t *testing.T, p *portal) map[string]*x509.Certificate {
	t.Helper()
	res, err := http.Get(p.URL + "/api/v1/certificates/trust")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	type entry struct {
		KID         []byte `json:"kid"`
		Certificate []byte `json:"certificate"`
	}
	var list struct {
		Test        bool
		Signers     []entry
		Authorities []entry
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	if !list.Test {
		t.Error("the trust list does not say that it is for tests")
	}
	parse := func(e entry) *x509.Certificate {
		c, err := x509.ParseCertificate(e.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var authorities []*x509.Certificate
	for _, e := range list.Authorities {
		authorities = append(authorities, parse(e))
	}
	out := map[string]*x509.Certificate{}
	for _, e := range list.Signers {
		c := parse(e)
		if !slices.ContainsFunc(authorities, func(ca *x509.Certificate) bool { return c.CheckSignatureFrom(ca) == nil }) {
			t.Errorf("no authority vouches for %s", c.Subject)
		}
		out[base64.StdEncoding.EncodeToString(e.KID)] = c
	}
	return out
}

// checkHC1 takes a certificate's text apart and verifies it; the dose was given, and the
// certificate issued, on the day.
func checkHC1(t *testing.T, text string, who fact, day string, signers map[string]*x509.Certificate) {
	t.Helper()
	packed, ok := strings.CutPrefix(text, "HC1:")
	if !ok {
		t.Fatalf("%q is no health certificate", text)
	}
	r, err := zlib.NewReader(bytes.NewReader(base45(t, packed)))
	if err != nil {
		t.Fatal(err)
	}
	message, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(message); err != nil {
		t.Fatal(err)
	}
	kid, _ := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
	dsc := signers[base64.StdEncoding.EncodeToString(kid)]
	if dsc == nil {
		t.Fatalf("key %x is not on the trust list", kid)
	}
	v, err := cose.NewVerifier(cose.AlgorithmES256, dsc.PublicKey.(*ecdsa.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(nil, v); err != nil {
		t.Fatalf("signature: %v", err)
	}
	m.Payload[len(m.Payload)/2] ^= 1
	if m.Verify(nil, v) == nil {
		t.Error("a changed certificate verifies")
	}
	m.Payload[len(m.Payload)/2] ^= 1

	var claims struct {
		Iss   string `cbor:"1,keyasint"`
		Exp   int64  `cbor:"4,keyasint"`
		Iat   int64  `cbor:"6,keyasint"`
		HCert map[int]struct {
			Ver string            `cbor:"ver"`
			Nam map[string]string `cbor:"nam"`
			Dob string            `cbor:"dob"`
			V   []map[string]any  `cbor:"v"`
		} `cbor:"-260,keyasint"`
	}
	if err := cbor.Unmarshal(m.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	dcc := claims.HCert[1]
	born := who.Year + "-" + leadingZero(who.Month) + "-" + leadingZero(who.Day)
	issued := time.Unix(claims.Iat, 0)
	if claims.Iss != "DE" || claims.Exp <= claims.Iat || issued.Before(dsc.NotBefore) || time.Unix(claims.Exp, 0).After(dsc.NotAfter) ||
		issued.Format(time.DateOnly) != day {
		t.Errorf("claims: %+v", claims)
	}
	if !strings.HasPrefix(dcc.Ver, "1.3.") || dcc.Nam["fn"] != who.Family || dcc.Nam["gn"] != who.Given || dcc.Dob != born || len(dcc.V) != 1 {
		t.Fatalf("certificate: %+v", dcc)
	}
	for key, transliterated := range map[string]string{"fnt": dcc.Nam["fnt"], "gnt": dcc.Nam["gnt"]} {
		if transliterated == "" || strings.Trim(transliterated, "ABCDEFGHIJKLMNOPQRSTUVWXYZ<") != "" {
			t.Errorf("%s is %q", key, transliterated)
		}
	}
	entry := dcc.V[0]
	for key, want := range map[string]any{"tg": "840539006", "dn": uint64(1), "sd": uint64(2), "dt": day, "co": "DE"} {
		if entry[key] != want {
			t.Errorf("%s is %v, not %v", key, entry[key], want)
		}
	}
	if issuer, _ := entry["is"].(string); !strings.Contains(issuer, "MUSTER") {
		t.Errorf("the issuer is %q: does not say MUSTER", issuer)
	}
	if id, _ := entry["ci"].(string); !strings.HasPrefix(id, "URN:UVCI:01DE/") {
		t.Errorf("the certificate's id is %q", id)
	}
}

func leadingZero(n string) string {
	if len(n) == 1 {
		return "0" + n
	}
	return n
}

// base45 decodes after RFC 9285.
func base45(t *testing.T, s string) []byte {
	t.Helper()
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
	var out []byte
	for len(s) > 0 {
		n := min(3, len(s))
		value, weight := 0, 1
		for _, c := range s[:n] {
			digit := strings.IndexRune(alphabet, c)
			if digit < 0 {
				t.Fatalf("%q is not base45", c)
			}
			value, weight = value+digit*weight, weight*45
		}
		switch {
		case n == 3 && value < 1<<16:
			out = append(out, byte(value>>8), byte(value))
		case n == 2 && value < 1<<8:
			out = append(out, byte(value))
		default:
			t.Fatalf("%q is not base45", s[:n])
		}
		s = s[n:]
	}
	return out
}
