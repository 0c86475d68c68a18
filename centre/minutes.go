package centre

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// Minutes is how long a station of a centre needs for a person from a day on.
type Minutes struct {
	ValidFrom time.Time
	Minutes   int
}

// MinutesRules returns the rules of a centre, the newest first. Before the oldest
// one Centre.MinutesPerPerson holds.
func MinutesRules(ctx context.Context, q pg.Querier, centreID string) ([]Minutes, error) {
	rows, err := q.Query(ctx, `SELECT valid_from, minutes FROM centre.minutes WHERE centre_id = $1 ORDER BY valid_from DESC`, centreID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Minutes])
}

// minutesOn returns the minutes per person by centre that a rule with a date says
// for a day.
func minutesOn(ctx context.Context, q pg.Querier, on time.Time) (map[string]int, error) {
	rows, err := q.Query(ctx, `
		SELECT DISTINCT ON (centre_id) centre_id, minutes FROM centre.minutes WHERE valid_from <= $1
		ORDER BY centre_id, valid_from DESC`, clock.Day(on))
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	var (
		c string
		n int
	)
	_, err = pgx.ForEachRow(rows, []any{&c, &n}, func() error { out[c] = n; return nil })
	return out, err
}

// SetMinutes sets the minutes per person from the day of from on; a rule that
// starts on the same day is replaced. The places follow within seconds.
// ErrNotFound, ErrInvalid.
func SetMinutes(ctx context.Context, tx pgx.Tx, now time.Time, centreID string, from time.Time, minutes int, by By) error {
	if minutes < 1 || minutes > 120 {
		return fmt.Errorf("%w: minutes per person", ErrInvalid)
	}
	if _, err := Get(ctx, tx, centreID); err != nil {
		return err
	}
	day := clock.Day(from)
	before, err := HoursBetween(ctx, tx, centreID, day, day)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO centre.minutes (centre_id, valid_from, minutes) VALUES ($1, $2, $3)
		ON CONFLICT (centre_id, valid_from) DO UPDATE SET minutes = excluded.minutes`, centreID, day, minutes); err != nil {
		return err
	}
	return record(ctx, tx, now, by, "centre.minutes", centreID, before[0].MinutesPerPerson,
		map[string]any{"valid_from": day.Format(time.DateOnly), "minutes": minutes})
}

func (s *Service) saveMinutes(c *web.Ctx) error {
	f := c.Form()
	from, n := f.Day("minutes_from", "centre.error.day"), f.Int("minutes_new", 1, 120, "centre.error.number")
	if !f.OK() {
		return s.again(c, f)
	}
	err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetMinutes(c.Std(), tx, c.Now, c.Params("id"), from, n, by(c)) })
	if err != nil {
		return problem(err)
	}
	c.Flash("centre.minutes_saved")
	return c.See("/admin/centres/" + c.Params("id"))
}

type minutesIn struct {
	ID        string `path:"id" json:"-"`
	ValidFrom string `json:"valid_from" doc:"day as 2021-01-11"`
	Minutes   int    `json:"minutes"`
}

func (s *Service) apiMinutes(c *web.Ctx, in minutesIn) (struct{}, error) {
	from, err := parseDay("valid_from", in.ValidFrom)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error {
		return SetMinutes(c.Std(), tx, c.Now, in.ID, from, in.Minutes, by(c))
	}))
}

func (s *Service) minutesRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodPost, Path: "/admin/centres/:id/minutes", Roles: admin, Handle: s.saveMinutes},
		{Method: http.MethodPut, Path: "/api/v1/centres/:id/minutes", Roles: admin, API: web.JSON("Set the minutes per person of a centre from a day on", s.apiMinutes)},
	}
}
