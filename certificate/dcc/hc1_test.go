package dcc

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/veraison/go-cose"

	"impfportal/internal/qr"
	"impfportal/internal/qr/qrtest"
	"impfportal/internal/shareddata"
)

// verifyElsewhere checks a text with code that is not ours: go-cose for
// structure and signature, the official schema for the content.
func verifyElsewhere(t *testing.T, text string, s *Signer, schema *jsonschema.Schema) {
	t.Helper()
	packed, err := unwrapText(text)
	if err != nil {
		t.Fatal(err)
	}
	message, err := inflate(packed)
	if err != nil {
		t.Fatal(err)
	}
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(message); err != nil {
		t.Fatalf("go-cose: %v", err)
	}
	v, err := cose.NewVerifier(cose.AlgorithmES256, s.cert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(nil, v); err != nil {
		t.Fatalf("go-cose: %v", err)
	}
	if alg, err := m.Headers.Protected.Algorithm(); err != nil || alg != cose.AlgorithmES256 {
		t.Fatalf("algorithm %v, %v", alg, err)
	}
	kid := KID(s.cert)
	if got, _ := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte); !bytes.Equal(got, kid[:]) || len(m.Headers.Unprotected) != 0 {
		t.Fatalf("key id %x in the protected header, unprotected %v", got, m.Headers.Unprotected)
	}
	var claims struct {
		Iss   string        `cbor:"1,keyasint"`
		Exp   uint64        `cbor:"4,keyasint"`
		Iat   uint64        `cbor:"6,keyasint"`
		HCert map[int64]any `cbor:"-260,keyasint"`
	}
	if err := cbor.Unmarshal(m.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Iss != "DE" || claims.Exp <= claims.Iat || time.Unix(int64(claims.Exp), 0).After(s.cert.NotAfter) || time.Unix(int64(claims.Iat), 0).Before(s.cert.NotBefore) {
		t.Fatalf("claims %+v", claims)
	}
	checkSchema(t, schema, claims.HCert[1])
}

func checkSchema(t *testing.T, schema *jsonschema.Schema, dcc any) {
	t.Helper()
	if err := schema.Validate(asJSON(t, dcc)); err != nil {
		t.Fatalf("official schema: %v", err)
	}
}

// asJSON brings what CBOR gave into the form that the schema reads.
func asJSON(t testing.TB, v any) any {
	t.Helper()
	raw, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var typed struct {
		Ver string            `cbor:"ver" json:"ver"`
		Nam map[string]string `cbor:"nam" json:"nam"`
		Dob string            `cbor:"dob" json:"dob"`
		V   []map[string]any  `cbor:"v" json:"v,omitempty"`
		T   []map[string]any  `cbor:"t" json:"t,omitempty"`
		R   []map[string]any  `cbor:"r" json:"r,omitempty"`
	}
	if err := cbor.Unmarshal(raw, &typed); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(typed)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// officialSchema is the EU's schema with the value sets it refers to, which
// plain JSON schema would ignore ("valueset-uri").
func officialSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(shareddata.Path(t, "dcc/DCC.combined-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range doc.(map[string]any)["$defs"].(map[string]any) {
		def := d.(map[string]any)
		uri, ok := def["valueset-uri"].(string)
		if !ok {
			continue
		}
		path := filepath.Join(filepath.Dir(shareddata.Path(t, "dcc/valuesets")), filepath.FromSlash(uri))
		if _, err := os.Stat(path); err != nil {
			continue // test types and manufacturers are not among the shared data
		}
		var set []any
		for code := range valueSet(t, path) {
			set = append(set, code)
		}
		def["enum"] = set
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("dcc.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("dcc.json")
}

func valueSet(t testing.TB, path string) map[string]map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Values map[string]map[string]any `json:"valueSetValues"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	return set.Values
}

// Every vaccine, dose and form of birth date, before and after the change of
// codes: verified by foreign code, read back from the picture, and legal by
// the EU's value sets and encoding instructions.
func TestCertificatesVerifyElsewhere(t *testing.T) {
	t.Parallel()
	schema := officialSchema(t)
	instructions := valueSet(t, shareddata.Path(t, "dcc/valuesets/vaccine-encoding-instructions.json"))
	for _, now := range []time.Time{issuedAt, time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)} {
		s, ca := testSigner(t, now)
		if err := s.cert.CheckSignatureFrom(ca); err != nil {
			t.Fatal(err)
		}
		for product := range codesByProduct {
			for i, v := range []Vaccination{
				{DoseNumber: 1, DosesTotal: 1, Birth: "1964-08-12", FamilyName: "Müller", GivenName: "Jörg"},
				{DoseNumber: 1, DosesTotal: 2, Birth: "1964", FamilyName: "d'Červenková Panklová", GivenName: "Jiřina-Maria Alena"},
				{DoseNumber: 2, DosesTotal: 2, Birth: "", FamilyName: strings.Repeat("Łänge", 30)},
				{DoseNumber: 3, DosesTotal: 3, Birth: "1964-08-12", FamilyName: "Booster", GivenName: "Bärbel"},
				{DoseNumber: 2, DosesTotal: 1, FirstProduct: "janssen", Birth: "1964-08-12", FamilyName: "Ø", GivenName: "Å"},
				{DoseNumber: 3, DosesTotal: 1, Recovered: true, Birth: "1964-08-12", FamilyName: "ß", GivenName: "Ĳ"},
				{DoseNumber: 2, DosesTotal: 2, Birth: "1964-08", FamilyName: "<script>alert(1)</script>", GivenName: "Ана", PassportGiven: "Ana"},
			} {
				codes, _ := CodesFor(product, now)
				if v.ProductID, v.Day = product, issuedAt.Truncate(24*time.Hour); codes.Doses == 1 && (v.DosesTotal == 2 || v.DoseNumber == 2) {
					continue
				}
				c, err := Build(v, "MUSTER Impfportal Sachsen", NewUVCI("leipzig"), now, now.Add(year))
				if err != nil {
					t.Fatalf("%s %d: %v", product, i, err)
				}
				text, err := s.HC1(c)
				if err != nil {
					t.Fatal(err)
				}
				verifyElsewhere(t, text, s, schema)
				code, err := qr.Encode(text, qr.Q)
				if err != nil {
					t.Fatal(err)
				}
				if i == 1 && qrtest.Read(t, code.PNG(6)) != text {
					t.Errorf("%s: the picture says something else", product)
				}
				if now != issuedAt {
					checkInstructions(t, instructions, c.Claims().HCert.DCC.V[0])
				}
				checkOwn(t, text, c, s)
			}
		}
	}
}

// checkInstructions holds the combination of codes against the EU's list of
// legal ones (which knows the present state only).
func checkInstructions(t *testing.T, instructions map[string]map[string]any, e Entry) {
	t.Helper()
	for _, in := range instructions {
		if in["vaccine-code"] != e.Product {
			continue
		}
		if in["vaccine-manufacturer"] != e.Holder {
			t.Errorf("%s with holder %s", e.Product, e.Holder)
		}
		for _, sct := range in["sct-codes"].([]any) {
			if sct == e.Prophylaxis {
				return
			}
		}
	}
	t.Errorf("no legal combination: %+v", e)
}

// checkOwn reads the text back with our own decoder.
func checkOwn(t *testing.T, text string, c *Built, s *Signer) {
	t.Helper()
	d, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := c.CBOR()
	if !bytes.Equal(d.Payload, want) {
		t.Errorf("payload changed on its way")
	}
	if err := d.Verify(s.cert); err != nil {
		t.Error(err)
	}
	if err := d.ValidAt(time.Unix(c.claims.IssuedAt, 0), s.cert); err != nil {
		t.Error(err)
	}
	for _, off := range []time.Time{time.Unix(c.claims.IssuedAt-1, 0), time.Unix(c.claims.ExpiresAt, 0)} {
		if err := d.ValidAt(off, s.cert); !errors.Is(err, ErrValidity) {
			t.Errorf("valid at %v: %v", off, err)
		}
	}
	other, _ := testSigner(t, time.Unix(c.claims.IssuedAt, 0))
	if err := d.Verify(other.cert); !errors.Is(err, ErrSignature) {
		t.Errorf("verified with another DSC: %v", err)
	}
	for i := range d.Payload {
		changed := *d
		changed.Payload = bytes.Clone(d.Payload)
		changed.Payload[i] ^= 1
		if i%17 == 0 && changed.Verify(s.cert) == nil {
			t.Fatalf("payload changed at %d, signature still valid", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	s, _ := testSigner(f, issuedAt)
	c := sampleClaims(f)
	text, err := s.HC1(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("HC1:" + string(appendBase45(nil, []byte{0x78, 0x9c, 1, 2, 3})))
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Decode(text)
		if err == nil && d.Verify(s.cert) == nil && !bytes.Equal(d.Payload, mustCBOR(t, c)) {
			t.Fatalf("forged: %q", text)
		}
	})
}

// FuzzMessage skips the layers that random bytes seldom get through.
func FuzzMessage(f *testing.F) {
	s, _ := testSigner(f, issuedAt)
	c := sampleClaims(f)
	text, err := s.HC1(c)
	if err != nil {
		f.Fatal(err)
	}
	packed, _ := unwrapText(text)
	message, _ := inflate(packed)
	f.Add(message)
	f.Fuzz(func(t *testing.T, message []byte) {
		d, err := decodeCOSE(message)
		if err == nil && d.Verify(s.cert) == nil && !bytes.Equal(d.Payload, mustCBOR(t, c)) {
			t.Fatalf("forged: %x", message)
		}
	})
}

func mustCBOR(t testing.TB, c *Built) []byte {
	t.Helper()
	b, err := c.CBOR()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRawSignature(t *testing.T) {
	t.Parallel()
	s, _ := testSigner(t, issuedAt)
	c := sampleClaims(t)
	for range 600 { // short r and s (leading zeros) occur once in 256
		text, err := s.HC1(c)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Decode(text)
		if err != nil || d.Verify(s.cert) != nil {
			t.Fatal(err)
		}
	}
	var sig [sigLen]byte
	for _, bad := range []string{"", "\x30\x06\x02\x01\x01\x02\x01", "\x30\x06\x02\x01\x01\x02\x02\x01", "\x30\x07\x02\x01\x01\x02\x01\x01\x00", "\x30\x06\x03\x01\x01\x02\x01\x01"} {
		if rawSignature(&sig, []byte(bad)) == nil {
			t.Errorf("%x passes", bad)
		}
	}
}
