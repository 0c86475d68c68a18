package certificate

import (
	"crypto/x509"
	"testing"
	"time"
)

var issuedAt = time.Date(2021, 7, 19, 10, 30, 0, 0, time.UTC)

func testSigner(t testing.TB, now time.Time) (*Signer, *x509.Certificate) {
	t.Helper()
	caKey, ca, err := newCSCA("MUSTER", now)
	if err != nil {
		t.Fatal(err)
	}
	key, dsc, err := newDSC("MUSTER", ca, caKey, now)
	if err != nil {
		t.Fatal(err)
	}
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

func sampleClaims(t testing.TB) Claims {
	t.Helper()
	c, err := Build(sample(), "MUSTER Impfportal Sachsen", NewUVCI("leipzig"), issuedAt, issuedAt.Add(validity))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
