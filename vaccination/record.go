package vaccination

import (
	"errors"
	"time"

	"impfportal/citizen"
	"impfportal/internal/jobs"
	"impfportal/inventory"
)

// Channel says how a person came to the dose.
type Channel string

const (
	ByAppointment Channel = "appointment" // booked, at a centre
	WalkIn        Channel = "walkin"      // came to a centre without an appointment
	Mobile        Channel = "mobile"      // given by a mobile team in a facility
	ByIssuer      Channel = "issuer"      // recorded by a practice or pharmacy (RecordIssued)
)

// PartialDate is a birth date of which the month or the day may be unknown (0).
type PartialDate = citizen.PartialDate

// Contact is the one contact that stays with the treatment record, so that the
// certificate can be announced after the registration has been deleted.
type Contact struct {
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
	Lang  string `json:"lang,omitempty"` // "de" or "en"
}

// Patient is the treatment record's own copy of who was treated. It is stored
// only sealed, under the record's own key.
type Patient struct {
	FamilyName     string      `json:"family_name"`
	GivenName      string      `json:"given_name"`                // empty for people with one name
	PassportFamily string      `json:"passport_family,omitempty"` // as in the passport, where it differs
	PassportGiven  string      `json:"passport_given,omitempty"`
	Birth          PartialDate `json:"birth"`
	Sex            string      `json:"sex"` // citizen.SexFemale, SexMale, SexDiverse or SexUnknown
	Postcode       string      `json:"postcode"`
	Contact        Contact     `json:"contact"`
}

// Record is one administered dose with the person who got it.
type Record struct {
	ID            string
	KeyID         string // vault key of this record alone
	ProgrammeID   string
	ProductID     string
	LotID         string // "" for ByIssuer, who have no stock here
	LotNumber     string
	DoseNumber    int // 1..9; more than DosesTotal for a booster after a series of one
	DosesTotal    int // of the series as it was when the dose was given, or as the issuer states it
	Day           time.Time
	GivenAt       time.Time // noon of Day where nobody knows the hour (doses of practices and pharmacies recorded later)
	RecordedAt    time.Time // when it was written down
	Channel       Channel
	Place         string // centre id, facility id when Channel is Mobile, IssuerRef when it is ByIssuer
	AppointmentID string // "" without an appointment

	Basis      Basis
	IssuerRef  string    // who made the record: "centre:<id>", "facility-team:<id>", "issuer:<id>"
	IssuerKind string    // IssuerCentre, IssuerMobile, IssuerPractice, IssuerPharmacy
	Operator   string    // who there, opaque: the staff account's id for the portal's own sites
	Path       string    // PathSite, PathWeb, PathMTLS, PathCard
	Region     string    // Region of the place; "" unknown
	Location   string    // id of the place for the certificate's id; "" = Place
	Document   *Document // Seen only

	LoginPersonID string // citizen's person id that may see the certificate; "" for people who never registered
	Patient       Patient

	Version     int       // 1, and one more with each correction
	CorrectedAt time.Time // of the last one; zero: never

	RemovedAt  time.Time // when it was removed: it counts as not given; zero: it stands
	RemovedWhy string    // Twice or OtherPerson

	stockPlace inventory.Place // "" for ByIssuer
	namesake   bool            // recorded beside the same dose of somebody of the same name and birth date
	sealed     sealed
}

// Corrected reports whether the record said something else before.
func (r Record) Corrected() bool { return r.Version > 1 }

// Removed reports whether the record was removed: the dose counts as not given.
func (r Record) Removed() bool { return !r.RemovedAt.IsZero() }

// RecordedPayload is the payload of Recorded and Corrected.
type RecordedPayload struct {
	RecordID string `json:"record_id"`
}

// Recorded tells that a dose stands in the treatment record. It is enqueued in
// the transaction that writes the record, so it follows every record and no
// rollback.
var Recorded = jobs.Define[RecordedPayload]("vaccination.recorded")

// Errors of recording a dose.
var (
	ErrNotFound     = errors.New("vaccination: no such record")
	ErrWrongLot     = errors.New("vaccination: lot is not of this product or not at this place")
	ErrLotExpired   = errors.New("vaccination: lot expired")
	ErrLotBlocked   = errors.New("vaccination: lot blocked")
	ErrLotEmpty     = errors.New("vaccination: no dose of this lot left at this place")
	ErrNoConsent    = errors.New("vaccination: consent is not confirmed")
	ErrForms        = errors.New("vaccination: unknown version of the forms")
	ErrAppointment  = errors.New("vaccination: appointment is not open at this place today")
	ErrCheckedIn    = errors.New("vaccination: the person is checked in with an appointment")
	ErrWrongProduct = errors.New("vaccination: product does not continue this series")
	ErrAlreadyGiven = errors.New("vaccination: this dose already stands in the record")
	ErrKeyReused    = errors.New("vaccination: key was used for another dose")
	ErrCode         = errors.New("vaccination: not a reference")
	ErrCertificate  = errors.New("vaccination: not a certificate's id")
	ErrInvalid      = errors.New("vaccination: incomplete")
)
