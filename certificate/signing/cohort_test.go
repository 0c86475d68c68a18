package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Each cohort has a DSC of its own; who has none is served by the one for all.
func TestCohorts(t *testing.T) {
	t.Parallel()
	cfg := localConfig(t)
	cfg.Cohorts = []string{"", "sites", "pharmacies"}
	k := mustOpen(t, cfg)
	if len(k.dscs) != 3 || len(k.cscas) != 1 {
		t.Fatalf("%d signers, %d authorities", len(k.dscs), len(k.cscas))
	}
	seen := map[string]bool{}
	for cohort, want := range map[string]string{"": "", "sites": "sites", "pharmacies": "pharmacies", "practices": ""} {
		s, err := k.Signer(cohort, cfg.Now)
		if err != nil || Cohort(s.Certificate()) != want {
			t.Fatalf("%q: %v, %v", cohort, s, err)
		}
		seen[string(kidOf(s.Certificate()))] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d different signers", len(seen))
	}
	cfg.Cohorts = append(cfg.Cohorts, "practices")
	if k = mustOpen(t, cfg); len(k.dscs) != 4 {
		t.Errorf("a new cohort: %d signers", len(k.dscs))
	}
	if s, err := k.Signer("practices", cfg.Now); err != nil || Cohort(s.Certificate()) != "practices" {
		t.Errorf("a new cohort: %v", err)
	}
}

// A process that holds the present key and the next one goes over by itself,
// when the present one no longer outlives a certificate of full length.
func TestRollOverWhileRunning(t *testing.T) {
	t.Parallel()
	caKey, ca := authority(t, "Freistaat")
	dir := t.TempDir()
	put := func(name, typ string, der []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), pemOf(typ, der), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("csca.crt", "CERTIFICATE", ca.Raw)
	add := func(name, cohort string, from time.Time) *x509.Certificate {
		t.Helper()
		key, dsc := signerOf(t, cohort, ca, caKey, from)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		put(name+".crt", "CERTIFICATE", dsc.Raw)
		put(name+".key", "PRIVATE KEY", der)
		return dsc
	}
	present := add("a", "sites", issuedAt)
	next := add("b", "sites", issuedAt.AddDate(0, 11, 0))
	k, err := Open(Config{Dir: dir, Master: bytes.Repeat([]byte{7}, 32), Sign: true, Now: issuedAt})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  time.Time
		want *x509.Certificate
	}{
		{issuedAt, present},
		{next.NotBefore.Add(-time.Second), present},
		{next.NotBefore, next},
		{present.NotAfter.Add(-Validity + time.Second), next},
		{next.NotAfter.Add(-time.Hour), next}, // nothing better: certificates end with it
	} {
		s, err := k.Signer("sites", c.now)
		if err != nil || !s.Certificate().Equal(c.want) {
			t.Errorf("at %v: %v", c.now, err)
		}
	}
	for _, cohort := range []string{"", "pharmacies"} {
		if _, err := k.Signer(cohort, issuedAt); !errors.Is(err, ErrKeys) {
			t.Errorf("%q is signed by another cohort's key: %v", cohort, err)
		}
	}
	if _, err := k.Signer("sites", next.NotAfter); !errors.Is(err, ErrKeys) {
		t.Errorf("after the end of both: %v", err)
	}
}

// A key of the token never lies in a file and cannot be read out.
func TestToken(t *testing.T) {
	t.Parallel()
	cfg := localConfig(t)
	cfg.Token = softToken
	cfg.Cohorts = []string{"", "pharmacies"}
	k := mustOpen(t, cfg)
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "*.key"))
	if err != nil || len(files) != 0 {
		t.Fatalf("key files %v, %v", files, err)
	}
	s, err := k.Signer("pharmacies", cfg.Now)
	if err != nil {
		t.Fatal(err)
	}
	first := s.Certificate()
	key, err := k.token.key(first.PublicKey)
	if err != nil || key == nil {
		t.Fatalf("the token does not know its key: %v", err)
	}
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		t.Error("the private key came out of the token")
	}
	sign(t, s, k)

	again := mustOpen(t, cfg)
	if s := mustSigner(t, again, cfg.Now); again.DSC(kidOf(first)) == nil || len(again.dscs) != 2 {
		t.Errorf("%d signers after a restart, %v", len(again.dscs), s)
	}
	k.Close()
	again.Close()
	// Without the token the process verifies and cannot sign.
	cfg.Local, cfg.Token = false, Token{}
	if _, err := Open(cfg); !errors.Is(err, ErrKeys) {
		t.Errorf("demo keys in production: %v", err)
	}
	cfg.Local, cfg.Token = true, Token{Module: softToken.Module, Label: softToken.Label, PIN: "9999"}
	if _, err := Open(cfg); !errors.Is(err, ErrKeys) {
		t.Errorf("wrong PIN: %v", err)
	}
}
