package booking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// HoldRequest asks for all appointments of a series.
type HoldRequest struct {
	PersonID string
	Channel  Channel
	SlotIDs  []int64 // by leg: first appointment first
	Key      string  // idempotency key: the same key gets the same series again
	Actor    string  // for the audit; empty = the person
	Role     string
	Waive    string // why the first dose is booked alone (WaiveMedical ...); "" = all of a series
}

func (in HoldRequest) check() error {
	if !id.Valid(in.PersonID) || in.Key == "" || len(in.Key) > 100 || len(in.SlotIDs) == 0 || len(in.SlotIDs) > 9 {
		return ErrInvalid
	}
	return nil
}

// Hold takes a place at every slot for the person, all or none, for ten
// minutes (setting). The same Key gives the same series again, whatever became
// of it. Errors: *TakenError with the nearest that are free, ErrAlreadyBooked,
// ErrKeyReused, ErrTooOften, *IneligibleError, ErrInvalid.
func (s *Service) Hold(ctx context.Context, in HoldRequest) (Series, error) {
	if err := in.check(); err != nil {
		return Series{}, err
	}
	person, ents, err := s.personEntitled(ctx, s.Pool, in.PersonID)
	if err != nil {
		return Series{}, err
	}
	if ents, err = in.waive(ents); err != nil {
		return Series{}, err
	}
	if in.Actor == "" {
		in.Actor, in.Role = "citizen:"+in.PersonID, "citizen"
	}
	series, err := s.take(ctx, takeRequest{HoldRequest: in, ProgrammeID: person.ProgrammeID, Entitlements: ents, registered: true})
	if errors.Is(err, ErrSlotTaken) {
		near, nearErr := s.nearest(ctx, in, ents, 1)
		if nearErr != nil {
			return Series{}, nearErr
		}
		return Series{}, &TakenError{Alternatives: near}
	}
	return series, err
}

// takeRequest is a hold whose rules are known.
type takeRequest struct {
	HoldRequest
	ProgrammeID  string
	Entitlements []Entitlement
	registered   bool      // the registration must not end meanwhile, and over the web not hold again and again
	at           time.Time // zero = now
	reclaim      bool      // what the person gave back and is not free yet may be taken
}

// take takes the places. Before it says that a place is gone or that the person
// has a series, it ends holds whose time is over, makes free what is due, and
// looks again; what the person has given back stays theirs while it returns.
func (s *Service) take(ctx context.Context, in takeRequest) (Series, error) {
	series, err := s.tryTake(ctx, in)
	if pg.IsDeadlock(err) { // somebody books for both of a couple at this moment
		series, err = s.tryTake(ctx, in)
	}
	var over error
	switch {
	case errors.Is(err, ErrSlotTaken):
		over = s.freeDue(ctx, in.SlotIDs)
		in.reclaim = true
	case errors.Is(err, ErrAlreadyBooked):
		_, over = s.expire(ctx, s.Now(), nil, in.PersonID)
	case errors.Is(err, ErrTooOften):
		return s.heldBefore(ctx, in, err)
	default:
		return series, err
	}
	if over != nil {
		return Series{}, over
	}
	return s.tryTake(ctx, in)
}

// heldBefore returns what the key of a request gave before, also to who may hold
// nothing new; otherwise the error.
func (s *Service) heldBefore(ctx context.Context, in takeRequest, otherwise error) (Series, error) {
	found, err := findSeries(ctx, s.Pool, `s.person_id = $1 AND s.key = $2`, in.PersonID, in.Key)
	if errors.Is(err, ErrNotFound) {
		return Series{}, otherwise
	}
	if err != nil {
		return Series{}, err
	}
	t := &taking{in: in, seriesID: found.ID}
	return t.done(ctx, s)
}

// freeDue ends the holds at slots whose time is over and makes free what is due
// there. It began after the call.
func (s *Service) freeDue(ctx context.Context, slots []int64) error {
	_, err := s.freeing.ask(ctx, joinIDs(slots), func(ctx context.Context) (none struct{}, err error) {
		if _, err := s.expire(ctx, s.Now(), slots, ""); err != nil {
			return none, err
		}
		_, err = s.giveBackDue(ctx, s.Now(), slots)
		return none, err
	})
	return err
}

// tryTake is one attempt: everything is decided and written by booking.hold, in
// one round trip and one transaction.
func (s *Service) tryTake(ctx context.Context, in takeRequest) (Series, error) {
	batch := &pgx.Batch{}
	t := s.queueTake(batch, in)
	if err := citizen.LockError(s.Pool.SendBatch(ctx, batch).Close()); err != nil {
		return Series{}, engineError(err)
	}
	return t.done(ctx, s)
}

// taking is a hold on its way.
type taking struct {
	in                  takeRequest
	series              Series
	seriesID            string
	fresh               bool
	centreID, productID *string
	firstDose           *int
	starts              []time.Time
	until               *time.Time
	appointments        []string
}

// queueTake puts a hold into a batch; done reads what became of it.
func (s *Service) queueTake(batch *pgx.Batch, in takeRequest) *taking {
	now := in.at
	if now.IsZero() {
		now = s.Now()
	}
	t := &taking{in: in}
	t.series = Series{
		ID: id.New(), PersonID: in.PersonID, ProgrammeID: in.ProgrammeID, Channel: in.Channel, Reference: newReference(),
		State: StateHeld, BookedBy: in.Actor, Role: in.Role, CreatedAt: now,
	}
	t.appointments = make([]string, len(in.SlotIDs))
	for i := range t.appointments {
		t.appointments[i] = id.New()
	}
	n := len(in.Entitlements)
	products, legs, firsts, mins, maxs, notBefore := make([]string, n), make([]int, n), make([]int, n), make([]int, n), make([]int, n), make([]*time.Time, n)
	for i, e := range in.Entitlements {
		products[i], legs[i], firsts[i], mins[i], maxs[i] = e.ProductID, e.Legs, e.FirstDose, e.MinDays, e.MaxDays
		if !e.NotBefore.IsZero() {
			notBefore[i] = &in.Entitlements[i].NotBefore
		}
	}
	if in.reclaim {
		batch.Queue(`SELECT booking.reclaim($1, $2)`, in.PersonID, in.SlotIDs)
	}
	batch.Queue(`
		SELECT o_series::text, o_fresh, o_centre, o_product, o_first_dose, o_starts, o_until
		FROM booking.hold($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		in.registered, now, in.PersonID, in.ProgrammeID, in.Channel, in.Key, t.series.ID, t.series.Reference, in.Actor, in.Role,
		t.appointments, in.SlotIDs, products, legs, firsts, mins, maxs, notBefore).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&t.seriesID, &t.fresh, &t.centreID, &t.productID, &t.firstDose, &t.starts, &t.until)
		})
	in.queueWaived(batch, t)
	if in.reclaim { // a key that was used before must not let places go free at once
		batch.Queue(`SELECT booking.sure(EXISTS (SELECT FROM booking.series WHERE id = $1))`, t.series.ID)
	}
	return t
}

// done returns the series that was held, or the older one when the key was used
// before.
func (t *taking) done(ctx context.Context, s *Service) (Series, error) {
	in, series := t.in, t.series
	if !t.fresh {
		found, err := seriesByID(ctx, s.Pool, t.seriesID)
		if err != nil {
			return Series{}, err
		}
		if !slices.EqualFunc(found.Appointments, in.SlotIDs, func(a Appointment, slot int64) bool { return a.SlotID == slot }) {
			return Series{}, ErrKeyReused // nobody is told that they have what they did not ask for
		}
		return *found, nil
	}
	series.CentreID, series.ProductID, series.HoldUntil = *t.centreID, *t.productID, t.until.UTC()
	for i, start := range t.starts {
		series.Appointments = append(series.Appointments, Appointment{
			ID: t.appointments[i], SeriesID: series.ID, PersonID: in.PersonID,
			CentreID: series.CentreID, ProductID: series.ProductID, Channel: string(in.Channel), Reference: series.Reference,
			DoseNumber: *t.firstDose + i, Start: start.UTC(), State: StateHeld, SlotID: in.SlotIDs[i],
		})
	}
	return series, nil
}

// Confirm makes the held series of the person theirs: all appointments or
// none; with it that of the second person for whom they booked, and neither when
// the other half has ended. Confirming twice is no error. key is accepted for
// symmetry: a series can be confirmed only once, so its id is the key. Errors:
// ErrNotFound for what is no id; else ErrHoldExpired, also when this person has no
// such series: a crash of Postgres may take along the holds of its last moments,
// and who held one is told to choose again, not that a page is missing.
func (s *Service) Confirm(ctx context.Context, seriesID, personID, key string) (Series, error) {
	if !id.Valid(seriesID) || !id.Valid(personID) {
		return Series{}, ErrNotFound
	}
	series := &Series{}
	confirm := func() error {
		batch := &pgx.Batch{}
		batch.Queue(`SELECT booking.confirm($1, $2, $3, $4)`, s.Now(), seriesID, personID, confirmed.Name())
		queueSeries(batch, series, seriesID)
		return s.Pool.SendBatch(ctx, batch).Close()
	}
	err := confirm()
	if pg.IsLockTimeout(err) { // a couple, and the other one does something at the same moment
		err = confirm()
	}
	if err = engineError(err); errors.Is(err, ErrHoldExpired) {
		return Series{}, errors.Join(err, s.endHalf(ctx, seriesID))
	}
	if errors.Is(err, ErrNotFound) {
		err = ErrHoldExpired
	}
	if err != nil {
		return Series{}, err
	}
	return *series, nil
}

// Cancel gives back what the series still has open and tells the person.
// Cancelling twice is no error. actor is as in audit ("citizen:<id>",
// "staff:<id>", "system").
func (s *Service) Cancel(ctx context.Context, seriesID, personID, actor string) error {
	return s.CancelFrom(ctx, seriesID, personID, 1, By{Actor: actor})
}

// CancelFrom gives back the open appointments for a dose and the later ones: a
// later dose needs the one before it. What was given back alone can be booked
// again with Rebook. Otherwise as Cancel.
func (s *Service) CancelFrom(ctx context.Context, seriesID, personID string, dose int, by By) error {
	if !id.Valid(seriesID) || !id.Valid(personID) {
		return ErrNotFound
	}
	if dose < 1 || dose > maxDose {
		return ErrInvalid
	}
	err := s.cancelFrom(ctx, seriesID, personID, dose, by)
	if pg.IsLockTimeout(err) { // a couple, and both give back at the same moment
		err = s.cancelFrom(ctx, seriesID, personID, dose, by)
	}
	return engineError(err)
}

func (s *Service) cancelFrom(ctx context.Context, seriesID, personID string, dose int, by By) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// Both of a couple are locked in the order of their ids, as confirming does.
		if _, err := tx.Exec(ctx, `
			SELECT FROM booking.series
			WHERE id = $1 OR couple_id = (SELECT couple_id FROM booking.series WHERE id = $1) ORDER BY id FOR UPDATE`, seriesID); err != nil {
			return err
		}
		before, err := seriesByID(ctx, tx, seriesID)
		if err != nil {
			return err
		}
		if before.State == StateHeld { // a hold is one thing
			dose = 1
		}
		freed, err := giveBack(ctx, tx, now, seriesID, personID, before.State, dose, by)
		if err != nil || freed == 0 {
			return err
		}
		if before.State == StateHeld { // what is held together goes together
			other, err := s.partner(ctx, tx, *before)
			if err != nil {
				return err
			}
			if other != nil && other.State == StateHeld {
				if _, err := giveBack(ctx, tx, now, other.ID, other.PersonID, other.State, 1, by); err != nil {
					return err
				}
			}
		}
		tag, err := tx.Exec(ctx, `UPDATE booking.series SET revision = revision + 1 WHERE id = $1 AND state = 'confirmed'`, seriesID)
		if err != nil {
			return err
		}
		if tag.RowsAffected() > 0 { // some of it stands
			if err := changed.Enqueue(ctx, tx, seriesPayload{SeriesID: seriesID}); err != nil {
				return err
			}
		} else if before.ConfirmedAt != nil {
			if err := cancelled.Enqueue(ctx, tx, seriesPayload{SeriesID: seriesID}); err != nil {
				return err
			}
		}
		if err := citizen.Touch(ctx, tx, personID, now); err != nil {
			return err
		}
		// A later appointment alone belongs to no new series until the plan is made again.
		return want(ctx, tx, before.CentreID, before.ProductID)
	})
}

// giveBack cancels what a series has open from a dose on and writes down who did it. Whoever
// calls it wants a new plan after everything else.
func giveBack(ctx context.Context, tx pgx.Tx, now time.Time, seriesID, personID, state string, dose int, by By) (freed int, err error) {
	if err := tx.QueryRow(ctx, `SELECT booking.cancel($1, $2, $3, $4)`, now, seriesID, personID, dose).Scan(&freed); err != nil || freed == 0 {
		return 0, err
	}
	if err := endedBy(ctx, tx, seriesID, by); err != nil {
		return 0, err
	}
	return freed, audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "booking.cancel",
		Subject: "series:" + seriesID, Before: map[string]any{"state": state}, After: map[string]any{"freed": freed},
	})
}

// endedBy notes for the limit of tries that it was staff who gave a series back.
func endedBy(ctx context.Context, tx pgx.Tx, seriesID string, by By) error {
	if !strings.HasPrefix(by.Actor, "staff:") {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE booking.series SET ended_by_staff = true WHERE id = $1 AND state = 'cancelled'`, seriesID)
	return err
}

// CancelStanding cancels whatever the person has held or confirmed, in the
// transaction of the caller, who ends the registration, has locked it FOR
// UPDATE (so no hold is under way) and tells the person. It returns
// citizen.ErrHere while the person is at the centre. Others lock a series
// before the registration, so it does not wait for them: pg.IsLockTimeout says
// that somebody moves the series in this moment, and the caller begins anew.
func CancelStanding(ctx context.Context, tx pgx.Tx, now time.Time, personID, actor, role string) error {
	_, err := endStanding(ctx, tx, now, `person_id = $1 AND state IN ('held', 'confirmed') ORDER BY id FOR UPDATE NOWAIT`, []any{personID}, personID, By{actor, role})
	return err
}

// standing is a series that is held or confirmed.
type standing struct{ ID, State, CentreID, ProductID string }

// endStanding gives back the series of one person that where selects and locks, and
// returns what they were. citizen.ErrHere while the person is at a
// centre with one of them.
func endStanding(ctx context.Context, tx pgx.Tx, now time.Time, where string, args []any, personID string, by By) ([]standing, error) {
	rows, err := tx.Query(ctx, `SELECT id::text, state, centre_id, product_id FROM booking.series WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[standing])
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	for i, x := range list {
		ids[i] = x.ID
	}
	// Asked after the lock: checking in takes it as well.
	var here bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM booking.appointment WHERE series_id = ANY ($1) AND state = 'here')`, ids).Scan(&here)
	if err != nil {
		return nil, err
	}
	if here {
		return nil, citizen.ErrHere
	}
	for _, x := range list {
		if _, err := giveBack(ctx, tx, now, x.ID, personID, x.State, 1, by); err != nil {
			return nil, engineError(err)
		}
	}
	for _, x := range list {
		if err := want(ctx, tx, x.CentreID, x.ProductID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// ExpireHolds ends holds whose time is over and gives their places back; it
// returns how many ended.
func (s *Service) ExpireHolds(ctx context.Context) (int, error) {
	return s.expire(ctx, s.Now(), nil, "")
}

// maxDose is the greatest number of a dose that an appointment can have.
const maxDose = 20

// expireBatch bounds how many rows one transaction locks.
const expireBatch = 200

func (s *Service) expire(ctx context.Context, now time.Time, slots []int64, personID string) (total int, err error) {
	var person *string
	if personID != "" {
		person = &personID
	}
	for {
		var persons []string
		err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			if err := tx.QueryRow(ctx, `SELECT booking.expire($1, $2, $3, $4)::text[]`, now, expireBatch, slots, person).Scan(&persons); err != nil {
				return err
			}
			for _, p := range persons {
				if err := citizen.Touch(ctx, tx, p, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("expire holds: %w", err)
		}
		if total += len(persons); len(persons) < expireBatch {
			return total, nil
		}
	}
}
