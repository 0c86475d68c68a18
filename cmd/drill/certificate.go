package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"runtime"
	"time"

	"impfportal/certificate"
	"impfportal/internal/qr"
)

// benchCertificate measures payload to HC1 text on one core against bare P-256
// signing, and the same with the QR code.
func benchCertificate(r *Report, d time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "impfportal-keys-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	master := make([]byte, 32)
	if _, err := rand.Read(master); err != nil {
		return err
	}
	now := time.Now().UTC()
	const issuer = certificate.Muster + " Bench"
	keys, err := certificate.OpenKeys(certificate.KeyConfig{Local: true, Dir: dir, Master: master, Issuer: issuer, Now: now})
	if err != nil {
		return err
	}
	signer, err := keys.Signer(now)
	if err != nil {
		return err
	}
	claims, err := certificate.Build(certificate.Vaccination{
		ProductID: "comirnaty", Place: "leipzig", DoseNumber: 2, DosesTotal: 2, Day: now.AddDate(0, 0, -1).Truncate(24 * time.Hour),
		FamilyName: "Müller-Lüdenscheidt", GivenName: "Jürgen Ägidius", Birth: "1940-08-12",
	}, issuer, certificate.NewUVCI("leipzig"), now, now.AddDate(1, 0, 0))
	if err != nil {
		return err
	}
	bareKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("yardstick"))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	bare := func() error { _, err := ecdsa.SignASN1(rand.Reader, bareKey, digest[:]); return err }
	text := func() error { _, err := signer.HC1(&claims); return err }
	withQR := func() error {
		hc1, err := signer.HC1(&claims)
		if err != nil {
			return err
		}
		_, err = qr.Encode(hc1, qr.Q)
		return err
	}
	for _, f := range []struct {
		name string
		ours func() error
	}{{"certificate.hc1", text}, {"certificate.hc1_qr", withQR}} {
		own, yard, ratio, err := interleave(perSecond(f.ours, d), perSecond(bare, d))
		if err != nil {
			return err
		}
		r.add(Figure{Name: f.name, Value: own, Unit: "texts/s", Yardstick: yard, Ratio: ratio})
	}
	return nil
}

// perSecond runs f for d and returns runs a second.
func perSecond(f func() error, d time.Duration) func() (float64, error) {
	return func() (float64, error) {
		start, n := time.Now(), 0
		for time.Since(start) < d {
			for range 50 {
				if err := f(); err != nil {
					return 0, err
				}
			}
			n += 50
		}
		return float64(n) / time.Since(start).Seconds(), nil
	}
}
