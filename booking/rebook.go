package booking

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// Move puts the appointment for a dose on another time.
type Move struct {
	Dose   int
	SlotID int64
}

// RebookRequest moves appointments of a confirmed series (Umbuchung), or books
// one anew that was given back.
type RebookRequest struct {
	PersonID, SeriesID string
	Channel            Channel
	Moves              []Move
	Key                string // idempotency key: the same key moves once
	Actor, Role        string // for the audit; empty = the person
}

// Rebook swaps: the new places are taken and the old ones given back in one
// transaction, or everything stays as it is. What is not moved stays bound to
// centre, product and distance; a dose that was given binds the product. The
// person is told. Errors: *TakenError with the nearest times, *IneligibleError,
// ErrState when an appointment is over, ErrTooOften, ErrNotFound, ErrInvalid.
func (s *Service) Rebook(ctx context.Context, in RebookRequest) (Series, error) {
	if !id.Valid(in.PersonID) || !id.Valid(in.SeriesID) || in.Key == "" || len(in.Key) > 100 || len(in.Moves) == 0 || len(in.Moves) > 9 {
		return Series{}, ErrInvalid
	}
	in.Moves = slices.Clone(in.Moves)
	sort.Slice(in.Moves, func(a, b int) bool { return in.Moves[a].Dose < in.Moves[b].Dose })
	doses, slots, ids := make([]int, len(in.Moves)), make([]int64, len(in.Moves)), make([]string, len(in.Moves))
	for i, m := range in.Moves {
		doses[i], slots[i], ids[i] = m.Dose, m.SlotID, id.New()
		if m.Dose < 1 || m.Dose > maxDose || i > 0 && m.Dose == doses[i-1] {
			return Series{}, ErrInvalid
		}
	}
	if in.Actor == "" {
		in.Actor, in.Role = "citizen:"+in.PersonID, "citizen"
	}
	series, err := s.SeriesByID(ctx, s.Pool, in.SeriesID, in.PersonID)
	if err != nil {
		return Series{}, err
	}
	if !slices.ContainsFunc(in.Moves, func(m Move) bool { a := appointmentFor(*series, m.Dose); return a == nil || a.SlotID != m.SlotID }) {
		return *series, nil // it is so already: nobody is told anew
	}
	productID := series.ProductID
	err = s.Pool.QueryRow(ctx, `SELECT product_id FROM booking.slot WHERE id = $1`, slots[0]).Scan(&productID)
	if err != nil && !pg.NoRows(err) {
		return Series{}, err
	}
	if productID != series.ProductID && slices.ContainsFunc(series.Appointments, func(a Appointment) bool { return !slices.Contains(doses, a.DoseNumber) }) {
		return Series{}, &IneligibleError{ReasonSeries} // another product is for the whole series, also for what was given back
	}
	b, err := s.boundTo(ctx, s.Pool, *series, productID)
	if err != nil {
		return Series{}, err
	}
	swap := func(reclaim bool) (*Series, error) {
		out, done := &Series{}, false
		batch := &pgx.Batch{}
		citizen.LockForBooking(batch, in.PersonID)
		if reclaim {
			batch.Queue(`SELECT booking.reclaim($1, $2)`, in.PersonID, slots)
		}
		batch.Queue(`SELECT CASE WHEN $16 THEN booking.sure(w) ELSE w END FROM booking.swap($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) w`,
			s.Now(), in.PersonID, in.SeriesID, in.Channel, moveKey(in), in.Actor, in.Role, changed.Name(),
			doses, slots, ids, b.ProductID, b.MinDays, b.MaxDays, nullDay(b.NotBefore), reclaim).
			QueryRow(func(row pgx.Row) error { return row.Scan(&done) })
		if in.Channel == Web {
			batch.Queue(`SELECT booking.not_changed_too_often($1, $2)`, s.Now(), in.PersonID)
		}
		queueSeries(batch, out, in.SeriesID)
		return out, engineError(citizen.LockError(s.Pool.SendBatch(ctx, batch).Close()))
	}
	moved, err := swap(false)
	if pg.IsLockTimeout(err) { // two people who change into each other's places
		moved, err = swap(false)
	}
	if errors.Is(err, ErrSlotTaken) {
		if err := s.freeDue(ctx, slots); err != nil {
			return Series{}, err
		}
		moved, err = swap(true) // what they gave back themselves may still be on its way
	}
	if errors.Is(err, ErrSlotTaken) {
		near, nearErr := s.nearestMoves(ctx, *series, in)
		if nearErr != nil {
			return Series{}, nearErr
		}
		return Series{}, &TakenError{Alternatives: near}
	}
	if err != nil {
		return Series{}, err
	}
	return *moved, nil
}

// moveKey is the key of one change: the same key with other times is another one.
// By its first word booking.tries counts what a person changes over the web; what
// staff change for them is not in that limit.
func moveKey(in RebookRequest) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %v", in.Key, in.SeriesID, in.Moves))
	if in.Channel != Web {
		return "changed for " + hex.EncodeToString(sum[:])
	}
	return "change " + hex.EncodeToString(sum[:])
}

func nullDay(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// boundTo says what of a product the person of a series may have when it is
// changed. Who has an appointment keeps the right to it when the groups change.
func (s *Service) boundTo(ctx context.Context, q pg.Querier, series Series, productID string) (Entitlement, error) {
	if productID == series.ProductID {
		rule, err := programme.SeriesFor(ctx, q, productID, s.Now())
		if err != nil {
			return Entitlement{}, err
		}
		e := Entitlement{ProductID: productID, Legs: len(series.Visits()), FirstDose: series.Visits()[0].DoseNumber, MinDays: rule.MinDays, MaxDays: rule.MaxDays}
		return e, s.afterPrior(ctx, q, series.PersonID, &e)
	}
	person, err := s.Citizens.Person(ctx, q, series.PersonID)
	if err != nil {
		return Entitlement{}, err
	}
	ents, err := s.entitlements(ctx, q, person)
	if err != nil {
		return Entitlement{}, err
	}
	for _, e := range ents {
		if e.ProductID == productID && e.Legs == len(series.Visits()) {
			e.Group = "" // contingents are for new series
			return e, nil
		}
	}
	return Entitlement{}, &IneligibleError{ReasonSeries}
}

// afterPrior sets the first day that a dose had elsewhere leaves.
func (s *Service) afterPrior(ctx context.Context, q pg.Querier, personID string, e *Entitlement) error {
	if e.FirstDose == 1 {
		return nil
	}
	person, err := s.Citizens.Person(ctx, q, personID)
	if errors.Is(err, citizen.ErrNotFound) {
		return nil // not registered here any more: the distance within the series stays
	}
	if err != nil {
		return err
	}
	if p := person.Prior; p != nil && p.Kind == citizen.PriorDose && !p.Date.IsZero() {
		e.NotBefore = clock.Day(p.Date).AddDate(0, 0, e.MinDays)
	}
	return nil
}

// preview returns the series as it would be after the moves, if they can be had.
func (s *Service) preview(ctx context.Context, series Series, moves []Move) (Series, error) {
	after := series
	after.Appointments = slices.Clone(series.Visits())
	for _, m := range moves {
		a := Appointment{SeriesID: series.ID, PersonID: series.PersonID, DoseNumber: m.Dose, State: StateConfirmed, SlotID: m.SlotID, Reference: series.Reference}
		err := s.Pool.QueryRow(ctx, `SELECT centre_id, product_id, start_at FROM booking.slot WHERE id = $1`, m.SlotID).Scan(&a.CentreID, &a.ProductID, &a.Start)
		if pg.NoRows(err) {
			return Series{}, ErrInvalid
		}
		if err != nil {
			return Series{}, err
		}
		after.CentreID, after.ProductID = a.CentreID, a.ProductID
		after.Appointments = append(slices.DeleteFunc(after.Appointments, func(b Appointment) bool { return b.DoseNumber == m.Dose }), a)
	}
	slices.SortFunc(after.Appointments, func(a, b Appointment) int { return a.Start.Compare(b.Start) })
	return after, nil
}

// Movable returns the doses of a confirmed series that can be moved or booked
// again: the open ones that are still to come, and those that were given back.
func (s *Service) Movable(series Series) []int {
	var doses []int
	if series.State != StateConfirmed {
		return nil
	}
	over, now := map[int]bool{}, s.Now()
	for _, a := range series.Appointments {
		switch a.State {
		case StateConfirmed:
			over[a.DoseNumber] = !a.Start.After(now)
		case StateHere, StateDone, StateMissed:
			over[a.DoseNumber] = true
		}
	}
	for _, a := range series.Appointments {
		if !over[a.DoseNumber] && a.State != StateExpired && !slices.Contains(doses, a.DoseNumber) {
			doses = append(doses, a.DoseNumber)
		}
	}
	slices.Sort(doses)
	return doses
}

// window returns the days on which the appointment for a dose may lie while the
// others stay where they are, both included.
func window(series Series, dose int, e Entitlement, today time.Time) (from, to time.Time) {
	from, to = latest(today, e.NotBefore), today.AddDate(1, 0, 0)
	for _, a := range series.Visits() {
		day := clock.Day(a.Start)
		switch {
		case a.DoseNumber == dose || a.State == StateMissed:
		case a.DoseNumber == dose-1:
			from = latest(from, day.AddDate(0, 0, e.MinDays))
			to = earliest(to, day.AddDate(0, 0, e.MaxDays))
		case a.DoseNumber == dose+1:
			from = latest(from, day.AddDate(0, 0, -e.MaxDays))
			to = earliest(to, day.AddDate(0, 0, -e.MinDays))
		}
	}
	return from, to
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// bound says whether something of the series stays where it is when dose is
// moved: then the centre stays, too.
func bound(series Series, dose int) bool {
	return slices.ContainsFunc(series.Visits(), func(a Appointment) bool { return a.DoseNumber != dose && a.Open() })
}

// MoveOffers returns the times to which the appointment for one dose can move at
// a centre, by time; nothing where the rest of the series forbids the centre. None
// lies before the day from, nor within the lead of the channel (zero = that alone).
// The places of all kinds of a slot count: the next plan makes good what a
// series of somebody else would miss.
func (s *Service) MoveOffers(ctx context.Context, q pg.Querier, series Series, dose int, centreID string, ch Channel, from time.Time) ([]OfferTime, error) {
	if !slices.Contains(s.Movable(series), dose) || bound(series, dose) && centreID != series.CentreID {
		return nil, nil
	}
	e, err := s.boundTo(ctx, q, series, series.ProductID)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	from, to := window(series, dose, e, latest(clock.Day(now), from))
	rows, err := q.Query(ctx, `
		SELECT s.id, s.start_at, sum(p.places - p.taken)::int
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
		WHERE s.centre_id = $1 AND s.product_id = $2 AND s.day BETWEEN $3 AND $4 AND p.channel = $5 AND p.taken < p.places
		  AND s.start_at > greatest($6, (SELECT (date_trunc('day', $6 AT TIME ZONE 'Europe/Berlin') + make_interval(days => lead_days)) AT TIME ZONE 'Europe/Berlin'
		                                 FROM booking.channel WHERE id = $5 AND bookable AND lead_days > 0))
		  AND NOT EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = $7 AND a.slot_id = s.id AND a.dose_number = $8 AND a.state = 'confirmed')
		GROUP BY s.id ORDER BY s.start_at`, centreID, series.ProductID, from, to, ch, now, series.ID, dose)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t OfferTime, err error) {
		err = row.Scan(&t.SlotID, &t.Start, &t.Free)
		t.Start = t.Start.UTC()
		return t, err
	})
}

// nearestMoves returns up to three times that are free, nearest to what was wanted.
func (s *Service) nearestMoves(ctx context.Context, series Series, in RebookRequest) ([]Choice, error) {
	slots := make([]int64, len(in.Moves))
	for i, m := range in.Moves {
		slots[i] = m.SlotID
	}
	var (
		centreID string
		start    time.Time
	)
	err := s.Pool.QueryRow(ctx, `SELECT centre_id, start_at FROM booking.slot WHERE id = $1`, slots[0]).Scan(&centreID, &start)
	if pg.NoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(in.Moves) > 1 {
		person, err := s.Citizens.Person(ctx, s.Pool, in.PersonID)
		if err != nil {
			return nil, err
		}
		ents, err := s.wholeSeries(ctx, s.Pool, series, person)
		if err != nil {
			return nil, err
		}
		return s.nearest(ctx, HoldRequest{PersonID: in.PersonID, Channel: in.Channel, SlotIDs: slots}, ents, 1)
	}
	times, err := s.MoveOffers(ctx, s.Pool, series, in.Moves[0].Dose, centreID, in.Channel, time.Time{})
	if err != nil {
		return nil, err
	}
	sort.SliceStable(times, func(a, b int) bool { return times[a].Start.Sub(start).Abs() < times[b].Start.Sub(start).Abs() })
	var out []Choice
	for _, t := range times[:min(3, len(times))] {
		out = append(out, Choice{CentreID: centreID, ProductID: series.ProductID, FirstDose: in.Moves[0].Dose, Times: []OfferTime{t}})
	}
	return out, nil
}

// wholeSeries returns what may take the place of a series none of whose
// appointments took place: its own product whatever the groups say today, and
// those that the person may have besides.
func (s *Service) wholeSeries(ctx context.Context, q pg.Querier, series Series, person citizen.Person) ([]Entitlement, error) {
	own, err := s.boundTo(ctx, q, series, series.ProductID)
	if err != nil {
		return nil, err
	}
	list := []Entitlement{own}
	ents, err := s.entitlements(ctx, q, person)
	if err != nil && !errors.Is(err, ErrNotEligible) {
		return nil, err
	}
	for _, e := range ents {
		if e.ProductID != own.ProductID && e.Legs == own.Legs && e.FirstDose == own.FirstDose {
			list = append(list, e)
		}
	}
	return list, nil
}
