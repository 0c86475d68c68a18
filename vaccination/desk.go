package vaccination

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// The correction desk (Berichtigung): a site finds the records of its own centre,
// whatever their day, and corrects them; an account of all centres does so with every
// record. Who looks for a person and who opens a record stands in the audit.

// Desk is who sits at the correction desk.
type Desk struct {
	CentreID string // whose records; "" = all
	// IssuerRef is a practice, a pharmacy or a mobile team, whose desk sees its own records
	// and none else.
	IssuerRef string
	Actor     string
	Role      string
	Now       time.Time
}

// may reports whether a record is one of the desk's.
func (d Desk) may(r Record) bool {
	if d.IssuerRef != "" {
		return r.IssuerRef == d.IssuerRef
	}
	return d.CentreID == "" || r.Place == d.CentreID && (r.Channel == ByAppointment || r.Channel == WalkIn)
}

// FindRecords returns the records of the desk that fit: those of the person whose
// appointment has the reference, that of a certificate, or those of the person with that
// name and birth date, the newest first. ErrCode for what is no reference, ErrCertificate
// for what is no certificate's id, ErrInvalid for too little.
func (s *Service) FindRecords(ctx context.Context, d Desk, in Query) (found []Record, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		switch {
		case in.Code != "":
			series, err := booking.SeriesByReference(ctx, tx, in.Code)
			switch {
			case errors.Is(err, booking.ErrReference):
				return ErrCode
			case errors.Is(err, booking.ErrNotFound):
			case err != nil:
				return fmt.Errorf("find by reference: %w", err)
			default:
				if found, err = s.OfPerson(ctx, tx, series.PersonID); err != nil {
					return err
				}
			}
		case in.Certificate != "" && s.Certified != nil:
			recordID, err := s.Certified(ctx, tx, in.Certificate)
			if err != nil {
				return err
			}
			if id.Valid(recordID) {
				if found, err = s.records(ctx, tx, `r.id = $1 AND k.id IS NOT NULL`, recordID); err != nil {
					return err
				}
			}
		default:
			p := Patient{FamilyName: in.Family, GivenName: in.Given, Birth: in.Birth}
			if citizen.MatchName(p.FamilyName) == "" || in.Birth.Year < 1 {
				return ErrInvalid
			}
			if found, err = s.records(ctx, tx, `r.person_index = $1 AND k.id IS NOT NULL`, s.index(p)); err != nil {
				return err
			}
		}
		found = slices.DeleteFunc(found, func(r Record) bool { return !d.may(r) })
		slices.Reverse(found)
		return audit.Write(ctx, tx, d.Now, audit.Entry{
			Actor: d.Actor, Role: d.Role, Action: "vaccination.search", Subject: "records", After: map[string]int{"found": len(found)},
		})
	})
	return found, err
}

// OpenRecord returns a record of the desk with its former contents.
func (s *Service) OpenRecord(ctx context.Context, d Desk, recordID string) (r Record, revisions []Revision, err error) {
	if !id.Valid(recordID) {
		return r, nil, ErrNotFound
	}
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if r, err = s.Get(ctx, tx, recordID); err != nil {
			return err
		}
		if !d.may(r) {
			return ErrNotFound
		}
		if revisions, err = s.Revisions(ctx, tx, r); err != nil {
			return err
		}
		return audit.Write(ctx, tx, d.Now, audit.Entry{Actor: d.Actor, Role: d.Role, Action: "vaccination.read", Subject: "record:" + r.ID})
	})
	return r, revisions, err
}

// errTried ends the transaction of a correction that was only tried.
var errTried = errors.New("vaccination: tried")

// TryCorrection tells what a correction would change, without changing anything.
// Errors as of Correct; beside *AlreadyGivenError, too, it tells what would be changed.
func (s *Service) TryCorrection(ctx context.Context, d Desk, in Correction) (was, to Record, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if was, to, err = s.correctAt(ctx, tx, d, in); err != nil {
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		err = nil
	}
	return was, to, err
}

// CorrectAt corrects a record of the desk. Errors as of Correct; ErrSite also when a
// centre wants to make it another one's.
func (s *Service) CorrectAt(ctx context.Context, d Desk, in Correction) (to Record, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, to, err = s.correctAt(ctx, tx, d, in)
		return err
	})
	return to, err
}

// CorrectAtTx is CorrectAt in the caller's transaction, which must be rolled back on
// error. It returns the record as it was, too.
func (s *Service) CorrectAtTx(ctx context.Context, tx pgx.Tx, d Desk, in Correction) (was, to Record, err error) {
	return s.correctAt(ctx, tx, d, in)
}

// Issued is a record of a practice or pharmacy as its list shows it: nothing personal.
type Issued struct {
	ID, ProductID, LotNumber string
	DoseNumber, DosesTotal   int
	Day                      time.Time
	Basis                    Basis
	RecordedAt               time.Time
	Version                  int
	Removed                  bool
}

// IssuedSince lists what an issuer recorded since a moment, the newest first.
func IssuedSince(ctx context.Context, q pg.Querier, issuerRef string, since time.Time, limit int) ([]Issued, error) {
	rows, err := q.Query(ctx, `
		SELECT id::text, product_id, lot_number, dose_number, doses_total, day, basis, recorded_at, version, voided_at IS NOT NULL
		  FROM vaccination.record WHERE issuer_ref = $1 AND channel = 'issuer' AND recorded_at >= $2 ORDER BY recorded_at DESC, id LIMIT $3`, issuerRef, since, limit)
	if err != nil {
		return nil, fmt.Errorf("records of an issuer: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Issued])
}

// OneIssued returns a record of an issuer as its list shows it, or ErrNotFound: also for
// a record of somebody else.
func OneIssued(ctx context.Context, q pg.Querier, issuerRef, recordID string) (Issued, error) {
	if !id.Valid(recordID) {
		return Issued{}, ErrNotFound
	}
	rows, err := q.Query(ctx, `
		SELECT id::text, product_id, lot_number, dose_number, doses_total, day, basis, recorded_at, version, voided_at IS NOT NULL
		  FROM vaccination.record WHERE id = $2 AND issuer_ref = $1 AND channel = 'issuer'`, issuerRef, recordID)
	if err != nil {
		return Issued{}, fmt.Errorf("record of an issuer: %w", err)
	}
	out, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Issued])
	if pg.NoRows(err) {
		err = ErrNotFound
	}
	return out, err
}

func (s *Service) correctAt(ctx context.Context, tx pgx.Tx, d Desk, in Correction) (was, to Record, err error) {
	if !id.Valid(in.RecordID) {
		return was, to, ErrNotFound
	}
	if was, err = s.lock(ctx, tx, in.RecordID); err != nil {
		return was, to, err
	}
	if !d.may(was) {
		return was, to, ErrNotFound
	}
	if (d.CentreID != "" || d.IssuerRef != "") && in.To.Place != was.Place {
		return was, to, ErrSite
	}
	in.Now, in.Actor, in.Role = d.Now, d.Actor, d.Role
	to, err = s.CorrectTx(ctx, tx, in)
	return was, to, err
}
