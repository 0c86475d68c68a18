package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"impfportal/certificate/dcc"
)

var issuedAt = time.Date(2021, 7, 19, 10, 30, 0, 0, time.UTC)

func localConfig(t testing.TB) Config {
	return Config{Local: true, Dir: filepath.Join(t.TempDir(), "keys"), Master: bytes.Repeat([]byte{7}, 32), Issuer: "MUSTER Impfportal", Now: issuedAt}
}

func mustOpen(t testing.TB, cfg Config) *Keys {
	t.Helper()
	k, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustSigner(t testing.TB, k *Keys, now time.Time) *dcc.Signer {
	t.Helper()
	s, err := k.Signer("", now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLocalKeys(t *testing.T) {
	t.Parallel()
	cfg := localConfig(t)
	// Portal and worker start at the same time: one key.
	var wg sync.WaitGroup
	kids := make([][8]byte, 8)
	for i := range kids {
		wg.Go(func() {
			k, err := Open(cfg)
			if err != nil {
				t.Error(err)
				return
			}
			kids[i] = dcc.KID(mustSigner(t, k, cfg.Now).Certificate())
		})
	}
	wg.Wait()
	if len(slices.Compact(kids)) != 1 {
		t.Fatalf("several keys: %x", kids)
	}
	k := mustOpen(t, cfg)
	dsc, ca := k.dscs[0], k.cscas[0]
	switch {
	case len(k.cscas) != 1 || len(k.dscs) != 1:
		t.Errorf("%d authorities, %d signers", len(k.cscas), len(k.dscs))
	case !strings.HasPrefix(dsc.Subject.CommonName, dcc.Muster) || !strings.HasPrefix(ca.Subject.CommonName, dcc.Muster):
		t.Errorf("names %s, %s", dsc.Subject, ca.Subject)
	case dsc.IsCA || !ca.IsCA || dsc.KeyUsage != x509.KeyUsageDigitalSignature || len(dsc.UnknownExtKeyUsage) != 1 || !dsc.UnknownExtKeyUsage[0].Equal(dcc.OIDVaccination):
		t.Errorf("usages of the DSC: %v %v", dsc.KeyUsage, dsc.UnknownExtKeyUsage)
	case !bytes.Equal(dsc.AuthorityKeyId, ca.SubjectKeyId) || len(ca.SubjectKeyId) == 0:
		t.Error("the DSC does not name its authority")
	case dsc.NotAfter.After(ca.NotAfter) || !signsAt(dsc, cfg.Now):
		t.Error("lives")
	}
	folder, err := openKeyFolder(cfg.Dir, cfg.Master, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := folder.key(folder.dscs[0])
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %o, %v", f.Name(), info.Mode().Perm(), err)
		}
		if b, _ := os.ReadFile(filepath.Join(cfg.Dir, f.Name())); strings.HasSuffix(f.Name(), ".key") && bytes.Contains(b, private) {
			t.Error("private key in the clear")
		}
	}
}

func TestLocalKeysRollOver(t *testing.T) {
	t.Parallel()
	cfg := localConfig(t)
	first := mustSigner(t, mustOpen(t, cfg), cfg.Now).Certificate()
	cfg.Now = cfg.Now.Add(Validity + time.Hour) // its year of signing is over
	k := mustOpen(t, cfg)
	second := mustSigner(t, k, cfg.Now).Certificate()
	if second.Equal(first) || k.DSC(kidOf(first)) == nil || len(k.dscs) != 2 || len(k.cscas) != 1 {
		t.Errorf("after a year: %d signers, %d authorities", len(k.dscs), len(k.cscas))
	}
	cfg.Now = issuedAt.AddDate(-1, 0, 0) // a demo whose clock was set back
	if k = mustOpen(t, cfg); len(k.dscs) != 3 || len(k.cscas) != 2 {
		t.Errorf("back in time: %d signers, %d authorities", len(k.dscs), len(k.cscas))
	}
	if end := Expiry(second, second.NotAfter.Add(-time.Hour)); end.After(second.NotAfter) {
		t.Errorf("certificate outlives its DSC: %v", end)
	}
}

func kidOf(c *x509.Certificate) []byte {
	kid := dcc.KID(c)
	return kid[:]
}

func TestLocalKeysRefused(t *testing.T) {
	t.Parallel()
	cfg := localConfig(t)
	k := mustOpen(t, cfg)
	first := k.dscs[0]
	name := filepath.Join(cfg.Dir, fmt.Sprintf("dsc-%x.key", dcc.KID(first)))
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(why string, cfg Config) {
		t.Helper()
		if _, err := Open(cfg); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v", why, err)
		}
	}
	other := cfg
	other.Master = bytes.Repeat([]byte{8}, 32)
	refuse("another master secret", other)
	other = cfg
	other.Master = nil
	refuse("no master secret", other)
	other = cfg
	other.Issuer = "Robert Koch-Institut"
	refuse("a real issuer in a local run", other)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if i%11 != 0 {
			continue
		}
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		refuse("changed file", cfg)
	}
	if err := os.WriteFile(name, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	refuse("readable by others", cfg)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	// A key that is lost cannot sign; a new one takes over and the old
	// certificates stay verifiable.
	if k2 := mustOpen(t, cfg); len(k2.dscs) != 2 || mustSigner(t, k2, cfg.Now).Certificate().Equal(first) || k2.DSC(kidOf(first)) == nil {
		t.Error("lost key")
	}
}

func pemOf(typ string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func authority(t testing.TB, name string) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key := newP256(t)
	ca, err := newCSCA(name, key, issuedAt)
	if err != nil {
		t.Fatal(err)
	}
	return key, ca
}

func signerOf(t testing.TB, cohort string, ca *x509.Certificate, caKey *ecdsa.PrivateKey, now time.Time) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key := newP256(t)
	dsc, err := newDSC("Freistaat", cohort, key.Public(), ca, caKey, now)
	if err != nil {
		t.Fatal(err)
	}
	return key, dsc
}

func TestConfiguredKeys(t *testing.T) {
	t.Parallel()
	caKey, ca := authority(t, "Freistaat")
	key, dsc := signerOf(t, "", ca, caKey, issuedAt)
	_, old := signerOf(t, "", ca, caKey, issuedAt.AddDate(0, -6, 0))
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, _ := x509.MarshalECPrivateKey(key)
	strangerKey, stranger := authority(t, "Jemand")
	foreignKey, foreign := signerOf(t, "", stranger, strangerKey, issuedAt)
	foreign8, _ := x509.MarshalPKCS8PrivateKey(foreignKey)
	muster := mustOpen(t, localConfig(t))
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p384DER, _ := x509.MarshalECPrivateKey(p384)

	type files map[string][]byte
	open := func(change func(files), sign bool, now time.Time) (*Keys, error) {
		f := files{"csca.crt": pemOf("CERTIFICATE", ca.Raw), "old.crt": pemOf("CERTIFICATE", old.Raw), "dsc.crt": pemOf("CERTIFICATE", dsc.Raw), "dsc.key": pemOf("PRIVATE KEY", pkcs8)}
		change(f)
		dir := t.TempDir()
		for name, b := range f {
			if b == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return Open(Config{Dir: dir, Master: bytes.Repeat([]byte{7}, 32), Sign: sign, Now: now})
	}
	k, err := open(func(files) {}, true, issuedAt)
	if err != nil {
		t.Fatal(err)
	}
	if s := mustSigner(t, k, issuedAt); !s.Certificate().Equal(dsc) || k.DSC(kidOf(old)) == nil {
		t.Error("wrong signer")
	}
	if _, err := k.Signer("", dsc.NotAfter); !errors.Is(err, ErrKeys) {
		t.Errorf("signs after its end: %v", err)
	}
	verifier, err := open(func(f files) { f["dsc.key"] = nil }, false, issuedAt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Signer("", issuedAt); !errors.Is(err, ErrKeys) {
		t.Errorf("a process without a key signs: %v", err)
	}
	none := func(files) {}
	for why, c := range map[string]struct {
		change func(files)
		now    time.Time
		ok     bool
	}{
		"SEC 1":          {func(f files) { f["dsc.key"] = pemOf("EC PRIVATE KEY", sec1) }, issuedAt, true},
		"nothing":        {func(f files) { clear(f) }, issuedAt, false},
		"no authority":   {func(f files) { f["csca.crt"] = nil }, issuedAt, false},
		"no signer":      {func(f files) { f["dsc.crt"], f["old.crt"] = nil, nil }, issuedAt, false},
		"no private key": {func(f files) { f["dsc.key"] = nil }, issuedAt, false},
		"foreign signer": {func(f files) {
			f["dsc.crt"], f["dsc.key"] = pemOf("CERTIFICATE", foreign.Raw), pemOf("PRIVATE KEY", foreign8)
		}, issuedAt, false},
		"foreign key": {func(f files) { f["dsc.key"] = pemOf("PRIVATE KEY", foreign8) }, issuedAt, false},
		"P-384":       {func(f files) { f["dsc.key"] = pemOf("EC PRIVATE KEY", p384DER) }, issuedAt, false},
		"rubbish":     {func(f files) { f["dsc.key"] = []byte("secret") }, issuedAt, false},
		"too early":   {none, issuedAt.AddDate(-1, 0, 0), false},
		"expired":     {none, issuedAt.AddDate(3, 0, 0), false},
		"demo in production": {func(f files) {
			f["csca.crt"], f["dsc.crt"] = pemOf("CERTIFICATE", muster.cscas[0].Raw), pemOf("CERTIFICATE", muster.dscs[0].Raw)
		}, issuedAt, false},
	} {
		if _, err := open(c.change, true, c.now); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v", why, err)
		}
	}
}
