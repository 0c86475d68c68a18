package statement

import (
	"encoding/hex"
	"slices"
	"time"

	"impfportal/certificate/translog"
)

// The items: what a line is, and so what it is worth. See the package comment.
const (
	Given      = "given"
	Seen       = "seen"
	Further    = "further"
	Reissue    = "reissue"
	Revocation = "revocation"
	Credit     = "credit"
	Held       = "held"
)

// Items lists the items in the order of a statement.
var Items = []string{Given, Seen, Further, Reissue, Credit, Revocation, Held}

// billable are those that the tariff prices.
var billable = []string{Given, Seen, Further}

// Line is one leaf on a statement.
type Line struct {
	Index  int64 // of the leaf in the log
	Issuer string
	Kind   string // of the leaf
	Item   string
	Basis  string // given, seen; "" of a revocation
	Reason string // of a revocation
	Day    time.Time
	Digest []byte
	Of     *int64 // of a credit: the leaf that was billed
	Cents  int
}

// Tariff prices certificates. The rows that the database begins with are those of the
// Coronavirus-Impfverordnung of 1 June 2021 (BAnz AT 02.06.2021 V2): § 6 Abs. 5 for
// practices and § 9 Abs. 3 for pharmacies pay 18 euros for a certificate made
// afterwards, and 6 for the second dose of the same person made with it. Article 1 of
// the first amendment (6 July 2021, BAnz AT 07.07.2021 V1) made both "je Erstellung 6
// Euro" from 8 July 2021. § 7 finances centres and mobile teams as a whole.
type Tariff []Rate

// Rate is a row of the tariff.
type Rate struct {
	IssuerKind string // "" = of all kinds that have no row of their own
	Item       string
	From       time.Time
	Cents      int
	Source     string
	SetBy      string
}

// Cents is what an item is worth on a day: the newest rate of the issuer's kind,
// else that of all; 0 before there was any.
func (t Tariff) Cents(issuerKind, item string, day time.Time) int {
	var best *Rate
	for i, r := range t {
		if r.Item != item || r.From.After(day) || r.IssuerKind != "" && r.IssuerKind != issuerKind {
			continue
		}
		if best == nil || (r.IssuerKind != "") && best.IssuerKind == "" || r.IssuerKind == best.IssuerKind && r.From.After(best.From) {
			best = &t[i]
		}
	}
	if best == nil {
		return 0
	}
	return best.Cents
}

// itemOf is what a certificate's leaf is billed as.
func itemOf(l translog.Leaf) string {
	switch {
	case l.Detail["basis"] != Seen:
		return Given
	case l.Detail["further"] != "":
		return Further
	}
	return Seen
}

// bill is the line of a certificate.
func (t Tariff) bill(index int64, l translog.Leaf) Line {
	line := lineOf(index, l)
	line.Item, line.Basis = itemOf(l), l.Detail["basis"]
	line.Cents = t.Cents(l.Detail["issuer_kind"], line.Item, l.Day)
	return line
}

func lineOf(index int64, l translog.Leaf) Line {
	return Line{Index: index, Issuer: l.Issuer, Kind: l.Kind, Day: l.Day, Digest: l.Digest, Basis: l.Detail["basis"], Reason: l.Detail["reason"]}
}

// faults are the reasons for which a certificate should never have been issued.
var faults = []string{"fraud", "compromise", "lot", "record-void"}

// credits reports whether a revocation takes back what was billed: its reason is
// the issuer's, and the holder got nothing in its place.
func credits(l translog.Leaf) bool {
	return l.Kind == translog.KindRevocation && slices.Contains(faults, l.Detail["reason"]) && l.Detail["replaced"] == ""
}

// isBilled reports whether an item is priced by the tariff.
func isBilled(item string) bool { return slices.Contains(billable, item) }

// replaced is the digest of what a re-issue stands in place of; false when its
// leaf does not name it.
func replaced(l translog.Leaf) ([]byte, bool) {
	digest, err := hex.DecodeString(l.Detail["replaces"])
	return digest, err == nil && len(digest) == 32
}
