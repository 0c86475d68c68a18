package card_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"impfportal/certificate/certify/card"
	"impfportal/certificate/certify/card/cardtest"
)

var now = time.Date(2021, 7, 21, 8, 0, 0, 0, time.UTC)

func spec() cardtest.Spec {
	return cardtest.Spec{Name: "Apotheke MUSTER", From: now.AddDate(-1, 0, 0), Until: now.AddDate(1, 0, 0)}
}

func trust(t *testing.T, authorities ...*cardtest.Card) card.Trust {
	t.Helper()
	var files []string
	for _, a := range authorities {
		files = append(files, a.File(t))
	}
	list, err := card.Authorities(files)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := card.OIDs([]string{cardtest.Policy})
	if err != nil {
		t.Fatal(err)
	}
	professions, err := card.Professions([]string{"practice=" + cardtest.Practice, "pharmacy=" + cardtest.Pharmacy})
	if err != nil {
		t.Fatal(err)
	}
	return card.Trust{Authorities: list, Policies: policies, Professions: professions}
}

func parse(t *testing.T, c *cardtest.Card) *card.Certificate {
	t.Helper()
	out, err := card.Parse(c.DER)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var keys = map[string]func(testing.TB) cardtest.Key{"RSA": cardtest.RSA, "P-256": cardtest.P256, "brainpoolP256r1": cardtest.Brainpool}

// Every kind of key signs as authority and as card, and nothing else passes.
func TestKinds(t *testing.T) {
	t.Parallel()
	for by, authorityKey := range keys {
		for of, cardKey := range keys {
			if by == "RSA" && of == "brainpoolP256r1" {
				continue // the helper writes signatures of authorities by ECDSA only
			}
			t.Run(by+" issues "+of, func(t *testing.T) {
				t.Parallel()
				ca := cardtest.NewAuthority(t, authorityKey(t), now.AddDate(-5, 0, 0))
				own := ca.Issue(t, cardKey(t), spec())
				c := parse(t, own)
				if err := errors.Join(trust(t, ca).Check(c, now), trust(t, ca).CheckKind(c, "pharmacy")); err != nil {
					t.Fatal(err)
				}
				if err := c.Verify([]byte("challenge"), own.Sign(t, "challenge"), false); err != nil {
					t.Error(err)
				}
				if err := c.Verify([]byte("challenge"), own.Sign(t, "another"), true); !errors.Is(err, card.ErrSignature) {
					t.Errorf("another challenge: %v", err)
				}
				other := ca.Issue(t, cardKey(t), spec())
				if err := c.Verify([]byte("challenge"), other.Sign(t, "challenge"), true); !errors.Is(err, card.ErrSignature) {
					t.Errorf("another card: %v", err)
				}
				stranger := cardtest.NewAuthority(t, authorityKey(t), now.AddDate(-5, 0, 0))
				if err := trust(t, stranger).Check(c, now); !errors.Is(err, card.ErrAuthority) {
					t.Errorf("another authority of the same name: %v", err)
				}
				if c.Fingerprint() != own.Fingerprint() {
					t.Error("fingerprint")
				}
			})
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	ca := cardtest.NewAuthority(t, cardtest.P256(t), now.AddDate(-5, 0, 0))
	tr := trust(t, ca)
	for name, c := range map[string]struct {
		change func(*cardtest.Spec)
		want   error
	}{
		"good":             {func(*cardtest.Spec) {}, nil},
		"expired":          {func(s *cardtest.Spec) { s.Until = now.Add(-time.Second) }, card.ErrTime},
		"not yet":          {func(s *cardtest.Spec) { s.From = now.Add(time.Second) }, card.ErrTime},
		"server":           {func(s *cardtest.Spec) { s.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, card.ErrUsage},
		"authority":        {func(s *cardtest.Spec) { s.Authority = true }, card.ErrUsage},
		"no policy":        {func(s *cardtest.Spec) { s.Policies = []string{} }, card.ErrPolicy},
		"other policy":     {func(s *cardtest.Spec) { s.Policies = []string{"1.2.3.4"} }, card.ErrPolicy},
		"other profession": {func(s *cardtest.Spec) { s.Professions = []string{cardtest.Practice} }, card.ErrProfession},
		"no profession":    {func(s *cardtest.Spec) { s.Professions = []string{} }, card.ErrProfession},
	} {
		s := spec()
		c.change(&s)
		got := parse(t, ca.Issue(t, cardtest.P256(t), s))
		err := tr.Check(got, now)
		if err == nil {
			err = tr.CheckKind(got, "pharmacy")
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := tr.Check(parse(t, ca.Issue(t, cardtest.P256(t), spec())), now.AddDate(30, 0, 0)); !errors.Is(err, card.ErrTime) {
		t.Errorf("after the authority's time: %v", err)
	}
	good := parse(t, ca.Issue(t, cardtest.P256(t), spec()))
	if err := tr.CheckKind(good, "mobile"); !errors.Is(err, card.ErrProfession) {
		t.Errorf("a kind without professions: %v", err)
	}
	tr.Organisations = []string{"Somebody else"}
	if err := tr.Check(good, now); !errors.Is(err, card.ErrPolicy) {
		t.Errorf("organisation: %v", err)
	}
}

// PKCS #1 v1.5 counts only where it is configured; ECDSA comes in two forms.
func TestFormsOfSignatures(t *testing.T) {
	t.Parallel()
	ca := cardtest.NewAuthority(t, cardtest.P256(t), now.AddDate(-5, 0, 0))
	old := ca.Issue(t, cardtest.RSA(t), spec())
	c := parse(t, old)
	if err := c.Verify([]byte("x"), old.SignPKCS1(t, "x"), false); !errors.Is(err, card.ErrSignature) {
		t.Errorf("PKCS #1 without leave: %v", err)
	}
	if err := c.Verify([]byte("x"), old.SignPKCS1(t, "x"), true); err != nil {
		t.Error(err)
	}
	for _, key := range []cardtest.Key{cardtest.P256(t), cardtest.Brainpool(t)} {
		k := ca.Issue(t, key, spec())
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(k.Sign(t, "x"), &sig); err != nil {
			t.Fatal(err)
		}
		plain := append(sig.R.FillBytes(make([]byte, 32)), sig.S.FillBytes(make([]byte, 32))...)
		if err := parse(t, k).Verify([]byte("x"), plain, false); err != nil {
			t.Error(err)
		}
		plain[40] ^= 1
		if err := parse(t, k).Verify([]byte("x"), plain, false); err == nil {
			t.Error("a changed signature passed")
		}
	}
}

// The key of a Brainpool certificate is the one in it, and a point that is not on
// the curve is refused.
func TestBrainpoolKey(t *testing.T) {
	t.Parallel()
	ca := cardtest.NewAuthority(t, cardtest.Brainpool(t), now.AddDate(-5, 0, 0))
	own := ca.Issue(t, cardtest.Brainpool(t), spec())
	k := parse(t, own).Key.(*ecdsa.PublicKey)
	if !k.Equal(own.Key.Public()) || k.Params().BitSize != 256 {
		t.Error("another key")
	}
	x := k.X.FillBytes(make([]byte, 32)) //nolint:staticcheck // what replaces X knows no Brainpool curve
	for i := range own.DER {
		if i+32 <= len(own.DER) && string(own.DER[i:i+32]) == string(x) {
			broken := append([]byte{}, own.DER...)
			broken[i+31] ^= 1
			if _, err := card.Parse(broken); !errors.Is(err, card.ErrKey) {
				t.Errorf("point beside the curve: %v", err)
			}
			return
		}
	}
	t.Fatal("no point in the certificate")
}

func TestAuthoritiesAreAuthorities(t *testing.T) {
	t.Parallel()
	ca := cardtest.NewAuthority(t, cardtest.P256(t), now.AddDate(-5, 0, 0))
	if _, err := card.Authorities([]string{ca.Issue(t, cardtest.P256(t), spec()).File(t)}); err == nil {
		t.Error("a card as authority")
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := card.Authorities([]string{empty}); err == nil {
		t.Error("an empty file")
	}
}

func FuzzParse(f *testing.F) {
	ca := cardtest.NewAuthority(f, cardtest.Brainpool(f), now.AddDate(-5, 0, 0))
	f.Add(ca.DER)
	f.Add(ca.Issue(f, cardtest.P256(f), spec()).DER)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := card.Parse(der)
		if err == nil && (c.Key == nil || c.Fingerprint() == "") {
			t.Error("read and empty")
		}
	})
}

// Lists of what was taken back: every kind of key signs them, and nothing else passes.
func TestRevocationLists(t *testing.T) {
	t.Parallel()
	for name, key := range keys {
		ca := cardtest.NewAuthority(t, key(t), now.AddDate(-5, 0, 0))
		gone := ca.Issue(t, cardtest.P256(t), spec())
		raw := ca.CRL(t, now, now.AddDate(0, 0, 1), gone)
		l, err := card.ParseCRL(raw, parse(t, ca))
		if err != nil || len(l.Serials) != 1 || l.Serials[0] != parse(t, gone).Serial() || !l.NextUpdate.Equal(now.AddDate(0, 0, 1)) {
			t.Errorf("%s: %+v %v", name, l, err)
		}
		changed := append([]byte{}, raw...)
		changed[len(changed)-1] ^= 1
		for what, c := range map[string]struct {
			raw []byte
			by  *cardtest.Card
		}{"changed": {changed, ca}, "another authority of the same name": {raw, cardtest.NewAuthority(t, key(t), now.AddDate(-5, 0, 0))}, "no authority": {raw, gone}, "empty": {nil, ca}} {
			if _, err := card.ParseCRL(c.raw, parse(t, c.by)); !errors.Is(err, card.ErrCRL) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}
