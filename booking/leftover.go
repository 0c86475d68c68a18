package booking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/booking/listdraw"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// What came of a call about a leftover dose.
const (
	CallOpen       = "called"      // is being called, or on the way
	CallCame       = "came"        // is there: no place is wanted any more
	CallNotReached = "not_reached" // stays on the list
	CallDeclined   = "declined"    // stays on the list, and it counts as no declined offer
)

var callOutcomes = []string{CallCame, CallNotReached, CallDeclined}

// LeftoverCall is somebody whom a centre calls about a dose that is left over
// (Restdose).
type LeftoverCall struct {
	ID       string     `json:"id"`
	Number   int        `json:"number" doc:"1 = the first of the day"`
	PersonID string     `json:"-"`
	State    string     `json:"state" enum:"called,came,not_reached,declined"`
	CalledAt time.Time  `json:"called_at"`
	EndedAt  *time.Time `json:"ended_at,omitempty"`
	Given    bool       `json:"given,omitempty" doc:"who has come has had the dose"`
}

// Errors of CallNext.
var (
	// ErrEnoughCalled: as many people are called or have come as doses are left over.
	ErrEnoughCalled = errors.New("booking: enough people are called for the leftover doses")
	// ErrNobodyToCall: nobody who waits could come now.
	ErrNobodyToCall = errors.New("booking: nobody on the waiting list could come now")
)

// LeftoverCalls returns whom a centre has called on a day about a product, in
// order.
func LeftoverCalls(ctx context.Context, q pg.Querier, centreID, productID string, day time.Time) ([]LeftoverCall, error) {
	rows, err := q.Query(ctx, `
		SELECT c.id::text, c.number, c.person_id::text, c.state, c.called_at, c.ended_at, c.series_id IS NOT NULL OR EXISTS (
			SELECT FROM booking.appointment a WHERE a.person_id = c.person_id AND a.product_id = c.product_id AND a.day = c.day AND NOT a.active AND a.state = 'done')
		FROM booking.leftover_call c WHERE c.centre_id = $1 AND c.product_id = $2 AND c.day = $3 ORDER BY c.number`, centreID, productID, clock.Day(day))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[LeftoverCall])
}

// CallNext says whom a centre calls next about leftover doses of a product: of
// those on the waiting list who would come on the same day at this time of day, the
// first by rank of the group and the day's draw. left is how many doses are left
// over, without those for people who have come, and came how many had come when that
// was counted; nobody is called for whom there is none. Each person is called once a
// day.
// Errors: ErrEnoughCalled, ErrNobodyToCall (also at night).
func (s *Service) CallNext(ctx context.Context, centreID, productID string, left, came int, by By) (call LeftoverCall, err error) {
	now := s.Now()
	if !asking(now) {
		return call, ErrNobodyToCall
	}
	product, err := programme.ProductByID(ctx, s.Pool, productID)
	if err != nil {
		return call, err
	}
	ranks, err := s.openRanks(ctx, product.ProgrammeID, now)
	if err != nil {
		return call, err
	}
	key, err := s.drawKey(ctx, now)
	if err != nil {
		return call, err
	}
	today := clock.Day(now)
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// One call at a time, or two would be for the same dose, or for the same person.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('booking.leftover:' || $1, 0))`, product.ProgrammeID); err != nil {
			return err
		}
		calls, err := LeftoverCalls(ctx, tx, centreID, productID, today)
		if err != nil {
			return err
		}
		taken, number := -came, 1 // who came since then has one of the doses, too
		for _, c := range calls {
			if c.State == CallOpen || c.State == CallCame {
				taken++
			}
			number = max(number, c.Number+1) // some may be forgotten
		}
		if taken >= left {
			return ErrEnoughCalled
		}
		list, err := waitingWhere(ctx, tx, `state = 'waiting' AND programme_id = $1 AND $2 = ANY (centres) AND notice_days = 0
			AND NOT EXISTS (SELECT FROM booking.series s WHERE s.person_id = waiting.person_id AND s.programme_id = waiting.programme_id AND s.state IN ('held', 'confirmed'))
			AND NOT EXISTS (SELECT FROM booking.leftover_call c WHERE c.person_id = waiting.person_id AND c.day = $3)
			AND `+oneLot, product.ProgrammeID, centreID, today)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(w Waiting) bool { return !w.Match(centreID, now, now) })
		order, people := candidates(list, ranks, key)
		before := []listdraw.Passed{}
		for _, w := range order {
			why, err := s.callable(ctx, tx, w, productID, today)
			if err != nil {
				return err
			}
			if why != "" {
				before = append(before, listdraw.Passed{ID: w.PersonID, Why: why})
				continue
			}
			call = LeftoverCall{ID: id.New(), Number: number, PersonID: w.PersonID, State: CallOpen, CalledAt: now}
			return s.noteCall(ctx, tx, call, w, centreID, productID, turn{people: people, before: before}, by)
		}
		return ErrNobodyToCall
	})
	return call, err
}

// callable says why somebody cannot be called about a dose of a product; "" = can.
func (s *Service) callable(ctx context.Context, q pg.Querier, w Waiting, productID string, today time.Time) (why string, err error) {
	person, err := s.Citizens.Person(ctx, q, w.PersonID)
	if errors.Is(err, citizen.ErrNotFound) {
		return "registration ended", nil
	}
	if err != nil {
		return "", err
	}
	if person.GroupCode != w.GroupCode {
		return "group changed", nil
	}
	if person.Phone == "" {
		return "no telephone", nil
	}
	ents, err := s.entitlements(ctx, q, person)
	if errors.Is(err, ErrNotEligible) {
		return "not eligible", nil
	}
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(ents, func(e Entitlement) bool { return e.ProductID == productID && !today.Before(e.NotBefore) }) {
		return "not eligible", nil
	}
	return "", nil
}

func (s *Service) noteCall(ctx context.Context, tx pgx.Tx, call LeftoverCall, w Waiting, centreID, productID string, at turn, by By) error {
	today := clock.Day(call.CalledAt)
	if _, err := tx.Exec(ctx, `
		INSERT INTO booking.leftover_call (id, centre_id, product_id, day, number, waiting_id, person_id, state, called_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, call.ID, centreID, productID, today, call.Number, w.ID, w.PersonID, call.State, call.CalledAt); err != nil {
		return err
	}
	if err := at.store(ctx, tx, call.ID, id.New(), 1, call.CalledAt, w.PersonID); err != nil {
		return err
	}
	return audit.Write(ctx, tx, call.CalledAt, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "booking.leftover-call", Subject: citizen.Subject(w.PersonID),
		After: map[string]any{"centre": centreID, "product": productID, "number": call.Number, "draw": today.Format(time.DateOnly), "of": len(at.people)},
	})
}

// CallEnded notes what came of a call; who has come is off the waiting list. The same
// outcome again is no error. ErrNotFound for another centre's call, ErrState for
// another outcome, ErrInvalid.
func (s *Service) CallEnded(ctx context.Context, callID, centreID, outcome string, by By) error {
	if !id.Valid(callID) {
		return ErrNotFound
	}
	if !slices.Contains(callOutcomes, outcome) {
		return fmt.Errorf("%w: outcome", ErrInvalid)
	}
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var state, personID, waitingID string
		err := tx.QueryRow(ctx, `SELECT state, person_id::text, waiting_id::text FROM booking.leftover_call WHERE id = $1 AND centre_id = $2 FOR UPDATE`, callID, centreID).
			Scan(&state, &personID, &waitingID)
		if pg.NoRows(err) {
			return ErrNotFound
		}
		if err != nil || state == outcome {
			return err
		}
		if state != CallOpen {
			return ErrState
		}
		if _, err := tx.Exec(ctx, `UPDATE booking.leftover_call SET state = $2, ended_at = $3 WHERE id = $1`, callID, outcome, now); err != nil {
			return err
		}
		if outcome == CallCame {
			if err := endWaiting(ctx, tx, now, waitingID, WaitingDone, by); err != nil {
				return err
			}
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: "booking.leftover-call-ended", Subject: citizen.Subject(personID), After: map[string]string{"outcome": outcome},
		})
	})
}
