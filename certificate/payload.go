package certificate

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/fxamacker/cbor/v2"

	"impfportal/internal/clock"
)

// SchemaVersion is the version of the EU DCC schema that payloads follow.
const SchemaVersion = "1.3.0"

// Country is the country of vaccination and of issue, ISO 3166-1 alpha-2.
const Country = "DE"

// Errors of building a payload. None of them can be mended by trying again.
var (
	ErrNoCodes  = errors.New("certificate: product has no EU certificate")
	ErrDoseRule = errors.New("certificate: dose numbers follow no rule")
	ErrDates    = errors.New("certificate: dates of the record cannot be")
)

// Vaccination is all a certificate is made from: the dose as the treatment
// record (Behandlungsdokumentation) has it.
type Vaccination struct {
	RecordID  string
	KeyID     string // vault key of the record: the certificate is sealed under it and ends with it
	PersonID  string // login that may fetch the certificate; "" = walk-in, care home
	ProductID string
	Place     string // centre or facility, for the certificate's id
	// The dose within its series, and the doses of the series. A dose given
	// elsewhere counts; an infection counts by a series of one dose.
	DoseNumber, DosesTotal int
	Day                    time.Time // of vaccination, UTC midnight

	FamilyName, GivenName         string
	PassportFamily, PassportGiven string // "" = as above
	Birth                         string // ISO 8601, as far as known: 1964-08-12, 1964-08, 1964 or ""

	Email, Phone, Lang string // contact that stays with the record; may be empty
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

// Doses numbers a dose by the German rules, as far as the series of this
// portal go: 1/2 and 2/2 for most vaccines, 2/2 also after a dose of another
// vaccine or given elsewhere, 1/1 for Janssen and for one dose after an
// infection (Genesene). Other combinations (boosters, a dose after Janssen)
// are ErrDoseRule.
func Doses(c Codes, v Vaccination) (dn, sd int, err error) {
	switch {
	case v.DoseNumber == 1 && v.DosesTotal == 1:
		return 1, 1, nil
	case v.DosesTotal == 2 && c.Doses == 2 && (v.DoseNumber == 1 || v.DoseNumber == 2):
		return v.DoseNumber, 2, nil
	}
	return 0, 0, fmt.Errorf("%w: dose %d of %d of %s", ErrDoseRule, v.DoseNumber, v.DosesTotal, v.ProductID)
}

// birthForm is the schema's pattern with plausible months and days.
var birthForm = regexp.MustCompile(`^((19|20)\d\d(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?)?$`)

// Build makes the claims of a vaccination: a pure function of the record, the
// issuer's name, the certificate id and the times, so that the same bytes can
// be made again to check a certificate against its record.
func Build(v Vaccination, issuer, uvci string, issued, expires time.Time) (Claims, error) {
	codes, ok := CodesFor(v.ProductID, issued)
	if !ok {
		return Claims{}, fmt.Errorf("%w: %s", ErrNoCodes, v.ProductID)
	}
	dn, sd, err := Doses(codes, v)
	if err != nil {
		return Claims{}, err
	}
	name, err := nameOf(v)
	if err != nil {
		return Claims{}, err
	}
	day := v.Day.Format(time.DateOnly)
	switch {
	case v.Day.IsZero() || v.Day.After(clock.Day(issued)):
		return Claims{}, fmt.Errorf("%w: vaccinated after the day of issue", ErrDates)
	case !birthForm.MatchString(v.Birth):
		return Claims{}, fmt.Errorf("%w: form of the birth date", ErrDates)
	case v.Birth > day:
		return Claims{}, fmt.Errorf("%w: vaccinated before birth", ErrDates)
	case !expires.After(issued):
		return Claims{}, fmt.Errorf("%w: expires before it begins", ErrDates)
	}
	if err := CheckUVCI(uvci); err != nil {
		return Claims{}, err
	}
	return Claims{
		Issuer:    Country,
		IssuedAt:  issued.Unix(),
		ExpiresAt: expires.Unix(),
		HCert: HCert{Payload{
			Version: SchemaVersion,
			Name:    name,
			Birth:   v.Birth,
			V: []Entry{{
				Disease: codes.Disease, Prophylaxis: codes.Prophylaxis, Product: codes.Product, Holder: codes.Holder,
				Dose: dn, Doses: sd, Date: day, Country: Country, Issuer: issuer, ID: uvci,
			}},
		}},
	}, nil
}

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

// CBOR is the deterministic encoding of the claims: what is signed.
func (c *Claims) CBOR() ([]byte, error) { return claimsMode.Marshal(c) }
