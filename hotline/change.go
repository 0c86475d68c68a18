package hotline

import (
	"context"
	"errors"

	"impfportal/booking"
	"impfportal/citizen"
)

// An agent changes, gives back and answers for a caller what the caller could
// change on the own pages, over the hotline's places and with its lead. Each of
// these is in the audit record twice over: by booking with the series, in the
// transaction that does it, and here with the person.

// Rebook moves appointments of a person over the hotline's places, or books anew
// what was given back; what names which (booking.Changes). The same key moves
// once. Errors are booking's, and ErrChecking.
func (s *Service) Rebook(ctx context.Context, personID, seriesID, what string, slots []int64, key string, b By) (booking.Series, error) {
	if _, err := s.bookable(ctx, personID); err != nil {
		return booking.Series{}, err
	}
	series, err := s.Booking.SeriesByID(ctx, s.Pool, seriesID, personID)
	if err != nil {
		return booking.Series{}, err
	}
	moves, err := s.Booking.MovesOf(*series, what, slots)
	if err != nil {
		return booking.Series{}, err
	}
	after, err := s.Booking.Rebook(ctx, booking.RebookRequest{
		PersonID: personID, SeriesID: seriesID, Channel: booking.Hotline, Moves: moves, Key: key, Actor: b.Actor, Role: b.Role,
	})
	if err != nil {
		return booking.Series{}, err
	}
	return after, s.record(ctx, b, "hotline.change", citizen.Subject(personID), map[string]string{"series": seriesID, "what": what})
}

// Cancel gives the places of a series back, from a dose on: 1 = all of them.
func (s *Service) Cancel(ctx context.Context, personID, seriesID string, fromDose int, b By) error {
	if err := s.Booking.CancelFrom(ctx, seriesID, personID, fromDose, booking.By(b)); err != nil {
		return err
	}
	return s.record(ctx, b, "hotline.cancel", citizen.Subject(personID), map[string]any{"series": seriesID, "from_dose": fromDose})
}

// Answer notes what a caller says to the offer that waits for them, and returns
// what holds then (booking.OfferAccepted ...). Who accepts gets the papers like
// everybody whom an offer was made. booking.ErrState when nothing is offered, or
// another one than the one that was read out (offerID; "" = the one that is open).
func (s *Service) Answer(ctx context.Context, personID, offerID, answer string, b By) (string, error) {
	o, err := booking.OpenOfferOf(ctx, s.Pool, personID, s.Now())
	if err != nil {
		return "", err
	}
	if o == nil || offerID != "" && offerID != o.ID {
		return "", booking.ErrState
	}
	said, err := s.Booking.AnswerOffer(ctx, o.ID, personID, answer, booking.By(b))
	if err != nil {
		return "", err
	}
	return said, s.record(ctx, b, "hotline.offer", citizen.Subject(personID), map[string]string{"offer": o.ID, "answer": said})
}

// TakeProposal moves a caller to the times that are kept for them because of a
// shortfall. booking.ErrState when they are kept no more.
func (s *Service) TakeProposal(ctx context.Context, personID, proposalID string, b By) error {
	if _, err := s.bookable(ctx, personID); err != nil {
		return err
	}
	if err := s.Booking.TakeProposal(ctx, proposalID, personID, booking.By(b)); err != nil {
		return err
	}
	return s.record(ctx, b, "hotline.proposal", citizen.Subject(personID), map[string]string{"proposal": proposalID})
}

// standing is what an agent can do about what a person has.
type standing struct {
	Changes  []string // what can be changed or booked again, as booking.Changes
	Missing  []int    // doses whose appointment was given back and can be booked again
	Later    int      // the dose from which on the later ones can be given back alone; 0 = there is but one
	Offer    *booking.OpenOffer
	Proposal *booking.Proposal
	Waiting  *booking.Waiting
}

func (s *Service) standing(ctx context.Context, personID string, series *booking.Series) (v standing, err error) {
	if v.Offer, err = booking.OpenOfferOf(ctx, s.Pool, personID, s.Now()); err != nil {
		return v, err
	}
	if v.Proposal, err = booking.ProposalFor(ctx, s.Pool, personID, s.Now()); err != nil {
		return v, err
	}
	if v.Waiting, err = booking.WaitingOf(ctx, s.Pool, personID); err != nil || series == nil {
		return v, err
	}
	v.Changes, v.Missing = s.Booking.Changes(*series), s.Booking.Missing(*series)
	open := 0
	for _, a := range series.Visits() {
		if a.State != booking.StateConfirmed {
			continue
		}
		if open++; open == 2 {
			v.Later = a.DoseNumber
		}
	}
	return v, nil
}

// errNothingToChange says that a case has nothing that could be moved.
var errNothingToChange = errors.New("hotline: nothing can be changed")
