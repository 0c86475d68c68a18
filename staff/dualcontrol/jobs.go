package dualcontrol

import (
	"context"
	"time"

	"impfportal/internal/jobs"
	"impfportal/staff/passkey"
)

// Jobs ends proposals whose time is over, and verifies every day what keys have
// signed: what the database cannot check.
func (s *Service) Jobs(*jobs.Mux) []jobs.Periodic {
	return []jobs.Periodic{
		{Name: "dualcontrol.expire", Every: 10 * time.Minute, Run: func(ctx context.Context, _ time.Time) error {
			_, err := s.Expire(ctx)
			return err
		}},
		{Name: "dualcontrol.reverify", Daily: "03:40", Run: func(ctx context.Context, _ time.Time) error {
			_, _, err := s.VerifyAll(ctx)
			return err
		}},
	}
}

// VerifyAll verifies the assertion of every approval again. A bad one is an alarm:
// somebody has written into the database past the program.
func (s *Service) VerifyAll(ctx context.Context) (good int, bad []string, err error) {
	rows, err := s.pool.Query(ctx, `SELECT touch_id::text FROM staff.approval ORDER BY at, id`)
	if err != nil {
		return 0, nil, err
	}
	var touches []string
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			rows.Close()
			return 0, nil, err
		}
		touches = append(touches, t)
	}
	if err := rows.Err(); err != nil {
		return 0, nil, err
	}
	for _, t := range touches {
		switch err := s.cfg.Keys.Reverify(ctx, s.pool, t); {
		case err == nil:
			good++
		case passkey.IsRefused(err):
			bad = append(bad, t)
			s.cfg.Log.Error("stored assertion does not verify", "touch", t, "err", err)
		default:
			return good, bad, err
		}
	}
	return good, bad, nil
}
