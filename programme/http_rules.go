package programme

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

func validID(s string) bool { return idPattern.MatchString(s) }

func itoa(n int) string { return strconv.Itoa(n) }

// productRules is one product with all its rules, newest first.
type productRules struct {
	Product
	Ages   []ruleLine[AgeRule]
	Series []ruleLine[SeriesRule]
}

// ruleLine is a rule and whether it is the one in force today, or still to come.
type ruleLine[R any] struct {
	Rule            R
	InForce, Coming bool
}

type rulesPage struct {
	Programme Programme
	Tabs      []tab
	Base      string
	Products  []productRules
	Options   []web.Option
	NoLimit   int
}

func (s *Service) rulesPage(c *web.Ctx, programmeID string) (rulesPage, error) {
	p, tabs, err := s.chosen(c, programmeID)
	if err != nil {
		return rulesPage{}, err
	}
	d := rulesPage{Programme: p, Tabs: tabs, Base: "/admin/rules", NoLimit: NoUpperLimit}
	products, err := Products(c.Std(), s.pool, p.ID)
	if err != nil {
		return d, err
	}
	ages, err := AgeRules(c.Std(), s.pool, p.ID)
	if err != nil {
		return d, err
	}
	series, err := SeriesRules(c.Std(), s.pool, p.ID)
	if err != nil {
		return d, err
	}
	today := clock.Day(c.Now)
	for _, pr := range products {
		d.Options = append(d.Options, web.Option{Value: pr.ID, Label: pr.Name})
		d.Products = append(d.Products, productRules{
			pr,
			lines(ages, today, func(r AgeRule) (bool, time.Time) { return r.ProductID == pr.ID, r.ValidFrom }),
			lines(series, today, func(r SeriesRule) (bool, time.Time) { return r.ProductID == pr.ID, r.ValidFrom }),
		})
	}
	return d, nil
}

// lines picks the rules that belong (newest first) and marks the one in force.
func lines[R any](rules []R, today time.Time, of func(R) (belongs bool, from time.Time)) []ruleLine[R] {
	var out []ruleLine[R]
	found := false
	for _, r := range rules {
		mine, from := of(r)
		if !mine {
			continue
		}
		l := ruleLine[R]{Rule: r, Coming: from.After(today)}
		l.InForce = !found && !l.Coming
		found = found || l.InForce
		out = append(out, l)
	}
	return out
}

func (s *Service) rules(c *web.Ctx) error {
	d, err := s.rulesPage(c, c.Query("programme"))
	if err != nil {
		return err
	}
	return c.PageForm("programme/rules", ruleForm(c), d)
}

// ruleForm proposes tomorrow: today's appointments are already planned.
func ruleForm(c *web.Ctx) *web.Form {
	tomorrow := clock.Day(c.Now).AddDate(0, 0, 1).Format(time.DateOnly)
	return web.NewForm("age_from", tomorrow, "series_from", tomorrow, "allowed", "1")
}

// productOf reads the product of a rule form and the programme it belongs to.
func (s *Service) productOf(c *web.Ctx, field string) (Product, rulesPage, error) {
	f := c.Form()
	d, err := s.rulesPage(c, f.Get("programme"))
	if err != nil {
		return Product{}, d, err
	}
	i := slices.IndexFunc(d.Products, func(p productRules) bool { return p.ID == f.Get(field) })
	if i < 0 {
		f.Fail(field, "programme.error.choose")
		return Product{}, d, nil
	}
	return d.Products[i].Product, d, nil
}

func (s *Service) saveAge(c *web.Ctx) error {
	f := c.Form()
	p, d, err := s.productOf(c, "age_product")
	if err != nil {
		return err
	}
	r := AgeRule{
		ProductID: p.ID, ValidFrom: f.Day("age_from", "programme.error.day"),
		MinAge: f.Int("min_age", 0, 120, "programme.error.number"), Allowed: f.Get("allowed") != "",
	}
	if f.Get("max_age") != "" {
		r.MaxAge = f.Int("max_age", max(r.MinAge, 1), 130, "programme.error.number")
	}
	if !f.OK() {
		return c.PageForm("programme/rules", f, d)
	}
	err = pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetAgeRule(c.Std(), tx, c.Now, r, by(c)) })
	if err != nil {
		return problem(err)
	}
	c.Flash("programme.saved")
	return c.See("/admin/rules?programme=" + d.Programme.ID)
}

func (s *Service) saveSeries(c *web.Ctx) error {
	f := c.Form()
	p, d, err := s.productOf(c, "series_product")
	if err != nil {
		return err
	}
	from := f.Day("series_from", "programme.error.day")
	sr := Series{Doses: f.Int("doses", 1, 9, "programme.error.number")}
	if sr.Doses > 1 {
		sr.MinDays = f.Int("min_days", 1, 3650, "programme.error.number")
		sr.MaxDays = NoUpperLimit
		if f.Get("max_days") != "" {
			sr.MaxDays = f.Int("max_days", max(sr.MinDays, 1), 3650, "programme.error.number")
		}
		if sr.MinDays > 0 && sr.MaxDays > 0 {
			sr.PlanDays = f.Int("plan_days", sr.MinDays, min(sr.MaxDays, 3650), "programme.error.number")
		}
		sr.MayWaive = f.Get("may_waive") != ""
	}
	if !f.OK() {
		return c.PageForm("programme/rules", f, d)
	}
	err = pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetSeries(c.Std(), tx, c.Now, p.ID, from, sr, by(c)) })
	if err != nil {
		return problem(err)
	}
	c.Flash("programme.saved")
	return c.See("/admin/rules?programme=" + d.Programme.ID)
}
