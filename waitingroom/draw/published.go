package draw

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// State of a draw.
type State string

// The states; see the package comment for what is published in each.
const (
	Committed State = "committed"
	Closed    State = "closed" // the number of tickets stands, the beacon is awaited
	Revealed  State = "revealed"
)

// Trust says who has to be trusted for the order.
type Trust string

// What Trust can be; see the package comment.
const (
	TrustNobody   Trust = "nobody"   // drand
	TrustEntry    Trust = "entry"    // lottery: that its numbers were typed in right, which everybody can see
	TrustOperator Trust = "operator" // local, none
)

// TrustFor returns who is trusted with a beacon.
func TrustFor(beacon string) Trust {
	switch beacon {
	case BeaconDrand:
		return TrustNobody
	case BeaconLottery:
		return TrustEntry
	}
	return TrustOperator
}

// Why an attempt failed.
const (
	FailedKnown    = "known"    // its value could be known when the pre-queue closed
	FailedDeclared = "declared" // two administrators, after it was late
)

// DeclareAfter is how long after its due time a beacon can be declared failed.
const DeclareAfter = time.Hour

// LateRule is the published rule for a value that does not come, by language.
var LateRule = map[string]string{
	"de": "Es gilt nur der Wert, der vorher benannt wurde. Solange er fehlt, bleibt der Raum geschlossen, und alle behalten ihren Platz. " +
		"Frühestens eine Stunde nach dem benannten Zeitpunkt können zwei Mitarbeitende gemeinsam erklären, dass der Wert ausbleibt. " +
		"Dann wird ein neuer Wert benannt, den es noch nicht gibt. Dieselben Nummern nehmen teil. Der erste Versuch bleibt veröffentlicht. " +
		"War der benannte Wert beim Schluss schon bekannt, weil später geschlossen wurde als geplant, zählt er nicht, und der nächste Wert nach dem Schluss gilt.",
	"en": "Only the value that was named beforehand counts. While it is missing the room stays shut, and everybody keeps their place. " +
		"At the earliest one hour after the time that was named, two members of staff together can declare that the value does not come. " +
		"Then a new value is named that does not exist yet. The same numbers take part. The first attempt stays published. " +
		"If the named value was already known at the close, because the close came later than planned, it does not count, and the next value after the close does.",
}

// Published is draw.json: all that is needed to recompute every place, as far
// as it is public at the time. Binary values are hexadecimal; times are those of
// the world outside, also on a demo whose clock is shifted.
type Published struct {
	Room      string            `json:"room"`
	Epoch     int64             `json:"epoch"`
	State     State             `json:"state"`
	Trust     Trust             `json:"trust"`
	Algorithm string            `json:"algorithm"`
	LateRule  map[string]string `json:"late_rule"`
	Draw      *Reveal           `json:"draw,omitempty"`
	Attempts  []Attempt         `json:"attempts"` // the last one holds, those before have failed
	Epochs    []int64           `json:"epochs"`   // of this room that were or will be drawn
}

// Reveal is all that a place follows from; the room's snapshot has the same.
type Reveal struct {
	Tickets   int64      `json:"tickets"`
	LastIndex int64      `json:"last_index"`
	Gaps      [][2]int64 `json:"gaps"`
	Key       string     `json:"key"`
}

// Attempt is one naming of a beacon.
type Attempt struct {
	Number      int64      `json:"attempt"`
	Commitment  string     `json:"commitment"`
	CommittedAt time.Time  `json:"committed_at"`
	Beacon      string     `json:"beacon"`
	Name        string     `json:"name"`
	Due         time.Time  `json:"due"`
	Chain       *Chain     `json:"chain,omitempty"` // drand
	Statement   string     `json:"statement,omitempty"`
	Signature   string     `json:"signature,omitempty"`
	PublicKey   string     `json:"public_key"` // Ed25519, for the statement
	Value       *string    `json:"value,omitempty"`
	Proof       string     `json:"proof,omitempty"` // drand: the round's signature
	ValueAt     *time.Time `json:"value_at,omitempty"`
	Seed        string     `json:"seed,omitempty"` // of a failed attempt: published with the last reveal
	Key         string     `json:"key,omitempty"`
	RevealedAt  *time.Time `json:"revealed_at,omitempty"`
	FailedAt    *time.Time `json:"failed_at,omitempty"`
	FailedWhy   string     `json:"failed_why,omitempty"`
}

// Lot returns the lot of a revealed draw; ok is false before.
func (p Published) Lot() (l *Lot, ok bool) {
	if p.Draw == nil {
		return nil, false
	}
	key, err := bytes32(p.Draw.Key)
	return &Lot{Tickets: p.Draw.Tickets, LastIndex: p.Draw.LastIndex, Gaps: p.Draw.Gaps, Key: key}, err == nil
}

// Verify recomputes everything that p publishes and returns what does not hold.
// It cannot know whether the Ed25519 key is the portal's, whether a chain that is
// not [Quicknet] is a public one, and what a lottery drew.
func Verify(p Published) error {
	var errs []error
	for _, f := range Findings(p) {
		if f.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.What, f.Err))
		}
	}
	return errors.Join(errs...)
}

// Finding is one thing that was checked.
type Finding struct {
	What string
	Err  error // nil = it holds
}

// Findings is Verify step by step.
func Findings(p Published) []Finding {
	var found []Finding
	note := func(attempt int64, what string, err error) {
		found = append(found, Finding{fmt.Sprintf("attempt %d: %s", attempt, what), err})
	}
	if len(p.Attempts) == 0 {
		return []Finding{{"draw", errors.New("nothing is published")}}
	}
	if p.Algorithm != Algorithm {
		return []Finding{{"algorithm", fmt.Errorf("%q is not known here", p.Algorithm)}}
	}
	var fixed *Statement
	for i, a := range p.Attempts {
		s := Subject{p.Room, p.Epoch, a.Number}
		last := i == len(p.Attempts)-1
		if a.Number != int64(i+1) || (a.FailedAt == nil) != last {
			note(a.Number, "order", errors.New("attempts must be numbered from 1, and all but the last have failed"))
			return found
		}
		if a.Statement == "" {
			if a.Value != nil || a.Seed != "" || a.Key != "" || !last || p.State != Committed {
				note(a.Number, "statement", errors.New("missing"))
			}
			_, err := bytes32(a.Commitment)
			note(a.Number, "commitment published, pre-queue not closed", err)
			continue
		}
		st, err := a.statement(s)
		note(a.Number, "statement signed, and says what is published", err)
		if err != nil {
			continue
		}
		note(a.Number, "number of tickets fixed before the value existed", a.inTime(st))
		if fixed != nil {
			note(a.Number, "same tickets as in the attempt before", sameTickets(*fixed, st))
		}
		fixed = &st
		if a.Value != nil {
			note(a.Number, "beacon "+a.Beacon, a.beacon())
		}
		if a.Seed == "" {
			if p.State == Revealed {
				note(a.Number, "seed", errors.New("missing"))
			}
			continue
		}
		seed, err := bytes32(a.Seed)
		if err == nil && hexOf(Commit(s, seed)) != a.Commitment {
			err = errors.New("it is not the seed of the commitment")
		}
		note(a.Number, "seed and commitment", err)
		if last && err == nil {
			note(a.Number, "key, and what the places follow from", p.key(s, seed, a, st))
		}
	}
	if (p.State == Revealed) != (p.Draw != nil) {
		found = append(found, Finding{"reveal", errors.New("state and draw contradict each other")})
	}
	if want := TrustFor(p.Attempts[len(p.Attempts)-1].Beacon); p.Trust != want {
		found = append(found, Finding{"trust", fmt.Errorf("%q is published, the beacon means %q", p.Trust, want)})
	}
	return found
}

// statement checks the signature and that the statement is of this attempt.
func (a Attempt) statement(s Subject) (Statement, error) {
	key, err1 := hex.DecodeString(a.PublicKey)
	signature, err2 := hex.DecodeString(a.Signature)
	if err := errors.Join(err1, err2); err != nil {
		return Statement{}, err
	}
	st, err := ParseStatement([]byte(a.Statement), signature, ed25519.PublicKey(key))
	if err != nil {
		return Statement{}, err
	}
	commitment, err := bytes32(a.Commitment)
	if err != nil {
		return Statement{}, err
	}
	closed, err := time.Parse(timeLayout, st.ClosedAt)
	if err != nil {
		return Statement{}, err
	}
	if want := NewStatement(s, commitment, a.Beacon, a.Name, a.Due, st.Tickets, st.LastIndex, st.Gaps, closed); !reflect.DeepEqual(st, want) {
		return Statement{}, fmt.Errorf("it says %s, published is %s", st.Bytes(), want.Bytes())
	}
	if n, ok := count(st.LastIndex, st.Gaps); !ok || n != st.Tickets {
		return Statement{}, errors.New("tickets, last index and gaps contradict each other")
	}
	return st, nil
}

// inTime checks that the value could not be known when N was fixed.
func (a Attempt) inTime(st Statement) error {
	if a.FailedWhy == FailedKnown || TrustFor(a.Beacon) == TrustOperator {
		return nil
	}
	closed, err := time.Parse(timeLayout, st.ClosedAt)
	if err != nil {
		return err
	}
	if !a.Due.After(closed) {
		return errors.New("the value could be known at the close")
	}
	return nil
}

func sameTickets(a, b Statement) error {
	if a.Tickets != b.Tickets || a.LastIndex != b.LastIndex || !reflect.DeepEqual(a.Gaps, b.Gaps) {
		return errors.New("the tickets changed between two attempts")
	}
	return nil
}

// beacon checks the value as far as it can be checked.
func (a Attempt) beacon() error {
	if err := CheckText(*a.Value); err != nil {
		return err
	}
	switch a.Beacon {
	case BeaconNone:
		if *a.Value != "" {
			return errors.New("a value without a beacon")
		}
	case BeaconDrand:
		if a.Chain == nil {
			return errors.New("the chain is missing")
		}
		if a.Chain.Hash == Quicknet.Hash && *a.Chain != Quicknet {
			return errors.New("these are not the parameters of quicknet")
		}
		round, ok := a.Chain.ParseName(a.Name)
		if !ok {
			return errors.New("the name is not a round of the chain")
		}
		if at := a.Chain.Time(round); !at.Equal(a.Due) {
			return fmt.Errorf("round %d is due at %s", round, at.Format(time.RFC3339))
		}
		value, err := a.Chain.Value(round, a.Proof)
		if err != nil {
			return err
		}
		if value != *a.Value {
			return errors.New("the value is not the hash of the round's signature")
		}
	}
	return nil
}

// key recomputes the key and compares it with everything that shows it.
func (p Published) key(s Subject, seed [32]byte, a Attempt, st Statement) error {
	if a.Value == nil || p.Draw == nil {
		return errors.New("the seed is revealed without the beacon's value, or without the draw")
	}
	want := Reveal{
		Tickets: st.Tickets, LastIndex: st.LastIndex, Gaps: st.Gaps,
		Key: hexOf(Key(s, seed, st.Tickets, st.LastIndex, st.Gaps, a.Beacon, a.Name, *a.Value)),
	}
	if a.Key != want.Key {
		return errors.New("the key does not follow from seed, statement and value")
	}
	if got := *p.Draw; got.Key != want.Key || got.Tickets != want.Tickets || got.LastIndex != want.LastIndex || len(got.Gaps) != len(want.Gaps) ||
		len(got.Gaps) > 0 && !reflect.DeepEqual(got.Gaps, want.Gaps) {
		return errors.New("the draw is not what the statement and the key say")
	}
	return nil
}

func hexOf(b [32]byte) string { return hex.EncodeToString(b[:]) }

func bytes32(text string) ([32]byte, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		return [32]byte{}, errors.New("not 32 bytes in hexadecimal")
	}
	return [32]byte(b), nil
}
