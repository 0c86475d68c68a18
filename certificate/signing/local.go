package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"impfportal/certificate/dcc"
)

// openLocal loads a local run's keys and makes what is missing or too old for
// now, one process at a time.
func (k *Keys) openLocal(cfg Config) error {
	if !strings.HasPrefix(cfg.Issuer, dcc.Muster) {
		return fmt.Errorf("%w: issuer of a local run must begin with %s", ErrKeys, dcc.Muster)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrKeys, err)
	}
	unlock, err := lockFolder(cfg.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := openKeyFolder(cfg.Dir, cfg.Master, k.token)
	if err != nil {
		return err
	}
	cohorts := cfg.Cohorts
	if len(cohorts) == 0 {
		cohorts = []string{""}
	}
	signers, err := f.signers()
	if err != nil {
		return err
	}
	for _, cohort := range cohorts {
		if !slices.ContainsFunc(signers, func(s *dcc.Signer) bool {
			return Cohort(s.Certificate()) == cohort && signsAt(s.Certificate(), cfg.Now)
		}) {
			if err := f.certify(cohort, cfg); err != nil {
				return err
			}
		}
	}
	return k.load(f)
}

// certify makes a DSC for a cohort, and a CSCA where none outlives it.
func (f *keyFolder) certify(cohort string, cfg Config) error {
	ca, caKey, err := f.authority(cfg)
	if err != nil {
		return err
	}
	key, err := f.newKey()
	if err != nil {
		return err
	}
	dsc, err := newDSC(cfg.Issuer, cohort, key.Public(), ca, caKey, cfg.Now)
	if err != nil {
		return err
	}
	if err := f.store("dsc", key, dsc); err != nil {
		return err
	}
	f.dscs = append(f.dscs, dsc)
	slices.SortFunc(f.dscs, byAge)
	return nil
}

// authority returns a CSCA that may certify a DSC now and outlives it.
func (f *keyFolder) authority(cfg Config) (*x509.Certificate, crypto.Signer, error) {
	for _, c := range slices.Backward(f.cscas) {
		if !cfg.Now.Before(c.NotBefore) && !cfg.Now.Add(dscLife).After(c.NotAfter) {
			key, err := f.key(c)
			return c, key, err
		}
	}
	key, err := f.newKey()
	if err != nil {
		return nil, nil, err
	}
	ca, err := newCSCA(cfg.Issuer, key, cfg.Now)
	if err != nil {
		return nil, nil, err
	}
	f.cscas = append(f.cscas, ca)
	return ca, key, f.store("csca", key, ca)
}

// newKey makes a P-256 key, in the token where there is one.
func (f *keyFolder) newKey() (crypto.Signer, error) {
	if f.token != nil {
		key, err := f.token.generate()
		if err != nil {
			return nil, fmt.Errorf("%w: token: %w", ErrKeys, err)
		}
		return key, nil
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
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
