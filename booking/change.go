package booking

import (
	"context"
	"slices"
	"strconv"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// ChangeAll stands for all appointments of a series in addresses and forms, where
// otherwise the number of a dose stands.
const ChangeAll = "all"

// Changes returns what of a series can be changed, as pages and forms name it: the
// doses of Movable, and ChangeAll where all appointments can move together.
func (s *Service) Changes(series Series) []string { return changes(series, s.Movable(series)) }

func changes(series Series, doses []int) []string {
	var out []string
	for _, d := range doses {
		out = append(out, strconv.Itoa(d))
	}
	if together(series, doses) {
		out = append(out, ChangeAll)
	}
	return out
}

// together says whether all appointments of a series can move at once: when none
// of them is over and none was given back.
func together(series Series, doses []int) bool {
	return len(doses) > 1 && len(series.Visits()) == len(doses) && !slices.ContainsFunc(series.Visits(), func(a Appointment) bool { return a.State != StateConfirmed })
}

// Missing returns the doses of Movable that have no appointment: it was given back
// and can be booked again.
func (s *Service) Missing(series Series) []int {
	return slices.DeleteFunc(s.Movable(series), func(dose int) bool { return appointmentFor(series, dose) != nil })
}

// appointmentFor returns the confirmed appointment for a dose, or nil.
func appointmentFor(series Series, dose int) *Appointment {
	for i, a := range series.Appointments {
		if a.DoseNumber == dose && a.State == StateConfirmed {
			return &series.Appointments[i]
		}
	}
	return nil
}

// FreeToMove reports whether what is changed may go to another centre: nothing
// of the series stays where it is.
func FreeToMove(series Series, what string) bool {
	dose, _ := strconv.Atoi(what)
	return what == ChangeAll || !bound(series, dose)
}

// MovesOf returns the moves that put what is changed on slots, by dose. ErrInvalid
// when that is nothing that can be changed, or the slots do not fit it.
func (s *Service) MovesOf(series Series, what string, slots []int64) ([]Move, error) {
	return movesOf(series, s.Movable(series), what, slots)
}

func movesOf(series Series, doses []int, what string, slots []int64) ([]Move, error) {
	dose, _ := strconv.Atoi(what)
	switch {
	case what == ChangeAll && together(series, doses) && len(slots) == len(doses):
		moves := make([]Move, len(doses))
		for i, d := range doses {
			moves[i] = Move{d, slots[i]}
		}
		return moves, nil
	case slices.Contains(doses, dose) && len(slots) == 1:
		return []Move{{dose, slots[0]}}, nil
	}
	return nil, ErrInvalid
}

// ChangeOffers returns the days and times to which an appointment, or all of
// them together, can move at a centre over a channel; nothing where what stays
// forbids the centre. *IneligibleError when nobody books over the channel.
func (s *Service) ChangeOffers(ctx context.Context, q pg.Querier, series Series, what, centreID string, ch Channel) ([]OfferDay, error) {
	if what == ChangeAll {
		return s.changeAllOffers(ctx, q, series, centreID, ch)
	}
	dose, _ := strconv.Atoi(what)
	times, err := s.MoveOffers(ctx, q, series, dose, centreID, ch, time.Time{})
	if err != nil {
		return nil, err
	}
	var out []OfferDay
	for _, t := range times { // by time
		if n := len(out); n == 0 || !out[n-1].Day.Equal(clock.Day(t.Start)) {
			out = append(out, OfferDay{Day: clock.Day(t.Start), CentreID: centreID, ProductID: series.ProductID, FirstDose: dose})
		}
		d := &out[len(out)-1]
		d.First = append(d.First, t)
	}
	return out, nil
}

func (s *Service) changeAllOffers(ctx context.Context, q pg.Querier, series Series, centreID string, ch Channel) ([]OfferDay, error) {
	person, err := s.Citizens.Person(ctx, q, series.PersonID)
	if err != nil {
		return nil, err
	}
	ents, err := s.wholeSeries(ctx, q, series, person)
	if err != nil {
		return nil, err
	}
	set, err := readSettings(ctx, q)
	if err != nil {
		return nil, err
	}
	today := clock.Day(s.Now())
	return s.offers(ctx, q, centreID, ch, today, today.AddDate(0, 0, set.HorizonDays), ents)
}
