package booking

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/pg"
)

// Undone names a dose of which the record was removed.
type Undone struct {
	AppointmentID string // "" when it was given without one, after a call about a leftover dose
	PersonID      string
	ProgrammeID   string
	DoseNumber    int
}

// DoseUndone takes back, in the transaction that removes its record, that somebody was
// given a dose: done -> missed, so that they can book it again or, on its day, be
// checked in. What is gone already, or was never done, is no error.
func (s *Service) DoseUndone(ctx context.Context, tx pgx.Tx, u Undone, now time.Time) error {
	appointmentID := u.AppointmentID
	if appointmentID == "" {
		err := tx.QueryRow(ctx, `
			SELECT id::text FROM booking.appointment
			WHERE person_id = $1 AND programme_id = $2 AND dose_number = $3 AND state = 'done'`, u.PersonID, u.ProgrammeID, u.DoseNumber).Scan(&appointmentID)
		if pg.NoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	err := s.mark(ctx, tx, appointmentID, StateMissed, now, StateDone)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrState) {
		return nil
	}
	if err != nil {
		return err
	}
	return citizen.SeriesUndone(ctx, tx, u.PersonID, now)
}
