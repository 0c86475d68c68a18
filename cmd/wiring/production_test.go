package wiring

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/certificate/translog"
	"impfportal/internal/config"
	"impfportal/internal/web"
)

// issuerFolder is what an operator puts into CERTIFICATE_KEY_DIR; without the
// key it is a portal's folder, with it a worker's.
func issuerFolder(t *testing.T, withKey bool) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"DE"}, CommonName: "CSCA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(4, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	must(err)
	dscKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	dsc := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Country: []string{"DE"}, CommonName: "DSC"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 1847, 2021, 1, 2}},
	}
	dscDER, err := x509.CreateCertificate(rand.Reader, dsc, ca, dscKey.Public(), caKey)
	must(err)
	logPublic, logKey, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	logDER, err := x509.MarshalPKIXPublicKey(logPublic)
	must(err)
	write("log.pub", "PUBLIC KEY", logDER)
	must(os.Mkdir(filepath.Join(dir, "revocation"), 0o700))
	write("revocation/upload.crt", "CERTIFICATE", dscDER)
	write("csca.crt", "CERTIFICATE", caDER)
	write("dsc.crt", "CERTIFICATE", dscDER)
	if withKey {
		key, err := x509.MarshalPKCS8PrivateKey(dscKey)
		must(err)
		write("dsc.key", "PRIVATE KEY", key)
		write("revocation/upload.key", "PRIVATE KEY", key)
		key, err = x509.MarshalPKCS8PrivateKey(logKey)
		must(err)
		write("log.key", "PRIVATE KEY", key)
	}
	return dir
}

// A worker does not start without a signing key, a portal needs none, and
// nobody makes one.
func TestProductionMakesNoIssuingKeys(t *testing.T) {
	t.Parallel()
	env := testEnv(t)
	env.Cfg.Mode, env.Cfg.CertificateIssuer = config.ModeProduction, "Freistaat"
	for _, c := range []struct {
		name          string
		dir           string
		signs, refuse bool
	}{
		{"empty folder", t.TempDir(), false, true},
		{"worker without key", issuerFolder(t, false), true, true},
		{"worker with key", issuerFolder(t, true), true, false},
		{"portal without key", issuerFolder(t, false), false, false},
	} {
		e := *env
		e.Cfg.CertificateKeyDir, e.Signs = c.dir, c.signs
		if _, err := Build(&e); (errors.Is(err, signing.ErrKeys) || errors.Is(err, translog.ErrKey) || errors.Is(err, revocation.ErrSigner)) != c.refuse || (err != nil) != c.refuse {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Outside a local run there is nothing of the demo, and cookies are for TLS only.
func TestProductionShowsNothingOfTheDemo(t *testing.T) {
	t.Parallel()
	env := testEnv(t)
	env.Cfg.Mode, env.Cfg.CertificateIssuer, env.Cfg.CertificateKeyDir = config.ModeProduction, "Freistaat", issuerFolder(t, false)
	s, err := Build(env)
	if err != nil {
		t.Fatal(err)
	}
	app, err := s.App()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range app.Routes() {
		if strings.HasPrefix(r.Path, "/dev") {
			t.Errorf("%s is there", r.Path)
		}
	}
	res := get(t, app, "/staff/login")
	cookie := strings.ToLower(strings.Join(res.Header["Set-Cookie"], "; "))
	for _, want := range []string{"__host-csrf=", "secure", "httponly", "samesite=lax", "path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %s", cookie, want)
		}
	}
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security")
	}
	if res := get(t, app, "/dev/logins"); res.StatusCode != http.StatusNotFound {
		t.Errorf("/dev/logins: %d", res.StatusCode)
	}
}

func get(t *testing.T, app *web.App, path string) *http.Response {
	t.Helper()
	res, err := app.Fiber().Test(httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil), 20_000)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}
