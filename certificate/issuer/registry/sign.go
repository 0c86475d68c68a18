package registry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const typ = "issuer-registry+jws"

var algorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256}

// Open checks the signature of a list by one of the authority's keys, and then
// reads it. It returns ErrTooLarge, ErrSignature or ErrFormat.
func Open(raw []byte, keys []crypto.PublicKey) (List, error) {
	if len(raw) > MaxBytes {
		return List{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(raw))
	}
	// Compact serialisation alone: the JSON forms of JWS can carry several signatures.
	sig, err := jose.ParseSignedCompact(strings.TrimSpace(string(raw)), algorithms)
	if err != nil {
		return List{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if got := sig.Signatures[0].Protected.ExtraHeaders[jose.HeaderType]; got != typ {
		return List{}, fmt.Errorf("%w: type %v", ErrSignature, got)
	}
	for _, k := range keys {
		if !fits(sig.Signatures[0].Protected.Algorithm, k) {
			continue
		}
		if body, err := sig.Verify(k); err == nil {
			return parse(body)
		}
	}
	return List{}, ErrSignature
}

// fits tells whether a key is of the algorithm's kind.
func fits(alg string, k crypto.PublicKey) bool {
	switch k := k.(type) {
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256) && k.Curve == elliptic.P256()
	}
	return false
}

// Sign checks a list and signs it. key is an Ed25519 or a P-256 key.
func Sign(l List, key crypto.Signer) ([]byte, error) {
	l.Format = Format
	if err := l.check(); err != nil {
		return nil, err
	}
	alg := jose.EdDSA
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		alg = jose.ES256
	}
	if !fits(string(alg), key.Public()) {
		return nil, errors.New("registry: the key is neither Ed25519 nor P-256")
	}
	kid, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	opts := (&jose.SignerOptions{}).WithType(typ).WithHeader("kid", base64.RawURLEncoding.EncodeToString(kid))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(body)
	if err != nil {
		return nil, err
	}
	out, err := sig.CompactSerialize()
	return []byte(out + "\n"), err
}

// ParseUnsigned reads a list as an authority keeps it before signing: the JSON
// document. Sequence and times may be missing; Sign wants them.
func ParseUnsigned(body []byte) (List, error) {
	l, err := parse(body)
	if l.Format == Format && (l.Sequence < 1 || l.IssuedAt.IsZero() || l.NextUpdate.IsZero()) {
		rest := l
		rest.Sequence, rest.IssuedAt, rest.NextUpdate = 1, time.Unix(1, 0), time.Unix(2, 0)
		err = rest.check()
	}
	return l, err
}

// Keys reads the authority's public keys from PEM (PUBLIC KEY blocks, several
// for a change of keys).
func Keys(pemText []byte) (keys []crypto.PublicKey, err error) {
	for len(pemText) > 0 {
		var b *pem.Block
		if b, pemText = pem.Decode(pemText); b == nil {
			break
		}
		k, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("registry key: %w", err)
		}
		if !fits(string(jose.EdDSA), k) && !fits(string(jose.ES256), k) {
			return nil, errors.New("registry key: neither Ed25519 nor P-256")
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("registry key: no PUBLIC KEY block")
	}
	return keys, nil
}

// Hash names the exact bytes of a signed list.
func Hash(raw []byte) []byte {
	h := sha256.Sum256([]byte(strings.TrimSpace(string(raw))))
	return h[:]
}
