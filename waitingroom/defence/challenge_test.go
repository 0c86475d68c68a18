package defence

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"impfportal/internal/redistest"
)

var (
	quick = Work{Cost: 10, Most: 30}
	bound = Bound{Room: "registration", Line: 3, Network: Networks(netip.MustParseAddr("192.0.2.1"))[0]}
)

func testChallenger() *Challenger {
	return NewChallenger([]byte("a secret of at least 32 bytes!!!"), quick)
}

// Solve finds the answer as a browser does.
func solve(t testing.TB, ch Challenge) string {
	t.Helper()
	for counter := range uint32(100_000) {
		key, err := ch.Parameters.derive(counter)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(hexOf(key), ch.Parameters.KeyPrefix) {
			return encode(t, ch, counter)
		}
	}
	t.Fatal("no solution")
	return ""
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func encode(t testing.TB, ch Challenge, counter uint32) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"challenge": ch, "solution": map[string]any{"counter": counter, "derivedKey": "00", "time": 12.5}})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestChallengeRoundTrip(t *testing.T) {
	t.Parallel()
	c := testChallenger()
	ch, err := c.New(midday, bound)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Open(midday, solve(t, ch), bound)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Solved(); err != nil {
		t.Error(err)
	}
	if s.ID != ch.Parameters.Nonce || !s.Expires.Equal(midday.Add(ChallengeLife)) {
		t.Errorf("%+v", s)
	}
}

// The format is ALTCHA's: this is what its worker found for these parameters
// in a browser.
func TestDeriveAsTheWidgetDoes(t *testing.T) {
	t.Parallel()
	p := Parameters{Nonce: "00112233445566778899aabbccddeeff", Salt: "ffeeddccbbaa99887766554433221100", Cost: 1000, KeyLength: 32}
	key, err := p.derive(1000)
	if err != nil || hexOf(key) != "4502671996a52feff5db298002105047198dbc8f0c057d6848bfdb98605180b4" {
		t.Errorf("%x, %v", key, err)
	}
}

func TestForeignSolutions(t *testing.T) {
	t.Parallel()
	c := testChallenger()
	ch, err := c.New(midday, bound)
	if err != nil {
		t.Fatal(err)
	}
	good := solve(t, ch)
	other := func(change func(*Bound)) Bound { b := bound; change(&b); return b }
	altered := func(change func(*Challenge)) string { a := ch; change(&a); return encode(t, a, 1) }
	for name, x := range map[string]struct {
		text string
		b    Bound
		now  time.Time
		want error
	}{
		"another room":      {good, other(func(b *Bound) { b.Room = "appointments" }), midday, ErrNotOurs},
		"another line":      {good, other(func(b *Bound) { b.Line++ }), midday, ErrNotOurs},
		"another network":   {good, other(func(b *Bound) { b.Network = Networks(netip.MustParseAddr("192.0.3.1"))[0] }), midday, ErrNotOurs},
		"nobody's network":  {good, other(func(b *Bound) { b.Network = Network{} }), midday, ErrNotOurs},
		"expired":           {good, bound, midday.Add(ChallengeLife), ErrExpired},
		"less work":         {altered(func(a *Challenge) { a.Parameters.Cost = 1 }), bound, midday, ErrNotOurs},
		"easier":            {altered(func(a *Challenge) { a.Parameters.KeyPrefix = "00" }), bound, midday, ErrNotOurs},
		"longer life":       {altered(func(a *Challenge) { a.Parameters.ExpiresAt += 3600 }), bound, midday, ErrNotOurs},
		"another nonce":     {altered(func(a *Challenge) { a.Parameters.Nonce = strings.Repeat("0", 32) }), bound, midday, ErrNotOurs},
		"another algorithm": {altered(func(a *Challenge) { a.Parameters.Algorithm = "SHA-256" }), bound, midday, ErrNotOurs},
		"no signature":      {altered(func(a *Challenge) { a.Signature = "" }), bound, midday, ErrNotOurs},
		"own signature": {altered(func(a *Challenge) {
			a.Signature = NewChallenger([]byte("another secret of 32 bytes......"), quick).sign(a.Parameters, bound)
		}), bound, midday, ErrNotOurs},
		"test mode of the widget": {base64.StdEncoding.EncodeToString([]byte(`{"challenge":null,"solution":null,"test":true}`)), bound, midday, ErrNotOurs},
		"nothing":                 {"", bound, midday, ErrNotOurs},
		"no base64":               {"%%%", bound, midday, ErrNotOurs},
		"trailing":                {base64.StdEncoding.EncodeToString([]byte(`{} {}`)), bound, midday, ErrNotOurs},
		"huge":                    {strings.Repeat("A", 4<<20), bound, midday, ErrNotOurs},
		"deep":                    {base64.StdEncoding.EncodeToString([]byte(strings.Repeat("[", 1000))), bound, midday, ErrNotOurs},
	} {
		if _, err := c.Open(x.now, x.text, x.b); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
	s, err := c.Open(midday, encode(t, ch, 31), bound) // beyond the last attempt
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Solved(); !errors.Is(err, ErrUnsolved) {
		t.Errorf("a wrong counter: %v", err)
	}
}

// A solution that is presented many times at once to several replicas counts once.
func TestSpendOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	ws := watches(t, rdb, 2, Limits{})
	c := testChallenger()
	ch, err := c.New(time.Now(), bound)
	if err != nil {
		t.Fatal(err)
	}
	text := solve(t, ch)
	var counted atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s, err := c.Open(time.Now(), text, bound)
			if err != nil {
				t.Error(err)
				return
			}
			if first, err := ws[i%2].Spend(ctx, s, time.Now()); err != nil {
				t.Error(err)
			} else if first {
				counted.Add(1)
			}
		})
	}
	wg.Wait()
	if counted.Load() != 1 {
		t.Errorf("counted %d times", counted.Load())
	}
	if ttl := rdb.TTL(ctx, "wr:{test}:d:x:"+ch.Parameters.Nonce).Val(); ttl <= 0 || ttl > ChallengeLife+time.Second {
		t.Errorf("kept for %v", ttl)
	}
}

// A command that is sent again because its answer was lost still says first.
func TestSpendAgainAfterALostAnswer(t *testing.T) {
	t.Parallel()
	w := watches(t, redistest.New(t), 1, Limits{})[0]
	s := &Solution{ID: "x", Expires: time.Now().Add(time.Minute), attempt: "one"}
	for range 2 {
		if first, err := w.Spend(ctx, s, time.Now()); err != nil || !first {
			t.Errorf("%v, %v", first, err)
		}
	}
	again := *s
	again.attempt = "two"
	if first, err := w.Spend(ctx, &again, time.Now()); err != nil || first {
		t.Errorf("replay: %v, %v", first, err)
	}
}

func FuzzOpen(f *testing.F) {
	c := testChallenger()
	ch, err := c.New(midday, bound)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encode(f, ch, 1))
	f.Add("e30=")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := c.Open(midday, text, bound)
		if err != nil {
			return
		}
		_ = s.Solved()
		if s.p != ch.Parameters {
			t.Errorf("accepted what was never made: %+v", s.p)
		}
	})
}

func BenchmarkChallenge(b *testing.B) {
	c := NewChallenger([]byte("a secret of at least 32 bytes!!!"), DefaultWork)
	ch, err := c.New(midday, bound)
	if err != nil {
		b.Fatal(err)
	}
	text := encode(b, ch, 1)
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			_, _ = c.New(midday, bound)
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			s, _ := c.Open(midday, text, bound)
			_ = s.Solved()
		}
	})
	b.Run("refuse", func(b *testing.B) {
		for b.Loop() {
			_, _ = c.Open(midday, text, Bound{})
		}
	})
}

func BenchmarkMeterJoin(b *testing.B) {
	m := NewMeter(Limits{Soft: 1 << 20, SoftBurst: 1 << 20})
	var n uint32
	b.ReportAllocs()
	for b.Loop() {
		n++
		m.Join(midday, Networks(v4(n%5000<<8)), true)
	}
}
