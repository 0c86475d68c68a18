package citizen

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

type registeredPayload struct {
	PersonID string `json:"person_id"`
	// ByStaff: the papers come by post from the hotline, no letter from here.
	ByStaff bool `json:"by_staff,omitempty"`
}

type lostPayload struct {
	RequestID string `json:"request_id"`
}

// registered is enqueued by every registration, also by a second one of the
// same person, so that both do the same work before they answer. The worker
// confirms to the contact that was typed, and tells the known contact.
var registered = jobs.Define[registeredPayload]("citizen.registered")

// lostLogin is enqueued by every request for new login data.
var lostLogin = jobs.Define[lostPayload]("citizen.lost_login")

// Jobs registers the handlers.
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, registered, func(ctx context.Context, p registeredPayload) error { return s.confirmRegistration(ctx, p) })
	jobs.Handle(m, lostLogin, func(ctx context.Context, p lostPayload) error { return s.answerLost(ctx, p.RequestID) })
	return nil
}

// confirmRegistration sends what a registration sends, exactly once: the mark
// and the messages are one transaction.
func (s *Service) confirmRegistration(ctx context.Context, done registeredPayload) error {
	now := s.Now()
	return wrap("confirm", pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var known *string
		err := tx.QueryRow(ctx, `
			UPDATE citizen.person SET confirmed_at = $2 WHERE id = $1 AND state <> 'closed' AND confirmed_at IS NULL
			RETURNING duplicate_of::text`, done.PersonID, now).Scan(&known)
		if pg.NoRows(err) {
			return nil // sent already, or deleted meanwhile
		}
		if err != nil {
			return err
		}
		p, err := s.Person(ctx, tx, done.PersonID)
		if err != nil {
			return err
		}
		if err := s.sendRegistered(ctx, tx, p, done.ByStaff, now); err != nil {
			return err
		}
		if known == nil {
			return nil
		}
		if err := s.tellKnown(ctx, tx, *known, now); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return nil
	}))
}
