package dcc

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// The extended key usages that say what a DSC may sign (EU certificate
// governance). A DSC with none of the three may sign everything.
var (
	oidTest        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 1}
	OIDVaccination = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 2}
	oidRecovery    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 3}
)

// dscUsage returns what a usage allows, also in the spelling with a zero in
// it that early DSCs and the public test data have.
func dscUsage(oid asn1.ObjectIdentifier) asn1.ObjectIdentifier {
	if len(oid) == len(OIDVaccination)+1 && oid[6] == 0 {
		return slices.Delete(slices.Clone(oid), 6, 7)
	}
	return oid
}

// MayVaccinate reports whether a DSC may sign vaccination certificates, as
// ErrKeyUsage when it may not.
func MayVaccinate(dsc *x509.Certificate) error {
	if dsc.KeyUsage != 0 && dsc.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return ErrKeyUsage
	}
	limited := false
	for _, oid := range dsc.UnknownExtKeyUsage {
		usage := dscUsage(oid)
		if usage.Equal(OIDVaccination) {
			return nil
		}
		limited = limited || usage.Equal(oidTest) || usage.Equal(oidRecovery)
	}
	if limited {
		return ErrKeyUsage
	}
	return nil
}
