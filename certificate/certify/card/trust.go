package card

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Trust is which certificates count.
type Trust struct {
	// Authorities issued them, directly.
	Authorities []*Certificate
	// Policies are those of which a certificate must have one; none = any.
	Policies []asn1.ObjectIdentifier
	// Professions are those of which a certificate must state one, by the issuer's
	// kind; a kind that is not named has none that counts. nil = any.
	Professions map[string][]asn1.ObjectIdentifier
	// Organisations are those of which the subject must name one (O); none = any.
	Organisations []string
}

// By is the authority that issued a certificate, nil when none of the configured did.
func (t Trust) By(c *Certificate) *Certificate {
	n := slices.IndexFunc(t.Authorities, func(a *Certificate) bool {
		return bytes.Equal(a.RawSubject, c.RawIssuer) && (len(c.AuthorityKeyId) == 0 || len(a.SubjectKeyId) == 0 || bytes.Equal(a.SubjectKeyId, c.AuthorityKeyId)) && a.issued(c)
	})
	if n < 0 {
		return nil
	}
	return t.Authorities[n]
}

// Check holds a certificate against what is configured, all but the profession.
// It returns ErrAuthority, ErrTime, ErrUsage or ErrPolicy.
func (t Trust) Check(c *Certificate, at time.Time) error {
	a := t.By(c)
	if a == nil {
		return ErrAuthority
	}
	switch {
	case !within(a, at):
		return fmt.Errorf("%w: of the authority", ErrTime)
	case !within(c, at):
		return ErrTime
	case c.IsCA || len(c.UnhandledCriticalExtensions) > 0,
		c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0,
		!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return ErrUsage
	case len(t.Policies) > 0 && !has(c.PolicyIdentifiers, t.Policies),
		len(t.Organisations) > 0 && !slices.ContainsFunc(c.Subject.Organization, func(o string) bool { return slices.Contains(t.Organisations, o) }):
		return ErrPolicy
	}
	return nil
}

// CheckKind holds the profession that a certificate states against a kind of issuer.
func (t Trust) CheckKind(c *Certificate, kind string) error {
	if t.Professions != nil && !has(c.Professions, t.Professions[kind]) {
		return ErrProfession
	}
	return nil
}

func within(c *Certificate, at time.Time) bool {
	return !at.Before(c.NotBefore) && !at.After(c.NotAfter)
}

// Authorities reads the certificates of authorities from PEM files. Each must be
// one that may issue.
func Authorities(files []string) (out []*Certificate, err error) {
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		n := len(out)
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			c, err := Parse(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
				return nil, fmt.Errorf("%s: %q is no authority", f, c.Subject.CommonName)
			}
			out = append(out, c)
		}
		if len(out) == n {
			return nil, fmt.Errorf("%s: no certificate in it", f)
		}
	}
	return out, nil
}

// OIDs reads object identifiers such as "1.2.276.0.76.4.77".
func OIDs(list []string) (out []asn1.ObjectIdentifier, err error) {
	for _, text := range list {
		var o asn1.ObjectIdentifier
		for part := range strings.SplitSeq(strings.TrimSpace(text), ".") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%q is no object identifier", text)
			}
			o = append(o, n)
		}
		if len(o) < 2 {
			return nil, fmt.Errorf("%q is no object identifier", text)
		}
		out = append(out, o)
	}
	return out, nil
}

// Professions reads professions by kind: "practice=1.2.276.0.76.4.50". An empty
// list is nil: any profession.
func Professions(list []string) (map[string][]asn1.ObjectIdentifier, error) {
	var out map[string][]asn1.ObjectIdentifier
	for _, text := range list {
		kind, oid, ok := strings.Cut(strings.TrimSpace(text), "=")
		o, err := OIDs([]string{oid})
		if !ok || kind == "" || err != nil {
			return nil, fmt.Errorf("%q is not of the form kind=OID", text)
		}
		if out == nil {
			out = map[string][]asn1.ObjectIdentifier{}
		}
		out[kind] = append(out[kind], o...)
	}
	return out, nil
}
