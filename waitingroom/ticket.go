package waitingroom

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TicketLife is how long a ticket may be presented after it was issued. Rows of
// used tickets must be kept longer than this.
const TicketLife = 7 * 24 * time.Hour

// ErrToken says that a ticket or pass cannot be read: cut off, changed, signed
// with an unknown key, or of the other kind. It says nothing more on purpose.
var ErrToken = errors.New("waitingroom: token not valid")

// KeyHash binds a ticket or pass to the browser that holds the possession key.
type KeyHash [16]byte

// NewKey makes a possession key for a browser (128 bits, base64url).
func NewKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// HashKey returns the hash of a possession key; ok is false when key is not the
// text of one.
func HashKey(key string) (h KeyHash, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(key)
	if err != nil || len(raw) != 16 {
		return KeyHash{}, false
	}
	sum := sha256.Sum256(append([]byte("impfportal room key\x00"), raw...))
	return KeyHash(sum[:16]), true
}

// Equal compares in constant time.
func (h KeyHash) Equal(o KeyHash) bool { return subtle.ConstantTimeCompare(h[:], o[:]) == 1 }

// The cohorts of places. Live and drawn ones share one count of indexes; the
// others have their own.
const (
	CohortLive    = 0 // order of arrival
	CohortDrawn   = 1 // came before the opening: the order is drawn
	CohortBehind  = 2 // taken without proof of work while machines came: after everybody else
	CohortInvited = 3 // sent by the hotline
)

// Place is what a ticket and its pass have in common.
type Place struct {
	Room   string
	Epoch  int64
	Cohort int64
	Index  int64
}

// member names the place inside its room: epoch.cohort.index.
func (p Place) member() string {
	return strconv.FormatInt(p.Epoch, 10) + "." + strconv.FormatInt(p.Cohort, 10) + "." + strconv.FormatInt(p.Index, 10)
}

// ID names the place, and the pass that came of it: room.epoch.cohort.index.
func (p Place) ID() string { return p.Room + "." + p.member() }

// ParsePlace reads what ID wrote.
func ParsePlace(id string) (Place, error) {
	part := strings.Split(id, ".")
	if len(part) != 4 || !validRoom(part[0]) {
		return Place{}, fmt.Errorf("waitingroom: no place id: %q", id)
	}
	p := Place{Room: part[0]}
	for i, dst := range []*int64{&p.Epoch, &p.Cohort, &p.Index} {
		n, err := strconv.ParseInt(part[i+1], 10, 64)
		if err != nil || n < 0 {
			return Place{}, fmt.Errorf("waitingroom: no place id: %q", id)
		}
		*dst = n
	}
	return p, nil
}

// Ticket is a signed place.
type Ticket struct {
	Place
	Issued time.Time // whole seconds
	Key    KeyHash
}

// Pass lets the browser with Key use the guarded routes until Expires.
type Pass struct {
	Place
	Expires time.Time // whole seconds, cut
	Key     KeyHash
}

// kind separates what the signatures stand for.
type kind byte

const (
	kindTicket kind = 't'
	kindPass   kind = 'p'
)

const (
	tokenVersion = 1
	macSize      = 16  // HMAC-SHA-256, cut to 128 bits (RFC 2104, section 5)
	maxToken     = 160 // characters; the longest room needs fewer
)

// SignKey is one key for tickets and passes.
type SignKey struct {
	ID     byte
	Secret []byte
}

// Signer signs with its first key and accepts all of them, so that a key can be
// replaced while tickets of the old one are still out.
type Signer struct{ keys []SignKey }

// NewSigner needs at least one key of at least 32 bytes; it panics otherwise,
// because the wiring is wrong.
func NewSigner(keys ...SignKey) *Signer {
	if len(keys) == 0 {
		panic("waitingroom: a signer needs a key")
	}
	for _, k := range keys {
		if len(k.Secret) < 32 {
			panic("waitingroom: a signing key needs 32 bytes")
		}
	}
	return &Signer{keys: keys}
}

// SignTicket returns the ticket as text for a cookie.
func (s *Signer) SignTicket(t Ticket) string { return s.sign(kindTicket, t.Place, t.Issued, t.Key) }

// SignPass returns the pass as text for a cookie.
func (s *Signer) SignPass(p Pass) string { return s.sign(kindPass, p.Place, p.Expires, p.Key) }

// Ticket reads and checks what SignTicket wrote. It returns ErrToken for
// anything else; whether the ticket is this browser's is the caller's question.
func (s *Signer) Ticket(text string) (Ticket, error) {
	p, at, key, err := s.open(kindTicket, text)
	return Ticket{Place: p, Issued: at, Key: key}, err
}

// Pass reads and checks what SignPass wrote, as Ticket does.
func (s *Signer) Pass(text string) (Pass, error) {
	p, at, key, err := s.open(kindPass, text)
	return Pass{Place: p, Expires: at, Key: key}, err
}

// sign writes: version, kind, key id, length of room, room, epoch, cohort,
// index, unix seconds (uvarints), key hash, MAC; all in base64url.
func (s *Signer) sign(k kind, p Place, at time.Time, key KeyHash) string {
	b := make([]byte, 0, 120)
	b = append(b, tokenVersion, byte(k), s.keys[0].ID, byte(len(p.Room)))
	b = append(b, p.Room...)
	for _, n := range []int64{p.Epoch, p.Cohort, p.Index, at.Unix()} {
		b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // never negative
	}
	b = append(b, key[:]...)
	b = append(b, mac(s.keys[0].Secret, b)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Signer) open(k kind, text string) (p Place, at time.Time, key KeyHash, err error) {
	fail := func() (Place, time.Time, KeyHash, error) { return Place{}, time.Time{}, KeyHash{}, ErrToken }
	if len(text) > maxToken {
		return fail()
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 4+4+len(key)+macSize || b[0] != tokenVersion || kind(b[1]) != k {
		return fail()
	}
	body, sum := b[:len(b)-macSize], b[len(b)-macSize:]
	if !s.verify(b[2], body, sum) {
		return fail()
	}
	// From here on the bytes are our own; the checks stay, they cost nothing.
	rest := body[4:]
	if n := int(b[3]); n > len(rest) {
		return fail()
	} else {
		p.Room, rest = string(rest[:n]), rest[n:]
	}
	var unix int64
	for _, dst := range []*int64{&p.Epoch, &p.Cohort, &p.Index, &unix} {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > 1<<53 {
			return fail()
		}
		*dst, rest = int64(v), rest[n:]
	}
	if len(rest) != len(key) || !validRoom(p.Room) || p.Index < 1 {
		return fail()
	}
	copy(key[:], rest)
	return p, time.Unix(unix, 0).UTC(), key, nil
}

func (s *Signer) verify(id byte, body, sum []byte) bool {
	for _, k := range s.keys {
		if k.ID == id && hmac.Equal(mac(k.Secret, body), sum) {
			return true
		}
	}
	return false
}

func mac(secret, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write(body)
	return m.Sum(nil)[:macSize]
}

// validRoom reports whether id has the form that the table demands.
func validRoom(id string) bool {
	if id == "" || len(id) > 40 || id[0] < 'a' || id[0] > 'z' {
		return false
	}
	for _, c := range id {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
