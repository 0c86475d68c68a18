package vaccination

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// RecordDose is what is known when a dose is given.
type RecordDose struct {
	// Key makes the request repeatable: the same key gives the same record
	// (double click, retry after a lost answer). Required.
	Key string
	Now time.Time

	// AppointmentID is set for people with an appointment; person, product and
	// dose number then come from it. The following seven fields are for people
	// without one.
	AppointmentID string
	Channel       Channel
	Patient       Patient
	ProductID     string
	DoseNumber    int
	Prior         *PriorDose // what is stated about the dose before this one, where the portal does not know it

	Place      string // centre id, or facility id for Mobile
	StockPlace string // inventory place the dose is taken from
	LotID      string

	Consent bool      // consent form and anamnesis are at hand, signed
	Forms   time.Time // their 'Stand' (day)

	Override *Override // gives the dose in spite of a warning
	Actor    string    // as in audit, "staff:<id>"
	Role     string
}

// PriorDose is an earlier dose given elsewhere, as the vaccination pass says.
type PriorDose struct {
	ProductID string
	Day       time.Time
}

// Override names the warnings that a person responsible accepts, and why.
type Override struct {
	Rules  []string // codes of Warning
	Reason string   // required; stands sealed in the record
}

// Record gives and records one dose in one transaction and returns the record's id.
func (s *Service) Record(ctx context.Context, in RecordDose) (recordID string, err error) {
	panic("not yet")
}

// RecordTx is Record inside the caller's transaction.
func (s *Service) RecordTx(ctx context.Context, tx pgx.Tx, in RecordDose) (recordID string, err error) {
	panic("not yet")
}

// Get reads a record and opens its sealed part. ErrNotFound when there is none,
// vault.ErrDestroyed when its time was up.
func (s *Service) Get(ctx context.Context, q pg.Querier, recordID string) (Record, error) {
	panic("not yet")
}

// Service records doses.
type Service struct{}
