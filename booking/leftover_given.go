package booking

import (
	"context"
	"errors"
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

// LeftoverVisit is somebody who is at a centre after a call, and the dose that they
// may have.
type LeftoverVisit struct {
	CallID     string
	PersonID   string
	ProductID  string
	DoseNumber int
	CameAt     time.Time
	SeriesID   string // of the dose, once it was given; "" = not yet
}

// LeftoverVisit reads a call of this centre and of today whose person has come.
// ErrNotFound for any other call, ErrState when the person has not come,
// *IneligibleError when they may not have a dose of the product any more.
func (s *Service) LeftoverVisit(ctx context.Context, q pg.Querier, callID, centreID string, now time.Time) (v LeftoverVisit, err error) {
	if !id.Valid(callID) {
		return v, ErrNotFound
	}
	v.CallID = callID
	var (
		state string
		came  *time.Time
		dose  *int
	)
	err = q.QueryRow(ctx, `
		SELECT c.person_id::text, c.product_id, c.state, c.ended_at, coalesce(c.series_id::text, ''),
		       (SELECT min(dose_number) FROM booking.appointment a WHERE a.series_id = c.series_id)
		FROM booking.leftover_call c WHERE c.id = $1 AND c.centre_id = $2 AND c.day = $3`, callID, centreID, clock.Day(now)).
		Scan(&v.PersonID, &v.ProductID, &state, &came, &v.SeriesID, &dose)
	switch {
	case pg.NoRows(err):
		return v, ErrNotFound
	case err != nil:
		return v, err
	case state != CallCame:
		return v, ErrState
	}
	v.CameAt = *came
	if dose != nil {
		v.DoseNumber = *dose
		return v, nil
	}
	_, ents, err := s.personEntitled(ctx, q, v.PersonID)
	if err != nil {
		return v, err
	}
	i := slices.IndexFunc(ents, func(e Entitlement) bool { return e.ProductID == v.ProductID })
	if i < 0 {
		return v, &IneligibleError{ReasonPrior}
	}
	v.DoseNumber = ents[i].FirstDose
	return v, nil
}

// LeftoverGiven notes, in the transaction that records it, that somebody who came after
// a call was given their dose: as a series of one appointment that is done, so that
// this registration has the dose like any other that was given by appointment. What
// they have booked of the programme meanwhile is given back, and they are told: it
// would begin with the same dose. ErrNotFound for another centre's call or a
// registration that has ended, ErrState when the dose is noted already, or nobody
// came, citizen.ErrHere when they have checked in with an appointment: the dose is
// that one's.
func (s *Service) LeftoverGiven(ctx context.Context, tx pgx.Tx, v LeftoverVisit, centreID string, now time.Time, by By) error {
	product, err := programme.ProductByID(ctx, tx, v.ProductID)
	if err != nil {
		return err
	}
	// Others lock a series before its person; what began meanwhile is ended after that.
	if err := s.endOthers(ctx, tx, v.PersonID, product.ProgrammeID, now, by); err != nil {
		return err
	}
	switch err := citizen.LockOut(ctx, tx, v.PersonID); {
	case errors.Is(err, citizen.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return err
	}
	if err := s.endOthers(ctx, tx, v.PersonID, product.ProgrammeID, now, by); err != nil {
		return err
	}
	var state, series, channel string
	err = tx.QueryRow(ctx, `
		SELECT c.state, coalesce(c.series_id::text, ''), coalesce((SELECT w.channel FROM booking.waiting w WHERE w.id = c.waiting_id), $3)
		FROM booking.leftover_call c WHERE c.id = $1 AND c.centre_id = $2 FOR UPDATE OF c`, v.CallID, centreID, Web).Scan(&state, &series, &channel)
	if pg.NoRows(err) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	if state != CallCame || series != "" {
		return ErrState
	}
	series = id.New()
	if _, err := tx.Exec(ctx, `
		INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at, confirmed_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'ended', $10, $10, $10, $10)`,
		series, v.PersonID, product.ProgrammeID, v.ProductID, centreID, channel, newReference(), by.Actor, by.Role, now); err != nil {
		return err
	}
	day := clock.Day(now)
	if _, err := tx.Exec(ctx, `
		INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel, leg, first_day, dose_number, day, start_at, state, changed_at)
		VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 1, $8, $9, $8, $10, 'done', $10)`,
		id.New(), series, v.PersonID, product.ProgrammeID, centreID, v.ProductID, channel, day, v.DoseNumber, now); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE booking.leftover_call SET series_id = $2 WHERE id = $1`, v.CallID, series); err != nil {
		return err
	}
	// The list is left when somebody comes; who has entered again meanwhile has wanted this dose.
	var waiting []string
	err = tx.QueryRow(ctx, `
		SELECT coalesce(array_agg(id::text), '{}') FROM booking.waiting WHERE person_id = $1 AND programme_id = $2 AND state IN ('waiting', 'paused')`,
		v.PersonID, product.ProgrammeID).Scan(&waiting)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if err := endWaiting(ctx, tx, now, w, WaitingDone, by); err != nil {
			return err
		}
	}
	if err := citizen.Touch(ctx, tx, v.PersonID, now); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "booking.leftover-given", Subject: citizen.Subject(v.PersonID),
		After: map[string]any{"centre": centreID, "product": v.ProductID, "dose": v.DoseNumber},
	})
}

// endOthers gives back what a person has held or confirmed of a programme, and tells
// them of what was booked. citizen.ErrHere while they are checked in.
func (s *Service) endOthers(ctx context.Context, tx pgx.Tx, personID, programmeID string, now time.Time, by By) error {
	list, err := endStanding(ctx, tx, now, `person_id = $1 AND programme_id = $2 AND state IN ('held', 'confirmed') ORDER BY id FOR UPDATE`,
		[]any{personID, programmeID}, personID, by)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x.State != StateConfirmed {
			continue
		}
		if err := cancelled.Enqueue(ctx, tx, seriesPayload{SeriesID: x.ID}); err != nil {
			return err
		}
	}
	return nil
}
