package signing

import (
	"crypto"
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
	token       *token // nil: keys are files only
	aead        cipher.AEAD
	cscas, dscs []*x509.Certificate          // oldest first
	names       map[*x509.Certificate]string // file without its ending
}

// openKeyFolder reads all certificates of a folder.
func openKeyFolder(dir string, master []byte, t *token) (*keyFolder, error) {
	secret, err := hkdf.Key(sha256.New, master, nil, "impfportal certificate key files", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	f := &keyFolder{dir: dir, token: t, names: map[*x509.Certificate]string{}}
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
		slices.SortFunc(cs, byAge)
	}
	return f, nil
}

// signers returns a signer for each DSC that may sign vaccinations and whose
// key is here, oldest first. A key that is there and cannot be used is an
// error.
func (f *keyFolder) signers() (out []*dcc.Signer, err error) {
	for _, c := range f.dscs {
		if dcc.MayVaccinate(c) != nil {
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
		out = append(out, s)
	}
	return out, nil
}

// key opens the private key of a certificate, in the token or as a file;
// os.ErrNotExist when it is in neither. A file that others can read, or that
// another master secret has sealed, is an error and never replaced.
func (f *keyFolder) key(c *x509.Certificate) (crypto.Signer, error) {
	if f.token != nil {
		key, err := f.token.key(c.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("%w: token: %w", ErrKeys, err)
		}
		if key != nil {
			return key, nil
		}
	}
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
	if body, ok := strings.CutPrefix(string(text), sealedMagic); ok {
		n := min(f.aead.NonceSize(), len(body))
		der, err := f.open(body[:n], body[n:], name)
		if err != nil {
			return nil, fmt.Errorf("%w: %s was sealed with another master secret, or changed", ErrKeys, path)
		}
		text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	key, err := parseKey(text)
	if err != nil {
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

// store writes a key, sealed, unless the token has it; then its certificate.
func (f *keyFolder) store(kind string, key crypto.Signer, c *x509.Certificate) error {
	name := fmt.Sprintf("%s-%x", kind, dcc.KID(c))
	if private, ok := key.(*ecdsa.PrivateKey); ok {
		if err := f.storeKey(name, private); err != nil {
			return err
		}
	}
	f.names[c] = name
	return f.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func (f *keyFolder) storeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	nonce := make([]byte, f.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return err
	}
	sealed := append([]byte(sealedMagic), nonce...)
	sealed = f.aead.Seal(sealed, nonce, der, []byte(name+".key"))
	return f.write(name+".key", sealed)
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
