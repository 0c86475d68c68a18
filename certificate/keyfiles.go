package certificate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// sealedMagic begins every sealed key file, so that a later form can be told
// apart.
const sealedMagic = "impfportal sealed key 1\n"

// keyFolder is a folder of certificates (csca-<kid>.crt, dsc-<kid>.crt, PEM)
// and their private keys (.key: PKCS #8, AES-256-GCM, mode 0600). The file's
// name is bound into the seal. A certificate is written after its key: one
// that exists has a key.
type keyFolder struct {
	dir  string
	aead cipher.AEAD
}

// openLocalKeys loads a local run's keys and makes what is missing or too old
// for now, one process at a time.
func openLocalKeys(cfg KeyConfig) (_ *Keys, err error) {
	if len(cfg.Master) < 32 {
		return nil, fmt.Errorf("%w: master secret shorter than 32 bytes", ErrKeys)
	}
	if !strings.HasPrefix(cfg.Issuer, Muster) {
		return nil, fmt.Errorf("%w: issuer of a local run must begin with %s", ErrKeys, Muster)
	}
	f, err := newKeyFolder(cfg.Dir, cfg.Master)
	if err != nil {
		return nil, err
	}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()

	k := &Keys{}
	if k.cscas, err = f.certificates("csca-"); err != nil {
		return nil, err
	}
	if k.dscs, err = f.certificates("dsc-"); err != nil {
		return nil, err
	}
	for _, c := range k.dscs {
		if signsAt(c, cfg.Now) {
			key, err := f.key("dsc-", c)
			if err != nil {
				return nil, err
			}
			if k.signer, err = NewSigner(key, c); err != nil {
				return nil, err
			}
			return k, k.check()
		}
	}
	if err := f.rollOver(k, cfg); err != nil {
		return nil, err
	}
	return k, k.check()
}

// rollOver makes a new DSC, and a new CSCA where none outlives it.
func (f *keyFolder) rollOver(k *Keys, cfg KeyConfig) error {
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	var err error
	for _, c := range k.cscas {
		if !cfg.Now.Before(c.NotBefore) && !cfg.Now.Add(dscLife).After(c.NotAfter) {
			ca = c
		}
	}
	if ca != nil {
		caKey, err = f.key("csca-", ca)
	} else {
		if caKey, ca, err = newCSCA(cfg.Issuer, cfg.Now); err == nil {
			k.cscas = append(k.cscas, ca)
			err = f.store("csca-", caKey, ca)
		}
	}
	if err != nil {
		return err
	}
	key, dsc, err := newDSC(cfg.Issuer, ca, caKey, cfg.Now)
	if err != nil {
		return err
	}
	if err := f.store("dsc-", key, dsc); err != nil {
		return err
	}
	k.dscs = append(k.dscs, dsc)
	k.signer, err = NewSigner(key, dsc)
	return err
}

func newKeyFolder(dir string, master []byte) (*keyFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	secret, err := hkdf.Key(sha256.New, master, nil, "impfportal certificate key files", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &keyFolder{dir: dir, aead: aead}, nil
}

// lock keeps two processes that start together from both making keys.
func (f *keyFolder) lock() (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(f.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("%w: lock: %w", ErrKeys, err)
	}
	return func() { file.Close() }, nil
}

// certificates loads the certificates of one kind, oldest first.
func (f *keyFolder) certificates(kind string) ([]*x509.Certificate, error) {
	names, err := filepath.Glob(filepath.Join(f.dir, kind+"*.crt"))
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeys, err)
		}
		cs, err := parseCertificates(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %v", ErrKeys, filepath.Base(name), err)
		}
		out = append(out, cs...)
	}
	slices.SortFunc(out, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
	return out, nil
}

func fileName(kind string, c *x509.Certificate) string { return fmt.Sprintf("%s%x", kind, KID(c)) }

// key opens the private key of a certificate. A file that others can read, or
// that another master secret has sealed, is an error and never replaced.
func (f *keyFolder) key(kind string, c *x509.Certificate) (*ecdsa.PrivateKey, error) {
	name := fileName(kind, c) + ".key"
	path := filepath.Join(f.dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s is readable by others (mode %o, 600 is right)", ErrKeys, path, info.Mode().Perm())
	}
	sealed, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	body, ok := strings.CutPrefix(string(sealed), sealedMagic)
	if n := f.aead.NonceSize(); ok && len(body) > n {
		der, err := f.aead.Open(nil, []byte(body[:n]), []byte(body[n:]), []byte(name))
		if err != nil {
			return nil, fmt.Errorf("%w: %s was sealed with another master secret, or changed", ErrKeys, path)
		}
		if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
			if ec, ok := key.(*ecdsa.PrivateKey); ok {
				return ec, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: %s is damaged", ErrKeys, path)
}

// store writes a key, then its certificate.
func (f *keyFolder) store(kind string, key *ecdsa.PrivateKey, c *x509.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	name := fileName(kind, c)
	nonce := make([]byte, f.aead.NonceSize())
	rand.Read(nonce)
	sealed := append([]byte(sealedMagic), nonce...)
	sealed = f.aead.Seal(sealed, nonce, der, []byte(name+".key"))
	if err := f.write(name+".key", sealed); err != nil {
		return err
	}
	return f.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// write makes a file that is there completely or not at all.
func (f *keyFolder) write(name string, data []byte) (err error) {
	tmp, err := os.CreateTemp(f.dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeys, err)
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
			err = fmt.Errorf("%w: write %s: %w", ErrKeys, name, err)
		}
	}()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Join(f.dir, name))
}
