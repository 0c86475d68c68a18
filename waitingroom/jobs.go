package waitingroom

import (
	"time"

	"impfportal/internal/jobs"
)

// Jobs are what the worker does for the rooms. Everything else the portals do
// by themselves ([Service.Run]).
func (s *Service) Jobs(*jobs.Mux) []jobs.Periodic {
	return []jobs.Periodic{{Name: "waitingroom.remind", Every: 10 * time.Second, Run: s.remindDue}}
}
