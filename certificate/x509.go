package certificate

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
)

// The extended key usages that say what a DSC may sign (EU certificate
// governance). A DSC with none of the three may sign everything.
var (
	oidTest        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 1}
	oidVaccination = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 2}
	oidRecovery    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 3}
)

// dscUsage returns what a usage allows, also in the spelling with a zero in
// it that early DSCs and the public test data have.
func dscUsage(oid asn1.ObjectIdentifier) asn1.ObjectIdentifier {
	if len(oid) == len(oidVaccination)+1 && oid[6] == 0 {
		return slices.Delete(slices.Clone(oid), 6, 7)
	}
	return oid
}

// Lives. A certificate for people is technically valid for a year (as the
// German ones were), so a DSC of two years signs during its first year; the
// CSCA outlives every DSC it signs in its first two years.
const (
	validity = 365 * 24 * time.Hour
	dscLife  = 2 * validity
	cscaLife = 4 * validity
	backdate = 24 * time.Hour // clocks of verifiers may be slow
)

// mayVaccinate reports whether a DSC may sign vaccination certificates, as
// ErrKeyUsage when it may not.
func mayVaccinate(dsc *x509.Certificate) error {
	if dsc.KeyUsage != 0 && dsc.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return ErrKeyUsage
	}
	limited := false
	for _, oid := range dsc.UnknownExtKeyUsage {
		usage := dscUsage(oid)
		if usage.Equal(oidVaccination) {
			return nil
		}
		limited = limited || usage.Equal(oidTest) || usage.Equal(oidRecovery)
	}
	if limited {
		return ErrKeyUsage
	}
	return nil
}

// subject names a certificate authority or signer of this portal.
func subject(organisation, name string) pkix.Name {
	return pkix.Name{Country: []string{Country}, Organization: []string{organisation}, CommonName: name}
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
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{oidVaccination},
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
		return nil, nil, fmt.Errorf("certificate: make %s: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	return key, cert, err
}

// signsAt reports whether a DSC may sign at this moment a certificate that is
// valid for a whole year.
func signsAt(dsc *x509.Certificate, now time.Time) bool {
	return mayVaccinate(dsc) == nil && !now.Before(dsc.NotBefore) && !now.Add(validity).After(dsc.NotAfter)
}

// expiry is the end of a certificate issued now: a year, and never after the
// DSC that signs it.
func expiry(dsc *x509.Certificate, now time.Time) time.Time {
	return slices.MinFunc([]time.Time{now.Add(validity), dsc.NotAfter}, time.Time.Compare).Truncate(time.Second)
}
