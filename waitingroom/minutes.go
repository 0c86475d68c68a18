package waitingroom

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// minutesEvery is how often a replica writes how the rooms stand; the last
// writing of a minute is its figure.
const minutesEvery = 5 * time.Second

// Minute is how a room stood at the end of a minute, and what happened in it.
type Minute struct {
	At         time.Time `json:"at" doc:"begin of the minute"`
	Epoch      int64     `json:"epoch"`
	Phase      Phase     `json:"phase"`
	Joins      int64     `json:"joins" doc:"places given out in this minute"`
	Admissions int64     `json:"admissions" doc:"people let in in this minute"`
	NoShows    int64     `json:"no_shows" doc:"invitations that ended unused in this minute"`
	Waiting    int64     `json:"waiting"`
	Inside     int64     `json:"inside"`
	Invited    int64     `json:"invited"`
	Bound      int       `json:"active_bound"`
	Rate       int       `json:"rate_per_minute"`
	WaitLow    int       `json:"wait_low" doc:"estimate for a newcomer in minutes; 0 = nobody could say"`
	WaitHigh   int       `json:"wait_high"`
	Challenged bool      `json:"challenged" doc:"newcomers had to prove work"`
}

// noteMinutes writes the figures of the present minute. Every replica does so;
// the newest figures of a minute stand.
func (s *Service) noteMinutes(ctx context.Context) error {
	now := s.roomNow()
	if d := now.Sub(s.admin.noted); d >= 0 && d < minutesEvery {
		return nil
	}
	var b pgx.Batch
	for id, v := range s.rooms.Load().views {
		f, r, snap := v.line.Load(), v.known.Load(), v.snap.Load()
		if f == nil || snap == nil || snap.state.Trouble || f.epoch != r.Epoch {
			continue
		}
		var e Estimate
		if r.Phase == Open {
			e = EstimateFor(f.Waiting, f.Pace)
		}
		b.Queue(`
			INSERT INTO waitingroom.minute AS m
				(room_id, at, epoch, phase, issued, admitted, no_shows, waiting, inside, invited, wait_low, wait_high, rate, bound, challenged)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
			ON CONFLICT (room_id, at) DO UPDATE SET
				epoch = excluded.epoch, phase = excluded.phase, issued = excluded.issued, admitted = excluded.admitted, no_shows = excluded.no_shows,
				waiting = excluded.waiting, inside = excluded.inside, invited = excluded.invited, wait_low = excluded.wait_low, wait_high = excluded.wait_high,
				rate = excluded.rate, bound = excluded.bound, challenged = m.challenged OR excluded.challenged
			WHERE (excluded.epoch, excluded.issued, excluded.admitted) >= (m.epoch, m.issued, m.admitted)`,
			id, f.At.Truncate(time.Minute), f.epoch, r.Phase, f.Issued, f.Admitted, f.NoShows, f.Waiting, f.Inside, f.Invited,
			e.Low, e.High, r.Rate, r.Bound, snap.state.Challenge)
	}
	if b.Len() > 0 {
		if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
			return fmt.Errorf("figures of the minute: %w", err)
		}
	}
	s.admin.noted = now
	return nil
}

// Minutes returns how a room went since a moment, oldest first. Minutes in
// which no replica ran are missing; what happened in them counts into the next.
func (s *Service) Minutes(ctx context.Context, roomID string, since time.Time) ([]Minute, error) {
	since = since.Truncate(time.Minute)
	// One row more than asked for: the counters are cumulative within a line.
	rows, err := s.pool.Query(ctx, `
		SELECT at, epoch, phase,
			issued - coalesce(lag(issued) OVER line, 0), admitted - coalesce(lag(admitted) OVER line, 0), no_shows - coalesce(lag(no_shows) OVER line, 0),
			waiting, inside, invited, bound, rate, wait_low, wait_high, challenged
		FROM waitingroom.minute
		WHERE room_id = $1 AND at >= coalesce((SELECT max(at) FROM waitingroom.minute WHERE room_id = $1 AND at < $2), $2)
		WINDOW line AS (PARTITION BY epoch ORDER BY at) ORDER BY at`, roomID, since)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Minute, err error) {
		err = row.Scan(&m.At, &m.Epoch, &m.Phase, &m.Joins, &m.Admissions, &m.NoShows, &m.Waiting, &m.Inside, &m.Invited, &m.Bound, &m.Rate,
			&m.WaitLow, &m.WaitHigh, &m.Challenged)
		m.Joins, m.Admissions, m.NoShows = max(0, m.Joins), max(0, m.Admissions), max(0, m.NoShows)
		return m, err
	})
	if err != nil {
		return nil, err
	}
	out := []Minute{}
	for _, m := range all {
		if !m.At.Before(since) {
			out = append(out, m)
		}
	}
	return out, nil
}
