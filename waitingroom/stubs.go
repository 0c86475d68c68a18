package waitingroom

import (
	"context"
	"time"
)

func (s *Service) followPlans(context.Context) error   { return nil }
func (s *Service) conductDraws(context.Context) error  { return nil }
func (s *Service) loadLots(context.Context) error      { return nil }
func (s *Service) noteMinutes(context.Context) error   { return nil }
func (s *Service) watchArrivals(context.Context) error { return nil }
func (s *Service) nextPlanned(time.Time) time.Time     { return time.Time{} }
func (s *Service) challengeNow(*view) bool             { return false }
