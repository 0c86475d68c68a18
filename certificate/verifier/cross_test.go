package verifier

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"impfportal/certificate/dcc"
	"impfportal/certificate/dcc/dcctest"
	"impfportal/certificate/revocation"
)

const year = 365 * 24 * time.Hour

var issued = time.Date(2021, 7, 19, 10, 30, 0, 0, time.UTC)

// upload makes a key that signs batches.
func upload(t testing.TB) (sign func(b revocation.Batch) string, pin string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "MUSTER Widerrufe"}, NotBefore: issued.Add(-time.Hour), NotAfter: issued.Add(year)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return func(b revocation.Batch) string {
		body, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		m, err := pkcs7.NewSignedData(body)
		if err != nil {
			t.Fatal(err)
		}
		m.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
		if err := m.AddSigner(c, key, pkcs7.SignerInfoConfig{}); err != nil {
			t.Fatal(err)
		}
		cms, err := m.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(cms)
	}, base64.StdEncoding.EncodeToString(der)
}

// desk verifies in both ways: with the page's modules and on the server.
type desk struct {
	*core
	server  *Service
	signers []*x509.Certificate
	batches []string
	pins    []string // sign batches
	anchors []string // of the signers; nil = they themselves
	kid     []byte   // of every signer; nil = their own
	listsAt time.Time
	hashes  map[string]bool

	distrusted [][]byte
}

func newDesk(t testing.TB, signers ...*dcc.Signer) *desk {
	d := &desk{core: startCore(t), listsAt: issued, batches: []string{}, hashes: map[string]bool{}}
	for _, s := range signers {
		d.signers = append(d.signers, s.Certificate())
	}
	d.server = New(Config{
		Signers:    func() []*x509.Certificate { return d.signers },
		Distrusted: func(context.Context) ([][]byte, error) { return d.distrusted, nil },
		Revoked: func(_ context.Context, uvci string, rHash []byte) (bool, error) {
			return d.hashes[string(revocation.UCIHash(uvci))] || d.hashes[string(rHash)], nil
		},
		Production: true,
	})
	return d
}

type listsAnswer struct {
	Error           string
	Hashes, Signers int
}

func (d *desk) open(test bool) (a listsAnswer) {
	d.t.Helper()
	var signers []map[string]string
	pinned := append([]string{}, d.anchors...)
	for _, s := range d.signers {
		text := base64.StdEncoding.EncodeToString(s.Raw)
		signers = append(signers, map[string]string{"certificate": text})
		if d.anchors == nil {
			pinned = append(pinned, text)
		}
	}
	d.server.kidOf = dcc.KID
	if d.kid != nil {
		d.server.kidOf = func(*x509.Certificate) [8]byte { return [8]byte(d.kid) }
	}
	d.ask("lists", map[string]any{"pins": map[string]any{"signers": pinned, "batches": append([]string{}, d.pins...)}, "kid": d.kid, "downloaded": map[string]any{
		"trust":       map[string]any{"at": d.listsAt.UnixMilli(), "test": test, "signers": signers, "distrusted": append([][]byte{}, d.distrusted...)},
		"revocations": map[string]any{"at": d.listsAt.UnixMilli(), "batches": d.batches},
	}}, &a)
	d.server.Production = !test
	return a
}

type checked struct {
	Reason, Colour string
	Facts          *struct {
		Name, Birth, Issuer, ID, Product, FullFrom string
		Dose, Doses                                int
	}
}

// inBrowser is the page's verdict.
func (d *desk) inBrowser(text string, now time.Time) (a checked) {
	d.t.Helper()
	d.ask("check", map[string]any{"text": text, "now": now.UnixMilli(), "maxAge": (24 * time.Hour).Milliseconds(), "products": products()}, &a)
	return a
}

// expect asks both.
func (d *desk) expect(what, text string, now time.Time, want Reason) checked {
	d.t.Helper()
	a := d.inBrowser(text, now)
	v, err := d.server.Check(d.t.Context(), text, now)
	if err != nil {
		d.t.Fatal(err)
	}
	if a.Reason != string(want) || v.Reason != want {
		d.t.Errorf("%s: in the browser %s, on the server %s, not %s", what, a.Reason, v.Reason, want)
	}
	if (a.Facts != nil) != (v.Decoded != nil) {
		d.t.Errorf("%s: facts in the browser %v, on the server %v", what, a.Facts != nil, v.Decoded != nil)
	}
	return a
}

func sign(t testing.TB, s *dcc.Signer, v dcc.Vaccination, issuer string) (string, dcc.Payload) {
	t.Helper()
	b, err := dcc.Build(v, issuer, dcc.NewUVCI(v.Place), issued, issued.Add(year))
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.HC1(b)
	if err != nil {
		t.Fatal(err)
	}
	return text, b.Claims().HCert.DCC
}

func vaccination() dcc.Vaccination {
	return dcc.Vaccination{
		ProductID: "comirnaty", Place: "leipzig", DoseNumber: 2, DosesTotal: 2, Day: time.Date(2021, 7, 19, 0, 0, 0, 0, time.UTC),
		FamilyName: "Musterfrau-Gößinger", GivenName: "Gabriele Jiřina", Birth: "1998-02-26",
	}
}

// What our signer makes, the page's modules read, and the other way round nothing
// passes that is not ours: 200 certificates of all vaccines and doses, each also
// edited, rewritten, and by its rewritten signature revoked.
func TestOwnCertificates(t *testing.T) {
	t.Parallel()
	signer := dcctest.Signer(t, issued.Add(-time.Hour), issued.Add(2*year), dcc.OIDVaccination)
	d := newDesk(t, signer)
	batch, pin := upload(t)
	d.pins = []string{pin}
	now := issued.Add(time.Hour)
	if a := d.open(false); a.Signers != 1 || a.Error != "" {
		t.Fatalf("%+v", a)
	}
	numbers := [][2]int{{1, 2}, {2, 2}, {1, 1}, {2, 1}, {3, 1}, {3, 3}, {4, 4}}
	products := []string{"comirnaty", "spikevax", "vaxzevria", "nuvaxovid", "janssen"}
	births := []string{"1998-02-26", "1964-08", "1931", ""}
	var texts []string
	var revoked revocation.Batch
	revoked.HashType = revocation.TypeSignature
	for i := 0; len(texts) < 200; i++ {
		v := vaccination()
		n := numbers[i/len(products)%len(numbers)]
		v.ProductID, v.DoseNumber, v.DosesTotal, v.Stated, v.Birth = products[i%len(products)], n[0], n[1], true, births[i%len(births)]
		v.FamilyName = fmt.Sprintf("Öztürk-%c%c", 'A'+i%26, 'a'+i/26%26)
		codes, _ := dcc.CodesFor(v.ProductID, issued)
		if _, _, err := dcc.Doses(codes, v); err != nil {
			continue
		}
		text, payload := sign(t, signer, v, "Freistaat Sachsen")
		texts = append(texts, text)
		got := d.expect(fmt.Sprint(v), text, now, Valid)
		if e := payload.V[0]; got.Facts == nil || got.Colour != "green" || got.Facts.Name != payload.Name.Given+" "+payload.Name.Family || got.Facts.Birth != payload.Birth ||
			got.Facts.Dose != e.Dose || got.Facts.Doses != e.Doses || got.Facts.ID != e.ID || got.Facts.Issuer != e.Issuer || got.Facts.Product != codes.ProductName {
			t.Errorf("%+v is shown as %+v", payload, got.Facts)
		}
		d.expect("edited", dcctest.Replace(t, text, "Freistaat", "Freistadt"), now, Signature)
		d.expect("rewritten", dcctest.Rewrite(t, text), now, Valid)
		decoded, err := dcc.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		h := decoded.RHash()
		d.hashes[string(h[:])] = true
		revoked.Entries = append(revoked.Entries, revocation.Hash{Hash: h[:]})
	}
	d.batches = []string{batch(revoked)}
	if a := d.open(false); a.Hashes != len(texts) {
		t.Fatalf("%+v", a)
	}
	for _, text := range texts {
		d.expect("revoked", text, now, Revoked)
		if a := d.expect("revoked and rewritten", dcctest.Rewrite(t, text), now, Revoked); a.Colour != "red" || a.Facts == nil {
			t.Errorf("%+v", a)
		}
	}
}

// Each reason, by both verifiers.
func TestReasons(t *testing.T) {
	t.Parallel()
	now := issued.Add(time.Hour)
	long := issued.Add(3 * year)
	ours := dcctest.Signer(t, issued.Add(-time.Hour), long, dcc.OIDVaccination)
	unlimited := dcctest.Signer(t, issued.Add(-time.Hour), long)
	misspelt := dcctest.Signer(t, issued.Add(-time.Hour), long, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 0, 1847, 2021, 1, 2})
	tests := dcctest.Signer(t, issued.Add(-time.Hour), long, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 1})
	short := dcctest.Signer(t, issued.Add(-time.Hour), issued.Add(time.Minute), dcc.OIDVaccination)
	stranger := dcctest.Signer(t, issued.Add(-time.Hour), long, dcc.OIDVaccination)
	d := newDesk(t, ours, unlimited, misspelt, tests, short)
	batch, pin := upload(t)
	d.pins = []string{pin}
	const issuer = "Freistaat Sachsen"
	text := func(s *dcc.Signer) string { out, _ := sign(t, s, vaccination(), issuer); return out }

	good, payload := sign(t, ours, vaccination(), issuer)
	d.open(false)
	d.expect("no usages named", text(unlimited), now, Valid)
	d.expect("misspelt usage", text(misspelt), now, Valid)
	d.expect("for tests only", text(tests), now, Usage)
	d.expect("signer's time over", text(short), now, Expired)
	d.expect("stranger", text(stranger), now, Signer)
	d.expect("too early", good, issued.Add(-time.Minute), Early)
	d.expect("with line breaks", " "+good[:40]+"\r\n"+good[40:]+"\n", now, Valid)
	for what, bad := range map[string]string{"empty": "", "words": "guten Tag", "prefix alone": "HC1:", "cut off": good[:len(good)-4], "other prefix": "HC2:" + good[4:]} {
		d.expect(what, bad, now, Unreadable)
	}
	d.expect("bytes left over", dcctest.Edit(t, good, func(m []byte) []byte { return append(m, 0) }), now, Unreadable)
	muster, _ := sign(t, ours, vaccination(), "MUSTER Impfportal")
	d.expect("MUSTER", muster, now, Muster)
	d.open(true)
	if a := d.expect("a portal that is not in production", good, now, Muster); a.Colour != "yellow" {
		t.Errorf("%+v", a)
	}

	kid := dcc.KID(ours.Certificate())
	d.distrusted = [][]byte{kid[:]}
	d.open(false)
	d.expect("a signer that was distrusted", good, now, Distrusted)
	d.expect("another signer", text(unlimited), now, Valid)
	d.distrusted = nil

	d.listsAt = issued.Add(year)
	d.open(false)
	d.expect("expired", good, issued.Add(year), Expired)
	d.listsAt = issued
	d.open(false)
	if a := d.inBrowser(good, issued.Add(25*time.Hour)); a.Reason != string(Stale) || a.Facts != nil || a.Colour != "yellow" {
		t.Errorf("old lists: %+v", a)
	}

	// All three kinds of hashes of the EU count.
	id := payload.V[0].ID
	for kind, hash := range map[revocation.HashType][]byte{revocation.TypeUCI: revocation.UCIHash(id), revocation.TypeCountryUCI: revocation.CountryUCIHash("DE", id)} {
		d.batches = []string{batch(revocation.Batch{HashType: kind, Entries: []revocation.Hash{{Hash: hash}}})}
		d.open(false)
		if a := d.inBrowser(good, now); a.Reason != string(Revoked) {
			t.Errorf("%s: %+v", kind, a)
		}
	}
	if a := d.inBrowser(text(ours), now); a.Reason != string(Valid) {
		t.Errorf("another certificate: %+v", a)
	}
	// A batch by another key, and one that was changed, are not believed.
	other, _ := upload(t)
	d.batches = []string{other(revocation.Batch{HashType: revocation.TypeUCI})}
	if a := d.open(false); a.Error != "cms: signature" {
		t.Errorf("foreign batch: %+v", a)
	}
	if a := d.inBrowser(good, now); a.Reason != string(Stale) {
		t.Errorf("without lists: %+v", a)
	}
	sum := sha256.Sum256([]byte("x"))
	genuine := batch(revocation.Batch{HashType: revocation.TypeUCI, Entries: []revocation.Hash{{Hash: sum[:16]}}})
	raw, _ := base64.StdEncoding.DecodeString(genuine)
	at := len(raw) - 1
	for i := range raw {
		if raw[i] == '"' { // within the content
			at = i + 2
			break
		}
	}
	raw[at] ^= 1
	d.batches = []string{base64.StdEncoding.EncodeToString(raw)}
	if a := d.open(false); a.Error == "" {
		t.Errorf("changed batch: %+v", a)
	}
}
