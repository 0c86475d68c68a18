package dcc

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"impfportal/internal/qr"
)

// ratio measures ours against the yardstick in interleaved rounds, so that a
// noisy machine disturbs both alike, and reports the median of the ratios:
// 1 would mean that everything around the signature costs nothing.
func ratio(b *testing.B, yardstick, ours func()) {
	const each = 300
	measure := func(f func()) time.Duration {
		start := time.Now()
		for range each {
			f()
		}
		return time.Since(start)
	}
	measure(ours)
	var ratios, texts []float64
	for b.Loop() {
		bare, own := measure(yardstick), measure(ours)
		ratios = append(ratios, float64(bare)/float64(own))
		texts = append(texts, each/own.Seconds())
	}
	slices.Sort(ratios)
	slices.Sort(texts)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(texts[len(texts)/2], "texts/s")
	b.ReportMetric(0, "ns/op")
}

func bareSign(b *testing.B, s *Signer) func() {
	key := s.key.(*ecdsa.PrivateKey)
	sum := sha256.Sum256([]byte("yardstick"))
	return func() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHC1 is payload to text against bare P-256 signing. Run it with
// -cpu 1.
func BenchmarkHC1(b *testing.B) {
	s, _ := testSigner(b, issuedAt)
	c := sampleClaims(b)
	ratio(b, bareSign(b, s), func() {
		if _, err := s.HC1(c); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkHC1WithQR adds the QR code.
func BenchmarkHC1WithQR(b *testing.B) {
	s, _ := testSigner(b, issuedAt)
	c := sampleClaims(b)
	ratio(b, bareSign(b, s), func() {
		text, err := s.HC1(c)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := qr.Encode(text, qr.Q); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkVerify is reading and verifying a text, as done before release.
func BenchmarkVerify(b *testing.B) {
	s, _ := testSigner(b, issuedAt)
	c := sampleClaims(b)
	text, err := s.HC1(c)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d, err := Decode(text)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Verify(s.cert); err != nil {
			b.Fatal(err)
		}
	}
}
