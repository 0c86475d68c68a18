package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"impfportal/certificate/dcc"
	"impfportal/certificate/dcc/dcctest"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/internal/await"
	"impfportal/internal/config"
	"impfportal/internal/id"
	"impfportal/internal/qr"
)

// TestVerify checks certificates without a connection: a page that was loaded
// once, and pictures of a genuine one, a revoked one and an edited one, signed
// with the keys of the portal.
func TestVerify(t *testing.T) {
	t.Parallel()
	p := startPortal(t, t.TempDir())
	p.awaitDemoState(t)
	folder := t.TempDir()
	signer := p.signer(t)
	picture := func(name, text string) {
		t.Helper()
		code, err := qr.Encode(text, qr.Q)
		if err != nil {
			t.Fatal(err)
		}
		for file, body := range map[string][]byte{name + ".png": code.PNG(6), name + ".txt": []byte(text)} {
			if err := os.WriteFile(filepath.Join(folder, file), body, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	genuine := musterText(t, signer)
	picture("genuine", genuine)
	picture("edited", dcctest.Replace(t, genuine, "Gabriele", "Angelika"))
	taken := musterText(t, signer)
	revoked := dcctest.Rewrite(t, taken)
	picture("revoked", revoked)
	if err := os.WriteFile(filepath.Join(folder, "camera.y4m"), film(t, revoked), 0o600); err != nil {
		t.Fatal(err)
	}

	d, err := dcc.Decode(taken)
	if err != nil {
		t.Fatal(err)
	}
	db, digest, hash := p.database(t), d.Digest(), d.RHash()
	if _, err := db.Exec(t.Context(), `
		INSERT INTO certificate.revocation (id, certificate_id, uvci, kid, digest, r_hash, expires_at, reason, replaced, revoked_at, revoked_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, false, now(), 'system')`,
		id.New(), id.New(), d.Claims.HCert.DCC.V[0].ID, d.KID, digest[:], hash[:], time.Unix(d.Claims.ExpiresAt, 0), revocation.Fraud); err != nil {
		t.Fatal(err)
	}
	var batches int
	if !await.Within(3*time.Minute, func() bool {
		err = db.QueryRow(t.Context(), "SELECT count(*) FROM certificate.revocation_batch").Scan(&batches)
		return err == nil && batches == 2
	}) {
		t.Fatalf("%d batches are published (%v)", batches, err)
	}
	runBrowser(t, "verify.mjs", p, folder)
}

// film is what a camera sees, a picture a second: first an empty table, then the code
// of a certificate on it (YUV4MPEG2, as Chromium's own camera for tests reads it).
func film(t testing.TB, text string) []byte {
	t.Helper()
	const width, height, scale = 960, 720, 5
	code, err := qr.Encode(text, qr.Q)
	if err != nil {
		t.Fatal(err)
	}
	left, top := (width-scale*code.Size())/2, (height-scale*code.Size())/2
	table := bytes.Repeat([]byte{200}, width*height*3/2) // brightness, then the two colours of quarter size
	for i := width * height; i < len(table); i++ {
		table[i] = 128
	}
	seen := slices.Clone(table)
	for y := range height {
		for x := range width {
			if i, j := x-left, y-top; i >= 0 && j >= 0 && code.Black(i/scale, j/scale) {
				seen[y*width+x] = 30
			}
		}
	}
	out := fmt.Appendf(nil, "YUV4MPEG2 W%d H%d F1:1 Ip A1:1 C420\n", width, height)
	for i := range 12 {
		out = append(out, "FRAME\n"...)
		if i < 6 {
			out = append(out, table...)
		} else {
			out = append(out, seen...)
		}
	}
	return out
}

// signer opens the portal's own issuing keys.
func (p *portal) signer(t testing.TB) *dcc.Signer {
	t.Helper()
	cfg := config.Config{Mode: config.ModeLocal, DataDir: p.DataDir}
	if err := cfg.LocalSecrets(); err != nil {
		t.Fatal(err)
	}
	keys, err := signing.Open(signing.Config{Local: true, Dir: cfg.CertificateKeyDir, Master: cfg.MasterKey, Issuer: dcc.Muster + " Impfportal (ungültig)", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := keys.Signer("sites", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func musterText(t testing.TB, signer *dcc.Signer) string {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	day := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	b, err := dcc.Build(dcc.Vaccination{
		ProductID: "comirnaty", Place: "leipzig", DoseNumber: 2, DosesTotal: 2, Day: day, FamilyName: "Musterfrau-Gößinger", GivenName: "Gabriele", Birth: "1998-02-26",
	}, "MUSTER Impfportal (ungültig)", dcc.NewUVCI("leipzig"), now.Add(-time.Minute), now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.HC1(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
