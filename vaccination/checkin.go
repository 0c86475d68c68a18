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
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/inventory"
	"impfportal/programme"
)

// Query is what the check-in desk knows of somebody: the scanned or typed
// reference, or name and birth date.
type Query struct {
	Code string
	// Certificate is the id of a certificate as somebody types it; for FindRecords only.
	Certificate string

	Family string
	Given  string
	Birth  PartialDate
}

// Find returns the people of the day's list that a query fits. Nobody outside
// the centre and the day is ever found. ErrInvalid when the query says too
// little, or the code is mistyped.
func (s *Service) Find(ctx context.Context, q pg.Querier, centreID string, now time.Time, in Query) ([]Visitor, error) {
	if in.Code != "" {
		return s.findByCode(ctx, q, centreID, now, in.Code)
	}
	family, given := citizen.MatchName(in.Family), citizen.MatchName(in.Given)
	if family == "" || in.Birth.Year < 1 {
		return nil, ErrInvalid
	}
	d, err := s.Today(ctx, q, centreID, now)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(d.Visitors, func(v Visitor) bool {
		return v.AppointmentID == "" || citizen.MatchName(v.FamilyName) != family || !v.Birth.Compatible(in.Birth) ||
			(given != "" && citizen.MatchName(v.GivenName) != given)
	}), nil
}

// findByCode finds the appointment of a series that is here and today.
func (s *Service) findByCode(ctx context.Context, q pg.Querier, centreID string, now time.Time, code string) ([]Visitor, error) {
	series, err := booking.SeriesByReference(ctx, q, code)
	switch {
	case errors.Is(err, booking.ErrReference):
		return nil, ErrCode
	case errors.Is(err, booking.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find by reference: %w", err)
	}
	for _, a := range series.Appointments {
		if _, listed := stateOf(a.State); !listed || a.CentreID != centreID || !clock.Day(a.Start).Equal(clock.Day(now)) {
			continue
		}
		c, err := s.Card(ctx, q, centreID, a.ID, now)
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		return []Visitor{c.Visitor}, err
	}
	return nil, nil
}

// Here checks somebody in. Doing it again changes nothing.
func (s *Service) Here(ctx context.Context, centreID, appointmentID string, now time.Time, actor, role string) error {
	return s.mark(ctx, centreID, appointmentID, now, "vaccination.here", actor, role, booking.StateHere, s.booking.MarkHere)
}

// Missed notes that somebody did not come. Doing it again changes nothing.
func (s *Service) Missed(ctx context.Context, centreID, appointmentID string, now time.Time, actor, role string) error {
	return s.mark(ctx, centreID, appointmentID, now, "vaccination.missed", actor, role, booking.StateMissed, s.booking.MarkMissed)
}

func (s *Service) mark(ctx context.Context, centreID, appointmentID string, now time.Time, action, actor, role, state string,
	change func(context.Context, pgx.Tx, string, time.Time) error,
) error {
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		a, err := s.appointment(ctx, tx, centreID, appointmentID, now)
		if err != nil || a.State == state {
			return err
		}
		switch err := change(ctx, tx, a.ID, now); {
		case errors.Is(err, booking.ErrState):
			return ErrAppointment
		case err != nil:
			return fmt.Errorf("%s: %w", action, err)
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: role, Action: action, Subject: "appointment:" + a.ID,
			Before: map[string]string{"state": a.State},
		})
	})
}

// appointment reads an appointment of this centre and of today. Any other is
// ErrNotFound: what is not here and now cannot be seen.
func (s *Service) appointment(ctx context.Context, q pg.Querier, centreID, appointmentID string, now time.Time) (booking.Appointment, error) {
	if !id.Valid(appointmentID) {
		return booking.Appointment{}, ErrNotFound
	}
	a, err := booking.AppointmentByID(ctx, q, appointmentID)
	if errors.Is(err, booking.ErrNotFound) || (err == nil && (a.CentreID != centreID || !clock.Day(a.Start).Equal(clock.Day(now)))) {
		return booking.Appointment{}, ErrNotFound
	}
	if err != nil {
		return booking.Appointment{}, fmt.Errorf("appointment: %w", err)
	}
	return a, nil
}

// bookedDose is the dose that an appointment stands for.
func (s *Service) bookedDose(ctx context.Context, q pg.Querier, centreID, appointmentID string, now time.Time) (dose, booking.Appointment, error) {
	a, err := s.appointment(ctx, q, centreID, appointmentID, now)
	if err != nil {
		return dose{}, a, err
	}
	p, err := s.citizen.Person(ctx, q, a.PersonID)
	if errors.Is(err, citizen.ErrNotFound) {
		return dose{}, a, ErrNotFound
	}
	if err != nil {
		return dose{}, a, fmt.Errorf("person of appointment: %w", err)
	}
	d, err := s.registeredDose(ctx, q, p, a.ProductID, a.DoseNumber, now)
	d.seriesID, d.appointmentID = a.SeriesID, a.ID
	d.closed = a.State != booking.StateConfirmed && a.State != booking.StateHere
	return d, a, err
}

// registeredDose is a dose of somebody whose registration is known.
func (s *Service) registeredDose(ctx context.Context, q pg.Querier, p citizen.Person, productID string, number int, now time.Time) (dose, error) {
	product, err := programme.ProductByID(ctx, q, productID)
	if err != nil {
		return dose{}, fmt.Errorf("product of dose: %w", err)
	}
	rule, err := programme.SeriesFor(ctx, q, productID, now)
	if err != nil {
		return dose{}, fmt.Errorf("series of dose: %w", err)
	}
	d := dose{
		patient: Patient{
			FamilyName: p.FamilyName, GivenName: p.GivenName, PassportFamily: p.PassportFamily, PassportGiven: p.PassportGiven,
			Birth: p.Birth, Sex: p.Sex, Postcode: p.Address.Postcode, Contact: contactOf(p),
		},
		programmeID: product.ProgrammeID, productID: product.ID, product: product.Name, number: number,
		total: total(rule.Doses, number, p.Prior != nil && p.Prior.Kind == citizen.PriorRecovery), minDays: rule.MinDays, maxDays: rule.MaxDays,
		loginPersonID: p.ID, day: clock.Day(now),
	}
	if p.Prior != nil && p.Prior.Kind == citizen.PriorDose {
		d.prior = &PriorDose{ProductID: p.Prior.ProductID, Day: p.Prior.Date}
	}
	if p.Prior != nil && p.Prior.Kind == citizen.PriorRecovery {
		d.recovered = &PriorDose{Day: p.Prior.Date, Recovered: true}
	}
	d.check = p.State == citizen.StateCheck
	d.index = s.index(d.patient)
	return d, nil
}

// contactOf takes one contact along for the certificate's sake: e-mail, else
// telephone.
func contactOf(p citizen.Person) Contact {
	c := Contact{Email: p.Email, Lang: p.Lang}
	if c.Email == "" {
		c.Phone = p.Phone
	}
	return c
}

// whyClosed tells an appointment, or a call, whose dose was given from one that was
// cancelled or missed.
func whyClosed(ctx context.Context, q pg.Querier, d dose) error {
	var recordID string
	err := q.QueryRow(ctx, `
		SELECT id::text FROM vaccination.record WHERE appointment_id = $1 AND voided_at IS NULL
		UNION ALL
		SELECT id::text FROM vaccination.record WHERE $1::uuid IS NULL AND login_person_id = $2 AND programme_id = $3 AND dose_number = $4 AND voided_at IS NULL`,
		null(d.appointmentID), d.loginPersonID, d.programmeID, d.number).Scan(&recordID)
	if pg.NoRows(err) {
		return ErrAppointment
	}
	if err != nil {
		return fmt.Errorf("record of appointment: %w", err)
	}
	return &AlreadyGivenError{RecordID: recordID}
}

// Card is all that a station needs to know of a person with an appointment.
type Card struct {
	Visitor
	Patient    Patient
	DosesTotal int
	// CheckIdentity: nobody has clarified yet whether the person is registered
	// twice. The identity card is looked at with care; nothing is refused.
	CheckIdentity bool
	Prior         *PriorDose // the dose before this one, where there is one
	PriorName     string     // of its product
	Corrected     *time.Time // when the record of the dose was last corrected
	Warnings      []Warning
	Lots          []inventory.Lot // the one to use first
	Forms         []time.Time     // versions that may be signed, newest first
}

// Open reports whether a dose may be recorded.
func (c Card) Open() bool { return c.State == Expected || c.State == Here }

// Card returns the card of an appointment of this centre and of today.
func (s *Service) Card(ctx context.Context, q pg.Querier, centreID, appointmentID string, now time.Time) (Card, error) {
	d, a, err := s.bookedDose(ctx, q, centreID, appointmentID, now)
	if err != nil {
		return Card{}, err
	}
	state, listed := stateOf(a.State)
	if !listed {
		return Card{}, ErrNotFound
	}
	return s.card(ctx, q, centreID, d, a.Start, state, now)
}

// card says what a station needs to know about a dose that is to be given.
func (s *Service) card(ctx context.Context, q pg.Querier, centreID string, d dose, at time.Time, state State, now time.Time) (Card, error) {
	c := Card{
		Visitor: Visitor{
			AppointmentID: d.appointmentID, FamilyName: d.patient.FamilyName, GivenName: d.patient.GivenName, Birth: d.patient.Birth,
			Time: at, State: state, ProductID: d.productID, Product: d.product, DoseNumber: d.number,
		},
		Patient: d.patient, DosesTotal: d.total, Prior: d.prior, CheckIdentity: d.check,
	}
	if d.closed {
		var given *AlreadyGivenError
		if err := whyClosed(ctx, q, d); errors.As(err, &given) {
			c.RecordID = given.RecordID
			if err := q.QueryRow(ctx, `SELECT corrected_at FROM vaccination.record WHERE id = $1`, c.RecordID).Scan(&c.Corrected); err != nil {
				return Card{}, fmt.Errorf("record of card: %w", err)
			}
		} else if !errors.Is(err, ErrAppointment) {
			return Card{}, err
		}
		return c, nil
	}
	var given *AlreadyGivenError
	var err error
	c.Warnings, c.Prior, err = warnings(ctx, q, d, nil)
	if errors.As(err, &given) {
		c.Warnings = []Warning{{Code: Namesake}}
	} else if err != nil && !errors.Is(err, ErrWrongProduct) && !errors.Is(err, ErrInvalid) {
		return Card{}, err // the two others are said when the dose is recorded
	}
	if c.Prior != nil {
		if p, err := programme.ProductByID(ctx, q, c.Prior.ProductID); err == nil {
			c.PriorName = p.Name
		}
	}
	if c.Lots, err = s.stock.Lots(ctx, q, inventory.CentrePlace(centreID), d.productID, now); err != nil {
		return Card{}, fmt.Errorf("lots: %w", err)
	}
	c.Forms, err = FormsOn(ctx, q, d.productID, d.day)
	return c, err
}

// Given returns a record of this centre and of today, and when the person
// comes next.
func (s *Service) Given(ctx context.Context, q pg.Querier, centreID, recordID string, now time.Time) (Record, *time.Time, error) {
	if !id.Valid(recordID) {
		return Record{}, nil, ErrNotFound
	}
	r, err := s.Get(ctx, q, recordID)
	if err != nil {
		return Record{}, nil, err
	}
	if r.Removed() || r.Place != centreID || r.Channel == Mobile || !r.Day.Equal(clock.Day(now)) {
		return Record{}, nil, ErrNotFound
	}
	if r.LoginPersonID == "" {
		return r, nil, nil
	}
	series, err := s.booking.SeriesOf(ctx, q, r.LoginPersonID)
	if errors.Is(err, booking.ErrNotFound) || (err == nil && series == nil) {
		return r, nil, nil
	}
	if err != nil {
		return r, nil, fmt.Errorf("next appointment: %w", err)
	}
	if next := series.Next(); next != nil {
		return r, &next.Start, nil
	}
	return r, nil, nil
}

// productOf returns the product of a lot.
func productOf(ctx context.Context, q pg.Querier, lotID string) (string, error) {
	if !id.Valid(lotID) {
		return "", ErrWrongLot
	}
	l, err := inventory.LotByID(ctx, q, lotID)
	if errors.Is(err, inventory.ErrNotFound) {
		return "", ErrWrongLot
	}
	return l.ProductID, err
}
