package vaccination

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// Get reads a record and opens its sealed part, also one that was removed (Removed).
// ErrNotFound when there is none, vault.ErrDestroyed when its time was up.
func (s *Service) Get(ctx context.Context, q pg.Querier, recordID string) (Record, error) {
	rows, err := s.records(ctx, q, `r.id = $1`, recordID)
	if err != nil {
		return Record{}, err
	}
	if len(rows) == 0 {
		return Record{}, ErrNotFound
	}
	return rows[0], nil
}

// OfPerson returns the records that belong to a citizen's login, oldest first, without
// those that were removed.
func (s *Service) OfPerson(ctx context.Context, q pg.Querier, personID string) ([]Record, error) {
	return s.records(ctx, q, `r.login_person_id = $1 AND k.id IS NOT NULL AND r.voided_at IS NULL`, personID)
}

// At returns the records of a place and day, oldest first, without those that were
// removed.
func (s *Service) At(ctx context.Context, q pg.Querier, place string, day time.Time) ([]Record, error) {
	return s.records(ctx, q, `r.place = $1 AND r.day = $2 AND k.id IS NOT NULL AND r.voided_at IS NULL`, place, day)
}

// records reads and opens the records that a condition selects. where is a
// constant of this package, never input.
func (s *Service) records(ctx context.Context, q pg.Querier, where string, args ...any) ([]Record, error) {
	rows, err := q.Query(ctx, `
		SELECT r.id, r.key_id, r.sealed, k.wrapped, r.programme_id, r.product_id, coalesce(r.lot_id::text, ''), r.lot_number, r.dose_number,
		       r.doses_total, r.day, r.given_at, r.channel, r.place, coalesce(r.appointment_id::text, ''),
		       coalesce(r.login_person_id::text, ''), r.recorded_at, r.basis, r.issuer_ref, r.issuer_kind, r.operator, r.path, r.region, r.location,
		       r.version, coalesce(r.corrected_at, 'epoch'), coalesce(r.stock_place, ''), 'namesake' = ANY (r.overrides),
		       coalesce(r.voided_at, 'epoch'), coalesce(r.void_why, ''), r.voided_at IS NOT NULL
		  FROM vaccination.record r LEFT JOIN vault.key k ON k.id = r.key_id
		 WHERE `+where+` ORDER BY r.given_at, r.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Record, error) {
		var (
			r            Record
			box, wrapped []byte
			removed      bool
		)
		err := row.Scan(&r.ID, &r.KeyID, &box, &wrapped, &r.ProgrammeID, &r.ProductID, &r.LotID, &r.LotNumber, &r.DoseNumber,
			&r.DosesTotal, &r.Day, &r.GivenAt, &r.Channel, &r.Place, &r.AppointmentID, &r.LoginPersonID,
			&r.RecordedAt, &r.Basis, &r.IssuerRef, &r.IssuerKind, &r.Operator, &r.Path, &r.Region, &r.Location,
			&r.Version, &r.CorrectedAt, &r.stockPlace, &r.namesake,
			&r.RemovedAt, &r.RemovedWhy, &removed)
		if err != nil {
			return r, err
		}
		if wrapped == nil {
			return r, vault.ErrDestroyed
		}
		key, err := s.vault.Unwrap(r.KeyID, wrapped)
		if err != nil {
			return r, err
		}
		if err := key.UnsealJSON(sealContext, box, &r.sealed); err != nil {
			return r, fmt.Errorf("record %s: %w", r.ID, err)
		}
		r.Patient, r.Document = r.sealed.Patient, r.sealed.Document
		if !r.Corrected() {
			r.CorrectedAt = time.Time{}
		}
		if !removed {
			r.RemovedAt = time.Time{}
		}
		return r, nil
	})
}
