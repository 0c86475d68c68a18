// Package qrtest reads QR codes from pictures with a reader that is not ours.
package qrtest

import (
	"bytes"
	"image"
	_ "image/png" // the form of our pictures
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// Read reads a picture that holds a QR code.
func Read(t testing.TB, png []byte) string {
	t.Helper()
	text, ok := Try(t, png)
	if !ok {
		t.Fatal("the QR code cannot be read")
	}
	return text
}

// Try is Read for a picture that may be bad. The reader's search for the
// corners misses one code in some hundreds; it is given more than one chance.
func Try(t testing.TB, png []byte) (string, bool) {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(png))
	if err != nil {
		t.Fatal(err)
	}
	for _, hint := range []gozxing.DecodeHintType{gozxing.DecodeHintType_OTHER, gozxing.DecodeHintType_TRY_HARDER, gozxing.DecodeHintType_PURE_BARCODE} {
		bmp, err := gozxing.NewBinaryBitmapFromImage(img)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := qrcode.NewQRCodeReader().Decode(bmp, map[gozxing.DecodeHintType]any{hint: true}); err == nil {
			return res.GetText(), true
		}
	}
	return "", false
}
