// Package dcctest makes certificates for tests, genuine and altered ones.
package dcctest

import (
	"bytes"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"impfportal/certificate/dcc"
)

// Signer makes a key with a certificate of its own for vaccinations.
func Signer(t testing.TB, notBefore, notAfter time.Time, usages ...asn1.ObjectIdentifier) *dcc.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(notBefore.UnixNano()), Subject: pkix.Name{Country: []string{"DE"}, CommonName: "MUSTER DSC"}, NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, UnknownExtKeyUsage: usages,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s, err := dcc.NewSigner(key, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Edit takes a certificate's text apart and puts it together again with another
// COSE message.
func Edit(t testing.TB, text string, edit func(message []byte) []byte) string {
	t.Helper()
	z, err := zlib.NewReader(bytes.NewReader(decode45(strings.TrimPrefix(text, dcc.HC1Prefix))))
	if err != nil {
		t.Fatal(err)
	}
	message, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := w.Write(edit(message)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dcc.HC1Prefix + encode45(packed.Bytes())
}

// Replace alters the payload: other words of the same length.
func Replace(t testing.TB, text, old, other string) string {
	t.Helper()
	return Edit(t, text, func(message []byte) []byte {
		if len(old) != len(other) || !bytes.Contains(message, []byte(old)) {
			t.Fatalf("%q cannot be replaced by %q", old, other)
		}
		return bytes.Replace(message, []byte(old), []byte(other), 1)
	})
}

// Rewrite turns the signature (r, s) into (r, n-s), which is valid as well.
func Rewrite(t testing.TB, text string) string {
	t.Helper()
	return Edit(t, text, func(message []byte) []byte {
		tail := message[len(message)-32:] // COSE_Sign1 ends with r and s
		s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(tail))
		s.FillBytes(tail)
		return message
	})
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

func encode45(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		n, digits := int(b[0]), 2
		if len(b) > 1 {
			n, digits = n<<8|int(b[1]), 3
		}
		for range digits {
			out.WriteByte(alphabet[n%45])
			n /= 45
		}
		b = b[digits-1:]
	}
	return out.String()
}

func decode45(s string) (out []byte) {
	for len(s) > 0 {
		take, n := min(3, len(s)), 0
		for i := take - 1; i >= 0; i-- {
			n = n*45 + strings.IndexByte(alphabet, s[i])
		}
		if take == 3 {
			out = append(out, byte(n>>8))
		}
		out = append(out, byte(n))
		s = s[take:]
	}
	return out
}
