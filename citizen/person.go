package citizen

import (
	"errors"
	"time"

	"impfportal/notify"
)

// Errors that callers tell apart.
var (
	// ErrNotFound says that there is no such registration (any more).
	ErrNotFound = errors.New("citizen: no such registration")
	// ErrLogin says that case number and secret do not belong together. It is
	// the same for an unknown number and for a wrong secret.
	ErrLogin = errors.New("citizen: case number or secret is wrong")
	// ErrTypo says that the check characters of a case number or secret do not
	// fit: somebody mistyped. It is found without asking the database.
	ErrTypo = errors.New("citizen: check characters do not fit")
	// ErrStanding says that an appointment stands, so the registration cannot
	// be deleted.
	ErrStanding = errors.New("citizen: an appointment stands")
	// ErrAnother says that somebody has registered under the same names and birth
	// date since the registration that was there first has gone.
	ErrAnother = errors.New("citizen: another registration with the same names")
	// ErrHere says that the person is at the centre in this moment, so nobody
	// ends the registration meanwhile.
	ErrHere = errors.New("citizen: the person is at the centre")
	// ErrRegistered says that a registration with this id exists, but its
	// login data is not the one that was handed in.
	ErrRegistered = errors.New("citizen: already registered under this id")
)

// State of a registration; see the diagram in doc.go.
type State string

// The states of a registration.
const (
	StateActive State = "active"
	StateCheck  State = "check"  // perhaps somebody who is registered already: an agent clarifies; appointments are under reserve
	StateClosed State = "closed" // deleted: key destroyed, only the bare row is left
)

// Kinds of Prior.
const (
	PriorDose     = "dose"
	PriorRecovery = "recovery"
)

// Values of Person.Sex, as the vaccination record and the federal report have
// them (FHIR administrative gender).
const (
	SexFemale  = "female"
	SexMale    = "male"
	SexDiverse = "other"
	SexUnknown = "unknown" // keine Angabe
)

// Prior is what the person states about an earlier dose given elsewhere, or a
// recovery (Genesung). It counts in the series; its proof is seen at the site.
type Prior struct {
	Kind      string    `json:"kind"`                 // PriorDose or PriorRecovery
	ProductID string    `json:"product_id,omitempty"` // PriorDose only
	Date      time.Time `json:"date"`                 // day of the dose, or of the positive test; UTC midnight
	Proof     string    `json:"proof"`                // code out of priorProofs; never a diagnosis
}

// Person is one registration (Registrierung) with everything unsealed.
// ID and KeyID are internal; CaseNumber is what people type and read out.
type Person struct {
	ID, KeyID, CaseNumber         string
	ProgrammeID, GroupCode, Lang  string
	FamilyName, GivenName         string // Unicode NFC; GivenName may be empty (people with one name)
	PassportFamily, PassportGiven string // as in the passport where it differs, else empty
	Birth                         PartialDate
	Sex                           string
	Address                       notify.Address // Street, Postcode, City may be empty; Country is ISO 3166 alpha-2
	Phone                         string         // E.164 or empty
	Email                         string
	Prior                         *Prior
	OnBehalf                      bool // somebody else filled the form in
	State                         State
	RegisteredAt                  time.Time
	ContactChangedAt              time.Time // zero = never
}

// FullName is the name as one writes it on an envelope.
func (p Person) FullName() string {
	if p.GivenName == "" {
		return p.FamilyName
	}
	return p.GivenName + " " + p.FamilyName
}

// Registered is the answer to Register. Secret is handed out here and nowhere
// else again: the database holds a keyed hash of it.
type Registered struct {
	Person     Person
	CaseNumber string // printed form
	Secret     string // printed form
	// Duplicate is for staff only: the person seems to be registered already
	// and waits for clarification. Nothing that a citizen sees may depend on it.
	Duplicate bool
}

// SearchQuery is what an agent types. Filled in together: CaseNumber; or
// Family, Given and Birth; or Family and Postcode (Given narrows it).
type SearchQuery struct {
	CaseNumber    string
	Family, Given string
	Birth         PartialDate
	Postcode      string
}

// SessionTTL is how long a citizen's login lasts.
const SessionTTL = 2 * time.Hour

// SessionKind is web.User.Kind of a citizen.
const SessionKind = "citizen"
