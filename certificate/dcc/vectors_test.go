package dcc

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"impfportal/internal/shareddata"
)

// vector is one of the EU's public test certificates. What a vector tests are
// the expectations that it names, and no others.
type vector struct {
	Text    string `json:"PREFIX"`
	Base45  string `json:"BASE45"`
	Context struct {
		Certificate string    `json:"CERTIFICATE"`
		Clock       time.Time `json:"VALIDATIONCLOCK"`
		Description string    `json:"DESCRIPTION"`
	} `json:"TESTCTX"`
	Expected struct {
		Unprefix    *bool `json:"EXPECTEDUNPREFIX"`
		Base45      *bool `json:"EXPECTEDB45DECODE"`
		Compression *bool `json:"EXPECTEDCOMPRESSION"`
		Decode      *bool `json:"EXPECTEDDECODE"`
		Verify      *bool `json:"EXPECTEDVERIFY"`
		Schema      *bool `json:"EXPECTEDSCHEMAVALIDATION"`
		Expiration  *bool `json:"EXPECTEDEXPIRATIONCHECK"`
		KeyUsage    *bool `json:"EXPECTEDKEYUSAGE"`
	} `json:"EXPECTEDRESULTS"`
}

// What signers of tests and recoveries may do is left out: this portal knows
// vaccinations only.
func TestPublicVectors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(shareddata.Path(t, "dcc/testdata") + "/*/2DCode/raw/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	checked := map[string]int{}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(file))))+"/"+filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &v); err != nil {
				t.Fatal(err)
			}
			checkVector(t, v, checked)
		})
	}
	for _, layer := range []string{"prefix", "base45", "zlib", "cbor", "signature", "schema", "times", "usage", "PS256"} {
		if checked[layer] < 2 {
			t.Errorf("only %d vectors tested %s", checked[layer], layer)
		}
	}
}

func checkVector(t *testing.T, v vector, checked map[string]int) {
	t.Logf("%s", v.Context.Description)
	e := v.Expected
	expect := func(layer string, want *bool, err error) {
		if want == nil {
			return
		}
		checked[layer]++
		if *want != (err == nil) {
			t.Errorf("%s: want ok = %v, got %v", layer, *want, err)
		}
	}
	packed, err := unwrapText(v.Text)
	if !errors.Is(err, ErrBase45) {
		expect("prefix", e.Unprefix, err)
	}
	if err == nil || errors.Is(err, ErrBase45) {
		expect("base45", e.Base45, err)
	}
	if err != nil {
		return
	}
	message, err := inflate(packed)
	expect("zlib", e.Compression, err)
	if err != nil {
		return
	}
	d, err := decodeCOSE(message)
	expect("cbor", e.Decode, err)
	if err != nil {
		if e.Verify != nil && *e.Verify || e.Schema != nil && *e.Schema {
			t.Fatalf("not readable: %v", err)
		}
		return
	}
	der, err := base64.StdEncoding.DecodeString(v.Context.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	dsc, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("its DSC: %v", err)
	}
	if d.Alg == algPS256 && e.Verify != nil {
		checked["PS256"]++
	}
	expect("signature", e.Verify, d.Verify(dsc))
	if len(d.Claims.HCert.DCC.V) > 0 {
		expect("usage", e.KeyUsage, MayVaccinate(dsc))
	}
	if e.Expiration != nil {
		err := d.ValidAt(v.Context.Clock, dsc)
		if errors.Is(err, ErrKeyUsage) {
			err = nil
		}
		expect("times", e.Expiration, err)
	}
	if e.Schema != nil {
		expect("schema", e.Schema, officialSchema(t).Validate(dccOf(t, d)))
	}
}

func dccOf(t *testing.T, d *Decoded) any {
	t.Helper()
	var claims struct {
		HCert map[int64]any `cbor:"-260,keyasint"`
	}
	if err := cbor.Unmarshal(d.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return asJSON(t, claims.HCert[1])
}
