package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"impfportal/certificate/dcc"
)

// Lives. A certificate for people is technically valid for a year (as the
// German ones were), so a DSC of two years signs during its first year; the
// CSCA outlives every DSC it signs in its first two years.
const (
	Validity = 365 * 24 * time.Hour
	dscLife  = 2 * Validity
	cscaLife = 4 * Validity
	backdate = 24 * time.Hour // clocks of verifiers may be slow
)

// subject names a certificate authority or signer of this portal.
func subject(organisation, name string) pkix.Name {
	return pkix.Name{Country: []string{dcc.Country}, Organization: []string{organisation}, CommonName: name}
}

// newCSCA makes the key and self-signed certificate of a country signing
// certificate authority (CSCA).
func newCSCA(organisation string, now time.Time) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:               subject(organisation, organisation+" CSCA"),
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(cscaLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return newCertificate(t, nil, nil)
}

// newDSC makes the key and certificate of a document signer.
func newDSC(organisation string, ca *x509.Certificate, caKey crypto.Signer, now time.Time) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:               subject(organisation, organisation+" DSC"),
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(dscLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{dcc.OIDVaccination},
		BasicConstraintsValid: true,
	}
	return newCertificate(t, ca, caKey)
}

// newCertificate makes a P-256 key and its certificate; without a parent the
// certificate signs itself.
func newCertificate(t, parent *x509.Certificate, parentKey crypto.Signer) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, fmt.Errorf("signing: make %s: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	return key, cert, err
}

// signsAt reports whether a DSC may sign at this moment a certificate that is
// valid for a whole year.
func signsAt(dsc *x509.Certificate, now time.Time) bool {
	return dcc.MayVaccinate(dsc) == nil && !now.Before(dsc.NotBefore) && !now.Add(Validity).After(dsc.NotAfter)
}

// Expiry is the end of a certificate issued now: a year, and never after the
// DSC that signs it.
func Expiry(dsc *x509.Certificate, now time.Time) time.Time {
	return slices.MinFunc([]time.Time{now.Add(Validity), dsc.NotAfter}, time.Time.Compare).Truncate(time.Second)
}
