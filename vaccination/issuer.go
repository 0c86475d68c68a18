package vaccination

import (
	"strings"
	"unicode/utf8"

	"impfportal/citizen"
)

// Basis says on what a record rests.
type Basis string

const (
	Given Basis = "given" // the dose was given by who made the record
	Seen  Basis = "seen"  // given elsewhere, and seen in a document
)

// Kinds of who makes records.
const (
	IssuerCentre   = "centre"   // Impfzentrum
	IssuerMobile   = "mobile"   // mobiles Impfteam
	IssuerPractice = "practice" // Arztpraxis
	IssuerPharmacy = "pharmacy" // Apotheke
)

// Paths by which a record comes in.
const (
	PathSite = "site" // the portal's own treatment record
	PathWeb  = "web"  // the page of a practice or pharmacy
	PathMTLS = "mtls" // their software, with a client certificate
	PathCard = "card" // their software, with a challenge signed by a card
)

// DocumentKind is what somebody has shown.
type DocumentKind string

const (
	Booklet     DocumentKind = "booklet"     // Impfausweis (the yellow booklet)
	Replacement DocumentKind = "replacement" // Impfbescheinigung (Ersatzformular)
)

// Document is what a dose given elsewhere was seen in, each as written there. It
// stands sealed in the record.
type Document struct {
	Kind  DocumentKind `json:"kind"`
	Place string       `json:"place,omitempty"` // who gave the dose: stamp or name
	Date  string       `json:"date"`
	Lot   string       `json:"lot,omitempty"`
}

// maxWritten bounds what is copied from a document, in characters.
const maxWritten = 200

func (d *Document) valid() bool {
	if d.Kind != Booklet && d.Kind != Replacement || d.Date == "" {
		return false
	}
	for _, s := range []string{d.Place, d.Date, d.Lot} {
		if utf8.RuneCountInString(s) > maxWritten {
			return false
		}
	}
	return true
}

// Region is the postal region (Leitregion) of a German postcode: its first two
// digits. "" for what is none.
func Region(postcode string) string {
	if len(postcode) != 5 || strings.Trim(postcode, "0123456789") != "" {
		return ""
	}
	return postcode[:2]
}

// issuer is who makes the record of a dose given at a site of the portal.
func (in *RecordDose) issuer() (ref, kind string) {
	if in.Channel == Mobile {
		return "facility-" + string(in.StockPlace), IssuerMobile
	}
	return "centre:" + in.Place, IssuerCentre
}

// clean brings the spelling into its stored form and reports whether it is one.
func (p *Passport) clean() bool {
	for _, name := range []*string{&p.Family, &p.Given} {
		cleaned, problem, _ := citizen.CleanName(*name)
		if problem != "" {
			return false
		}
		*name = cleaned
	}
	return true
}
