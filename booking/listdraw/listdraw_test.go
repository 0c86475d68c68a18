package listdraw

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func day(key []byte, rounds ...Round) Published {
	sum := sha256.Sum256(key)
	return Published{Day: "2021-01-11", Commitment: hex.EncodeToString(sum[:]), Key: hex.EncodeToString(key), Rounds: rounds}
}

func wrong(p Published) (n int) {
	for _, f := range Findings(p) {
		if f.Err != nil {
			n++
		}
	}
	return n
}

// Whoever was asked in turn holds; anybody else in the place of the first, a person
// who was left out of the reasons, or another key does not.
func TestFindings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "key")
		n := rapid.IntRange(2, 8).Draw(rt, "people")
		var list []Person
		for i := range n {
			list = append(list, Person{fmt.Sprintf("person-%d", i), rapid.IntRange(1, 3).Draw(rt, "rank")})
		}
		order := Order(key, list)
		at := rapid.IntRange(0, n-1).Draw(rt, "asked")
		r := Round{Offer: "o", Origin: "places", Number: 1, Asked: order[at].ID, Candidates: list}
		for _, p := range order[:at] {
			if p.Rank > order[at].Rank {
				rt.Fatalf("rank %d in front of %d", p.Rank, order[at].Rank)
			}
			r.Passed = append(r.Passed, Passed{p.ID, "has appointments"})
		}
		if wrong(day(key, r)) != 0 {
			rt.Fatalf("%+v", Findings(day(key, r)))
		}
		if wrong(day(key, r, r)) != 1 {
			rt.Error("asked twice for the same places")
		}
		if at > 0 {
			short := r
			short.Passed = r.Passed[1:]
			if wrong(day(key, short)) != 1 {
				rt.Error("somebody was passed over without a reason")
			}
		}
		other := r
		other.Asked = "nobody"
		if wrong(day(key, other)) != 1 {
			rt.Error("somebody was asked who is no candidate")
		}
		p := day(key, r)
		p.Key = "00" + p.Key[2:]
		if key[0] != 0 && wrong(p) != 1 {
			rt.Error("another key")
		}
		p.Key = ""
		if f := Findings(p); len(f) != 1 || !errors.Is(f[0].Err, ErrSecret) {
			rt.Errorf("%+v", f)
		}
	})
}
