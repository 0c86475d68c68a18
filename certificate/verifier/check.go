package verifier

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"impfportal/certificate/dcc"
)

// Reason is why a certificate is valid or not; see the package's table.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	Unreadable Reason = "unreadable"
	Stale      Reason = "stale"      // in the browser only
	Distrusted Reason = "distrusted" // its signer, whatever it has signed
	Signer     Reason = "signer"
	Signature  Reason = "signature"
	Schema     Reason = "schema"
	Usage      Reason = "usage"
	Revoked    Reason = "revoked"
	Early      Reason = "early"
	Expired    Reason = "expired"
	Muster     Reason = "muster"
	Valid      Reason = "valid"
)

// Reasons lists all of them.
var Reasons = []Reason{Unreadable, Stale, Distrusted, Signer, Signature, Schema, Usage, Revoked, Early, Expired, Muster, Valid}

// Kind is the kind of notice in which the page tells a reason.
func (r Reason) Kind() string {
	switch r {
	case Valid:
		return "success"
	case Muster, Stale:
		return "warning"
	}
	return "danger"
}

// Verdict is the answer on a certificate.
type Verdict struct {
	Reason  Reason
	Decoded *dcc.Decoded // nil while its signature is not known to be genuine
}

// separators are what copying adds to a text.
var separators = strings.NewReplacer("\r", "", "\n", "", "\t", "")

// Check gives the verdict on the text of a QR code. An error means that
// revocations or distrusted signers could not be asked.
func (s *Service) Check(ctx context.Context, text string, now time.Time) (Verdict, error) {
	d, err := dcc.Decode(separators.Replace(strings.TrimSpace(text)))
	if err != nil {
		return Verdict{Reason: Unreadable}, nil //nolint:nilerr // that is the answer
	}
	distrusted, err := s.Distrusted(ctx)
	if err != nil {
		return Verdict{}, err
	}
	if slices.ContainsFunc(distrusted, func(kid []byte) bool { return bytes.Equal(kid, d.KID) }) {
		return Verdict{Reason: Distrusted}, nil
	}
	dsc, reason := s.signerOf(d)
	if dsc == nil {
		return Verdict{Reason: reason}, nil
	}
	if len(d.Claims.HCert.DCC.V) != 1 {
		return Verdict{Reason: Schema}, nil
	}
	v := Verdict{Reason: Valid, Decoded: d}
	entry, hash := d.Claims.HCert.DCC.V[0], d.RHash()
	revoked, err := s.Revoked(ctx, entry.ID, hash[:])
	at := now.Unix()
	switch {
	case err != nil:
		return Verdict{}, err
	case dcc.MayVaccinate(dsc) != nil:
		v.Reason = Usage
	case revoked:
		v.Reason = Revoked
	case at < d.Claims.IssuedAt || now.Before(dsc.NotBefore):
		v.Reason = Early
	case at >= d.Claims.ExpiresAt || now.After(dsc.NotAfter):
		v.Reason = Expired
	case !s.Production || strings.Contains(entry.Issuer, dcc.Muster):
		v.Reason = Muster
	}
	return v, nil
}

// signerOf finds whose signature it is. Key ids are short: every signer of that id
// is tried.
func (s *Service) signerOf(d *dcc.Decoded) (*x509.Certificate, Reason) {
	reason := Signer
	for _, dsc := range s.Signers() {
		if kid := s.kidOf(dsc); !bytes.Equal(kid[:], d.KID) {
			continue
		}
		err := d.Verify(dsc)
		if err == nil {
			return dsc, Valid
		}
		if reason = Signature; errors.Is(err, dcc.ErrAlgorithm) {
			continue
		}
	}
	return nil, reason
}
