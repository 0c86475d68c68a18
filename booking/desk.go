package booking

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// FreeDay is how many series of a product that start on a day are free.
type FreeDay struct {
	CentreID  string    `json:"centre_id"`
	ProductID string    `json:"product_id"`
	Day       time.Time `json:"day"` // as clock.Day
	Free      int       `json:"free"`
}

// FreeOver returns what is free over a channel, by centre, product and day; it
// asks the database, not the picture.
func (s *Service) FreeOver(ctx context.Context, q pg.Querier, ch Channel) ([]FreeDay, error) {
	rows, err := s.freeSeries(ctx, q, "", "")
	if err != nil {
		return nil, err
	}
	var out []FreeDay
	for _, r := range rows {
		if r.Channel == ch {
			out = append(out, FreeDay{r.CentreID, r.ProductID, r.Day, r.Free})
		}
	}
	return out, nil
}

// ChannelDay is a channel's quota of a day: places for first appointments over
// all centres and products, and how many are taken.
type ChannelDay struct {
	Day    time.Time `json:"day"` // as clock.Day
	Places int       `json:"places"`
	Taken  int       `json:"taken"`
}

// Free is what of the quota is left.
func (d ChannelDay) Free() int { return max(0, d.Places-d.Taken) }

// ChannelDays returns the quota of a channel by day, from and to included; days
// without a place are left out.
func ChannelDays(ctx context.Context, q pg.Querier, ch Channel, from, to time.Time) ([]ChannelDay, error) {
	rows, err := q.Query(ctx, `
		SELECT first_day, sum(places)::int, sum(taken)::int FROM booking.place
		WHERE split_part(channel, ':', 1) = $1 AND leg = 1 AND first_day BETWEEN $2 AND $3 GROUP BY 1 HAVING sum(places) > 0 ORDER BY 1`,
		ch, clock.Day(from), clock.Day(to))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ChannelDay])
}
