package waitingroom

import (
	"context"
)

func (s *Service) watchArrivals(context.Context) error { return nil }
func (s *Service) challengeNow(*view) bool             { return false }
