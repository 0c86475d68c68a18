package registry

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// NewKeyFiles makes an Ed25519 key of an authority: path is the private key (PEM,
// PKCS #8, for nobody but its owner), path + ".pub" the public one. An existing
// file is never written over.
func NewKeyFiles(path string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	if der, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return err
	}
	return writeNew(path+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}

func writeNew(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// PrivateKey reads an authority's private key file.
func PrivateKey(path string) (crypto.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: no signing key", path)
	}
	return s, nil
}

// KeyFile reads public keys from a PEM file.
func KeyFile(path string) ([]crypto.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Keys(b)
}

// SignFile signs the JSON document at list and writes the signed list to out, at
// once: who reads meanwhile sees the old one or the new one. The sequence is one
// more than that of the signed list at out, and at least that of the document.
func SignFile(list, out string, key crypto.Signer, now time.Time, life time.Duration) (List, error) {
	body, err := os.ReadFile(list)
	if err != nil {
		return List{}, err
	}
	l, err := ParseUnsigned(body)
	if err != nil {
		return l, err
	}
	old, err := os.ReadFile(out)
	switch {
	case err == nil:
		was, err := Open(old, []crypto.PublicKey{key.Public()})
		if err != nil {
			return l, fmt.Errorf("%s is there and was not signed with this key: %w", out, err)
		}
		l.Sequence = max(l.Sequence, was.Sequence+1)
	case !errors.Is(err, fs.ErrNotExist):
		return l, err
	}
	l.Sequence = max(l.Sequence, 1)
	l.IssuedAt, l.NextUpdate = now.UTC().Truncate(time.Second), now.Add(life).UTC().Truncate(time.Second)
	raw, err := Sign(l, key)
	if err != nil {
		return l, err
	}
	tmp := filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".new")
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return l, err
	}
	return l, os.Rename(tmp, out)
}

// WriteUnsigned writes a list as an authority keeps it before signing.
func WriteUnsigned(path string, l List) error {
	l.Format = Format
	body, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(path, append(body, '\n'), 0o644)
}
