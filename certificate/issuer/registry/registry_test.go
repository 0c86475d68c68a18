package registry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var now = time.Date(2021, 7, 21, 6, 0, 0, 0, time.UTC)

func day(y int, m time.Month, d int) Day { return Day{time.Date(y, m, d, 0, 0, 0, 0, time.UTC)} }

func entry(id string) Entry {
	return Entry{
		ID: id, Name: "Apotheke MUSTER", Street: "Markt 1", Postcode: "04109", City: "Leipzig", Kind: Pharmacy, Licence: LicenceValid,
		Region: "DE-SN", Keys: []string{fmt.Sprintf("%064x", []byte(id))}, From: day(2020, 1, 1),
	}
}

func list(seq int64, entries ...Entry) List {
	return List{Format: Format, Authority: "Behörde MUSTER", Sequence: seq, IssuedAt: now, NextUpdate: now.Add(24 * time.Hour), Entries: entries}
}

func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, l List, k crypto.Signer) []byte {
	t.Helper()
	raw, err := Sign(l, k)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSignedListIsRead(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]crypto.Signer{"Ed25519": edKey(t), "P-256": p256} {
		raw := sign(t, list(1, entry("A-1"), entry("B-2")), k)
		l, err := Open(raw, []crypto.PublicKey{edKey(t).Public(), k.Public()})
		if err != nil || len(l.Entries) != 2 || !l.Entries[1].Equal(entry("B-2")) {
			t.Errorf("%s: %+v %v", name, l, err)
		}
	}
}

func TestBadSignatures(t *testing.T) {
	t.Parallel()
	k, rsaKey := edKey(t), func() *rsa.PrivateKey { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k }()
	keys := []crypto.PublicKey{k.Public()}
	good := string(sign(t, list(1, entry("A-1")), k))
	parts := strings.Split(strings.TrimSpace(good), ".")
	body, _ := base64.RawURLEncoding.DecodeString(parts[1])
	edited := base64.RawURLEncoding.EncodeToString(bytes.Replace(body, []byte("Markt 1"), []byte("Markt 2"), 1))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"issuer-registry+jws"}`))
	other := func(alg jose.SignatureAlgorithm, key any, typ string) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
		if err != nil {
			t.Fatal(err)
		}
		o, _ := s.Sign(body)
		out, _ := o.CompactSerialize()
		return out
	}
	for name, raw := range map[string]string{
		"edited payload":         parts[0] + "." + edited + "." + parts[2],
		"other key":              string(sign(t, list(1, entry("A-1")), edKey(t))),
		"no signature":           parts[0] + "." + parts[1] + ".",
		"alg none":               none + "." + parts[1] + ".",
		"HMAC of the public key": other(jose.HS256, []byte(k.Public().(ed25519.PublicKey)), "issuer-registry+jws"),
		"RSA":                    other(jose.RS256, rsaKey, "issuer-registry+jws"),
		"another type":           other(jose.EdDSA, k, "JWT"),
		"plain JSON":             string(body),
		"empty":                  "",
	} {
		if _, err := Open([]byte(raw), keys); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMalformedLists(t *testing.T) {
	t.Parallel()
	k := edKey(t)
	open := func(doc string) error {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: k}, (&jose.SignerOptions{}).WithType(typ))
		if err != nil {
			t.Fatal(err)
		}
		o, _ := s.Sign([]byte(doc))
		raw, _ := o.CompactSerialize()
		_, err = Open([]byte(raw), []crypto.PublicKey{k.Public()})
		return err
	}
	text := func(l List) string { b, _ := json.Marshal(l); return string(b) }
	good := text(list(1, entry("A-1")))
	if err := open(good); err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("%q is not in %s", from, good)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, doc := range map[string]string{
		"unknown field":        change(`"id":`, `"vip":true,"id":`),
		"two values":           good + "{}",
		"duplicated id":        text(list(1, entry("A-1"), func() Entry { e := entry("A-1"); e.Keys = nil; return e }())),
		"duplicated key":       text(list(1, entry("A-1"), func() Entry { e := entry("A-1"); e.ID = "B-2"; return e }())),
		"other format":         change(Format, "issuer-registry/2"),
		"sequence zero":        change(`"sequence":1`, `"sequence":0`),
		"sequence fraction":    change(`"sequence":1`, `"sequence":1.5`),
		"guest":                change(`"pharmacy"`, `"guest"`),
		"unknown licence":      change(`"licence":"valid"`, `"licence":"maybe"`),
		"no licence":           change(`"licence":"valid",`, ``),
		"small id":             change(`"A-1"`, `"a-1"`),
		"line break in name":   change("Apotheke MUSTER", `Apotheke\nMUSTER`),
		"long name":            change("Apotheke MUSTER", strings.Repeat("x", 201)),
		"key no hash":          change(entry("A-1").Keys[0], "abc"),
		"day with time":        change("2020-01-01", "2020-01-01T00:00:00Z"),
		"next update in past":  change("2021-07-22T06:00:00Z", "2021-07-20T06:00:00Z"),
		"ends before it began": text(list(1, func() Entry { e := entry("A-1"); e.To = day(2019, 1, 1); return e }())),
		"null":                 "null",
	} {
		if err := open(doc); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHugeListsAreRefusedUnread(t *testing.T) {
	t.Parallel()
	if _, err := Open(make([]byte, MaxBytes+1), nil); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	l := list(1, make([]Entry, MaxEntries+1)...)
	if err := l.check(); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestOrderOfLists(t *testing.T) {
	t.Parallel()
	have := Have{Sequence: 5, Hash: []byte("a")}
	for _, c := range []struct {
		name string
		seq  int64
		hash string
		at   time.Time
		same bool
		want error
	}{
		{"newer", 6, "b", now, false, nil},
		{"the same", 5, "a", now, true, nil},
		{"older", 4, "b", now, false, ErrRollback},
		{"one number, two lists", 5, "b", now, false, ErrForked},
		{"out of date", 6, "b", now.Add(24 * time.Hour), false, ErrExpired},
		{"from the future", 6, "b", now.Add(-10 * time.Minute), false, ErrFuture},
		{"clock a little behind", 6, "b", now.Add(-4 * time.Minute), false, nil},
	} {
		same, err := list(c.seq).Acceptable([]byte(c.hash), have, c.at)
		if same != c.same || !errors.Is(err, c.want) {
			t.Errorf("%s: %v %v", c.name, same, err)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	moved, lost := entry("B-2"), entry("C-3")
	moved.Street, lost.Licence = "Markt 9", LicenceWithdrawn
	old := map[string]Entry{"A-1": entry("A-1"), "B-2": entry("B-2"), "C-3": entry("C-3"), "D-4": entry("D-4")}
	c := Compare(old, list(2, entry("A-1"), moved, lost, entry("E-5")))
	if len(c.Added) != 1 || len(c.Changed) != 2 || len(c.Missing) != 1 || c.Missing[0].ID != "D-4" || c.Known != 4 {
		t.Errorf("%+v", c)
	}
	if entry("B-2").Identity(moved) || !entry("C-3").Identity(lost) || lost.ValidOn(now) {
		t.Error("identity or licence")
	}
	if c.Implausible(0, 0.5) || !c.Implausible(0, 0.05) || c.Implausible(1, 0.05) {
		t.Error("plausibility")
	}
}

func TestValidity(t *testing.T) {
	t.Parallel()
	e := entry("A-1")
	e.From, e.To = day(2021, 7, 1), day(2021, 7, 31)
	for d, want := range map[Day]bool{day(2021, 6, 30): false, day(2021, 7, 1): true, day(2021, 7, 31): true, day(2021, 8, 1): false} {
		if e.ValidOn(d.Time) != want {
			t.Errorf("%s: %v", d, !want)
		}
	}
}

func FuzzOpenNeverAcceptsWhatWasNotSigned(f *testing.F) {
	k := edKey(f)
	f.Add(sign(f, list(1, entry("A-1")), k))
	keys := []crypto.PublicKey{edKey(f).Public()}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := Open(raw, keys); err == nil {
			t.Fatal("accepted")
		}
		if l, err := parse(raw); err == nil && l.check() != nil {
			t.Fatal("read something malformed")
		}
	})
}
