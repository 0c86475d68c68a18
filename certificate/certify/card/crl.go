package card

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// ErrCRL says that something is no complete list of what this authority has taken back.
var ErrCRL = errors.New("card: no revocation list of this authority")

// CRL is what an authority says it has taken back (RFC 5280, section 5).
type CRL struct {
	ThisUpdate, NextUpdate time.Time
	Hash                   [32]byte // SHA-256 of the list
	Serials                []string // as Certificate.Serial has them
}

// Serial is the certificate's serial number, hexadecimal.
func (c *Certificate) Serial() string { return fmt.Sprintf("%x", c.SerialNumber) }

// ParseCRL reads a list (DER or PEM) that an authority signed itself. Lists of others'
// certificates, parts of lists, and lists without an end are refused: ErrCRL.
func ParseCRL(raw []byte, by *Certificate) (l CRL, err error) {
	if block, _ := pem.Decode(raw); block != nil && block.Type == "X509 CRL" {
		raw = block.Bytes
	}
	bad := func(what string, err error) (CRL, error) {
		return CRL{}, errors.Join(fmt.Errorf("%w: %s", ErrCRL, what), err)
	}
	list, err := x509.ParseRevocationList(raw)
	switch {
	case err != nil:
		return bad("malformed", err)
	case !bytes.Equal(list.RawIssuer, by.RawSubject):
		return bad("of another authority", nil)
	case !by.signed(list):
		return bad("signature", nil)
	case list.NextUpdate.IsZero() || !list.ThisUpdate.Before(list.NextUpdate):
		return bad("without an end", nil)
	}
	for _, e := range list.Extensions {
		if e.Critical { // a part of the list, or somebody else's: 5.2.4, 5.2.5
			return bad("not the whole list", nil)
		}
	}
	l = CRL{ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate, Hash: sha256.Sum256(raw), Serials: make([]string, 0, len(list.RevokedCertificateEntries))}
	for _, e := range list.RevokedCertificateEntries {
		for _, x := range e.Extensions {
			if x.Critical {
				return bad("an entry of another authority", nil)
			}
		}
		l.Serials = append(l.Serials, fmt.Sprintf("%x", e.SerialNumber))
	}
	return l, nil
}

// signed reports whether an authority signed a list.
func (c *Certificate) signed(l *x509.RevocationList) bool {
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return false
	}
	if c.Key == c.PublicKey { // the standard library knows the curve
		return c.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature) == nil
	}
	k, ok := c.Key.(*ecdsa.PublicKey)
	h, known := map[x509.SignatureAlgorithm]crypto.Hash{x509.ECDSAWithSHA256: crypto.SHA256, x509.ECDSAWithSHA384: crypto.SHA384, x509.ECDSAWithSHA512: crypto.SHA512}[l.SignatureAlgorithm]
	if !ok || !known {
		return false
	}
	sum := h.New()
	sum.Write(l.RawTBSRevocationList)
	return ecdsa.VerifyASN1(k, sum.Sum(nil), l.Signature)
}
