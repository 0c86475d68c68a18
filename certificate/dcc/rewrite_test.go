package dcc

import (
	"crypto/elliptic"
	"math/big"
	"slices"
	"testing"
	"time"
)

// Anybody can turn the signature (r, s) into (r, n-s), which is valid as well.
// What leaves, revocations and alarms are keyed by stays the same.
func TestRewrittenSignatureIsTheSameCertificate(t *testing.T) {
	t.Parallel()
	signer, _ := testSigner(t, time.Now())
	text, err := signer.HC1(sampleClaims(t))
	if err != nil {
		t.Fatal(err)
	}
	first, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	second := *first
	s := new(big.Int).SetBytes(first.Signature[32:])
	s.Sub(elliptic.P256().Params().N, s)
	second.Signature = slices.Concat(first.Signature[:32], s.FillBytes(make([]byte, 32)))
	if slices.Equal(first.Signature, second.Signature) {
		t.Fatal("nothing was rewritten")
	}
	for _, d := range []*Decoded{first, &second} {
		if err := d.Verify(signer.Certificate()); err != nil {
			t.Error(err)
		}
	}
	if first.Digest() != second.Digest() || first.RHash() != second.RHash() {
		t.Error("a rewritten signature looks like another certificate")
	}
	// Whoever changes what was signed changes the digest, and the signature no longer fits.
	edited := *first
	edited.Payload = slices.Clone(first.Payload)
	edited.Payload[len(edited.Payload)-1] ^= 1
	if edited.Verify(signer.Certificate()) == nil || edited.Digest() == first.Digest() {
		t.Error("an edited payload passes")
	}
}
