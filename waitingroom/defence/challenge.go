package defence

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"time"
)

// Work is how much a newcomer must compute.
type Work struct {
	Cost int // iterations of PBKDF2 for one attempt
	Most int // attempts at most; half of them on average
}

// DefaultWork is 4 million iterations on average: about a second for a phone
// (four cores at a million iterations a second each) and for two cores of a
// server. Making and checking one costs the portal 1,000 iterations each, that
// is about 0.2 ms.
var DefaultWork = Work{Cost: 1000, Most: 8000}

// ChallengeLife is how long a challenge may be solved and presented.
const ChallengeLife = 5 * time.Minute

// Bound is what a challenge is good for, and nothing else.
type Bound struct {
	Room    string
	Line    int64   // grows when the line's state was lost, and with it which challenges were used
	Network Network // the narrowest one
}

// Parameters is what is to be solved, in the format of ALTCHA, version 2.
type Parameters struct {
	Algorithm string `json:"algorithm"`
	Nonce     string `json:"nonce"`
	Salt      string `json:"salt"`
	Cost      int    `json:"cost"`
	KeyLength int    `json:"keyLength"`
	KeyPrefix string `json:"keyPrefix"`
	ExpiresAt int64  `json:"expiresAt"` // unix seconds
}

// Challenge is what a browser gets.
type Challenge struct {
	Parameters Parameters `json:"parameters"`
	Signature  string     `json:"signature"`
}

const (
	algorithm   = "PBKDF2/SHA-256"
	keyLength   = 32
	prefixBytes = 16
	maxPayload  = 2 << 10 // characters of a solution; a real one has about 600
)

// The ways in which a solution does not count.
var (
	ErrNotOurs  = errors.New("defence: not a solution of a challenge for this room and network")
	ErrExpired  = errors.New("defence: the challenge has expired")
	ErrUnsolved = errors.New("defence: the solution is wrong")
)

// Challenger makes and checks challenges. All replicas share its secret.
type Challenger struct {
	secret []byte
	work   Work
}

// NewChallenger takes a secret of at least 32 bytes; it panics on a shorter one,
// because the wiring is wrong. Zero fields of work take the defaults.
func NewChallenger(secret []byte, work Work) *Challenger {
	if len(secret) < 32 {
		panic("defence: a challenger needs a secret of 32 bytes")
	}
	if work.Cost <= 0 {
		work.Cost = DefaultWork.Cost
	}
	if work.Most <= 0 {
		work.Most = DefaultWork.Most
	}
	return &Challenger{secret, work}
}

// New makes a challenge whose answer is a random counter.
func (c *Challenger) New(now time.Time, b Bound) (Challenge, error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	n, err := rand.Int(rand.Reader, big.NewInt(int64(c.work.Most)))
	if err != nil {
		return Challenge{}, err
	}
	p := Parameters{
		Algorithm: algorithm, Nonce: hex.EncodeToString(random[:16]), Salt: hex.EncodeToString(random[16:]),
		Cost: c.work.Cost, KeyLength: keyLength, ExpiresAt: now.Add(ChallengeLife).Unix(),
	}
	key, err := p.derive(uint32(n.Int64())) //nolint:gosec // below Most
	if err != nil {
		return Challenge{}, err
	}
	p.KeyPrefix = hex.EncodeToString(key[:prefixBytes])
	return Challenge{p, c.sign(p, b)}, nil
}

// derive computes the key of one attempt.
func (p Parameters) derive(counter uint32) ([]byte, error) {
	nonce, err1 := hex.DecodeString(p.Nonce)
	salt, err2 := hex.DecodeString(p.Salt)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return pbkdf2.Key(sha256.New, string(binary.BigEndian.AppendUint32(nonce, counter)), salt, p.Cost, p.KeyLength)
}

// sign binds the parameters; JSON separates the fields beyond doubt.
func (c *Challenger) sign(p Parameters, b Bound) string {
	text, err := json.Marshal([]any{"impfportal challenge", b.Room, b.Line, b.Network.String(), p})
	if err != nil {
		panic(err) // strings and numbers only
	}
	m := hmac.New(sha256.New, c.secret)
	m.Write(text)
	return hex.EncodeToString(m.Sum(nil))
}

// Solution is a solution whose challenge is ours and still good. It counts when
// [Watch.Spend] has marked it and Solved says so, in this order: a challenge has
// one attempt, so a wrong answer cannot be tried on us for nothing.
type Solution struct {
	ID      string // of the challenge
	Expires time.Time
	attempt string // this presentation, for Spend
	p       Parameters
	counter uint32
}

// payload is what the widget sends, in base64.
type payload struct {
	Challenge Challenge `json:"challenge"`
	Solution  struct {
		Counter    uint32  `json:"counter"`
		DerivedKey string  `json:"derivedKey"`
		Time       float64 `json:"time"`
	} `json:"solution"`
}

// Open reads a solution. It returns ErrNotOurs for anything but a challenge that
// was made for this room, line and network, and ErrExpired. No I/O, and no work
// worth speaking of.
func (c *Challenger) Open(now time.Time, text string, b Bound) (*Solution, error) {
	if len(text) > maxPayload {
		return nil, ErrNotOurs
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ErrNotOurs
	}
	var in payload
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || d.More() {
		return nil, ErrNotOurs
	}
	p := in.Challenge.Parameters
	if subtle.ConstantTimeCompare([]byte(in.Challenge.Signature), []byte(c.sign(p, b))) != 1 {
		return nil, ErrNotOurs
	}
	expires := time.Unix(p.ExpiresAt, 0).UTC()
	if !expires.After(now) {
		return nil, ErrExpired
	}
	return &Solution{ID: p.Nonce, Expires: expires, attempt: rand.Text(), p: p, counter: in.Solution.Counter}, nil
}

// Solved checks the answer. It computes one attempt.
func (s *Solution) Solved() error {
	key, err := s.p.derive(s.counter)
	if err != nil {
		return err
	}
	want, err := hex.DecodeString(s.p.KeyPrefix)
	if err != nil || subtle.ConstantTimeCompare(key[:prefixBytes], want) != 1 {
		return ErrUnsolved
	}
	return nil
}
