package revocation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/smallstep/pkcs7"
)

// ErrSigner says that batches cannot be signed with what is configured.
var ErrSigner = errors.New("revocation: key for the batches")

// Signer signs batches as CMS (RFC 5652, content inside), as the EU gateway takes
// them, with a certificate of its own (the gateway's upload certificate): a
// document signer signs certificates and nothing else.
type Signer struct {
	cert *x509.Certificate
	key  crypto.PrivateKey
}

// The files: PEM, the key readable by the owner only. They have a folder of their
// own, because every certificate beside the document signers' is one.
const (
	folder   = "revocation"
	certFile = "upload.crt"
	keyFile  = "upload.key"
)

// OpenSigner reads the key from the folder revocation of the key folder; in a local run it makes one, which says MUSTER. In
// production nothing is made: the operator puts the files there. Every error is
// ErrSigner.
func OpenSigner(dir string, local bool, now time.Time) (*Signer, error) {
	dir = filepath.Join(dir, folder)
	keyPath, certPath := filepath.Join(dir, keyFile), filepath.Join(dir, certFile)
	if _, err := os.Stat(certPath); local && errors.Is(err, os.ErrNotExist) {
		if err := makeSigner(keyPath, certPath, now); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSigner, err)
		}
	}
	info, err := os.Stat(keyPath)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s is readable by others (mode %o, 600 is right)", ErrSigner, keyPath, info.Mode().Perm())
	}
	der, err := readPEM(keyPath)
	if err != nil {
		return nil, err
	}
	s := &Signer{}
	if s.key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		return nil, fmt.Errorf("%w: %s is not PKCS #8", ErrSigner, keyPath)
	}
	if der, err = readPEM(certPath); err != nil {
		return nil, err
	}
	if s.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSigner, certPath, err)
	}
	own, ok := s.key.(crypto.Signer)
	public, comparable := s.cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !comparable || !public.Equal(own.Public()) {
		return nil, fmt.Errorf("%w: key and certificate do not belong together", ErrSigner)
	}
	return s, nil
}

func readPEM(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, fmt.Errorf("%w: %s is not PEM", ErrSigner, path)
	}
	return b.Bytes, nil
}

// makeSigner makes a key and a self-signed certificate, which is there last.
// Two processes that start together keep the key that was there first.
func makeSigner(keyPath, certPath string, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(keyPath), 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	switch err := place(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); {
	case errors.Is(err, os.ErrExist):
		if der, err = readPEM(keyPath); err != nil {
			return err
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return err
		}
		key = parsed.(*ecdsa.PrivateKey) //nolint:forcetypeassert // made above
	case err != nil:
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{Country: []string{"DE"}, CommonName: "MUSTER Widerrufe"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		return err
	}
	if err := place(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// place makes a file that is there completely or not at all, and never replaces
// one (os.ErrExist).
func place(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path)
}

// UploadCertificates reads the certificates that sign batches (DER), for those
// who verify them; it needs no key. The file holds the one that signs now first,
// then earlier ones, whose batches still count. Every error is ErrSigner.
func UploadCertificates(dir string) (out [][]byte, err error) {
	path := filepath.Join(dir, folder, certFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrSigner, path, err)
		}
		if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || pub.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%w: %s: verifiers take P-256 only", ErrSigner, path)
		}
		out = append(out, b.Bytes)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: %s is not PEM", ErrSigner, path)
	}
	return out, nil
}

// sign returns body as a signed CMS message.
func (s *Signer) sign(body []byte) ([]byte, error) {
	m, err := pkcs7.NewSignedData(body)
	if err != nil {
		return nil, err
	}
	m.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := m.AddSigner(s.cert, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	return m.Finish()
}
