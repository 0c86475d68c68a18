package dcc

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"impfportal/internal/clock"
)

// SchemaVersion is the version of the EU DCC schema that payloads follow.
const SchemaVersion = "1.3.0"

// Muster is the word that every certificate carries that was made outside
// production.
const Muster = "MUSTER"

// Country is the country of vaccination and of issue, ISO 3166-1 alpha-2.
const Country = "DE"

// Errors of building a payload. None of them can be mended by trying again.
var (
	ErrNoCodes  = errors.New("dcc: product has no EU certificate")
	ErrDoseRule = errors.New("dcc: dose numbers follow no rule")
	ErrDates    = errors.New("dcc: dates of the record cannot be")
)

// Vaccination is what a certificate says of a dose and of who got it.
type Vaccination struct {
	ProductID string
	Place     string    // centre, facility or practice, for the certificate's id
	Day       time.Time // of vaccination, UTC midnight

	DoseNumber   int    // the how manieth dose of this person, doses given elsewhere included
	DosesTotal   int    // of the series in which it was given; 1 for one dose after an infection
	FirstProduct string // product of the person's first dose; "" when it is this one or not known
	Recovered    bool   // an infection came before the first dose (Genesene)
	// Stated says that the two numbers are those that the issuer wants in the
	// certificate; they are checked and not computed.
	Stated bool

	FamilyName, GivenName         string
	PassportFamily, PassportGiven string // "" = as above
	Birth                         string // ISO 8601, as far as known: 1964-08-12, 1964-08, 1964 or ""
}

// Claims are the CWT claims (RFC 8392) of a certificate.
type Claims struct {
	Issuer    string `cbor:"1,keyasint" json:"iss"`
	ExpiresAt int64  `cbor:"4,keyasint" json:"exp"` // seconds since 1970
	IssuedAt  int64  `cbor:"6,keyasint" json:"iat"` // seconds since 1970
	HCert     HCert  `cbor:"-260,keyasint" json:"hcert"`
}

// HCert is the health certificate claim; key 1 is the EU DCC.
type HCert struct {
	DCC Payload `cbor:"1,keyasint" json:"1"`
}

// Payload is the EU Digital COVID Certificate, schema 1.3.x.
type Payload struct {
	Version string  `cbor:"ver" json:"ver"`
	Name    Name    `cbor:"nam" json:"nam"`
	Birth   string  `cbor:"dob" json:"dob"`
	V       []Entry `cbor:"v" json:"v"`
}

// Name is the holder's name as written and as transliterated.
type Name struct {
	Family    string `cbor:"fn,omitempty" json:"fn,omitempty"`
	FamilyStd string `cbor:"fnt,omitempty" json:"fnt,omitempty"`
	Given     string `cbor:"gn,omitempty" json:"gn,omitempty"`
	GivenStd  string `cbor:"gnt,omitempty" json:"gnt,omitempty"`
}

// Entry is one vaccination.
type Entry struct {
	Disease     string `cbor:"tg" json:"tg"`
	Prophylaxis string `cbor:"vp" json:"vp"`
	Product     string `cbor:"mp" json:"mp"`
	Holder      string `cbor:"ma" json:"ma"`
	Dose        int    `cbor:"dn" json:"dn"`
	Doses       int    `cbor:"sd" json:"sd"`
	Date        string `cbor:"dt" json:"dt"`
	Country     string `cbor:"co" json:"co"`
	Issuer      string `cbor:"is" json:"is"`
	ID          string `cbor:"ci" json:"ci"`
}

// birthForm is the schema's pattern with plausible months and days.
var birthForm = regexp.MustCompile(`^((19|20)\d\d(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?)?$`)

// Built are claims that were built from a vaccination record, which is all
// that a [Signer] takes: there is no other way to make one.
type Built struct{ claims Claims }

// Claims returns what will be signed, to read.
func (b *Built) Claims() Claims {
	c := b.claims
	c.HCert.DCC.V = slices.Clone(c.HCert.DCC.V)
	return c
}

// CBOR is the deterministic encoding of the claims: the bytes that are signed.
func (b *Built) CBOR() ([]byte, error) { return claimsMode.Marshal(&b.claims) }

// Build makes the claims of a vaccination: a pure function of the record, the
// issuer's name, the certificate id and the times, so that the same bytes can
// be made again to check a certificate against its record.
func Build(v Vaccination, issuer, uvci string, issued, expires time.Time) (*Built, error) {
	codes, ok := CodesFor(v.ProductID, issued)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoCodes, v.ProductID)
	}
	dn, sd, err := Doses(codes, v)
	if err != nil {
		return nil, err
	}
	name, err := nameOf(v)
	if err != nil {
		return nil, err
	}
	if err := checkDates(v, issued, expires); err != nil {
		return nil, err
	}
	if err := CheckUVCI(uvci); err != nil {
		return nil, err
	}
	return &Built{Claims{
		Issuer:    Country,
		IssuedAt:  issued.Unix(),
		ExpiresAt: expires.Unix(),
		HCert: HCert{Payload{
			Version: SchemaVersion,
			Name:    name,
			Birth:   v.Birth,
			V: []Entry{{
				Disease: codes.Disease, Prophylaxis: codes.Prophylaxis, Product: codes.Product, Holder: codes.Holder,
				Dose: dn, Doses: sd, Date: v.Day.Format(time.DateOnly), Country: Country, Issuer: issuer, ID: uvci,
			}},
		}},
	}}, nil
}

func checkDates(v Vaccination, issued, expires time.Time) error {
	day := v.Day.Format(time.DateOnly)
	switch {
	case v.Day.IsZero() || v.Day.After(clock.Day(issued)):
		return fmt.Errorf("%w: vaccinated after the day of issue", ErrDates)
	case v.Day.Before(firstVaccination):
		return fmt.Errorf("%w: vaccinated before the vaccines were there", ErrDates)
	case !birthForm.MatchString(v.Birth):
		return fmt.Errorf("%w: form of the birth date", ErrDates)
	case v.Birth > day:
		return fmt.Errorf("%w: vaccinated before birth", ErrDates)
	case !expires.After(issued):
		return fmt.Errorf("%w: expires before it begins", ErrDates)
	}
	return nil
}

// firstVaccination is the day of the first vaccination outside trials in the
// EU's partner countries; a certificate of an earlier one cannot be.
var firstVaccination = time.Date(2020, 12, 8, 0, 0, 0, 0, time.UTC)

// nameOf writes the holder's name. The passport's form, where the record has
// one, decides the transliteration; what is printed stays the name itself.
func nameOf(v Vaccination) (n Name, err error) {
	n.Family, n.Given = displayName(v.FamilyName), displayName(v.GivenName)
	if n.FamilyStd, err = Transliterate(firstNonEmpty(v.PassportFamily, v.FamilyName)); err != nil {
		return n, err
	}
	if n.GivenStd, err = Transliterate(firstNonEmpty(v.PassportGiven, v.GivenName)); err != nil {
		return n, err
	}
	if n.FamilyStd == "" && n.GivenStd == "" {
		return n, fmt.Errorf("%w: empty", ErrName)
	}
	return n, nil
}

func firstNonEmpty(a, b string) string {
	if displayName(a) != "" {
		return a
	}
	return b
}

// claimsMode writes CBOR deterministically (RFC 8949, section 4.2.1).
var claimsMode = func() cbor.UserBufferEncMode {
	m, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		panic(err)
	}
	return m
}()
