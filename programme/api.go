package programme

import (
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// apiRoutes are the JSON operations: the same functions as the pages.
func (s *Service) apiRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/programmes", API: web.JSON("List programmes", s.apiProgrammes)},
		{Method: http.MethodGet, Path: "/api/v1/programmes/:id/groups", API: web.JSON("List the priority groups of a programme on a day", s.apiGroups)},
		{Method: http.MethodGet, Path: "/api/v1/programmes/:id/products", API: web.JSON("List the products of a programme with their rules on a day", s.apiProducts)},
		{Method: http.MethodGet, Path: "/api/v1/texts/:key", API: web.JSON("Read an editable text", s.apiText)},
		{Method: http.MethodPut, Path: "/api/v1/texts/:key/:lang", Roles: admin, API: web.JSON("Change an editable text", s.apiSetText)},
		{Method: http.MethodPut, Path: "/api/v1/programmes/:id/groups/:code", Roles: admin, API: web.JSON("Set a priority group from a day on", s.apiSetGroup)},
		{Method: http.MethodPut, Path: "/api/v1/products/:id/age-limits", Roles: admin, API: web.JSON("Set the age limits of a product from a day on", s.apiSetAge)},
		{Method: http.MethodPut, Path: "/api/v1/products/:id/series", Roles: admin, API: web.JSON("Set the series of a product from a day on", s.apiSetSeries)},
	}
}

type programmesOut struct {
	Programmes []Programme `json:"programmes"`
}

func (s *Service) apiProgrammes(c *web.Ctx, _ struct{}) (programmesOut, error) {
	all, err := Programmes(c.Std(), s.pool, c.Lang)
	return programmesOut{all}, err
}

type onDay struct {
	ID string `path:"id" json:"-"`
	On string `query:"on" json:"-" doc:"day as 2021-01-11; today without it"`
}

// day reads an optional day of an address.
func (in onDay) day(c *web.Ctx) (time.Time, error) {
	if in.On == "" {
		return c.Now, nil
	}
	return parseDay("on", in.On)
}

func parseDay(field, s string) (time.Time, error) {
	f := web.NewForm(field, s)
	d := f.Day(field, "programme.error.day")
	if !f.OK() {
		return d, web.Invalid(f.Errors...)
	}
	return d, nil
}

type groupsOut struct {
	Groups []Group `json:"groups"`
}

func (s *Service) apiGroups(c *web.Ctx, in onDay) (groupsOut, error) {
	on, err := in.day(c)
	if err != nil {
		return groupsOut{}, err
	}
	if _, err := ProgrammeByID(c.Std(), s.pool, in.ID, c.Lang); err != nil {
		return groupsOut{}, problem(err)
	}
	g, err := GroupsOn(c.Std(), s.pool, in.ID, on, c.Lang)
	return groupsOut{g}, err
}

// productOut is a product with the rules in force on a day.
type productOut struct {
	Product
	Series *Series `json:"series" doc:"null: no rule in force"`
	MinAge *int    `json:"min_age" doc:"completed years; null: not given on that day"`
	MaxAge *int    `json:"max_age" doc:"completed years, included; null: no limit"`
}

type productsOut struct {
	Products []productOut `json:"products"`
}

func (s *Service) apiProducts(c *web.Ctx, in onDay) (productsOut, error) {
	on, err := in.day(c)
	if err != nil {
		return productsOut{}, err
	}
	if _, err := ProgrammeByID(c.Std(), s.pool, in.ID, c.Lang); err != nil {
		return productsOut{}, problem(err)
	}
	products, err := Products(c.Std(), s.pool, in.ID)
	if err != nil {
		return productsOut{}, err
	}
	ages, err := AgeRules(c.Std(), s.pool, in.ID)
	if err != nil {
		return productsOut{}, err
	}
	out := productsOut{Products: []productOut{}}
	for _, p := range products {
		o := productOut{Product: p}
		if sr, err := SeriesFor(c.Std(), s.pool, p.ID, on); err == nil {
			o.Series = &sr
		}
		for _, l := range lines(ages, clock.Day(on), func(r AgeRule) (bool, time.Time) { return r.ProductID == p.ID, r.ValidFrom }) {
			if l.InForce && l.Rule.Allowed {
				o.MinAge = &l.Rule.MinAge
				if l.Rule.MaxAge > 0 {
					o.MaxAge = &l.Rule.MaxAge
				}
			}
		}
		out.Products = append(out.Products, o)
	}
	return out, nil
}

type textIn struct {
	Key string `path:"key" json:"-"`
}

type textOut struct {
	Key      string `json:"key"`
	Lang     string `json:"lang"`
	Title    string `json:"title"`
	Markdown string `json:"markdown"`
	HTML     string `json:"html"`
}

func (s *Service) apiText(c *web.Ctx, in textIn) (textOut, error) {
	t, err := Text(c.Std(), s.pool, in.Key, c.Lang)
	if err != nil {
		return textOut{}, problem(err)
	}
	return textOut{t.Key, t.Lang, t.Title, t.Markdown, string(t.HTML)}, nil
}

type setTextIn struct {
	Key      string `path:"key" json:"-"`
	Lang     string `path:"lang" json:"-"`
	Title    string `json:"title" maxlen:"200"`
	Markdown string `json:"markdown"`
}

func (s *Service) apiSetText(c *web.Ctx, in setTextIn) (struct{}, error) {
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error {
		return SetText(c.Std(), tx, c.Now, in.Key, in.Lang, in.Title, in.Markdown, by(c))
	}))
}

type setGroupIn struct {
	ID        string            `path:"id" json:"-"`
	Code      string            `path:"code" json:"-"`
	ValidFrom string            `json:"valid_from" doc:"day as 2021-01-11"`
	Rank      int               `json:"rank"`
	Name      map[string]string `json:"name" doc:"by language; de is needed"`
	Proof     map[string]string `json:"proof" doc:"by language; de is needed"`
	ProofKind string            `json:"proof_kind" enum:"identity,employer,doctor"`
	MinAge    int               `json:"min_age"`
	Open      bool              `json:"open"`
}

func (s *Service) apiSetGroup(c *web.Ctx, in setGroupIn) (struct{}, error) {
	from, err := parseDay("valid_from", in.ValidFrom)
	if err != nil {
		return struct{}{}, err
	}
	g := GroupRule{
		ProgrammeID: in.ID, Code: in.Code, ValidFrom: from, Rank: in.Rank, Name: in.Name, Proof: in.Proof,
		ProofKind: in.ProofKind, MinAge: in.MinAge, Open: in.Open,
	}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetGroup(c.Std(), tx, c.Now, g, by(c)) }))
}

type setAgeIn struct {
	ID        string `path:"id" json:"-"`
	ValidFrom string `json:"valid_from" doc:"day as 2021-01-11"`
	MinAge    int    `json:"min_age"`
	MaxAge    int    `json:"max_age" doc:"0 = no limit"`
	Allowed   bool   `json:"allowed"`
}

func (s *Service) apiSetAge(c *web.Ctx, in setAgeIn) (struct{}, error) {
	from, err := parseDay("valid_from", in.ValidFrom)
	if err != nil {
		return struct{}{}, err
	}
	r := AgeRule{ProductID: in.ID, ValidFrom: from, MinAge: in.MinAge, MaxAge: in.MaxAge, Allowed: in.Allowed}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetAgeRule(c.Std(), tx, c.Now, r, by(c)) }))
}

type setSeriesIn struct {
	ID        string `path:"id" json:"-"`
	ValidFrom string `json:"valid_from" doc:"day as 2021-01-11"`
	Doses     int    `json:"doses"`
	MinDays   int    `json:"min_days" doc:"between consecutive doses"`
	MaxDays   int    `json:"max_days" doc:"0 = no limit"`
	PlanDays  int    `json:"plan_days" doc:"the distance that planning uses"`
	MayWaive  bool   `json:"may_waive,omitempty" doc:"the doses after the first may be waived when it is booked"`
}

func (s *Service) apiSetSeries(c *web.Ctx, in setSeriesIn) (struct{}, error) {
	from, err := parseDay("valid_from", in.ValidFrom)
	if err != nil {
		return struct{}{}, err
	}
	sr := Series{Doses: in.Doses, MinDays: in.MinDays, MaxDays: in.MaxDays, PlanDays: in.PlanDays, MayWaive: in.MayWaive}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetSeries(c.Std(), tx, c.Now, in.ID, from, sr, by(c)) }))
}
