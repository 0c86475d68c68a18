package booking

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/booking/listdraw"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

var auditors = []web.Role{web.RoleAdmin, web.RoleAuditor}

func (s *Service) drawRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/waiting/draws", Roles: auditors, Nav: "booking.nav.draws", NavGroup: "web.nav.control", Handle: s.showDraws},
		{Method: http.MethodGet, Path: "/admin/waiting/draws/:day/draw.json", Roles: auditors, Handle: s.showDrawFile},
		{Method: http.MethodGet, Path: "/api/v1/admin/waiting/draws/:day", Roles: auditors, API: web.JSON("The draw of the waiting list of a day, to be recomputed", s.apiDraw)},
	}
}

// drawKey is the key by which the order of a day is drawn. Its hash is written
// down before it is first used.
func (s *Service) drawKey(ctx context.Context, now time.Time) ([]byte, error) {
	day := clock.Day(now).Format(time.DateOnly)
	key := s.Citizens.Vault.MAC("booking.waiting draw", []byte(day))
	commitment := sha256.Sum256(key)
	return key, pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO booking.waiting_draw (day, commitment) VALUES ($1, $2) ON CONFLICT DO NOTHING`, clock.Day(now), commitment[:])
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: "system", Role: "system", Action: "booking.draw", Subject: "waiting-draw:" + day,
			After: map[string]string{"commitment": hex.EncodeToString(commitment[:])},
		})
	})
}

// revealDraws writes down the keys of days that are over.
func (s *Service) revealDraws(ctx context.Context, now time.Time) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE booking.waiting_draw SET revealed_at = $2 WHERE day < $1 AND revealed_at IS NULL RETURNING day`, clock.Day(now), now)
		if err != nil {
			return err
		}
		days, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
		if err != nil {
			return err
		}
		for _, d := range days {
			day := d.Format(time.DateOnly)
			if err := audit.Write(ctx, tx, now, audit.Entry{
				Actor: "system", Role: "system", Action: "booking.draw-revealed", Subject: "waiting-draw:" + day,
				After: map[string]string{"key": hex.EncodeToString(s.Citizens.Vault.MAC("booking.waiting draw", []byte(day)))},
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Draw returns everything about the draw of a day (as clock.Day), for an auditor to
// recompute: who could be asked, who was, and the key once the day is over.
// ErrNotFound for a day on which nothing was drawn.
func (s *Service) Draw(ctx context.Context, q pg.Querier, day time.Time) (listdraw.Published, error) {
	p := listdraw.Published{Day: day.Format(time.DateOnly), Rounds: []listdraw.Round{}}
	var revealed bool
	err := q.QueryRow(ctx, `SELECT encode(commitment, 'hex'), revealed_at IS NOT NULL FROM booking.waiting_draw WHERE day = $1`, day).Scan(&p.Commitment, &revealed)
	if pg.NoRows(err) {
		return p, ErrNotFound
	}
	if err != nil {
		return p, err
	}
	if revealed {
		p.Key = hex.EncodeToString(s.Citizens.Vault.MAC("booking.waiting draw", []byte(p.Day)))
	}
	rows, err := q.Query(ctx, `
		SELECT offer_id::text, origin::text, round, made_at, person_id::text, people::text[], ranks, passed
		FROM booking.waiting_asked WHERE day = $1 ORDER BY made_at, offer_id`, day)
	if err != nil {
		return p, err
	}
	p.Rounds, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r listdraw.Round, err error) {
		var people []string
		var ranks []int
		if err := row.Scan(&r.Offer, &r.Origin, &r.Number, &r.MadeAt, &r.Asked, &people, &ranks, &r.Passed); err != nil {
			return r, err
		}
		r.MadeAt = r.MadeAt.UTC()
		for i, personID := range people {
			r.Candidates = append(r.Candidates, listdraw.Person{ID: personID, Rank: ranks[i]})
		}
		return r, nil
	})
	return p, err
}

// drawRow is a day on the auditor's page.
type drawRow struct {
	Day        time.Time
	Offers     int
	Commitment string
	Revealed   bool
	Wrong      int // findings that do not hold; of revealed days only
}

// drawDays is how many days that page recomputes.
const drawDays = 14

func (s *Service) showDraws(c *web.Ctx) error {
	rows, err := s.Pool.Query(c.Std(), `
		SELECT d.day, (SELECT count(*) FROM booking.waiting_asked a WHERE a.day = d.day)::int, encode(d.commitment, 'hex'), d.revealed_at IS NOT NULL, 0
		FROM booking.waiting_draw d ORDER BY d.day DESC LIMIT $1`, drawDays)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[drawRow])
	if err != nil {
		return err
	}
	for i := range list {
		if !list[i].Revealed {
			continue
		}
		p, err := s.Draw(c.Std(), s.Pool, list[i].Day)
		if err != nil {
			return err
		}
		for _, f := range listdraw.Findings(p) {
			if f.Err != nil {
				list[i].Wrong++
			}
		}
	}
	return c.Page("booking/draws", list)
}

// drawIn names a day.
type drawIn struct {
	Day string `json:"-" path:"day"`
}

func (s *Service) apiDraw(c *web.Ctx, in drawIn) (listdraw.Published, error) {
	day, err := time.Parse(time.DateOnly, in.Day)
	if err != nil {
		return listdraw.Published{}, web.NotFound()
	}
	p, err := s.Draw(c.Std(), s.Pool, day)
	return p, problem(err)
}

func (s *Service) showDrawFile(c *web.Ctx) error {
	p, err := s.apiDraw(c, drawIn{c.Params("day")})
	if err != nil {
		return err
	}
	body, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	return c.Download("application/json", "waiting-draw "+p.Day+".json", body)
}
