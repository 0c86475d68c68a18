package draw

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The beacons a draw can use, as they are written in draw.json.
const (
	BeaconNone    = "none"
	BeaconLocal   = "local"
	BeaconDrand   = "drand"
	BeaconLottery = "lottery"
)

// Algorithm names how a place follows from the key; draw.json carries it.
const Algorithm = "swap-or-not, 128 rounds, SHA-256, version 1"

// timeLayout writes the times that are signed: UTC, milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Stamp cuts a time to what is signed and published of it.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// ErrText says that a name or value cannot stand in what is hashed: empty
// lines and control characters would make it ambiguous.
var ErrText = errors.New("draw: a name or value with control characters")

// CheckText returns ErrText for what must not be hashed.
func CheckText(text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return ErrText
	}
	return nil
}

// lines is what is hashed: a headline, then "name=value" line by line. No value
// has a line break, so no two inputs make the same text.
func lines(what string, pairs ...string) []byte {
	var b bytes.Buffer
	b.WriteString("impfportal draw " + what + " 1\n")
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(pairs[i] + "=" + pairs[i+1] + "\n")
	}
	return b.Bytes()
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// Subject is which draw: a room, its line, and how many beacons have failed
// before (attempt 1 is the first).
type Subject struct {
	Room    string
	Epoch   int64
	Attempt int64
}

func (s Subject) pairs() []string {
	return []string{"room", s.Room, "epoch", number(s.Epoch), "attempt", number(s.Attempt)}
}

// Commit returns the commitment to a seed. It tells nothing of the seed, and no
// other seed has the same.
func Commit(s Subject, seed [32]byte) [32]byte {
	return sha256.Sum256(append(lines("commitment", s.pairs()...), seed[:]...))
}

// Statement is what the portal fixes and signs when a pre-queue closes: who
// takes part, before the beacon's value exists.
type Statement struct {
	Room       string     `json:"room"`
	Epoch      int64      `json:"epoch"`
	Attempt    int64      `json:"attempt"`
	Commitment string     `json:"commitment"` // hexadecimal
	Beacon     string     `json:"beacon"`
	Name       string     `json:"name"`
	Due        string     `json:"due"`
	Tickets    int64      `json:"tickets"`
	LastIndex  int64      `json:"last_index"`
	Gaps       [][2]int64 `json:"gaps"`
	ClosedAt   string     `json:"closed_at"`
}

// NewStatement fills in a statement; the times are written in UTC to the
// millisecond.
func NewStatement(s Subject, commitment [32]byte, beacon, name string, due time.Time, tickets, last int64, gaps [][2]int64, closedAt time.Time) Statement {
	if gaps == nil {
		gaps = [][2]int64{}
	}
	return Statement{
		Room: s.Room, Epoch: s.Epoch, Attempt: s.Attempt, Commitment: hex.EncodeToString(commitment[:]), Beacon: beacon, Name: name,
		Due: due.UTC().Format(timeLayout), Tickets: tickets, LastIndex: last, Gaps: gaps, ClosedAt: closedAt.UTC().Format(timeLayout),
	}
}

// Bytes is the one way to write a statement: JSON in the order of the fields,
// without spaces, nothing escaped that need not be.
func (s Statement) Bytes() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // texts and numbers only: cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// signed is what the signature is over.
func signed(statement []byte) []byte { return append(lines("statement"), statement...) }

// Sign signs the bytes of a statement.
func (s Statement) Sign(key ed25519.PrivateKey) []byte { return ed25519.Sign(key, signed(s.Bytes())) }

// ParseStatement checks the signature over the bytes of a statement, and that
// they are its one way to be written.
func ParseStatement(raw, signature []byte, key ed25519.PublicKey) (Statement, error) {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signed(raw), signature) {
		return Statement{}, errors.New("the statement's signature does not hold")
	}
	var s Statement
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Statement{}, err
	}
	if !bytes.Equal(s.Bytes(), raw) {
		return Statement{}, errors.New("the statement is not written in its one form")
	}
	return s, nil
}

// Key derives the key of the permutation from the seed, from all that the
// statement fixed, and from the beacon's value.
func Key(s Subject, seed [32]byte, tickets, last int64, gaps [][2]int64, beacon, name, value string) [32]byte {
	ranges := make([]string, len(gaps))
	for i, g := range gaps {
		ranges[i] = number(g[0]) + "-" + number(g[1])
	}
	m := hmac.New(sha256.New, seed[:])
	m.Write(lines("key", append(s.pairs(), "tickets", number(tickets), "last_index", number(last), "gaps", strings.Join(ranges, ","),
		"beacon", beacon, "name", name, "value", value)...))
	return [32]byte(m.Sum(nil))
}
