package translog

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrKey says that the log's key cannot be used as configured.
var ErrKey = errors.New("translog: key of the log")

// Key signs the checkpoints (Ed25519). It is used for nothing else, so that who
// can issue certificates cannot rewrite the log, and the other way round.
type Key struct {
	// Origin names the log and its key; a new key needs a new origin.
	Origin string
	// Public is the key as verifiers take it (C2SP signed-note, "name+hash+key").
	Public   string
	verifier note.Verifier
	signer   note.Signer // nil where this process cannot sign
}

// Verifier checks signatures of checkpoints.
func (k *Key) Verifier() note.Verifier { return k.verifier }

// Signs reports whether this process has the private key.
func (k *Key) Signs() bool { return k.signer != nil }

// The files of the key folder: PKCS #8 in PEM, readable by the owner only, and
// the public key (SubjectPublicKeyInfo) for processes that do not sign.
const (
	keyFile    = "log.key"
	publicFile = "log.pub"
)

// KeyConfig says where the key lies. In a local run a missing one is made; in
// production nothing is ever made.
type KeyConfig struct {
	Local  bool
	Dir    string
	Origin string // schema-less address of the log, "impfen.example/certificates/log"
	Sign   bool   // production: this process sequences, so the private key must be there
}

// OpenKey reads the key. Every error is ErrKey and says what is wrong.
func OpenKey(cfg KeyConfig) (*Key, error) {
	if cfg.Local {
		if err := makeKey(cfg.Dir); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
	}
	private, err := readPrivate(filepath.Join(cfg.Dir, keyFile))
	switch {
	case err == nil:
		return newKey(cfg.Origin, private.Public().(ed25519.PublicKey), private) //nolint:forcetypeassert // of an Ed25519 key
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	case cfg.Sign:
		return nil, fmt.Errorf("%w: %s is missing; make it with 'openssl genpkey -algorithm ed25519 -out %s'", ErrKey, filepath.Join(cfg.Dir, keyFile), keyFile)
	}
	text, err := os.ReadFile(filepath.Join(cfg.Dir, publicFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w; make it with 'openssl pkey -in %s -pubout -out %s'", ErrKey, err, keyFile, publicFile)
	}
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, fmt.Errorf("%w: %s is not PEM", ErrKey, publicFile)
	}
	parsed, err := x509.ParsePKIXPublicKey(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, publicFile, err)
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: %s is no Ed25519 key", ErrKey, publicFile)
	}
	return newKey(cfg.Origin, public, nil)
}

// newKey names a key; private may be nil.
func newKey(origin string, public ed25519.PublicKey, private ed25519.PrivateKey) (*Key, error) {
	text, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return nil, fmt.Errorf("%w: origin %q: %w", ErrKey, origin, err)
	}
	k := &Key{Origin: origin, Public: text}
	if k.verifier, err = note.NewVerifier(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if private == nil {
		return k, nil
	}
	// The note package takes a private key as text: name, hash, algorithm and seed.
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...))
	name, _, _ := strings.Cut(strings.TrimPrefix(text, origin+"+"), "+")
	if k.signer, err = note.NewSigner("PRIVATE+KEY+" + origin + "+" + name + "+" + secret); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return k, nil
}

func readPrivate(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is readable by others (mode %o, 600 is right)", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is not PKCS #8", path)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no Ed25519 key", path)
	}
	return key, nil
}

// makeKey makes a key where there is none. Two processes that start together
// keep the one that was there first.
func makeKey(dir string) error {
	path := filepath.Join(dir, keyFile)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
