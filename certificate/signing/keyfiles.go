package signing

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

	"impfportal/certificate/dcc"
)

// sealedMagic begins every sealed key file, so that a later form can be told
// apart.
const sealedMagic = "impfportal sealed key 1\n"

// keyFolder is the folder of certificates and private keys. The name of a
// sealed file is bound into its seal. A certificate is written after its key:
// one that was made here has a key.
type keyFolder struct {
	dir         string
	aead        cipher.AEAD
	cscas, dscs []*x509.Certificate          // oldest first
	names       map[*x509.Certificate]string // file without its ending
}

// openLocalKeys loads a local run's keys and makes what is missing or too old
// for now, one process at a time.
func openLocalKeys(cfg Config) (_ *Keys, err error) {
	if !strings.HasPrefix(cfg.Issuer, dcc.Muster) {
		return nil, fmt.Errorf("%w: issuer of a local run must begin with %s", ErrKeys, dcc.Muster)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	unlock, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	f, err := openKeyFolder(cfg.Dir, cfg.Master)
	if err != nil {
		return nil, err
	}
	k := &Keys{cscas: f.cscas, dscs: f.dscs}
	if k.signer, err = f.signer(func(c *x509.Certificate) bool { return signsAt(c, cfg.Now) }); err != nil {
		return nil, err
	}
	if k.signer == nil {
		if err := f.rollOver(k, cfg); err != nil {
			return nil, err
		}
	}
	return k, k.check()
}

// rollOver makes a new DSC, and a new CSCA where none outlives it.
func (f *keyFolder) rollOver(k *Keys, cfg Config) error {
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	var err error
	for _, c := range k.cscas {
		if !cfg.Now.Before(c.NotBefore) && !cfg.Now.Add(dscLife).After(c.NotAfter) {
			ca = c
		}
	}
	if ca != nil {
		caKey, err = f.key(ca)
	} else {
		if caKey, ca, err = newCSCA(cfg.Issuer, cfg.Now); err == nil {
			k.cscas = append(k.cscas, ca)
			err = f.store("csca", caKey, ca)
		}
	}
	if err != nil {
		return err
	}
	key, dsc, err := newDSC(cfg.Issuer, ca, caKey, cfg.Now)
	if err != nil {
		return err
	}
	if err := f.store("dsc", key, dsc); err != nil {
		return err
	}
	k.dscs = append(k.dscs, dsc)
	k.signer, err = dcc.NewSigner(key, dsc)
	return err
}

// openKeyFolder reads all certificates of a folder.
func openKeyFolder(dir string, master []byte) (*keyFolder, error) {
	secret, err := hkdf.Key(sha256.New, master, nil, "impfportal certificate key files", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	f := &keyFolder{dir: dir, names: map[*x509.Certificate]string{}}
	if f.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.crt"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeys, err)
		}
		cs, err := parseCertificates(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrKeys, file, err)
		}
		for _, c := range cs {
			f.names[c] = strings.TrimSuffix(filepath.Base(file), ".crt")
			if c.IsCA {
				f.cscas = append(f.cscas, c)
			} else {
				f.dscs = append(f.dscs, c)
			}
		}
	}
	for _, cs := range [][]*x509.Certificate{f.cscas, f.dscs} {
		slices.SortFunc(cs, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
	}
	return f, nil
}

// lockFolder keeps two processes that start together from both making keys.
func lockFolder(dir string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, "certificate.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%w: lock: %w", ErrKeys, err)
	}
	return func() { _ = file.Close() }, nil
}

// signer returns the newest signer that is usable and has its key here, nil
// when there is none. A key file that cannot be read is an error.
func (f *keyFolder) signer(usable func(*x509.Certificate) bool) (*dcc.Signer, error) {
	for _, c := range slices.Backward(f.dscs) {
		if !usable(c) {
			continue
		}
		key, err := f.key(c)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := dcc.NewSigner(key, c)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrKeys, f.names[c], err)
		}
		return s, nil
	}
	return nil, nil
}

// key opens the private key of a certificate. A file that others can read, or
// that another master secret has sealed, is an error and never replaced.
func (f *keyFolder) key(c *x509.Certificate) (*ecdsa.PrivateKey, error) {
	name := f.names[c] + ".key"
	path := filepath.Join(f.dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s is readable by others (mode %o, 600 is right)", ErrKeys, path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	var key *ecdsa.PrivateKey
	if body, ok := strings.CutPrefix(string(text), sealedMagic); ok {
		n := min(f.aead.NonceSize(), len(body))
		der, err := f.open(body[:n], body[n:], name)
		if err != nil {
			return nil, fmt.Errorf("%w: %s was sealed with another master secret, or changed", ErrKeys, path)
		}
		text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	if key, err = parseKey(text); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKeys, path, err)
	}
	return key, nil
}

func (f *keyFolder) open(nonce, sealed, name string) ([]byte, error) {
	if len(nonce) != f.aead.NonceSize() {
		return nil, errors.New("too short")
	}
	return f.aead.Open(nil, []byte(nonce), []byte(sealed), []byte(name))
}

// store writes a key, sealed, then its certificate.
func (f *keyFolder) store(kind string, key *ecdsa.PrivateKey, c *x509.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%x", kind, dcc.KID(c))
	nonce := make([]byte, f.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return err
	}
	sealed := append([]byte(sealedMagic), nonce...)
	sealed = f.aead.Seal(sealed, nonce, der, []byte(name+".key"))
	if err := f.write(name+".key", sealed); err != nil {
		return err
	}
	f.names[c] = name
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
