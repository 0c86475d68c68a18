package pdf_test

import (
	"math/rand/v2"
	"testing"

	"impfportal/internal/pdf"
)

func BenchmarkLetter(b *testing.B) {
	spec := letter()
	for b.Loop() {
		if _, err := pdf.Letter(spec); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkForm is a page like a certificate's: sixteen fields and a QR code of
// 560 characters.
func BenchmarkForm(b *testing.B) {
	spec, values := form()
	f, err := pdf.NewForm(spec)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	text := make([]byte, 560)
	for i := range text {
		text[i] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"[r.IntN(45)]
	}
	values["code"] = string(text)
	size := 0
	for b.Loop() {
		out, err := f.Fill(created, values)
		if err != nil {
			b.Fatal(err)
		}
		size = len(out)
	}
	b.ReportMetric(float64(size), "bytes")
}
