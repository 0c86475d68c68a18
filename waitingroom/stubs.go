package waitingroom

import (
	"context"

	"github.com/jackc/pgx/v5"
)

func (s *Service) conductDraws(context.Context) error                    { return nil }
func (s *Service) loadLots(context.Context) error                        { return nil }
func (s *Service) noteMinutes(context.Context) error                     { return nil }
func (s *Service) watchArrivals(context.Context) error                   { return nil }
func (s *Service) challengeNow(*view) bool                               { return false }
func (s *Service) commitDraw(context.Context, pgx.Tx, Room, int64) error { return nil }
