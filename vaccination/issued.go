package vaccination

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// IssuedDose is a dose that a practice or pharmacy records: one that it gave, or one
// that was given elsewhere and that it has seen in a document.
type IssuedDose struct {
	// Key makes the request repeatable: the same key gives the same record. It is one
	// key space for all issuers, so it begins with something of the issuer's own.
	Key string
	Now time.Time

	IssuerRef  string // "issuer:<id>"
	IssuerKind string // as the registry says: IssuerPractice, IssuerPharmacy, or a centre or team of others
	Operator   string // who there, opaque
	Path       string // PathWeb, PathMTLS or PathCard
	Region     string // Region of the issuer
	// Location is the id of the place as it goes into the certificate's id: 1 to 20 of A-Z
	// and 0-9; "" leaves the issuer's reference there.
	Location string

	Basis     Basis
	Document  *Document // for Seen, and only there
	Patient   Patient   // Sex may be empty: software does not tell it
	ProductID string
	LotNumber string // required for Given over PathWeb; software may know none
	// As the issuer states them, each 1..9: 3 of 3 for a booster, 2 of 1 after Janssen.
	DoseNumber, DosesTotal int
	Day                    time.Time // of the dose, UTC midnight; not after today

	Actor string // as in audit
	Role  string
}

var (
	lotForm   = regexp.MustCompile(`^[A-Z0-9][A-Z0-9 ./_-]{0,39}$`)
	location  = regexp.MustCompile(`^[A-Z0-9]{0,20}$`)
	issuerRef = regexp.MustCompile(`^issuer:[A-Za-z0-9-]{1,60}$`)
)

var issuerKinds = []string{IssuerPractice, IssuerPharmacy, IssuerCentre, IssuerMobile}

// check looks at what can be judged without asking the database, and brings the
// person's details into their stored form.
func (in *IssuedDose) check() error {
	today := clock.Day(in.Now)
	if in.Patient.Sex == "" {
		in.Patient.Sex = citizen.SexUnknown
	}
	switch {
	case in.Key == "" || len(in.Key) > maxKey, in.Now.IsZero(), in.Actor == "", in.Operator == "",
		!issuerRef.MatchString(in.IssuerRef),
		!slices.Contains(issuerKinds, in.IssuerKind),
		in.Path != PathWeb && in.Path != PathMTLS && in.Path != PathCard,
		!location.MatchString(in.Location),
		len(in.Patient.Clean(today)) > 0,
		in.DoseNumber < 1, in.DoseNumber > maxDoses, in.DosesTotal < 1, in.DosesTotal > maxDoses,
		in.Day.IsZero(), in.Day.After(today), in.Day.Before(in.Patient.Birth.Earliest()):
		return ErrInvalid
	case in.LotNumber != "" && !lotForm.MatchString(in.LotNumber):
		return ErrWrongLot
	case in.Basis == Given && (in.LotNumber == "" && in.Path == PathWeb || in.Document != nil),
		in.Basis == Seen && (in.Document == nil || !in.Document.valid()),
		in.Basis != Given && in.Basis != Seen:
		return ErrInvalid
	}
	in.Day = time.Date(in.Day.Year(), in.Day.Month(), in.Day.Day(), 0, 0, 0, 0, time.UTC)
	return nil
}

// givenAt is when a dose of a day was given, as far as it is known.
func givenAt(day, now time.Time) time.Time {
	if day.Equal(clock.Day(now)) {
		return now
	}
	return clock.At(day, 12, 0)
}

// RecordIssued writes the record of a dose that a practice or pharmacy gave or has
// seen in a document, in the caller's transaction, which must be rolled back on error.
// Such a record has no stock, no appointment and no forms here; [Recorded] and the audit
// are as for any other.
//
// The same key gives the same record (ErrKeyReused when the key was used for another
// dose). So does the same dose of the same person told again by the same issuer:
// people ask twice. One dose number is given once to one person, whoever says so
// (*AlreadyGivenError); a dose that was seen takes no part in that.
func (s *Service) RecordIssued(ctx context.Context, tx pgx.Tx, in IssuedDose) (recordID string, err error) {
	if err := in.check(); err != nil {
		return "", err
	}
	product, err := programme.ProductByID(ctx, tx, in.ProductID)
	if err != nil {
		return "", ErrWrongProduct
	}
	index := s.index(in.Patient)
	if err := lockPerson(ctx, tx, index); err != nil {
		return "", err
	}
	found, err := s.toldBefore(ctx, tx, in, index, product.ProgrammeID)
	if err != nil || found != "" {
		return found, err
	}
	key, err := s.vault.NewKey(ctx, tx)
	if err != nil {
		return "", err
	}
	box, err := key.SealJSON(sealContext, sealed{Patient: in.Patient, Document: in.Document})
	if err != nil {
		return "", fmt.Errorf("seal record: %w", err)
	}
	recordID = id.New()
	tag, err := tx.Exec(ctx, `
		INSERT INTO vaccination.record (id, request_key, key_id, sealed, person_index, programme_id, product_id, lot_number,
		       dose_number, doses_total, day, given_at, channel, place, recorded_by, recorded_at,
		       basis, issuer_ref, issuer_kind, operator, path, region, location)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'issuer', $13, $14, $15, $16, $13, $17, $18, $19, $20, $21)
		ON CONFLICT (request_key) DO NOTHING`,
		recordID, in.Key, key.ID, box, index, product.ProgrammeID, product.ID, in.LotNumber,
		in.DoseNumber, in.DosesTotal, in.Day, givenAt(in.Day, in.Now), in.IssuerRef, in.Actor, in.Now, in.Basis, in.IssuerKind,
		in.Operator, in.Path, in.Region, in.Location)
	if pg.Violates(err, "record_person_dose") {
		return "", ErrAlreadyGiven // the lock on the person makes this a mere last line
	}
	if err != nil {
		return "", fmt.Errorf("write record: %w", err)
	}
	if tag.RowsAffected() == 0 { // the key was used for somebody else a moment ago
		return "", ErrKeyReused
	}
	if err := audit.Write(ctx, tx, in.Now, audit.Entry{
		Actor: in.Actor, Role: in.Role, Action: "vaccination.recorded", Subject: "record:" + recordID,
		After: map[string]any{
			"product": in.ProductID, "lot": in.LotNumber, "dose": in.DoseNumber, "of": in.DosesTotal, "basis": in.Basis,
			"issuer": in.IssuerRef, "operator": in.Operator, "path": in.Path,
		},
	}); err != nil {
		return "", err
	}
	return recordID, Recorded.Enqueue(ctx, tx, RecordedPayload{RecordID: recordID})
}

// Told returns the record that the same request, or the same issuer telling the same dose
// again, has made; "" for a dose that is new, or that somebody else has given: nobody
// learns that without a dose of their own to record. Errors otherwise as of RecordIssued.
// It locks nothing.
func (s *Service) Told(ctx context.Context, q pg.Querier, in IssuedDose) (recordID string, err error) {
	if err := in.check(); err != nil {
		return "", err
	}
	product, err := programme.ProductByID(ctx, q, in.ProductID)
	if err != nil {
		return "", ErrWrongProduct
	}
	recordID, err = s.toldBefore(ctx, q, in, s.index(in.Patient), product.ProgrammeID)
	var given *AlreadyGivenError
	if errors.As(err, &given) && !given.Own {
		err = nil
	}
	return recordID, err
}

// PersonIndex is the blind index under which a person's doses are found: by name and
// birth date, in whatever spelling counts as the same.
func (s *Service) PersonIndex(p Patient) []byte { return s.index(p) }

// lockPerson makes the doses of one person come one after the other until the
// transaction ends.
func lockPerson(ctx context.Context, tx pgx.Tx, index []byte) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(index))); err != nil { //nolint:gosec // any 64 bits will do
		return fmt.Errorf("lock the person: %w", err)
	}
	return nil
}

// toldBefore finds the record of an earlier request with the same key, or of the same
// dose told by the same issuer, and refuses a dose whose number was given.
func (s *Service) toldBefore(ctx context.Context, tx pg.Querier, in IssuedDose, index []byte, programmeID string) (recordID string, err error) {
	rows, err := tx.Query(ctx, `
		SELECT id::text, request_key = $1, basis = 'given' AND NOT 'namesake' = ANY (overrides), issuer_ref = $2, coalesce(
		       voided_at IS NULL AND issuer_ref = $2 AND person_index = $3 AND programme_id = $4 AND dose_number = $5 AND doses_total = $6
		       AND basis = $7 AND product_id = $8 AND day = $9, false)
		  FROM vaccination.record
		 WHERE request_key = $1 OR person_index = $3 AND programme_id = $4 AND dose_number = $5 AND voided_at IS NULL
		 ORDER BY recorded_at, id`,
		in.Key, in.IssuerRef, index, programmeID, in.DoseNumber, in.DosesTotal, in.Basis, in.ProductID, in.Day)
	if err != nil {
		return "", fmt.Errorf("look up dose: %w", err)
	}
	var (
		other                 string
		sameKey, given, same  bool
		own, heldOwn          bool
		keyed, repeated, held string
		reused                bool
	)
	_, err = pgx.ForEachRow(rows, []any{&other, &sameKey, &given, &own, &same}, func() error {
		switch {
		case sameKey && same:
			keyed = other
		case sameKey:
			reused = true
		case same && repeated == "":
			repeated = other
		case given && in.Basis == Given:
			held, heldOwn = other, own
		}
		return nil
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("look up dose: %w", err)
	case keyed != "":
		return keyed, nil
	case reused:
		return "", ErrKeyReused
	case repeated != "":
		return repeated, nil
	case held != "":
		return "", &AlreadyGivenError{held, heldOwn}
	}
	return "", nil
}
