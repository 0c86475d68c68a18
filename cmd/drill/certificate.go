package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"impfportal/certificate"
	"impfportal/certificate/dcc"
	"impfportal/certificate/signing"
	"impfportal/internal/qr"
)

// certificateBench is what the figures on one core need: a signer of the local kind, a
// person, and the finished certificate.
type certificateBench struct {
	signer *dcc.Signer
	built  *dcc.Built
	paper  *certificate.Service // for the PDF
	ready  certificate.Certificate
}

func newCertificateBench(dir string) (*certificateBench, error) {
	master := make([]byte, 32)
	if _, err := rand.Read(master); err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	const issuer = dcc.Muster + " Bench"
	keys, err := signing.Open(signing.Config{Local: true, Dir: dir, Master: master, Issuer: issuer, Now: now})
	if err != nil {
		return nil, err
	}
	b := &certificateBench{}
	if b.signer, err = keys.Signer("", now); err != nil {
		return nil, err
	}
	expires := now.AddDate(1, 0, 0)
	b.built, err = dcc.Build(dcc.Vaccination{
		ProductID: "comirnaty", Place: "leipzig", DoseNumber: 2, DosesTotal: 2, Day: now.AddDate(0, 0, -1).Truncate(24 * time.Hour),
		FamilyName: "Müller-Lüdenscheidt", GivenName: "Jürgen Ägidius", Birth: "1940-08-12",
	}, issuer, dcc.NewUVCI("leipzig"), now, expires)
	if err != nil {
		return nil, err
	}
	b.paper, err = certificate.New(certificate.Config{Keys: keys, Issuer: issuer, Now: time.Now})
	b.ready = certificate.Certificate{ID: "bench", State: certificate.StateReleased, Payload: b.built.Claims().HCert.DCC, IssuedAt: now, ExpiresAt: expires}
	return b, err
}

// text is payload to HC1 text.
func (b *certificateBench) text() error {
	_, err := b.signer.HC1(b.built)
	return err
}

func (b *certificateBench) withQR() error {
	hc1, err := b.signer.HC1(b.built)
	if err != nil {
		return err
	}
	_, err = qr.Encode(hc1, qr.Q)
	return err
}

// withPDF is text, QR code and the page to print.
func (b *certificateBench) withPDF() error {
	hc1, err := b.signer.HC1(b.built)
	if err != nil {
		return err
	}
	c := b.ready
	c.HC1 = hc1
	_, err = b.paper.PDF(c, "de")
	return err
}

// benchCertificate measures on one core, against bare P-256 signing: payload to
// HC1 text, with the QR code, with QR code and PDF.
func benchCertificate(ctx context.Context, r *Report, d time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "impfportal-keys-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := newCertificateBench(dir)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("yardstick"))
	bare := func() error { _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); return err }
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	m, err := interleave(perSecond(ctx, bare, d), perSecond(ctx, b.text, d), perSecond(ctx, b.withQR, d), perSecond(ctx, b.withPDF, d))
	if err != nil {
		return err
	}
	for i, name := range []string{"certificate.hc1", "certificate.hc1_qr", "certificate.full"} {
		r.add(Figure{Name: name, Value: m.median(i + 1), Unit: "certificates/s", Yardstick: m.median(0), Ratio: m.ratio(i+1, 0)})
	}
	return nil
}

// perSecond runs f for d and returns runs a second.
func perSecond(ctx context.Context, f func() error, d time.Duration) measurement {
	return func() (float64, error) {
		start, n := time.Now(), 0
		for time.Since(start) < d && ctx.Err() == nil {
			for range 20 {
				if err := f(); err != nil {
					return 0, err
				}
			}
			n += 20
		}
		return float64(n) / time.Since(start).Seconds(), ctx.Err()
	}
}

// benchIssue measures everything that a certificate takes, with all that is
// stored: intent, lint, signature, verification, log with witness file, release,
// audit, QR code and page. There is no yardstick for it.
func benchIssue(ctx context.Context, p *portal, r *Report, _ time.Duration) error {
	const perRound = 400
	site, err := newSite(ctx, p)
	if err != nil {
		return err
	}
	records := make([]string, rounds*perRound)
	err = together(ctx, len(records), 8, func(ctx context.Context, i int) error {
		records[i], err = site.give(ctx)
		return err
	})
	if err != nil {
		return err
	}
	m, err := interleave(func() (float64, error) {
		start := time.Now()
		made := func(ctx context.Context, i int) error { return p.Certificate.Make(ctx, records[i]) }
		if err := together(ctx, perRound, p.env.Cfg.Workers, made); err != nil {
			return 0, err
		}
		if _, err := p.Log.Sequence(ctx); err != nil {
			return 0, err
		}
		err := together(ctx, perRound, p.env.Cfg.Workers, func(ctx context.Context, i int) error {
			if err := made(ctx, i); err != nil {
				return err
			}
			list, err := p.Certificate.OfRecord(ctx, p.env.Pool, records[i])
			if err != nil {
				return err
			}
			if len(list) != 1 || !list[0].Ready() {
				return fmt.Errorf("record %s has no certificate", records[i])
			}
			_, err = p.Certificate.PDF(list[0], "de")
			return err
		})
		records = records[perRound:]
		return perRound / time.Since(start).Seconds(), err
	})
	if err != nil {
		return err
	}
	r.add(Figure{Name: "certificate.issue", Value: m.median(0), Unit: "certificates/s"})
	return nil
}
