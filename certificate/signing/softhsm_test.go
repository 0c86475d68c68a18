package signing

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"impfportal/certificate/dcc"
)

// softToken is a token of softhsm2, made for this run of the tests: its
// library reads where its tokens lie once, when it is loaded.
var softToken = Token{Module: "/usr/lib/softhsm/libsofthsm2.so", Label: "impfportal-test", PIN: "1234"}

func TestMain(m *testing.M) {
	os.Exit(withToken(m))
}

func withToken(m *testing.M) int {
	dir, err := os.MkdirTemp("", "impfportal-softhsm-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	conf := filepath.Join(dir, "softhsm2.conf")
	tokens := filepath.Join(dir, "tokens")
	if err = os.Mkdir(tokens, 0o700); err == nil {
		err = os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600)
	}
	if err == nil {
		err = os.Setenv("SOFTHSM2_CONF", conf)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", softToken.Label, "--pin", softToken.PIN, "--so-pin", "12345678").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "softhsm2-util (Debian: softhsm2): %v: %s\n", err, out)
		return 1
	}
	return m.Run()
}

// sign makes a certificate with a signer and verifies it with the trust list.
func sign(t *testing.T, s *dcc.Signer, k *Keys) {
	t.Helper()
	built, err := dcc.Build(dcc.Vaccination{
		ProductID: "comirnaty", Place: "leipzig", DoseNumber: 1, DosesTotal: 2, Day: issuedAt.Truncate(24 * time.Hour),
		FamilyName: "Muster", GivenName: "Maria", Birth: "1964-08-12",
	}, "MUSTER", dcc.NewUVCI("leipzig"), issuedAt, Expiry(s.Certificate(), issuedAt))
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.HC1(built)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dcc.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(k.DSC(d.KID)); err != nil {
		t.Fatal(err)
	}
}
