//go:build cgo

package signing

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/ThalesGroup/crypto11"
)

// token is an open PKCS #11 token.
type token struct{ ctx *crypto11.Context }

func openToken(cfg Token) (*token, error) {
	ctx, err := crypto11.Configure(&crypto11.Config{Path: cfg.Module, TokenLabel: cfg.Label, Pin: cfg.PIN})
	if err != nil {
		return nil, err
	}
	return &token{ctx}, nil
}

func (t *token) close() { _ = t.ctx.Close() }

// key finds the private key that belongs to a public one, nil when the token
// does not have it.
func (t *token) key(public crypto.PublicKey) (crypto.Signer, error) {
	pairs, err := t.ctx.FindAllKeyPairs()
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if own, ok := p.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && own.Equal(public) {
			return p, nil
		}
	}
	return nil, nil
}

// generate makes a P-256 key that never leaves the token.
func (t *token) generate() (crypto.Signer, error) {
	var id [16]byte
	rand.Read(id[:])
	pub, err := crypto11.NewAttributeSetWithIDAndLabel(id[:], []byte("impfportal"))
	if err != nil {
		return nil, err
	}
	private := pub.Copy()
	if err := errors.Join(private.Set(crypto11.CkaExtractable, false), private.Set(crypto11.CkaSensitive, true)); err != nil {
		return nil, err
	}
	key, err := t.ctx.GenerateECDSAKeyPairWithAttributes(pub, private, elliptic.P256())
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	return key, nil
}
