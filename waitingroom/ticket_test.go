package waitingroom

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var testKeys = []SignKey{{ID: 1, Secret: bytes.Repeat([]byte{7}, 32)}}

func TestTokensComeBack(t *testing.T) {
	t.Parallel()
	s := NewSigner(testKeys...)
	rapid.Check(t, func(t *rapid.T) {
		p := Place{
			Room:  rapid.StringMatching(`[a-z][a-z0-9-]{0,39}`).Draw(t, "room"),
			Epoch: rapid.Int64Range(0, 1e6).Draw(t, "epoch"), Cohort: rapid.Int64Range(0, 100).Draw(t, "cohort"),
			Index: rapid.Int64Range(1, 1e12).Draw(t, "index"),
		}
		key, _ := HashKey(NewKey())
		at := time.Unix(rapid.Int64Range(0, 1e10).Draw(t, "at"), 0).UTC()
		ticket := Ticket{Place: p, Issued: at, Key: key}
		text := s.SignTicket(ticket)
		if len(text) > maxToken {
			t.Fatalf("%d characters", len(text))
		}
		got, err := s.Ticket(text)
		if err != nil || got != ticket {
			t.Fatalf("got %+v, %v; want %+v", got, err, ticket)
		}
		if _, err := s.Pass(text); !errors.Is(err, ErrToken) {
			t.Fatal("a ticket passed for a pass")
		}
		pass := Pass{Place: p, Expires: at, Key: key}
		if got, err := s.Pass(s.SignPass(pass)); err != nil || got != pass {
			t.Fatalf("got %+v, %v; want %+v", got, err, pass)
		}
		if back, err := ParsePlace(p.ID()); err != nil || back != p {
			t.Fatalf("ParsePlace(%s) = %+v, %v", p.ID(), back, err)
		}
	})
}

func TestTokensCannotBeChanged(t *testing.T) {
	t.Parallel()
	s := NewSigner(testKeys...)
	key, _ := HashKey(NewKey())
	text := s.SignTicket(Ticket{Place: Place{Room: "registration", Epoch: 1, Index: 42}, Issued: time.Unix(1e9, 0), Key: key})
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, err := s.Ticket(base64.RawURLEncoding.EncodeToString(raw)); err == nil {
				t.Fatalf("bit %d of byte %d changed, and nobody noticed", bit, i)
			}
			raw[i] ^= 1 << bit
		}
	}
	for i := range raw {
		if _, err := s.Ticket(base64.RawURLEncoding.EncodeToString(raw[:i])); err == nil {
			t.Fatalf("cut off after %d bytes, and nobody noticed", i)
		}
	}
}

func TestOldKeysStillOpen(t *testing.T) {
	t.Parallel()
	old := NewSigner(testKeys...)
	next := NewSigner(SignKey{ID: 2, Secret: bytes.Repeat([]byte{9}, 32)}, testKeys[0])
	key, _ := HashKey(NewKey())
	ticket := Ticket{Place: Place{Room: "a", Epoch: 1, Index: 1}, Issued: time.Unix(1, 0).UTC(), Key: key}
	if _, err := next.Ticket(old.SignTicket(ticket)); err != nil {
		t.Errorf("ticket of the key before: %v", err)
	}
	if _, err := old.Ticket(next.SignTicket(ticket)); !errors.Is(err, ErrToken) {
		t.Errorf("ticket of an unknown key: %v", err)
	}
}

func TestHashKey(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "x", "AAAA", NewKey() + "A", "äöüäöüäöüäöüäöü"} {
		if _, ok := HashKey(bad); ok {
			t.Errorf("%q passed for a key", bad)
		}
	}
}

func FuzzTicket(f *testing.F) {
	s := NewSigner(testKeys...)
	key, _ := HashKey(NewKey())
	f.Add(s.SignTicket(Ticket{Place: Place{Room: "registration", Epoch: 1, Index: 42}, Issued: time.Unix(1e9, 0), Key: key}))
	f.Add(s.SignPass(Pass{Place: Place{Room: "a", Epoch: 1, Cohort: 3, Index: 1 << 40}, Expires: time.Unix(1e9, 0), Key: key}))
	f.Add("")
	f.Add("AXQB_w")
	f.Fuzz(func(t *testing.T, text string) {
		ticket, err := s.Ticket(text)
		if err == nil && s.SignTicket(ticket) != text {
			t.Errorf("%q was read as %+v", text, ticket)
		}
		pass, err := s.Pass(text)
		if err == nil && s.SignPass(pass) != text {
			t.Errorf("%q was read as %+v", text, pass)
		}
		if err != nil && pass != (Pass{}) {
			t.Errorf("%q: an error and %+v", text, pass)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	f.Add("registration.1.0.42")
	f.Add("a.-1.0.1")
	f.Fuzz(func(t *testing.T, id string) {
		if p, err := ParsePlace(id); err == nil {
			if again, err := ParsePlace(p.ID()); err != nil || again != p {
				t.Errorf("%q: %+v, then %+v, %v", id, p, again, err)
			}
		}
	})
}
