package retention

import (
	"context"
	"embed"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

//go:embed templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "retention", FS: files}

var (
	admin   = []web.Role{web.RoleAdmin}
	readers = []web.Role{web.RoleAdmin, web.RoleAuditor}
)

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/retention", Roles: readers, Nav: "retention.nav", NavGroup: "web.nav.control", Handle: s.page},
		{Method: http.MethodPost, Path: "/admin/retention", Roles: admin, Handle: s.set},
		{Method: http.MethodPost, Path: "/admin/retention/run", Roles: admin, Handle: s.runNow},
		{Method: http.MethodGet, Path: "/api/v1/admin/retention", Roles: readers, API: web.JSON("Retention policies and the newest runs", s.apiList)},
		{Method: http.MethodPost, Path: "/api/v1/admin/retention", Roles: admin, API: web.JSON("Put a retention period in force", s.apiSet)},
	}
}

// PolicyRow is one period of one policy.
type PolicyRow struct {
	Key      string
	From     time.Time
	KeepDays int
	Why      string
	SetBy    string
	Current  bool
}

// RunRow is one run of a rule that deleted something or failed.
type RunRow struct {
	Rule      string
	StartedAt time.Time
	Cutoff    time.Time
	Deleted   int64
	Error     *string
}

// Policies lists all periods; Current marks the one in force.
func Policies(ctx context.Context, q pg.Querier, now time.Time) ([]PolicyRow, error) {
	rows, err := q.Query(ctx, `
		SELECT key, effective_from, keep_days, why, set_by,
		       effective_from <= $1 AND NOT EXISTS (
		           SELECT FROM retention.policy n WHERE n.key = p.key AND n.effective_from <= $1 AND n.effective_from > p.effective_from)
		FROM retention.policy p ORDER BY key, effective_from`, clock.Day(now))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PolicyRow])
}

// Runs lists the newest runs first.
func Runs(ctx context.Context, q pg.Querier, limit int) ([]RunRow, error) {
	rows, err := q.Query(ctx, `SELECT rule, started_at, coalesce(cutoff, started_at), deleted, error FROM retention.run ORDER BY started_at DESC, id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[RunRow])
}

type view struct {
	Policies []PolicyRow
	Runs     []RunRow
	Rules    []Rule
	Keys     []web.Option
}

func (s *Service) view(c *web.Ctx) (view, error) {
	v := view{Rules: s.rules}
	var err error
	if v.Policies, err = Policies(c.Std(), s.pool, c.Now); err != nil {
		return v, err
	}
	for _, p := range v.Policies {
		if p.Current {
			v.Keys = append(v.Keys, web.Option{Value: p.Key, Label: c.T("retention.key." + p.Key)})
		}
	}
	v.Runs, err = Runs(c.Std(), s.pool, 50)
	return v, err
}

func (s *Service) page(c *web.Ctx) error {
	v, err := s.view(c)
	if err != nil {
		return err
	}
	return c.Page("retention/page", v)
}

// check validates a new period; it returns the day and the number of days.
func (s *Service) check(ctx context.Context, key, from, days, why string, now time.Time) (time.Time, int, *web.Problem) {
	p := web.Invalid()
	add := func(field, text string) { p.Fields = append(p.Fields, web.FieldError{Field: field, Key: text}) }
	if _, err := Keep(ctx, s.pool, key, now); err != nil {
		add("key", "retention.error.key")
	}
	day, err := time.Parse(time.DateOnly, from)
	if err != nil || day.Before(clock.Day(now)) {
		add("from", "retention.error.from")
	}
	n, err := strconv.Atoi(days)
	if err != nil || n < 0 || n > 36500 {
		add("days", "retention.error.days")
	}
	if why == "" || len([]rune(why)) > 300 {
		add("why", "retention.error.why")
	}
	if len(p.Fields) > 0 {
		return day, n, p
	}
	return day, n, nil
}

func (s *Service) set(c *web.Ctx) error {
	f := c.Form()
	day, days, p := s.check(c.Std(), f.Get("key"), f.Get("from"), f.Get("days"), f.Get("why"), c.Now)
	if p != nil {
		f.Take(p)
		v, err := s.view(c)
		if err != nil {
			return err
		}
		return c.PageForm("retention/page", f, v)
	}
	if err := s.SetPolicy(c.Std(), f.Get("key"), day, days, f.Get("why"), c.Actor()); err != nil {
		return err
	}
	c.Flash("retention.saved")
	return c.See("/admin/retention")
}

// runNow starts a run in the background and shows its progress.
func (s *Service) runNow(c *web.Ctx) error {
	p, err := jobs.StartProgress(c.Std(), s.pool, c.T("retention.run"), int64(len(s.rules)), c.Actor())
	if err != nil {
		return err
	}
	now := c.Now
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		_, err := s.Run(ctx, now, p)
		p.Finish(ctx, err)
	}()
	return c.SeeProgress(p.ID, "/admin/retention")
}

// PolicyIn puts a period in force.
type PolicyIn struct {
	Key  string `json:"key"`
	From string `json:"from" doc:"day, YYYY-MM-DD, today or later"`
	Days int    `json:"days"`
	Why  string `json:"why"`
}

// StateOut is the policies and newest runs.
type StateOut struct {
	Policies []PolicyOut `json:"policies"`
	Runs     []RunOut    `json:"runs"`
}

// PolicyOut is one period.
type PolicyOut struct {
	Key     string `json:"key"`
	From    string `json:"from"`
	Days    int    `json:"days"`
	Why     string `json:"why"`
	Current bool   `json:"current"`
}

// RunOut is one run of one rule.
type RunOut struct {
	Rule    string    `json:"rule"`
	At      time.Time `json:"at"`
	Deleted int64     `json:"deleted"`
	Failed  bool      `json:"failed"`
}

func (s *Service) apiList(c *web.Ctx, _ struct{}) (StateOut, error) {
	out := StateOut{Policies: []PolicyOut{}, Runs: []RunOut{}}
	v, err := s.view(c)
	for _, p := range v.Policies {
		out.Policies = append(out.Policies, PolicyOut{p.Key, p.From.Format(time.DateOnly), p.KeepDays, p.Why, p.Current})
	}
	for _, r := range v.Runs {
		out.Runs = append(out.Runs, RunOut{r.Rule, r.StartedAt, r.Deleted, r.Error != nil})
	}
	return out, err
}

func (s *Service) apiSet(c *web.Ctx, in PolicyIn) (StateOut, error) {
	day, days, p := s.check(c.Std(), in.Key, in.From, strconv.Itoa(in.Days), in.Why, c.Now)
	if p != nil {
		return StateOut{}, p
	}
	if err := s.SetPolicy(c.Std(), in.Key, day, days, in.Why, c.Actor()); err != nil {
		return StateOut{}, err
	}
	return s.apiList(c, struct{}{})
}
