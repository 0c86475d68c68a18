package waitingroom

import (
	"context"
	"time"

	"impfportal/internal/jobs"
)

// vacated gives back the seats of people whose registration has ended.
var vacated = jobs.Define[vacatedPayload]("waitingroom.vacated")

type vacatedPayload struct {
	Passes []string `json:"passes"` // ids of passes; they name nobody
}

// Jobs are what the worker does for the rooms. Everything else the portals do
// by themselves ([Service.Run]).
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, vacated, s.vacate)
	return []jobs.Periodic{{Name: "waitingroom.remind", Every: 10 * time.Second, Run: s.remindDue}}
}

// vacate is tried again until Postgres and Redis have answered. A worker has
// nobody at the door, so nothing is owed instead.
func (s *Service) vacate(ctx context.Context, p vacatedPayload) error {
	s.ensure(ctx)
	for _, id := range p.Passes {
		place, err := ParsePlace(id)
		if err != nil {
			return jobs.Permanent(err)
		}
		v := s.rooms.Load().views[place.Room]
		if v == nil {
			continue // the room is gone, and its seats with it
		}
		if err := s.release(ctx, v, place); err != nil {
			return err
		}
	}
	return nil
}
