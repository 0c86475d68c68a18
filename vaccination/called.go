package vaccination

import (
	"context"
	"errors"
	"fmt"
	"time"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// Who has come after a call about a leftover dose is registered: person, vaccine and
// number of the dose come from the registration, and the dose is theirs like one by
// appointment (booking.LeftoverGiven). Among the visitors of the day they are people
// without an appointment.

// calledDose is the dose of somebody who has come after a call of this centre and of
// today.
func (s *Service) calledDose(ctx context.Context, q pg.Querier, centreID, callID string, now time.Time) (dose, error) {
	v, err := s.booking.LeftoverVisit(ctx, q, callID, centreID, now)
	var not *booking.IneligibleError
	switch {
	case errors.Is(err, booking.ErrNotFound):
		return dose{}, ErrNotFound
	case errors.Is(err, booking.ErrState):
		return dose{}, ErrAppointment
	case errors.Is(err, citizen.ErrNotFound):
		return dose{}, ErrNotFound
	case errors.As(err, &not):
		return dose{}, ErrWrongProduct
	case err != nil:
		return dose{}, fmt.Errorf("call: %w", err)
	}
	p, err := s.citizen.Person(ctx, q, v.PersonID)
	if errors.Is(err, citizen.ErrNotFound) {
		return dose{}, ErrNotFound
	}
	if err != nil {
		return dose{}, fmt.Errorf("person of call: %w", err)
	}
	d, err := s.registeredDose(ctx, q, p, v.ProductID, v.DoseNumber, now)
	d.visit, d.closed = &v, v.SeriesID != ""
	return d, err
}

// CalledCard returns the card of somebody who has come after a call of this centre and
// of today. ErrNotFound, ErrAppointment when nobody has come, ErrWrongProduct when the
// dose is not for them any more.
func (s *Service) CalledCard(ctx context.Context, q pg.Querier, centreID, callID string, now time.Time) (Card, error) {
	d, err := s.calledDose(ctx, q, centreID, callID, now)
	if err != nil {
		return Card{}, err
	}
	state := Here
	if d.closed {
		state = Vaccinated
	}
	c, err := s.card(ctx, q, centreID, d, d.visit.CameAt, state, now)
	c.WalkIn, c.called = true, true
	return c, err
}

func calledPath(productID, callID string) string {
	return "/site/leftover/" + productID + "/calls/" + callID
}

// calledPage is the card with what its form needs.
type calledPage struct {
	personPage
	Call string // address of the page
}

func (s *Service) showCalled(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error { return s.renderCalled(c, ce, &web.Form{}, nil) })
}

func (s *Service) renderCalled(c *web.Ctx, ce centre.Centre, f *web.Form, extra []Warning) error {
	card, err := s.CalledCard(c.Std(), s.pool, ce.ID, c.Params("call"), c.Now)
	if err != nil {
		return Problem(err)
	}
	if card.ProductID != c.Params("product") {
		return web.NotFound()
	}
	if len(extra) > 0 {
		card.Warnings = extra
	}
	c.Set("Cache-Control", "no-store")
	return c.PageForm("vaccination/called", f, calledPage{
		personPage{Card: card, Key: keyOf(f), Lots: LotOptions(c, card.Product, card.Lots), Forms: FormsOptions(c, card.Forms)},
		calledPath(card.ProductID, c.Params("call")),
	})
}

func (s *Service) postCalledDose(c *web.Ctx) error {
	return s.postRecord(c, s.renderCalled, func(in *RecordDose, p *Passport) {
		in.CallID, in.Channel, in.Passport = c.Params("call"), WalkIn, p
	})
}

type calledDoseIn struct {
	Centre  string `json:"centre,omitempty"`
	Product string `json:"-" path:"product"`
	Call    string `json:"-" path:"call"`
	PassportJSON
	DoseJSON
}

func (s *Service) apiCalledDose(c *web.Ctx, in calledDoseIn) (RecordedJSON, error) {
	return s.apiGive(c, in.Centre, in.DoseJSON, func(dose *RecordDose) { dose.CallID, dose.Channel, dose.Passport = in.Call, WalkIn, in.read() })
}
