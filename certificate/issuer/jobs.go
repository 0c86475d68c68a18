package issuer

import (
	"context"
	"errors"
	"time"

	"impfportal/internal/jobs"
)

// IssuerPayload names an issuer.
type IssuerPayload struct {
	IssuerID string `json:"issuer_id"`
}

// Tasks of this slice.
var (
	// LetterWanted: an activation code is to go to the registry's address.
	LetterWanted = jobs.Define[IssuerPayload]("issuer.letter_wanted")
	// Tripped: an alarm has tripped; the state follows and the issuer is told.
	Tripped = jobs.Define[IssuerPayload]("issuer.tripped")
)

const (
	pullEvery  = 15 * time.Minute
	watchEvery = time.Minute
)

// Jobs registers the tasks and returns what is done periodically.
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, LetterWanted, func(ctx context.Context, p IssuerPayload) error { return s.writeLetter(ctx, p.IssuerID) })
	jobs.Handle(m, Tripped, func(ctx context.Context, p IssuerPayload) error { return s.pause(ctx, p.IssuerID) })
	jobs.Handle(m, taskResumed, s.tellResumed)
	out := []jobs.Periodic{
		{Name: "issuer.watch", Every: watchEvery, Run: func(ctx context.Context, now time.Time) error {
			_, err := s.Watch(ctx, now)
			_, lookErr := s.Look(ctx, now)
			return errors.Join(err, lookErr, s.expire(ctx, now))
		}},
	}
	if s.Fetch != nil {
		out = append(out, jobs.Periodic{Name: "issuer.registry", Every: pullEvery, Run: func(ctx context.Context, now time.Time) error {
			if _, err := s.Pull(ctx); err != nil {
				return err
			}
			h, err := s.Head(ctx, s.Pool)
			if err == nil && h.Stale(now) {
				s.Log.Error("registry is out of date", "sequence", h.Sequence, "next_update", h.NextUpdate)
			}
			if errors.Is(err, ErrRegistry) {
				return nil // nothing could be applied yet; the pull says why
			}
			return err
		}})
	}
	return out
}
