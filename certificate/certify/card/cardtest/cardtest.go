// Package cardtest makes authorities and cards for tests.
package cardtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/brainpool"
)

// Policy and the professions of practices and pharmacies, as gematik assigns them.
const (
	Policy   = "1.2.276.0.76.4.77"
	Practice = "1.2.276.0.76.4.50"
	Pharmacy = "1.2.276.0.76.4.54"
)

// Key is what an authority or a card has.
type Key interface {
	crypto.Signer
}

// RSA returns a new key of 2048 bits.
func RSA(t testing.TB) Key {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	ok(t, err)
	return k
}

// P256 returns a new key on the NIST curve.
func P256(t testing.TB) Key {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	return k
}

// Brainpool returns a new key on brainpoolP256r1.
func Brainpool(t testing.TB) Key {
	t.Helper()
	c := brainpool.P256r1()
	d, err := rand.Int(rand.Reader, c.Params().N)
	ok(t, err)
	k := &ecdsa.PrivateKey{D: d} //nolint:staticcheck // what replaces D, X and Y knows no Brainpool curve
	k.Curve = c
	k.X, k.Y = c.ScalarBaseMult(d.Bytes()) //nolint:staticcheck // as above
	return k
}

// Card is a certificate with its key; an authority is one that issues.
type Card struct {
	DER []byte
	Key Key

	subject pkix.Name
	id      []byte
}

// Spec is what a certificate says. The zero value of a field is what a good one has.
type Spec struct {
	Name        string
	From, Until time.Time
	Policies    []string // nil: Policy
	Professions []string // nil: Pharmacy
	Usage       []x509.ExtKeyUsage
	Authority   bool
}

var (
	lock   sync.Mutex
	serial int64
)

// NewAuthority makes an authority that signs itself.
func NewAuthority(t testing.TB, key Key, from time.Time) *Card {
	t.Helper()
	return issue(t, nil, key, Spec{Name: "MUSTER Karten-CA", From: from, Until: from.AddDate(20, 0, 0), Authority: true})
}

// Issue makes a certificate of an authority.
func (c *Card) Issue(t testing.TB, key Key, s Spec) *Card {
	t.Helper()
	return issue(t, c, key, s)
}

func issue(t testing.TB, by *Card, key Key, s Spec) *Card {
	t.Helper()
	lock.Lock()
	serial++
	n := serial
	lock.Unlock()
	c := &Card{Key: key, subject: pkix.Name{Country: []string{"DE"}, Organization: []string{"MUSTER"}, CommonName: s.Name}, id: big.NewInt(n).Bytes()}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(n), Subject: c.subject, NotBefore: s.From, NotAfter: s.Until, SubjectKeyId: c.id, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if s.Authority {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	} else {
		if s.Policies == nil {
			s.Policies = []string{Policy}
		}
		if s.Professions == nil {
			s.Professions = []string{Pharmacy}
		}
		if s.Usage == nil {
			s.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
		tmpl.ExtKeyUsage = s.Usage
		for _, p := range s.Policies {
			tmpl.PolicyIdentifiers = append(tmpl.PolicyIdentifiers, oid(t, p))
			o, err := x509.ParseOID(p)
			ok(t, err)
			tmpl.Policies = append(tmpl.Policies, o)
		}
		tmpl.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 36, 8, 3, 3}, Value: admission(t, s.Professions)}}
	}
	parent, signer := tmpl, key
	if by != nil {
		parent, signer = &x509.Certificate{Subject: by.subject, SubjectKeyId: by.id}, by.Key
	}
	if brainpooled(key) || brainpooled(signer) {
		c.DER = byHand(t, tmpl, parent, key, signer)
		return c
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	ok(t, err)
	c.DER = der
	return c
}

// brainpooled tells keys that the standard library writes no certificate for.
func brainpooled(k Key) bool {
	e, is := k.(*ecdsa.PrivateKey)
	return is && e.Curve == brainpool.P256r1()
}

// byHand lets the standard library write a certificate with keys that it knows, and
// puts the true key and the true signature in their place.
func byHand(t testing.TB, tmpl, parent *x509.Certificate, key, signer Key) []byte {
	t.Helper()
	stand := P256(t)
	parent.PublicKey = stand.Public()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, stand.Public(), stand)
	ok(t, err)
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	_, err = asn1.Unmarshal(der, &outer)
	ok(t, err)
	var body []byte
	n := 0
	for rest := outer.TBS.Bytes; len(rest) > 0; n++ {
		var v asn1.RawValue
		rest, err = asn1.Unmarshal(rest, &v)
		ok(t, err)
		if n == 6 { // version, serial, algorithm, issuer, validity, subject, key
			v.FullBytes = publicKey(t, key)
		}
		body = append(body, v.FullBytes...)
	}
	return signed(t, wrap(t, body), outer.Algorithm.FullBytes, signer)
}

// CRL is the authority's list of the cards that it has taken back.
func (c *Card) CRL(t testing.TB, from, until time.Time, revoked ...*Card) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(from.Unix()), ThisUpdate: from, NextUpdate: until}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: new(big.Int).SetBytes(r.id), RevocationTime: from})
	}
	signer := c.Key
	if brainpooled(signer) {
		signer = P256(t) // and the true signature in place of this one, below
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, &x509.Certificate{Subject: c.subject, SubjectKeyId: c.id, KeyUsage: x509.KeyUsageCRLSign}, signer)
	ok(t, err)
	if signer == c.Key {
		return der
	}
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	_, err = asn1.Unmarshal(der, &outer)
	ok(t, err)
	return signed(t, outer.TBS.FullBytes, outer.Algorithm.FullBytes, c.Key)
}

// signed puts a signature behind what is signed.
func signed(t testing.TB, tbs, algorithm []byte, signer Key) []byte {
	t.Helper()
	digest := sha256.Sum256(tbs)
	sig, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	ok(t, err)
	bits, err := asn1.Marshal(asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)})
	ok(t, err)
	return wrap(t, append(append(append([]byte{}, tbs...), algorithm...), bits...))
}

func publicKey(t testing.TB, key Key) []byte {
	t.Helper()
	if !brainpooled(key) {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		ok(t, err)
		return der
	}
	pub := key.Public().(*ecdsa.PublicKey)
	point := append([]byte{4}, append(pub.X.FillBytes(make([]byte, 32)), pub.Y.FillBytes(make([]byte, 32))...)...) //nolint:staticcheck // as above
	params, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7})
	ok(t, err)
	der, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Parameters: asn1.RawValue{FullBytes: params}}, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
	ok(t, err)
	return der
}

func wrap(t testing.TB, body []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
	ok(t, err)
	return der
}

// admission writes the extension as cards have it: an authority's name, a profession
// in words, its OID, a registration number.
func admission(t testing.TB, professions []string) []byte {
	t.Helper()
	type info struct {
		Items []string
		OIDs  []asn1.ObjectIdentifier
		No    string `asn1:"printable"`
	}
	type admissions struct{ Infos []info }
	i := info{Items: []string{"Betriebsstätte"}, No: "1-SMC-B-MUSTER"}
	for _, p := range professions {
		i.OIDs = append(i.OIDs, oid(t, p))
	}
	name, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: []byte{0x30, 0}})
	ok(t, err)
	contents, err := asn1.Marshal([]admissions{{Infos: []info{i}}})
	ok(t, err)
	return wrap(t, append(name, contents...))
}

func oid(t testing.TB, text string) asn1.ObjectIdentifier {
	t.Helper()
	o, err := x509.ParseOID(text)
	ok(t, err)
	var out asn1.ObjectIdentifier
	der, err := o.MarshalBinary()
	ok(t, err)
	_, err = asn1.Unmarshal(append([]byte{6, byte(len(der))}, der...), &out)
	ok(t, err)
	return out
}

// Fingerprint is how the registry names the certificate.
func (c *Card) Fingerprint() string {
	sum := sha256.Sum256(c.DER)
	return hex.EncodeToString(sum[:])
}

// Sign signs a challenge as the card does: SHA-256 with RSASSA-PSS or ECDSA.
func (c *Card) Sign(t testing.TB, message string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(message))
	var opts crypto.SignerOpts = crypto.SHA256
	if _, is := c.Key.(*rsa.PrivateKey); is {
		opts = &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	}
	sig, err := c.Key.Sign(rand.Reader, digest[:], opts)
	ok(t, err)
	return sig
}

// SignPKCS1 signs with RSASSA-PKCS1-v1_5.
func (c *Card) SignPKCS1(t testing.TB, message string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(message))
	sig, err := c.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	ok(t, err)
	return sig
}

// TLS is the certificate as a client or server of TLS has it.
func (c *Card) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.DER}, PrivateKey: c.Key}
}

// PEM is the certificate as text.
func (c *Card) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})
}

// File writes the certificate to a file of the test.
func (c *Card) File(t testing.TB) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "ca.pem")
	ok(t, os.WriteFile(f, c.PEM(), 0o600))
	return f
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
