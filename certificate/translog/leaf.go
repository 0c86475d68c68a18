package translog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Kinds of leaves.
const (
	KindCertificate = "certificate" // a certificate was signed
	KindReissue     = "reissue"     // one was signed in place of another
	KindRevocation  = "revocation"
	KindApproval    = "approval" // one of two persons approved something
	KindLimit       = "limit"
	KindStop        = "stop"
	KindResume      = "resume"
	KindActivation  = "activation"
	KindSuspension  = "suspension"
)

var kinds = []string{KindCertificate, KindReissue, KindRevocation, KindApproval, KindLimit, KindStop, KindResume, KindActivation, KindSuspension}

// Kinds lists the kinds of leaves, in the order of the pages.
func Kinds() []string { return slices.Clone(kinds) }

// ErrLeaf says that something is no leaf: see the package's comment.
var ErrLeaf = errors.New("translog: malformed leaf")

// Leaf is one entry of the log. Nothing personal may stand in it.
type Leaf struct {
	Kind    string
	Subject string // what it is about, "certificate:<id>", "issuer:<pseudonym>"
	// Digest is the SHA-256 of what was signed or decided, 32 bytes; certificates
	// and re-issues must have one, others may.
	Digest           []byte
	Issuer, Operator string // from Log.Pseudonym; "" = nobody
	Day              time.Time
	Detail           map[string]string
}

// version is the first line of every leaf.
const version = "impfportal-log/1"

// Limits of a leaf. They keep a page of leaves small.
const (
	maxSubject = 200
	maxDetail  = 200
	maxDetails = 20
)

var (
	detailKey = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	pseudonym = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// signs reports whether a leaf of that kind stands for a signature.
func signs(kind string) bool { return kind == KindCertificate || kind == KindReissue }

// Encode returns the one canonical form, or ErrLeaf.
func (l Leaf) Encode() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteString(version + "\n")
	line("kind", l.Kind)
	line("subject", l.Subject)
	line("digest", hex.EncodeToString(l.Digest))
	line("issuer", l.Issuer)
	line("operator", l.Operator)
	line("day", l.Day.Format(time.DateOnly))
	for _, k := range slices.Sorted(maps.Keys(l.Detail)) {
		line("detail."+k, l.Detail[k])
	}
	return b.Bytes(), nil
}

func (l Leaf) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrLeaf, what) }
	switch {
	case !slices.Contains(kinds, l.Kind):
		return bad("kind")
	case l.Subject == "" || len(l.Subject) > maxSubject || !oneLine(l.Subject):
		return bad("subject")
	case len(l.Digest) != 32 && (len(l.Digest) != 0 || signs(l.Kind)):
		return bad("digest")
	case l.Issuer != "" && !pseudonym.MatchString(l.Issuer):
		return bad("issuer is no pseudonym")
	case l.Operator != "" && !pseudonym.MatchString(l.Operator):
		return bad("operator is no pseudonym")
	case l.Day.Year() < 2000 || l.Day.Year() > 9999:
		return bad("day")
	case len(l.Detail) > maxDetails:
		return bad("too many details")
	}
	for k, v := range l.Detail {
		if !detailKey.MatchString(k) || v == "" || len(v) > maxDetail || !oneLine(v) {
			return bad("detail " + k)
		}
	}
	return nil
}

// oneLine holds for text that stands in one line and is read back unchanged.
func oneLine(s string) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029
	})
}

// Decode reads a leaf. What is not in the canonical form is ErrLeaf, so that no
// leaf can be written in two ways.
func Decode(data []byte) (l Leaf, err error) {
	lines := strings.Split(string(data), "\n")
	if len(lines) < 2 || lines[0] != version || lines[len(lines)-1] != "" {
		return Leaf{}, fmt.Errorf("%w: not %s", ErrLeaf, version)
	}
	for _, line := range lines[1 : len(lines)-1] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return Leaf{}, fmt.Errorf("%w: line", ErrLeaf)
		}
		if err := l.set(name, value); err != nil {
			return Leaf{}, fmt.Errorf("%w: %s", ErrLeaf, name)
		}
	}
	again, err := l.Encode()
	if err != nil {
		return Leaf{}, err
	}
	if !bytes.Equal(again, data) {
		return Leaf{}, fmt.Errorf("%w: not in its canonical form", ErrLeaf)
	}
	return l, nil
}

func (l *Leaf) set(name, value string) (err error) {
	switch name {
	case "kind":
		l.Kind = value
	case "subject":
		l.Subject = value
	case "digest":
		l.Digest, err = hex.DecodeString(value)
	case "issuer":
		l.Issuer = value
	case "operator":
		l.Operator = value
	case "day":
		l.Day, err = time.Parse(time.DateOnly, value)
	default:
		key, ok := strings.CutPrefix(name, "detail.")
		if !ok {
			return ErrLeaf
		}
		if l.Detail == nil {
			l.Detail = map[string]string{}
		}
		l.Detail[key] = value
	}
	return err
}
