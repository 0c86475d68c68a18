package verifier

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
	"testing"
	"time"

	"impfportal/certificate/dcc"
	"impfportal/certificate/dcc/dcctest"
)

// issue makes a certificate of a key, signed by a parent's; nil = by its own.
func issue(t testing.TB, name string, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer, usage x509.KeyUsage, ca bool) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Country: []string{"DE"}, CommonName: name}, NotBefore: issued.Add(-time.Hour), NotAfter: issued.Add(2 * year),
		KeyUsage: usage, BasicConstraintsValid: true, IsCA: ca,
	}
	if !ca {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{dcc.OIDVaccination}
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A signer counts in the browser when an authority of the page has signed it, whatever
// kind of key that has; else nothing of the list does.
func TestSignersHaveAnAuthority(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t, elliptic.P256())
	stranger := issue(t, "MUSTER CSCA", newKey(t, elliptic.P256()), nil, nil, x509.KeyUsageCertSign, true)
	for name, c := range map[string]struct {
		key   crypto.Signer
		alone bool // browsers cannot check it: the signer itself is brought
	}{
		"P-256": {newKey(t, elliptic.P256()), false}, "P-384": {newKey(t, elliptic.P384()), false}, "P-521": {newKey(t, elliptic.P521()), false},
		"RSA": {rsaKey, false}, "P-224": {newKey(t, elliptic.P224()), true}, "Ed25519": {edKey, true},
	} {
		ca := issue(t, "MUSTER CSCA", c.key, nil, nil, x509.KeyUsageCertSign, true)
		dsc := issue(t, "MUSTER DSC", key, ca, c.key, x509.KeyUsageDigitalSignature, false)
		brought := anchors([]*x509.Certificate{stranger, ca}, []*x509.Certificate{dsc, dsc})
		want := ca
		if c.alone {
			want = dsc
		}
		if len(brought) != 1 || !slices.Equal(brought[0], want.Raw) {
			t.Errorf("%s: the page brings %d certificates", name, len(brought))
			continue
		}
		signer, err := dcc.NewSigner(key, dsc)
		if err != nil {
			t.Fatal(err)
		}
		d := newDesk(t, signer)
		d.anchors = []string{base64.StdEncoding.EncodeToString(stranger.Raw), base64.StdEncoding.EncodeToString(brought[0])}
		if a := d.open(false); a.Error != "" || a.Signers != 1 {
			t.Errorf("%s: %+v", name, a)
		}
		text, _ := sign(t, signer, vaccination(), "Freistaat Sachsen")
		d.expect(name, text, issued.Add(time.Hour), Valid)
		d.anchors = d.anchors[:1]
		if a := d.open(false); a.Error != "trust: signature" {
			t.Errorf("%s, of an authority of the same name: %+v", name, a)
		}
	}

	// A signer is no authority, though it is trusted.
	dscKey := newKey(t, elliptic.P256())
	dsc := issue(t, "MUSTER DSC", dscKey, nil, nil, x509.KeyUsageDigitalSignature, false)
	other := issue(t, "MUSTER DSC 2", key, dsc, dscKey, x509.KeyUsageDigitalSignature, false)
	signer, err := dcc.NewSigner(key, other)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, signer)
	d.anchors = []string{base64.StdEncoding.EncodeToString(dsc.Raw)}
	if a := d.open(false); a.Error != "trust: signature" {
		t.Errorf("signed by a signer: %+v", a)
	}
}

// Key ids are short: of two signers with the same one both are tried, by both verifiers.
func TestSameKeyID(t *testing.T) {
	t.Parallel()
	now := issued.Add(time.Hour)
	first := dcctest.Signer(t, issued.Add(-time.Hour), issued.Add(2*year), dcc.OIDVaccination)
	second := dcctest.Signer(t, issued.Add(-time.Hour), issued.Add(2*year), dcc.OIDVaccination)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, first, second)
	d.signers = append([]*x509.Certificate{issue(t, "MUSTER DSC RSA", rsaKey, nil, nil, x509.KeyUsageDigitalSignature, false)}, d.signers...)
	for _, s := range []*dcc.Signer{first, second} {
		text, _ := sign(t, s, vaccination(), "Freistaat Sachsen")
		kid := dcc.KID(s.Certificate())
		d.kid = kid[:]
		if a := d.open(false); a.Signers != 3 {
			t.Fatalf("%+v", a)
		}
		d.expect("one of three", text, now, Valid)
		d.expect("by none of three", dcctest.Replace(t, text, "Sachsen", "Lachsen"), now, Signature)
	}
}
