package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

func TestStaticFilesAreWholeWhenCompressed(t *testing.T) {
	t.Parallel()
	s, err := loadStatic()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range s.files {
		if f.gz == nil {
			continue
		}
		r, err := gzip.NewReader(bytes.NewReader(f.gz))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, f.body) {
			t.Errorf("%s: compressed form is not the file: %v", name, err)
		}
	}
	if !s.has("app.css") {
		t.Error("app.css is missing")
	}
}
