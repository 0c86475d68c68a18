// Package listdraw decides in which order people on the waiting list are asked,
// and lets an auditor recompute it. It is pure: no clock, no network, no database.
//
// # The order
//
// The rank of somebody's priority group comes first. Within a group the draw of the
// day decides: HMAC-SHA-256 of the person's id under the day's key, smaller values
// first. It is over the person and not over the entry on the list: who leaves the
// list and comes back, or saves the wishes anew, has the same lot.
//
// # Who must trust whom
//
// The key of a day follows from the portal's master key and the day alone; its hash
// is written into the audit record before the key is first used, and the key when
// the day is over. So the operator can know an order beforehand and cannot choose
// it: neither the key nor somebody's id can be changed without it being seen. An
// operator who keeps somebody off the list of candidates is caught by that person's
// own entry: the candidates of each offer are written down with it.
package listdraw

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Person is somebody who could be asked: waits, wishes for these places, and whose
// group's turn it is.
type Person struct {
	ID   string `json:"person"`
	Rank int    `json:"rank" doc:"of the priority group; 1 is asked first"`
}

// Passed says why somebody in front of the one who was asked was not.
type Passed struct {
	ID  string `json:"person"`
	Why string `json:"why"`
}

// Round is one offer and who could have had it.
type Round struct {
	Offer      string    `json:"offer"`
	Origin     string    `json:"origin" doc:"the places: the same for all who are asked for them in turn"`
	Number     int       `json:"round" doc:"1 = the first who was asked for these places"`
	MadeAt     time.Time `json:"made_at"`
	Asked      string    `json:"asked" doc:"the person"`
	Candidates []Person  `json:"candidates" doc:"in any order"`
	Passed     []Passed  `json:"passed" doc:"those in front of the one who was asked"`
}

// Published is everything about the draw of one day.
type Published struct {
	Day        string  `json:"day" doc:"YYYY-MM-DD, Berlin"`
	Commitment string  `json:"commitment" doc:"SHA-256 of the key, hexadecimal; in the audit record before the first offer of the day"`
	Key        string  `json:"key" doc:"hexadecimal; empty until the day is over"`
	Rounds     []Round `json:"rounds"`
}

// Place is where a person stands in the draw under a key: the smaller, the earlier.
func Place(key []byte, personID string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(personID))
	return h.Sum(nil)
}

// Order puts people into the order in which they are asked. It leaves list as it is.
func Order(key []byte, list []Person) []Person {
	places := make(map[string][]byte, len(list))
	for _, p := range list {
		places[p.ID] = Place(key, p.ID)
	}
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Person) int {
		if a.Rank != b.Rank {
			return a.Rank - b.Rank
		}
		return bytes.Compare(places[a.ID], places[b.ID])
	})
	return out
}

// Finding is one thing that was checked; Err says what does not hold.
type Finding struct {
	What string
	Err  error
}

// ErrSecret says that the key of a day is not revealed yet.
var ErrSecret = errors.New("the key is not revealed before the day is over")

// Findings recomputes a day: the key is the one that was promised, and each offer
// went to the first of its candidates who could have it.
func Findings(p Published) []Finding {
	key, err := openKey(p)
	out := []Finding{{"the key is the one that was promised", err}}
	if err != nil {
		return out
	}
	asked := map[[2]string]bool{}
	for _, r := range p.Rounds {
		err := r.check(key)
		if again := [2]string{r.Origin, r.Asked}; err == nil && asked[again] {
			err = errors.New("the person was asked for these places before")
		} else {
			asked[again] = true
		}
		out = append(out, Finding{fmt.Sprintf("offer %s: the first of %d", r.Offer, len(r.Candidates)), err})
	}
	return out
}

func openKey(p Published) ([]byte, error) {
	if p.Key == "" {
		return nil, ErrSecret
	}
	key, err := hex.DecodeString(p.Key)
	if err != nil {
		return nil, fmt.Errorf("the key is not hexadecimal: %w", err)
	}
	if sum := sha256.Sum256(key); !strings.EqualFold(hex.EncodeToString(sum[:]), p.Commitment) {
		return nil, errors.New("its SHA-256 is not the commitment")
	}
	return key, nil
}

// check compares who was asked with the order of the candidates.
func (r Round) check(key []byte) error {
	order := Order(key, r.Candidates)
	for i := 1; i < len(order); i++ {
		if order[i].ID == order[i-1].ID {
			return fmt.Errorf("%s stands among the candidates twice", order[i].ID)
		}
	}
	why := map[string]string{}
	for _, p := range r.Passed {
		why[p.ID] = p.Why
	}
	for _, p := range order {
		switch {
		case p.ID == r.Asked && why[p.ID] == "":
			return nil
		case why[p.ID] == "":
			return fmt.Errorf("%s stood in front of %s and was not asked, without a reason", p.ID, r.Asked)
		}
	}
	return fmt.Errorf("%s was asked and is no candidate", r.Asked)
}
