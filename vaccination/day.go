package vaccination

import (
	"context"
	"fmt"
	"slices"
	"time"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/inventory"
	"impfportal/programme"
)

// State of a person in the day's list; the diagram stands in doc.go.
type State string

const (
	Expected   State = "expected"
	Here       State = "here"
	Vaccinated State = "vaccinated"
	Missed     State = "missed"
)

// Visitor is one line of the day's list.
type Visitor struct {
	AppointmentID string
	RecordID      string
	FamilyName    string // "" when the registration is gone
	GivenName     string
	Birth         PartialDate
	Time          time.Time // of the appointment; of the dose for a walk-in
	State         State
	WalkIn        bool
	called        bool // has come after a call about a leftover dose
	ProductID     string
	Product       string
	DoseNumber    int
}

// Day is a centre's day.
type Day struct {
	Centre   centre.Centre
	Date     time.Time
	Visitors []Visitor // by time
	Stock    []Leftover
}

// Count returns how many people are in a state.
func (d Day) Count(s State) int {
	n := 0
	for _, v := range d.Visitors {
		if v.State == s {
			n++
		}
	}
	return n
}

// WalkIns returns how many came without an appointment.
func (d Day) WalkIns() int {
	n := 0
	for _, v := range d.Visitors {
		if v.WalkIn {
			n++
		}
	}
	return n
}

// Today returns the list of a centre for the day of now, with the doses at hand.
func (s *Service) Today(ctx context.Context, q pg.Querier, centreID string, now time.Time) (Day, error) {
	d := Day{Date: clock.Day(now)}
	var err error
	if d.Centre, err = centre.Get(ctx, q, centreID); err != nil {
		return d, err
	}
	products, err := programme.Products(ctx, q, "")
	if err != nil {
		return d, err
	}
	names := map[string]string{}
	for _, p := range products {
		names[p.ID] = p.Name
	}
	records, err := s.At(ctx, q, centreID, d.Date)
	if err != nil {
		return d, err
	}
	recorded := map[string]Record{}
	for _, r := range records {
		if r.AppointmentID != "" {
			recorded[r.AppointmentID] = r
			continue
		}
		d.Visitors = append(d.Visitors, Visitor{
			RecordID: r.ID, FamilyName: r.Patient.FamilyName, GivenName: r.Patient.GivenName, Birth: r.Patient.Birth,
			Time: r.GivenAt, State: Vaccinated, WalkIn: true, called: r.LoginPersonID != "", ProductID: r.ProductID, Product: names[r.ProductID], DoseNumber: r.DoseNumber,
		})
	}
	appointments, err := s.booking.Day(ctx, q, centreID, d.Date)
	if err != nil {
		return d, fmt.Errorf("appointments of the day: %w", err)
	}
	ids := make([]string, len(appointments))
	for i, a := range appointments {
		ids[i] = a.PersonID
	}
	people, err := s.citizen.People(ctx, q, ids) // who is not in it was deleted; the time stays in the list
	if err != nil {
		return d, err
	}
	expected := map[string]int{}
	for _, a := range appointments {
		state, listed := stateOf(a.State)
		if !listed {
			continue
		}
		v := Visitor{AppointmentID: a.ID, Time: a.Start, State: state, ProductID: a.ProductID, Product: names[a.ProductID], DoseNumber: a.DoseNumber}
		if r, ok := recorded[a.ID]; ok {
			v.RecordID, v.FamilyName, v.GivenName, v.Birth, v.State = r.ID, r.Patient.FamilyName, r.Patient.GivenName, r.Patient.Birth, Vaccinated
		} else if p, ok := people[a.PersonID]; ok {
			v.FamilyName, v.GivenName, v.Birth = p.FamilyName, p.GivenName, p.Birth
		}
		if v.State == Expected || v.State == Here {
			expected[a.ProductID]++
		}
		d.Visitors = append(d.Visitors, v)
	}
	slices.SortStableFunc(d.Visitors, func(a, b Visitor) int { return a.Time.Compare(b.Time) })
	d.Stock, err = s.leftovers(ctx, q, centreID, d.Date, products, expected)
	return d, err
}

// leftovers counts the doses of every product that is at hand or expected.
func (s *Service) leftovers(ctx context.Context, q pg.Querier, centreID string, day time.Time, products []programme.Product, expected map[string]int) ([]Leftover, error) {
	var out []Leftover
	for _, p := range products {
		st, err := s.stock.Doses(ctx, q, inventory.CentrePlace(centreID), p.ID, day)
		if err != nil {
			return nil, fmt.Errorf("doses of %s: %w", p.ID, err)
		}
		if st.Doses == 0 && expected[p.ID] == 0 {
			continue
		}
		l := Leftover{ProductID: p.ID, Product: p.Name, Doses: st.Doses, Open: st.OpenDoses, Expected: expected[p.ID]}
		l.Left, l.Short = leftover(st.OpenDoses, st.Vials, st.DosesPerVial, expected[p.ID])
		out = append(out, l)
	}
	return out, nil
}

// stateOf translates booking's state; listed is false for what is not in the
// day's list (held, cancelled, expired).
func stateOf(state string) (s State, listed bool) {
	switch state {
	case booking.StateConfirmed:
		return Expected, true
	case booking.StateHere:
		return Here, true
	case booking.StateDone:
		return Vaccinated, true
	case booking.StateMissed:
		return Missed, true
	}
	return "", false
}
