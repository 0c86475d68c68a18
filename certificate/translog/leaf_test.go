package translog

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLeafHasOneForm(t *testing.T) {
	t.Parallel()
	leaf := Leaf{
		Kind: KindCertificate, Subject: "certificate:1", Digest: bytes.Repeat([]byte{0xab}, 32), Issuer: strings.Repeat("01", 16), Operator: strings.Repeat("ef", 16),
		Day: time.Date(2021, 6, 14, 0, 0, 0, 0, time.UTC), Detail: map[string]string{"path": "site", "basis": "given"},
	}
	const text = "impfportal-log/1\nkind: certificate\nsubject: certificate:1\n" +
		"digest: abababababababababababababababababababababababababababababababab\n" +
		"issuer: 01010101010101010101010101010101\noperator: efefefefefefefefefefefefefefefef\nday: 2021-06-14\n" +
		"detail.basis: given\ndetail.path: site\n"
	got, err := leaf.Encode()
	if err != nil || string(got) != text {
		t.Fatalf("%v\n%s", err, got)
	}
	if back, err := Decode(got); err != nil || !reflect.DeepEqual(back, leaf) {
		t.Errorf("%+v, %v", back, err)
	}
	for name, bad := range map[string]string{
		"other version":  strings.Replace(text, "/1", "/2", 1),
		"no line feed":   strings.TrimSuffix(text, "\n"),
		"more behind it": text + "\n",
		"capital digits": strings.Replace(text, "abab", "ABAB", 1),
		"other order":    strings.Replace(text, "detail.basis: given\ndetail.path: site\n", "detail.path: site\ndetail.basis: given\n", 1),
		"twice":          strings.Replace(text, "day: 2021-06-14\n", "day: 2021-06-14\nday: 2021-06-14\n", 1),
		"empty field":    strings.Replace(text, "issuer: 01010101010101010101010101010101", "issuer: ", 1),
		"unknown field":  strings.Replace(text, "issuer:", "name:", 1),
		"carriage":       strings.Replace(text, "given\n", "given\r\n", 1),
		"space behind":   strings.Replace(text, "given\n", "given \n", 1),
		"day":            strings.Replace(text, "06-14", "6-14", 1),
		"digest missing": strings.Replace(text, "digest: abababababababababababababababababababababababababababababababab\n", "", 1),
		"empty":          "",
	} {
		if _, err := Decode([]byte(bad)); !errors.Is(err, ErrLeaf) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeafRefusesWhatItMustNotHold(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Leaf){
		"kind":             func(l *Leaf) { l.Kind = "gift" },
		"subject":          func(l *Leaf) { l.Subject = "" },
		"two lines":        func(l *Leaf) { l.Subject = "a\nb" },
		"raw issuer":       func(l *Leaf) { l.Issuer = "centre:leipzig" },
		"raw operator":     func(l *Leaf) { l.Operator = "staff:0190a3c4" },
		"short digest":     func(l *Leaf) { l.Digest = []byte{1} },
		"no digest":        func(l *Leaf) { l.Digest = nil },
		"no day":           func(l *Leaf) { l.Day = time.Time{} },
		"detail's key":     func(l *Leaf) { l.Detail = map[string]string{"A b": "x"} },
		"detail's value":   func(l *Leaf) { l.Detail = map[string]string{"a": "x\u2028day: 2021-01-01"} },
		"detail too long":  func(l *Leaf) { l.Detail = map[string]string{"a": strings.Repeat("x", maxDetail+1)} },
		"not UTF-8":        func(l *Leaf) { l.Detail = map[string]string{"a": "\xff"} },
		"subject too long": func(l *Leaf) { l.Subject = strings.Repeat("x", maxSubject+1) },
	} {
		l := Leaf{Kind: KindCertificate, Subject: "certificate:1", Digest: make([]byte, 32), Day: time.Date(2021, 6, 14, 0, 0, 0, 0, time.UTC)}
		spoil(&l)
		if _, err := l.Encode(); !errors.Is(err, ErrLeaf) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What can be encoded is read back the same.
func TestLeafRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := Leaf{
			Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Subject: rapid.String().Draw(t, "subject"), Digest: rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"),
			Day: time.Unix(rapid.Int64Range(1e9, 4e9).Draw(t, "day"), 0).UTC().Truncate(24 * time.Hour),
		}
		if rapid.Bool().Draw(t, "details") {
			l.Detail = rapid.MapOfN(rapid.StringMatching(`[a-z][a-z0-9_]{0,8}`), rapid.String(), 1, 4).Draw(t, "detail")
		}
		data, err := l.Encode()
		if err != nil {
			return
		}
		if back, err := Decode(data); err != nil || !reflect.DeepEqual(back, l) {
			t.Fatalf("%+v became %+v, %v", l, back, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	l := Leaf{Kind: KindStop, Subject: "stop:all", Day: time.Date(2021, 6, 14, 0, 0, 0, 0, time.UTC), Detail: map[string]string{"a": "b"}}
	data, err := l.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Decode(data)
		if err != nil {
			return
		}
		if again, err := l.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q became %q, %v", data, again, err)
		}
	})
}
