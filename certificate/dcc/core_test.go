package dcc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

var issuedAt = time.Date(2021, 7, 19, 10, 30, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// testSigner makes an authority and a signer that it has certified.
func testSigner(t testing.TB, now time.Time) (*Signer, *x509.Certificate) {
	t.Helper()
	certify := func(c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, parentKey = c, key
		}
		c.NotBefore, c.NotAfter, c.BasicConstraintsValid = now.Add(-time.Hour), now.Add(2*year), true
		c.SerialNumber = big.NewInt(now.UnixNano())
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return key, out
	}
	caKey, ca := certify(&x509.Certificate{Subject: pkix.Name{CommonName: "MUSTER CSCA"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	key, dsc := certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: "MUSTER DSC"}, KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: []asn1.ObjectIdentifier{OIDVaccination},
	}, ca, caKey)
	s, err := NewSigner(key, dsc)
	if err != nil {
		t.Fatal(err)
	}
	return s, ca
}

func sample() Vaccination {
	return Vaccination{
		ProductID: "comirnaty", Place: "leipzig", DoseNumber: 2, DosesTotal: 2,
		Day:        time.Date(2021, 7, 19, 0, 0, 0, 0, time.UTC),
		FamilyName: "Musterfrau-Gößinger", GivenName: "Gabriele Jiřina", Birth: "1998-02-26",
	}
}

func sampleClaims(t testing.TB) *Built {
	t.Helper()
	c, err := Build(sample(), "MUSTER Impfportal Sachsen", NewUVCI("leipzig"), issuedAt, issuedAt.Add(year))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
