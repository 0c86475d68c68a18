package draw

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/circl/sign/bls"
)

var update = flag.Bool("update", false, "write the golden files anew")

// ownChain is a drand network of one, for tests.
func ownChain(t testing.TB) (Chain, *bls.PrivateKey[bls.KeyG2SigG1]) {
	t.Helper()
	key, err := bls.KeyGen[bls.KeyG2SigG1](make([]byte, 32), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return Chain{Hash: strings.Repeat("ab", 32), PublicKey: hex.EncodeToString(public), Period: 3, Genesis: 1_600_000_000}, key
}

// Rounds of quicknet as its servers publish them.
func TestQuicknetRounds(t *testing.T) {
	t.Parallel()
	if err := Quicknet.Check(); err != nil {
		t.Fatal(err)
	}
	// A chain's hash is over its parameters, the group and the name.
	group, _ := hex.DecodeString("f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e")
	public, _ := hex.DecodeString(Quicknet.PublicKey)
	b := binary.BigEndian.AppendUint32(nil, uint32(Quicknet.Period))
	b = binary.BigEndian.AppendUint64(b, uint64(Quicknet.Genesis))
	b = append(append(append(b, public...), group...), "quicknet"...)
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != Quicknet.Hash {
		t.Errorf("the chain's hash is %x", sum)
	}
	for _, c := range []struct {
		round            int64
		signature, value string
	}{
		{1000, "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39", "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd"},
		{657413, "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b", "fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587"},
	} {
		if got, err := Quicknet.Value(c.round, c.signature); err != nil || got != c.value {
			t.Errorf("round %d: %s, %v", c.round, got, err)
		}
		if _, err := Quicknet.Value(c.round+1, c.signature); err == nil {
			t.Errorf("round %d passes as the next", c.round)
		}
		for _, bad := range []string{"", "b4", "zz", c.signature[:94], c.signature + "00", "c0" + strings.Repeat("00", 47), "a" + c.signature[1:], c.signature[:95] + "0"} {
			if bad == c.signature {
				continue
			}
			if _, err := Quicknet.Value(c.round, bad); err == nil {
				t.Errorf("round %d: %q passes", c.round, bad)
			}
		}
		other, _ := ownChain(t)
		if _, err := other.Value(c.round, c.signature); err == nil {
			t.Error("another chain's signature passes")
		}
	}
}

func TestRoundsAndTimes(t *testing.T) {
	t.Parallel()
	c := Quicknet
	for _, x := range []struct{ at, round int64 }{
		{c.Genesis - 100, 1}, {c.Genesis - 1, 1}, {c.Genesis, 2}, {c.Genesis + 2, 2}, {c.Genesis + 3, 3}, {c.Genesis + 2996, 1000}, {c.Genesis + 2997, 1001},
	} {
		at := time.Unix(x.at, 0)
		if got := c.RoundAfter(at); got != x.round || !c.Time(got).After(at) {
			t.Errorf("after %d: round %d, want %d", x.at, got, x.round)
		}
	}
	name := c.Name(1000)
	if round, ok := c.ParseName(name); !ok || round != 1000 {
		t.Errorf("%s: %d, %v", name, round, ok)
	}
	for _, bad := range []string{"", name + "x", strings.Replace(name, "1000", "01000", 1), strings.Replace(name, "1000", "-1", 1), strings.Repeat("ab", 32) + "/public/1000"} {
		if round, ok := c.ParseName(bad); ok {
			t.Errorf("%s is round %d", bad, round)
		}
	}
}

// sample is a whole draw with two attempts, as the portal would publish it.
func sample(t testing.TB) Published {
	t.Helper()
	chain, key := ownChain(t)
	signer := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := hex.EncodeToString(signer.Public().(ed25519.PublicKey))
	gaps := [][2]int64{{21, 30}, {90, 90}}
	closed := time.Date(2021, 1, 11, 13, 0, 0, 250e6, time.UTC)
	p := Published{
		Room: "registration", Epoch: 7, State: Revealed, Trust: TrustNobody, Algorithm: Algorithm, LateRule: LateRule, Epochs: []int64{7},
	}
	failed, revealed := closed.Add(2*time.Hour), closed.Add(3*time.Hour)
	for i, due := range []time.Time{closed.Add(20 * time.Second), failed.Add(20 * time.Second)} {
		s := Subject{p.Room, p.Epoch, int64(i + 1)}
		seed := testKey(uint64(i))
		round := chain.RoundAfter(due)
		commitment := Commit(s, seed)
		st := NewStatement(s, commitment, BeaconDrand, chain.Name(round), chain.Time(round), 109, 120, gaps, closed)
		a := Attempt{
			Number: s.Attempt, Commitment: hexOf(commitment), CommittedAt: closed.Add(-24 * time.Hour), Beacon: BeaconDrand, Name: st.Name, Due: chain.Time(round),
			Chain: &chain, Statement: string(st.Bytes()), Signature: hex.EncodeToString(st.Sign(signer)), PublicKey: public, Seed: hexOf(seed),
		}
		if i == 0 {
			a.FailedAt, a.FailedWhy = &failed, FailedDeclared
		} else {
			a.Proof = hex.EncodeToString(bls.Sign(key, message(round)))
			value, err := chain.Value(round, a.Proof)
			if err != nil {
				t.Fatal(err)
			}
			a.Value, a.ValueAt, a.RevealedAt = &value, &revealed, &revealed
			a.Key = hexOf(Key(s, seed, st.Tickets, st.LastIndex, st.Gaps, a.Beacon, a.Name, value))
			p.Draw = &Reveal{st.Tickets, st.LastIndex, st.Gaps, a.Key}
		}
		p.Attempts = append(p.Attempts, a)
	}
	return p
}

func clone(t *testing.T, p Published) (out Published) {
	t.Helper()
	raw, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVerify(t *testing.T) {
	t.Parallel()
	good := sample(t)
	if err := Verify(clone(t, good)); err != nil {
		t.Fatalf("a true draw: %v", err)
	}
	last := func(p *Published) *Attempt { return &p.Attempts[len(p.Attempts)-1] }
	flip := func(s *string) {
		b := []byte(*s)
		if b[3] == '0' {
			b[3] = '1'
		} else {
			b[3] = '0'
		}
		*s = string(b)
	}
	for name, lie := range map[string]func(p *Published){
		"another room":            func(p *Published) { p.Room = "appointments" },
		"another line":            func(p *Published) { p.Epoch++ },
		"another commitment":      func(p *Published) { flip(&last(p).Commitment) },
		"another seed":            func(p *Published) { flip(&last(p).Seed) },
		"another seed before":     func(p *Published) { flip(&p.Attempts[0].Seed) },
		"another key":             func(p *Published) { flip(&p.Draw.Key) },
		"another key twice":       func(p *Published) { flip(&p.Draw.Key); last(p).Key = p.Draw.Key },
		"another value":           func(p *Published) { flip(last(p).Value) },
		"another round":           func(p *Published) { last(p).Proof = p.Attempts[0].Signature },
		"another due":             func(p *Published) { last(p).Due = last(p).Due.Add(3 * time.Second) },
		"another name":            func(p *Published) { last(p).Name += "1" },
		"more tickets":            func(p *Published) { p.Draw.Tickets++ },
		"another last":            func(p *Published) { p.Draw.LastIndex++ },
		"no gaps":                 func(p *Published) { p.Draw.Gaps = nil },
		"another signature":       func(p *Published) { flip(&last(p).Signature) },
		"another signer":          func(p *Published) { flip(&last(p).PublicKey) },
		"a space in it":           func(p *Published) { last(p).Statement += " " },
		"a statement changed":     func(p *Published) { last(p).Statement = strings.Replace(last(p).Statement, "109", "110", 1) },
		"the first one left out":  func(p *Published) { p.Attempts = p.Attempts[1:] },
		"the first not failed":    func(p *Published) { p.Attempts[0].FailedAt = nil },
		"the last failed":         func(p *Published) { last(p).FailedAt = p.Attempts[0].FailedAt },
		"no attempt":              func(p *Published) { p.Attempts = nil },
		"no statement":            func(p *Published) { last(p).Statement = "" },
		"no seed":                 func(p *Published) { last(p).Seed = "" },
		"no draw":                 func(p *Published) { p.Draw = nil },
		"not revealed":            func(p *Published) { p.State = Closed },
		"who is trusted":          func(p *Published) { p.Trust = TrustOperator },
		"another algorithm":       func(p *Published) { p.Algorithm = "dice" },
		"no chain":                func(p *Published) { last(p).Chain = nil },
		"another chain's key":     func(p *Published) { last(p).Chain.PublicKey = Quicknet.PublicKey },
		"no key of a chain":       func(p *Published) { last(p).Chain.PublicKey = "00" },
		"quicknet's name for own": func(p *Published) { last(p).Chain.Hash = Quicknet.Hash },
	} {
		p := clone(t, good)
		lie(&p)
		if err := Verify(p); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// Resigned: whoever holds the key can sign a statement with a late close, or
// with numbers that contradict each other, but it does not pass.
func TestVerifySignedLies(t *testing.T) {
	t.Parallel()
	signer := ed25519.NewKeyFromSeed(make([]byte, 32))
	for name, lie := range map[string]func(s *Statement){
		"closed when the value was known": func(s *Statement) { s.ClosedAt = s.Due },
		"fewer tickets than indexes":      func(s *Statement) { s.Tickets-- },
		"gaps in disorder":                func(s *Statement) { s.Gaps[0], s.Gaps[1] = s.Gaps[1], s.Gaps[0] },
		"a gap behind the end":            func(s *Statement) { s.Gaps[1] = [2]int64{121, 121} },
		"other tickets than before":       func(s *Statement) { s.LastIndex++; s.Tickets++ },
	} {
		p := sample(t)
		a := &p.Attempts[1]
		var st Statement
		if err := json.Unmarshal([]byte(a.Statement), &st); err != nil {
			t.Fatal(err)
		}
		lie(&st)
		a.Statement, a.Signature = string(st.Bytes()), hex.EncodeToString(st.Sign(signer))
		seed, _ := bytes32(a.Seed)
		a.Key = hexOf(Key(Subject{p.Room, p.Epoch, 2}, seed, st.Tickets, st.LastIndex, st.Gaps, a.Beacon, a.Name, *a.Value))
		p.Draw = &Reveal{st.Tickets, st.LastIndex, st.Gaps, a.Key}
		if err := Verify(p); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

func TestVerifyBeforeTheReveal(t *testing.T) {
	t.Parallel()
	p := sample(t)
	p.State, p.Draw = Closed, nil
	a := &p.Attempts[1]
	a.Seed, a.Key, a.Value, a.Proof, a.RevealedAt, a.ValueAt = "", "", nil, "", nil, nil
	p.Attempts[0].Seed = ""
	if err := Verify(p); err != nil {
		t.Errorf("closed: %v", err)
	}
	p.State, p.Attempts = Committed, p.Attempts[:1]
	a = &p.Attempts[0]
	a.Statement, a.Signature, a.FailedAt, a.FailedWhy = "", "", nil, ""
	if err := Verify(p); err != nil {
		t.Errorf("committed: %v", err)
	}
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a\nb", "\x00", "a\rb", "\u0085"} {
		if CheckText(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
	if err := CheckText("Lotto 6 aus 49, Ziehung am Samstag"); err != nil {
		t.Error(err)
	}
}

// known is the golden file that Go and JavaScript share.
type known struct {
	Draws []struct {
		Reveal
		Places map[string]int64 `json:"places"` // by index
	} `json:"draws"`
	Published Published `json:"published"`
}

func makeKnown(t *testing.T) (k known) {
	t.Helper()
	for i, l := range []*Lot{
		{Tickets: 1, LastIndex: 1},
		{Tickets: 2, LastIndex: 2},
		{Tickets: 5, LastIndex: 8, Gaps: [][2]int64{{2, 3}, {8, 8}}},
		{Tickets: 0, LastIndex: 4, Gaps: [][2]int64{{1, 4}}},
		{Tickets: 100, LastIndex: 100},
		{Tickets: 10007, LastIndex: 110007, Gaps: [][2]int64{{4001, 104000}}},
		{Tickets: 1_000_000, LastIndex: 1_000_000},
		{Tickets: 5_000_000_000, LastIndex: 5_000_000_000},
	} {
		l.Key = testKey(uint64(i))
		d := struct {
			Reveal
			Places map[string]int64 `json:"places"`
		}{Reveal{l.Tickets, l.LastIndex, l.Gaps, hexOf(l.Key)}, map[string]int64{}}
		if d.Gaps == nil {
			d.Gaps = [][2]int64{}
		}
		for _, index := range []int64{0, 1, 2, 3, 4, 5, 8, 9, 57, 100, 101, 4000, 4001, 4002, 104001, 110007, 999_999, 1_000_000, 4_999_999_999} {
			d.Places[number(index)], _ = l.Place(index)
		}
		k.Draws = append(k.Draws, d)
	}
	k.Published = sample(t)
	return k
}

func TestKnownAnswers(t *testing.T) {
	t.Parallel()
	const file = "testdata/known.json"
	got, err := json.MarshalIndent(makeKnown(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want, have known
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &have); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want, have) {
		t.Errorf("places, commitments or keys are other than what was published before; if draw.json got a new algorithm, say so in Algorithm")
	}
	if err := Verify(want.Published); err != nil {
		t.Error(err)
	}
}

// The browser's script gives the same answers, and refuses the same lies.
func TestScriptAgrees(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("../../web/static/draw.js")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "node", "testdata/check.mjs", script, "testdata/known.json").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
