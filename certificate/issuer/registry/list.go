package registry

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a list.
const (
	MaxBytes   = 32 << 20 // of the signed file
	MaxEntries = 100_000
	maxText    = 200 // characters of a name or a line of an address
	maxKeys    = 20  // of one entry
	// Format is the first field of every list.
	Format = "issuer-registry/1"
)

// Kinds of issuers, and the licence states of an entry.
const (
	Practice = "practice"
	Pharmacy = "pharmacy"
	Centre   = "centre"
	Mobile   = "mobile"

	LicenceValid     = "valid"
	LicenceSuspended = "suspended"
	LicenceWithdrawn = "withdrawn"
)

// Kinds lists the kinds of issuers.
var Kinds = []string{Practice, Pharmacy, Centre, Mobile}

var licences = []string{LicenceValid, LicenceSuspended, LicenceWithdrawn}

// Errors of lists.
var (
	ErrSignature = errors.New("registry: signature does not hold")
	ErrFormat    = errors.New("registry: malformed list")
	ErrTooLarge  = errors.New("registry: list is too large")
	ErrExpired   = errors.New("registry: list is out of date")
	ErrFuture    = errors.New("registry: list is from the future")
	ErrRollback  = errors.New("registry: list is older than the one we have")
	ErrForked    = errors.New("registry: two lists carry the same sequence number")
)

// List is an authority's list.
type List struct {
	Format     string    `json:"format"`
	Authority  string    `json:"authority"`
	Sequence   int64     `json:"sequence"`
	IssuedAt   time.Time `json:"issued_at"`
	NextUpdate time.Time `json:"next_update"`
	Entries    []Entry   `json:"entries"`
}

// Entry is one place that may issue certificates.
type Entry struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Street   string   `json:"street"`
	Postcode string   `json:"postcode"`
	City     string   `json:"city"`
	Kind     string   `json:"kind"`
	Licence  string   `json:"licence"`
	Region   string   `json:"region"`
	Keys     []string `json:"keys"` // SHA-256 of certificates (DER), small hex, sorted
	From     Day      `json:"valid_from"`
	To       Day      `json:"valid_to,omitzero"` // last day; zero = open
}

// Day is a calendar day: UTC midnight, as a database's date.
type Day struct{ time.Time }

// MarshalJSON writes ISO 8601.
func (d Day) MarshalJSON() ([]byte, error) { return json.Marshal(d.Format(time.DateOnly)) }

// UnmarshalJSON reads ISO 8601 and nothing else.
func (d *Day) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	t, err := time.Parse(time.DateOnly, s)
	d.Time = t
	return err
}

// ValidOn tells whether the entry may issue on a day (UTC midnight).
func (e Entry) ValidOn(day time.Time) bool {
	return e.Licence == LicenceValid && !day.Before(e.From.Time) && (e.To.IsZero() || !day.After(e.To.Time))
}

// Identity tells whether another version of the entry is the same place in the
// same hands: name, address, kind and keys. What differs there opens the
// verification again.
func (e Entry) Identity(o Entry) bool {
	return e.Name == o.Name && e.SameAddress(o) && e.Kind == o.Kind && slices.Equal(e.Keys, o.Keys)
}

// SameAddress tells whether a letter would go to the same place.
func (e Entry) SameAddress(o Entry) bool {
	return e.Street == o.Street && e.Postcode == o.Postcode && e.City == o.City
}

// Equal tells whether nothing differs.
func (e Entry) Equal(o Entry) bool {
	return e.Identity(o) && e.ID == o.ID && e.Licence == o.Licence && e.Region == o.Region && e.From.Equal(o.From.Time) && e.To.Equal(o.To.Time)
}

var (
	idPattern     = regexp.MustCompile(`^[A-Z0-9][A-Z0-9-]{2,39}$`)
	regionPattern = regexp.MustCompile(`^[A-Z0-9][A-Z0-9-]{0,15}$`)
)

// CleanID brings an id as people type it into the form of the list.
func CleanID(s string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '.' || r == '/' {
			return -1
		}
		return r
	}, s))
}

// parse reads a list's JSON strictly.
func parse(body []byte) (List, error) {
	var l List
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return List{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return List{}, fmt.Errorf("%w: more than one value", ErrFormat)
	}
	return l, l.check()
}

// check returns ErrFormat for the first thing that is wrong.
func (l *List) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
	switch {
	case l.Format != Format:
		return bad("format is not %s", Format)
	case l.Sequence < 1:
		return bad("sequence %d", l.Sequence)
	case !text(l.Authority):
		return bad("authority")
	case l.IssuedAt.IsZero() || !l.NextUpdate.After(l.IssuedAt):
		return bad("next_update is not after issued_at")
	case len(l.Entries) > MaxEntries:
		return fmt.Errorf("%w: %d entries", ErrTooLarge, len(l.Entries))
	}
	ids, keys := make(map[string]bool, len(l.Entries)), map[string]bool{}
	for i := range l.Entries {
		e := &l.Entries[i]
		if !idPattern.MatchString(e.ID) {
			return bad("entry %d: id", i)
		}
		if ids[e.ID] {
			return bad("entry %s stands there twice", e.ID)
		}
		ids[e.ID] = true
		if what := e.check(); what != "" {
			return bad("entry %s: %s", e.ID, what)
		}
		for _, k := range e.Keys {
			if keys[k] {
				return bad("entry %s: a key stands there twice", e.ID)
			}
			keys[k] = true
		}
	}
	return nil
}

func (e *Entry) check() (wrong string) {
	switch {
	case !text(e.Name):
		return "name"
	case !text(e.Street):
		return "street"
	case !text(e.Postcode) || utf8.RuneCountInString(e.Postcode) > 12:
		return "postcode"
	case !text(e.City):
		return "city"
	case !slices.Contains(Kinds, e.Kind):
		return "kind"
	case !slices.Contains(licences, e.Licence):
		return "licence"
	case !regionPattern.MatchString(e.Region):
		return "region"
	case e.From.IsZero() || !e.To.IsZero() && e.To.Before(e.From.Time):
		return "validity"
	case len(e.Keys) > maxKeys:
		return "keys"
	}
	if e.Keys == nil {
		e.Keys = []string{}
	}
	for _, k := range e.Keys {
		if b, err := hex.DecodeString(k); err != nil || len(b) != 32 || k != strings.ToLower(k) {
			return "keys"
		}
	}
	slices.Sort(e.Keys)
	return ""
}

// text tells whether s can stand in one line of a page or an address window.
func text(s string) bool {
	return s != "" && s == strings.TrimSpace(s) && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxText &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' })
}
