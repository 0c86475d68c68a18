package card

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"slices"

	_ "crypto/sha512" // authorities on the larger curves sign with it
)

// Verify checks that a card signed a message: SHA-256 with RSASSA-PSS or ECDSA.
// ECDSA signatures may be DER or r and s side by side (BSI TR-03111). pkcs1 accepts
// RSASSA-PKCS1-v1_5 as well. It returns ErrSignature.
func (c *Certificate) Verify(message, signature []byte, pkcs1 bool) error {
	digest := sha256.Sum256(message)
	switch k := c.Key.(type) {
	case *rsa.PublicKey:
		err := rsa.VerifyPSS(k, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256})
		if err == nil || pkcs1 && rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil {
			return nil
		}
	case *ecdsa.PublicKey:
		if verifyECDSA(k, digest[:], signature) {
			return nil
		}
	}
	return ErrSignature
}

// verifyECDSA checks a signature in either form.
func verifyECDSA(k *ecdsa.PublicKey, digest, signature []byte) bool {
	if ecdsa.VerifyASN1(k, digest, signature) {
		return true
	}
	size := (k.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])})
	return err == nil && ecdsa.VerifyASN1(k, digest, der)
}

// hashes of ECDSA signatures by algorithm (RFC 5758).
var hashes = map[string]crypto.Hash{
	"1.2.840.10045.4.3.2": crypto.SHA256,
	"1.2.840.10045.4.3.3": crypto.SHA384,
	"1.2.840.10045.4.3.4": crypto.SHA512,
}

// issued reports whether an authority signed a certificate.
func (c *Certificate) issued(other *Certificate) bool {
	if c.Key == c.PublicKey { // the standard library knows the curve; it refuses MD5 and SHA-1
		return c.CheckSignature(other.SignatureAlgorithm, other.tbs, other.signature) == nil
	}
	k, ok := c.Key.(*ecdsa.PublicKey)
	h, known := hashes[other.algorithm.String()]
	if !ok || !known {
		return false
	}
	sum := h.New()
	sum.Write(other.tbs)
	return ecdsa.VerifyASN1(k, sum.Sum(nil), other.signature)
}

// has reports whether two lists of OIDs share one.
func has(list, wanted []asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(list, func(o asn1.ObjectIdentifier) bool { return slices.ContainsFunc(wanted, o.Equal) })
}
