package card

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"

	"github.com/ProtonMail/go-crypto/brainpool"
)

// Errors of this package. Compare with errors.Is.
var (
	// ErrMalformed says that something is no certificate that can be read.
	ErrMalformed = errors.New("card: malformed certificate")
	// ErrKey says that a key is of a kind or size that does not count.
	ErrKey = errors.New("card: key is not accepted")
	// ErrSignature says that a signature is not that of the card.
	ErrSignature = errors.New("card: signature does not hold")
	// ErrAuthority says that none of the configured authorities issued it.
	ErrAuthority = errors.New("card: unknown authority")
	// ErrTime says that it is not valid now.
	ErrTime = errors.New("card: certificate is not valid now")
	// ErrUsage says that it is not for logging in.
	ErrUsage = errors.New("card: certificate is for something else")
	// ErrPolicy says that it was issued under none of the configured policies.
	ErrPolicy = errors.New("card: certificate has no accepted policy")
	// ErrProfession says that it states no profession of this kind of issuer.
	ErrProfession = errors.New("card: certificate is of another profession")
)

// maxDER bounds a certificate, in bytes.
const maxDER = 16 << 10

// minRSA is the least size of an RSA key, in bits.
const minRSA = 2048

// Certificate is an X.509 certificate with its key, also where the standard
// library does not know the curve: then the embedded PublicKey is not its key.
type Certificate struct {
	*x509.Certificate

	Key         crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
	Professions []asn1.ObjectIdentifier

	raw, tbs  []byte
	algorithm asn1.ObjectIdentifier
	signature []byte
}

var (
	oidECKey     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidAdmission = asn1.ObjectIdentifier{1, 3, 36, 8, 3, 3}

	// Brainpool curves by OID (RFC 5639).
	curves = map[string]func() elliptic.Curve{
		"1.3.36.3.3.2.8.1.1.7":  brainpool.P256r1,
		"1.3.36.3.3.2.8.1.1.11": brainpool.P384r1,
		"1.3.36.3.3.2.8.1.1.13": brainpool.P512r1,
	}
)

// Parse reads a certificate (DER).
func Parse(der []byte) (*Certificate, error) {
	if len(der) > maxDER {
		return nil, fmt.Errorf("%w: too long", ErrMalformed)
	}
	outer, err := children(der)
	if err != nil || len(outer) != 3 {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, errors.Join(err, errShape))
	}
	c := &Certificate{raw: der, tbs: outer[0].FullBytes}
	var algorithm pkix.AlgorithmIdentifier
	var signature asn1.BitString
	if err := errors.Join(whole(outer[1].FullBytes, &algorithm), whole(outer[2].FullBytes, &signature)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	c.algorithm, c.signature = algorithm.Algorithm, signature.RightAlign()
	known, curve, err := readable(der, outer)
	if err != nil {
		return nil, err
	}
	if c.Certificate, err = x509.ParseCertificate(known); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if c.Key = c.PublicKey; curve != nil {
		c.Key = curve
	}
	switch k := c.Key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("%w: RSA of %d bits", ErrKey, k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return nil, fmt.Errorf("%w: curve", ErrKey)
		}
	default:
		return nil, fmt.Errorf("%w: %T", ErrKey, c.Key)
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(oidAdmission) {
			if c.Professions, err = professions(e.Value); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// Fingerprint is the SHA-256 of the certificate (DER) in small hex, as the
// registry has it.
func (c *Certificate) Fingerprint() string {
	sum := sha256.Sum256(c.raw)
	return hex.EncodeToString(sum[:])
}

var errShape = errors.New("not the shape of a certificate")

// children are the elements of a SEQUENCE that is all there is.
func children(der []byte) (out []asn1.RawValue, err error) {
	var seq asn1.RawValue
	if err := whole(der, &seq); err != nil {
		return nil, err
	}
	if seq.Class != asn1.ClassUniversal || seq.Tag != asn1.TagSequence || !seq.IsCompound {
		return nil, errShape
	}
	for rest := seq.Bytes; len(rest) > 0; {
		var v asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// whole reads one value and nothing behind it.
func whole(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errShape
	}
	return err
}

// readable returns a certificate that the standard library reads: the one given,
// or for a Brainpool key the same with the base point of P-256 in its place, and
// the key.
func readable(der []byte, outer []asn1.RawValue) ([]byte, *ecdsa.PublicKey, error) {
	fields, err := children(outer[0].FullBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	at := 5 // serial, algorithm, issuer, validity, subject, key
	if len(fields) > 0 && fields[0].Class == asn1.ClassContextSpecific {
		at++ // version
	}
	if len(fields) <= at {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, errShape)
	}
	key, err := brainpoolKey(fields[at].FullBytes)
	if err != nil || key == nil {
		return der, nil, err
	}
	swapped, err := swapKey(fields, at, placeholder())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	known, err := sequence(swapped, outer[1].FullBytes, outer[2].FullBytes)
	return known, key, err
}

// swapKey writes the signed part of a certificate with another key.
func swapKey(fields []asn1.RawValue, at int, key []byte) ([]byte, error) {
	parts := make([][]byte, len(fields))
	for i, f := range fields {
		parts[i] = f.FullBytes
	}
	parts[at] = key
	return sequence(parts...)
}

// sequence writes encoded values as a SEQUENCE.
func sequence(parts ...[]byte) ([]byte, error) {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
}

// placeholder is the base point of P-256 as a key.
func placeholder() []byte {
	p := elliptic.P256().Params()
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, append(p.Gx.FillBytes(make([]byte, 32)), p.Gy.FillBytes(make([]byte, 32))...)...))
	if err != nil {
		panic(err) // constants
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return der
}

// keyInfo is SubjectPublicKeyInfo.
type keyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Key       asn1.BitString
}

// brainpoolKey reads a key on a Brainpool curve; nil for every other key.
func brainpoolKey(der []byte) (*ecdsa.PublicKey, error) {
	var info keyInfo
	var named asn1.ObjectIdentifier
	if whole(der, &info) != nil || !info.Algorithm.Algorithm.Equal(oidECKey) || whole(info.Algorithm.Parameters.FullBytes, &named) != nil {
		return nil, nil //nolint:nilerr,nilnil // the standard library says what is wrong with others
	}
	newCurve, ok := curves[named.String()]
	if !ok {
		return nil, nil //nolint:nilnil // of another curve
	}
	curve := newCurve()
	size := (curve.Params().BitSize + 7) / 8
	point := info.Key.RightAlign()
	if len(point) != 1+2*size || point[0] != 4 {
		return nil, fmt.Errorf("%w: point", ErrKey)
	}
	x, y := new(big.Int).SetBytes(point[1:1+size]), new(big.Int).SetBytes(point[1+size:])
	if p := curve.Params().P; x.Cmp(p) >= 0 || y.Cmp(p) >= 0 || !onCurve(curve, x, y) {
		return nil, fmt.Errorf("%w: point is not on its curve", ErrKey)
	}
	return &ecdsa.PublicKey{Curve: curve, X: x, Y: y}, nil //nolint:staticcheck // what replaces X and Y knows no Brainpool curve
}

// onCurve checks a point of foreign origin. The standard library's replacement
// (crypto/ecdh) knows no Brainpool curve.
func onCurve(curve elliptic.Curve, x, y *big.Int) bool {
	return (x.Sign() != 0 || y.Sign() != 0) && curve.IsOnCurve(x, y) //nolint:staticcheck // as above
}

// professions reads the profession OIDs of an admission extension (AdmissionSyntax
// of Common PKI: contents of admissions, each with profession infos). What is
// optional around them is passed over.
func professions(der []byte) (out []asn1.ObjectIdentifier, err error) {
	bad := func(err error) error {
		return fmt.Errorf("%w: admission: %w", ErrMalformed, errors.Join(err, errShape))
	}
	syntax, err := children(der)
	if err != nil || len(syntax) == 0 {
		return nil, bad(err)
	}
	admissions, err := children(syntax[len(syntax)-1].FullBytes)
	if err != nil {
		return nil, bad(err)
	}
	for _, a := range admissions {
		parts, err := children(a.FullBytes)
		if err != nil || len(parts) == 0 {
			return nil, bad(err)
		}
		infos, err := children(parts[len(parts)-1].FullBytes)
		if err != nil {
			return nil, bad(err)
		}
		for _, info := range infos {
			fields, err := children(info.FullBytes)
			if err != nil {
				return nil, bad(err)
			}
			for _, f := range fields {
				var oids []asn1.ObjectIdentifier
				if whole(f.FullBytes, &oids) == nil { // the one field that is a sequence of OIDs
					out = append(out, oids...)
				}
			}
		}
	}
	return out, nil
}
