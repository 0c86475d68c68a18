package signing

import (
	"crypto"
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

// newCSCA certifies the key of a country signing certificate authority (CSCA)
// with itself.
func newCSCA(organisation string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{Country: []string{dcc.Country}, Organization: []string{organisation}, CommonName: organisation + " CSCA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(cscaLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return newCertificate(t, key.Public(), t, key)
}

// newDSC certifies the key of a document signer for a cohort.
func newDSC(organisation, cohort string, public crypto.PublicKey, ca *x509.Certificate, caKey crypto.Signer, now time.Time) (*x509.Certificate, error) {
	name := pkix.Name{Country: []string{dcc.Country}, Organization: []string{organisation}, CommonName: organisation + " DSC"}
	if cohort != "" {
		name.OrganizationalUnit = []string{cohort}
		name.CommonName += " " + cohort
	}
	return newCertificate(&x509.Certificate{
		Subject:               name,
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(dscLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{dcc.OIDVaccination},
		BasicConstraintsValid: true,
	}, public, ca, caKey)
}

func newCertificate(t *x509.Certificate, public crypto.PublicKey, parent *x509.Certificate, parentKey crypto.Signer) (_ *x509.Certificate, err error) {
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, parentKey)
	if err != nil {
		return nil, fmt.Errorf("signing: make %s: %w", t.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// validAt reports whether a DSC may sign vaccinations at all at this moment.
func validAt(dsc *x509.Certificate, now time.Time) bool {
	return dcc.MayVaccinate(dsc) == nil && !now.Before(dsc.NotBefore) && now.Before(dsc.NotAfter)
}

// signsAt reports whether a DSC may sign at this moment a certificate that is
// valid for a whole year.
func signsAt(dsc *x509.Certificate, now time.Time) bool {
	return validAt(dsc, now) && !now.Add(Validity).After(dsc.NotAfter)
}

// Expiry is the end of a certificate issued now: a year, and never after the
// DSC that signs it.
func Expiry(dsc *x509.Certificate, now time.Time) time.Time {
	return slices.MinFunc([]time.Time{now.Add(Validity), dsc.NotAfter}, time.Time.Compare).Truncate(time.Second)
}
