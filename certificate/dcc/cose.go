package dcc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// HC1Prefix is the context identifier of EU health certificates, version 1.
const HC1Prefix = "HC1:"

// kidLen is the length of a key id: the first bytes of the SHA-256 of the DSC.
const kidLen = 8

// sigLen is the length of an ES256 signature: r and s, 32 bytes each.
const sigLen = 64

// ErrSigner means a key that cannot sign certificates.
var ErrSigner = errors.New("dcc: unsuitable signing key")

// Signer signs certificates with the key of one document signer certificate
// (DSC). It signs what [Build] made of a vaccination record and nothing else:
// there is no way to have it sign foreign bytes or a hash. It is safe for concurrent use.
type Signer struct {
	key       crypto.Signer
	cert      *x509.Certificate
	kid       [kidLen]byte
	protected []byte // COSE protected header {1: -7, 4: kid}, encoded
}

// NewSigner joins a P-256 key with its certificate.
func NewSigner(key crypto.Signer, cert *x509.Certificate) (*Signer, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: ES256 needs a P-256 key", ErrSigner)
	}
	if !pub.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%w: key and certificate do not belong together", ErrSigner)
	}
	s := &Signer{key: key, cert: cert, kid: KID(cert)}
	// map(2): alg(1) = ES256(-7), kid(4) = bytes(8)
	s.protected = append([]byte{0xa2, 0x01, 0x26, 0x04, 0x40 | kidLen}, s.kid[:]...)
	return s, nil
}

// KID is the key id of a DSC: the first eight bytes of its SHA-256.
func KID(cert *x509.Certificate) (kid [kidLen]byte) {
	sum := sha256.Sum256(cert.Raw)
	copy(kid[:], sum[:])
	return kid
}

// Certificate is the DSC.
func (s *Signer) Certificate() *x509.Certificate { return s.cert }

// HC1 signs what was built of a vaccination record and returns the text that
// the QR code shows.
func (s *Signer) HC1(b *Built) (string, error) {
	w := scratchPool.Get().(*scratch)
	defer scratchPool.Put(w)
	w.claims.Reset()
	if err := claimsMode.MarshalToBuffer(&b.claims, &w.claims); err != nil {
		return "", err
	}
	return s.hc1(w, w.claims.Bytes())
}

// scratch holds the buffers of one signature.
type scratch struct {
	claims  bytes.Buffer
	message []byte // Sig_structure, then COSE_Sign1
	packed  bytes.Buffer
	zip     *zlib.Writer
	text    []byte
}

// deflateLevel: a certificate is some 400 bytes of codes, names and random
// bits in which no level finds more than a byte to save; this one notices
// soonest.
const deflateLevel = 1

var scratchPool = sync.Pool{New: func() any {
	w := new(scratch)
	zip, err := zlib.NewWriterLevel(&w.packed, deflateLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.zip = zip
	return w
}}

// hc1 turns encoded claims into COSE_Sign1, zlib, base45 and prefix.
func (s *Signer) hc1(w *scratch, claims []byte) (string, error) {
	w.message = appendSigStructure(w.message[:0], s.protected, claims)
	digest := sha256.Sum256(w.message)
	der, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("certificate: signing: %w", err)
	}
	var sig [sigLen]byte
	if err := rawSignature(&sig, der); err != nil {
		return "", err
	}
	// tag 18 (COSE_Sign1): [protected, {}, payload, signature]
	m := append(w.message[:0], 0xd2, 0x84)
	m = appendBytes(m, s.protected)
	m = append(m, 0xa0)
	m = appendBytes(m, claims)
	m = appendBytes(m, sig[:])
	w.message = m

	w.packed.Reset()
	w.zip.Reset(&w.packed)
	if _, err := w.zip.Write(m); err != nil {
		return "", err
	}
	if err := w.zip.Close(); err != nil {
		return "", err
	}
	var text strings.Builder
	w.text = append(w.text[:0], HC1Prefix...)
	w.text = appendBase45(w.text, w.packed.Bytes())
	text.Grow(len(w.text))
	text.Write(w.text)
	return text.String(), nil
}

// appendSigStructure appends what COSE signs (RFC 9052, section 4.4).
func appendSigStructure(dst, protected, payload []byte) []byte {
	dst = append(dst, 0x84, 0x6a)
	dst = append(dst, "Signature1"...)
	dst = appendBytes(dst, protected)
	dst = append(dst, 0x40)
	return appendBytes(dst, payload)
}

// appendBytes appends a CBOR byte string.
func appendBytes(dst, b []byte) []byte {
	switch n := len(b); {
	case n < 24:
		dst = append(dst, 0x40|byte(n))
	case n < 1<<8:
		dst = append(dst, 0x58, byte(n))
	case n < 1<<16:
		dst = append(dst, 0x59, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x5a, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, b...)
}

// errSignature means a signature that is not two numbers below 2^256.
var errSignature = errors.New("dcc: malformed ECDSA signature")

// rawSignature turns an ASN.1 signature (SEQUENCE of two INTEGERs, as
// crypto.Signer returns it) into r and s of 32 bytes each.
func rawSignature(dst *[sigLen]byte, der []byte) error {
	if len(der) < 8 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return errSignature
	}
	der = der[2:]
	for i := range 2 {
		if len(der) < 3 || der[0] != 0x02 || der[1] >= 0x80 || int(der[1]) > len(der)-2 {
			return errSignature
		}
		n := der[2 : 2+int(der[1])]
		der = der[2+len(n):]
		for len(n) > 0 && n[0] == 0 {
			n = n[1:]
		}
		if len(n) > sigLen/2 {
			return errSignature
		}
		copy(dst[(i+1)*sigLen/2-len(n):], n)
	}
	if len(der) != 0 {
		return errSignature
	}
	return nil
}
