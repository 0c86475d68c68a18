package booking

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// MarkHere notes that the person has come: confirmed -> here.
func (s *Service) MarkHere(ctx context.Context, tx pgx.Tx, appointmentID string, now time.Time) error {
	return s.mark(ctx, tx, appointmentID, StateHere, now, StateConfirmed, StateMissed)
}

// MarkDone notes that the dose was given: confirmed, here or (recorded late)
// missed -> done. The series ends with its last appointment.
func (s *Service) MarkDone(ctx context.Context, tx pgx.Tx, appointmentID string, now time.Time) error {
	return s.mark(ctx, tx, appointmentID, StateDone, now, StateConfirmed, StateHere, StateMissed)
}

// MarkMissed notes that the person did not come, or was sent home: confirmed or
// here -> missed. The dose goes back into the plan.
func (s *Service) MarkMissed(ctx context.Context, tx pgx.Tx, appointmentID string, now time.Time) error {
	return s.mark(ctx, tx, appointmentID, StateMissed, now, StateConfirmed, StateHere)
}

// mark moves one appointment. It locks the series first, as cancelling does, so
// that the two do not wait for each other. Doing what is done already is no
// error; ErrState otherwise.
func (s *Service) mark(ctx context.Context, tx pgx.Tx, appointmentID, to string, now time.Time, from ...string) error {
	if !id.Valid(appointmentID) {
		return ErrNotFound
	}
	var seriesID, personID string
	err := tx.QueryRow(ctx, `
		SELECT s.id::text, s.person_id::text FROM booking.series s JOIN booking.appointment a ON a.series_id = s.id
		WHERE a.id = $1 FOR UPDATE OF s`, appointmentID).Scan(&seriesID, &personID)
	if pg.NoRows(err) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	var was, centreID, productID string
	err = tx.QueryRow(ctx, `SELECT state, centre_id, product_id FROM booking.appointment WHERE id = $1 FOR UPDATE`, appointmentID).
		Scan(&was, &centreID, &productID)
	if err != nil || was == to {
		return err
	}
	allowed := false
	for _, f := range from {
		allowed = allowed || was == f
	}
	if !allowed {
		return ErrState
	}
	if _, err := tx.Exec(ctx, `UPDATE booking.appointment SET state = $2, changed_at = $3 WHERE id = $1`, appointmentID, to, now); err != nil {
		return err
	}
	// The series ends when nothing of it is open, and is alive again when a
	// person who was noted as missing turns up.
	_, err = tx.Exec(ctx, `
		UPDATE booking.series s SET state = CASE WHEN o.open THEN 'confirmed' ELSE 'ended' END, ended_at = CASE WHEN o.open THEN NULL ELSE $2::timestamptz END
		FROM (SELECT EXISTS (SELECT 1 FROM booking.appointment WHERE series_id = $1 AND state IN ('confirmed', 'here')) AS open) o
		WHERE s.id = $1 AND (s.state = 'confirmed') IS DISTINCT FROM o.open`, seriesID, now)
	if pg.Violates(err, "series_one_active") {
		return ErrState // they have booked anew meanwhile
	}
	if err != nil {
		return err
	}
	if to == StateDone {
		var complete bool
		if err := tx.QueryRow(ctx, `SELECT bool_and(state = 'done') FROM booking.appointment WHERE series_id = $1`, seriesID).Scan(&complete); err != nil {
			return err
		}
		if complete {
			if err := citizen.SeriesDone(ctx, tx, personID, now); err != nil {
				return err
			}
		}
	}
	if to != StateMissed && was != StateMissed {
		return nil
	}
	return want(ctx, tx, centreID, productID)
}

// markMissed notes everybody as missed whose day is over and whom the centre
// has noted neither as vaccinated nor as missed.
func (s *Service) markMissed(ctx context.Context, today, now time.Time) error {
	for {
		var ids []string
		err := s.Pool.QueryRow(ctx, `
			SELECT coalesce(array_agg(id::text), '{}') FROM (
				SELECT id FROM booking.appointment WHERE day < $1 AND state IN ('confirmed', 'here') ORDER BY id LIMIT 500) a`, today).Scan(&ids)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, appointmentID := range ids {
			if err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
				return s.MarkMissed(ctx, tx, appointmentID, now)
			}); err != nil {
				return err
			}
		}
	}
}
