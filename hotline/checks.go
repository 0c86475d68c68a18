package hotline

import (
	"cmp"
	"context"
	"slices"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/citizen"
)

// Check is a registration to clarify, with the open appointments of both.
type Check struct {
	citizen.Check
	NewVisits   []Visit // under reserve until somebody has found
	KnownVisits []Visit
}

// Visit is an appointment with its place.
type Visit struct {
	booking.Appointment
	Centre string // name
}

// Queue lists at most limit registrations to clarify: by the first open
// appointment, then those without any, oldest first. The number of queries does
// not depend on how many there are.
func (s *Service) Queue(ctx context.Context, limit int) ([]Check, error) {
	pending, err := s.Citizens.Pending(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(pending))
	for i, x := range pending {
		ids[i] = x.ID
	}
	open, err := booking.Open(ctx, s.Pool, s.Now(), ids)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(pending, func(x, y citizen.Pending) int {
		a, b := open[x.ID], open[y.ID]
		if len(a) == 0 || len(b) == 0 {
			return cmp.Compare(min(1, len(b)), min(1, len(a)))
		}
		return a[0].Start.Compare(b[0].Start)
	})
	list, err := s.Citizens.Checks(ctx, s.Pool, pending[:min(limit, len(pending))])
	if err != nil {
		return nil, err
	}
	return s.withVisits(ctx, list)
}

// checkOf returns the check of one registration, or nil.
func (s *Service) checkOf(ctx context.Context, personID string) (*Check, error) {
	c, err := s.Citizens.CheckOf(ctx, s.Pool, personID)
	if err != nil || c == nil {
		return nil, err
	}
	list, err := s.withVisits(ctx, []citizen.Check{*c})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// withVisits adds the open appointments of both sides.
func (s *Service) withVisits(ctx context.Context, list []citizen.Check) ([]Check, error) {
	var ids []string
	for _, c := range list {
		if ids = append(ids, c.New.ID); c.Known != nil {
			ids = append(ids, c.Known.ID)
		}
	}
	open, err := booking.Open(ctx, s.Pool, s.Now(), ids)
	if err != nil {
		return nil, err
	}
	centres, err := centre.List(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	visits := func(personID string) (out []Visit) {
		for _, a := range open[personID] {
			v := Visit{Appointment: a}
			if i := slices.IndexFunc(centres, func(c centre.Centre) bool { return c.ID == a.CentreID }); i >= 0 {
				v.Centre = centres[i].Name
			}
			out = append(out, v)
		}
		return out
	}
	out := make([]Check, len(list))
	for i, c := range list {
		out[i] = Check{Check: c, NewVisits: visits(c.New.ID)}
		if c.Known != nil {
			out[i].KnownVisits = visits(c.Known.ID)
		}
	}
	return out, nil
}

// bookable returns a person for whom an agent may book. Until a registration in
// check is clarified that is nobody: ErrChecking.
func (s *Service) bookable(ctx context.Context, personID string) (citizen.Person, error) {
	p, err := s.Citizens.Person(ctx, s.Pool, personID)
	if err == nil && p.State == citizen.StateCheck {
		return citizen.Person{}, ErrChecking
	}
	return p, err
}
