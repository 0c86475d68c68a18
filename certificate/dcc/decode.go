package dcc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zlib"
)

// Errors of reading a certificate, one for each layer. All of them mean that
// the text is no certificate, or not one that this portal can check.
var (
	ErrPrefix     = errors.New("dcc: text is no HC1 text")
	ErrCompressed = errors.New("dcc: not zlib")
	ErrCOSE       = errors.New("dcc: not a COSE_Sign1 message")
	ErrCWT        = errors.New("dcc: not a health certificate")
	ErrAlgorithm  = errors.New("dcc: signature algorithm is neither ES256 nor PS256, or not of this key")
	ErrSignature  = errors.New("dcc: signature is not valid")
	ErrKeyUsage   = errors.New("dcc: key may not sign vaccination certificates")
	ErrValidity   = errors.New("dcc: not valid at this time")
)

// Limits against texts made to exhaust a reader. A QR code holds at most
// 4,296 characters.
const (
	maxText  = 4296
	maxPlain = 1 << 16
)

// Decoded is a certificate that has been read and not yet verified.
type Decoded struct {
	Claims    Claims
	Alg       int64  // COSE algorithm, -7 is ES256
	KID       []byte // protected header, or the unprotected one where that has none
	Payload   []byte // the signed bytes: CBOR claims
	Signature []byte
	protected []byte
}

var decMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  16,
		MaxArrayElements: 256,
		MaxMapPairs:      256,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// Decode reads an HC1 text down to its claims. It verifies nothing.
func Decode(text string) (*Decoded, error) {
	message, err := Binary(text)
	if err != nil {
		return nil, err
	}
	return decodeCOSE(message)
}

// Binary is a certificate without compression and text: the COSE_Sign1 message
// that an HC1 text carries.
func Binary(text string) ([]byte, error) {
	packed, err := unwrapText(text)
	if err != nil {
		return nil, err
	}
	return inflate(packed)
}

// unwrapText removes the prefix and base45.
func unwrapText(text string) ([]byte, error) {
	body, ok := strings.CutPrefix(text, HC1Prefix)
	if !ok || len(text) > maxText {
		return nil, ErrPrefix
	}
	return decodeBase45(body)
}

// inflate undoes zlib, bounded.
func inflate(packed []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCompressed, err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxPlain+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCompressed, err)
	}
	if len(plain) > maxPlain {
		return nil, fmt.Errorf("%w: too long", ErrCompressed)
	}
	return plain, nil
}

// coseMessage is the array of COSE_Sign1.
type coseMessage struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected coseHeader
	Payload     []byte
	Signature   []byte
}

type coseHeader struct {
	Alg int64  `cbor:"1,keyasint,omitempty"`
	KID []byte `cbor:"4,keyasint,omitempty"`
}

// decodeCOSE reads COSE_Sign1 (tag 18), bare or within the CWT tag (61).
func decodeCOSE(message []byte) (*Decoded, error) {
	if cut, ok := bytes.CutPrefix(message, []byte{0xd8, 61}); ok {
		message = cut
	}
	message = bytes.TrimPrefix(message, []byte{0xd2})
	var m coseMessage
	if err := decMode.Unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCOSE, err)
	}
	var head coseHeader
	if len(m.Protected) > 0 {
		if err := decMode.Unmarshal(m.Protected, &head); err != nil {
			return nil, fmt.Errorf("%w: protected header: %w", ErrCOSE, err)
		}
	}
	d := &Decoded{Alg: head.Alg, KID: head.KID, Payload: m.Payload, Signature: m.Signature, protected: m.Protected}
	if len(d.KID) == 0 {
		d.KID = m.Unprotected.KID
	}
	if d.Alg == 0 {
		d.Alg = m.Unprotected.Alg
	}
	if err := decMode.Unmarshal(m.Payload, &d.Claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCWT, err)
	}
	if d.Claims.HCert.DCC.Version == "" {
		return nil, fmt.Errorf("%w: no EU DCC in it", ErrCWT)
	}
	return d, nil
}

// The signature algorithms of EU certificates, by their COSE numbers. This
// portal signs with ES256; PS256 is only verified.
const (
	algES256 = -7
	algPS256 = -37
)

// Verify checks the signature with the key of a DSC.
func (d *Decoded) Verify(dsc *x509.Certificate) error {
	kid := KID(dsc)
	digest := d.Digest()
	switch pub := dsc.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() || d.Alg != algES256 {
			return ErrAlgorithm
		}
		if !bytes.Equal(d.KID, kid[:]) {
			return fmt.Errorf("%w: another key id", ErrSignature)
		}
		if len(d.Signature) != sigLen {
			return ErrSignature
		}
		r, s := new(big.Int).SetBytes(d.Signature[:32]), new(big.Int).SetBytes(d.Signature[32:])
		if !ecdsa.Verify(pub, digest[:], r, s) {
			return ErrSignature
		}
	case *rsa.PublicKey:
		if d.Alg != algPS256 {
			return ErrAlgorithm
		}
		if !bytes.Equal(d.KID, kid[:]) {
			return fmt.Errorf("%w: another key id", ErrSignature)
		}
		// RFC 8230: the salt is as long as the hash.
		if rsa.VerifyPSS(pub, crypto.SHA256, digest[:], d.Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) != nil {
			return ErrSignature
		}
	default:
		return ErrAlgorithm
	}
	return nil
}

// Digest is the SHA-256 of what was signed. It names a signed certificate:
// unlike the signature it cannot be rewritten by somebody without the key.
func (d *Decoded) Digest() [32]byte {
	return sha256.Sum256(appendSigStructure(nil, d.protected, d.Payload))
}

// RHash is the hash by which a signature is revoked: the first 16 bytes of the
// SHA-256 of r. Of an ES256 signature (r, s) anybody can make the other valid
// one, (r, n-s); r is the same in both (EU DCC revocation, hash type SIGNATURE).
// Of any other signature the whole counts.
func (d *Decoded) RHash() [16]byte {
	signature := d.Signature
	if d.Alg == algES256 {
		signature = signature[:len(signature)/2]
	}
	sum := sha256.Sum256(signature)
	return [16]byte(sum[:16])
}

// ValidAt checks the times of the certificate and the use of its DSC.
func (d *Decoded) ValidAt(now time.Time, dsc *x509.Certificate) error {
	t := now.Unix()
	if t < d.Claims.IssuedAt || t >= d.Claims.ExpiresAt || now.Before(dsc.NotBefore) || now.After(dsc.NotAfter) {
		return ErrValidity
	}
	return MayVaccinate(dsc)
}
