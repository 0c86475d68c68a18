package programme

import (
	"embed"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "programme", FS: files}

// Service is the pages and operations of this slice; reading needs none.
type Service struct{ pool *pgxpool.Pool }

// New returns the service on pool.
func New(pool *pgxpool.Pool) *Service { return &Service{pool} }

var admin = []web.Role{web.RoleAdmin}

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		{Method: http.MethodGet, Path: "/impressum", Handle: s.text(TextImprint)},
		{Method: http.MethodGet, Path: "/datenschutz", Handle: s.text(TextPrivacy)},
		{Method: http.MethodGet, Path: "/barrierefreiheit", Handle: s.text(TextAccessibility)},
		{Method: http.MethodGet, Path: "/admin/groups", Roles: admin, Nav: "programme.nav.groups", NavGroup: "web.nav.rules", Handle: s.groups},
		{Method: http.MethodGet, Path: "/admin/groups/:programme/:code", Roles: admin, Handle: s.group},
		{Method: http.MethodPost, Path: "/admin/groups/:programme/:code", Roles: admin, Handle: s.saveGroup},
		{Method: http.MethodGet, Path: "/admin/rules", Roles: admin, Nav: "programme.nav.rules", NavGroup: "web.nav.rules", Handle: s.rules},
		{Method: http.MethodPost, Path: "/admin/rules/age", Roles: admin, Handle: s.saveAge},
		{Method: http.MethodPost, Path: "/admin/rules/series", Roles: admin, Handle: s.saveSeries},
		{Method: http.MethodGet, Path: "/admin/texts", Roles: admin, Nav: "programme.nav.texts", NavGroup: "web.nav.rules", Handle: s.texts},
		{Method: http.MethodGet, Path: "/admin/texts/:key/:lang", Roles: admin, Handle: s.editText},
		{Method: http.MethodPost, Path: "/admin/texts/:key/:lang", Roles: admin, Handle: s.saveText},
	}, s.apiRoutes()...)
}

// by is who asks, for the audit.
func by(c *web.Ctx) By { return By{Actor: c.Actor(), Role: string(web.RoleAdmin)} }

// problem tells domain errors in words; others pass through.
func problem(err error) error {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrNoRule):
		return web.NotFound()
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "programme.error.invalid")
	}
	return err
}

// text shows a public text.
func (s *Service) text(key string) func(c *web.Ctx) error {
	return func(c *web.Ctx) error {
		t, err := Text(c.Std(), s.pool, key, c.Lang)
		if err != nil {
			return problem(err)
		}
		return c.Page("programme/text", t)
	}
}

// tab is a programme to choose on an administration page.
type tab struct {
	Programme
	Current bool
}

// chosen returns the programme that ?programme= or the form names, the first
// one without it, and all of them for the page's head.
func (s *Service) chosen(c *web.Ctx, id string) (Programme, []tab, error) {
	all, err := Programmes(c.Std(), s.pool, c.Lang)
	if err != nil {
		return Programme{}, nil, err
	}
	if id == "" && len(all) > 0 {
		id = all[0].ID
	}
	i := slices.IndexFunc(all, func(p Programme) bool { return p.ID == id })
	if i < 0 {
		return Programme{}, nil, web.NotFound()
	}
	tabs := make([]tab, len(all))
	for j, p := range all {
		tabs[j] = tab{p, i == j}
	}
	return all[i], tabs, nil
}

// groupsPage shows the groups of today and the changes to come.
type groupsPage struct {
	Programme Programme
	Tabs      []tab
	Base      string // the tabs' page
	Groups    []Group
	Coming    []GroupRule
}

func (s *Service) groups(c *web.Ctx) error {
	p, tabs, err := s.chosen(c, c.Query("programme"))
	if err != nil {
		return err
	}
	d := groupsPage{Programme: p, Tabs: tabs, Base: "/admin/groups"}
	if d.Groups, err = GroupsOn(c.Std(), s.pool, p.ID, c.Now, c.Lang); err != nil {
		return err
	}
	rules, err := GroupRules(c.Std(), s.pool, p.ID)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.ValidFrom.After(clock.Day(c.Now)) {
			d.Coming = append(d.Coming, r)
		}
	}
	slices.SortStableFunc(d.Coming, func(a, b GroupRule) int { return a.ValidFrom.Compare(b.ValidFrom) })
	return c.Page("programme/groups", d)
}

type groupPage struct {
	Programme Programme
	New       bool
	Code      string
	History   []GroupRule
	Kinds     []web.Option
}

// newCode is the address of a group that does not exist yet.
const newCode = "new"

func (s *Service) groupPage(c *web.Ctx) (groupPage, error) {
	p, err := ProgrammeByID(c.Std(), s.pool, c.Params("programme"), c.Lang)
	if err != nil {
		return groupPage{}, problem(err)
	}
	d := groupPage{Programme: p, Code: c.Params("code"), New: c.Params("code") == newCode}
	for _, k := range []string{ProofIdentity, ProofEmployer, ProofDoctor} {
		d.Kinds = append(d.Kinds, web.Option{Value: k, Label: c.T("programme.proof." + k)})
	}
	rules, err := GroupRules(c.Std(), s.pool, p.ID)
	if err != nil {
		return d, err
	}
	for _, r := range rules {
		if r.Code == d.Code {
			d.History = append(d.History, r)
		}
	}
	if len(d.History) == 0 && !d.New {
		return d, web.NotFound()
	}
	return d, nil
}

func (s *Service) group(c *web.Ctx) error {
	d, err := s.groupPage(c)
	if err != nil {
		return err
	}
	f := web.NewForm("valid_from", clock.Day(c.Now).AddDate(0, 0, 1).Format(time.DateOnly), "rank", "1", "min_age", "0", "proof_kind", ProofIdentity)
	if !d.New {
		r := d.History[0] // the newest, also when it has not begun
		f.Set("rank", itoa(r.Rank))
		f.Set("min_age", itoa(r.MinAge))
		f.Set("proof_kind", r.ProofKind)
		for _, l := range Languages() {
			f.Set("name_"+l, r.Name[l])
			f.Set("proof_"+l, r.Proof[l])
		}
		if r.Open {
			f.Set("open", "1")
		}
	}
	return c.PageForm("programme/group", f, d)
}

func (s *Service) saveGroup(c *web.Ctx) error {
	d, err := s.groupPage(c)
	if err != nil {
		return err
	}
	f := c.Form()
	g := GroupRule{
		ProgrammeID: d.Programme.ID, Code: d.Code, ValidFrom: f.Day("valid_from", "programme.error.day"),
		Rank: f.Int("rank", 1, 99, "programme.error.number"), MinAge: f.Int("min_age", 0, 120, "programme.error.number"),
		Name: map[string]string{}, Proof: map[string]string{}, ProofKind: f.Get("proof_kind"), Open: f.Get("open") != "",
	}
	if d.New {
		g.Code = f.Get("code")
		if !validID(g.Code) || g.Code == newCode {
			f.Fail("code", "programme.error.code")
		}
	}
	for _, l := range Languages() {
		for name, words := range map[string]map[string]string{"name_": g.Name, "proof_": g.Proof} {
			w := f.Get(name + l)
			if w == "" || len([]rune(w)) > 300 {
				f.Fail(name+l, "programme.error.words")
			}
			words[l] = w
		}
	}
	if g.ProofKind != ProofIdentity && g.ProofKind != ProofEmployer && g.ProofKind != ProofDoctor {
		f.Fail("proof_kind", "programme.error.choose")
	}
	if !f.OK() {
		return c.PageForm("programme/group", f, d)
	}
	err = pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetGroup(c.Std(), tx, c.Now, g, by(c)) })
	if err != nil {
		return problem(err)
	}
	c.Flash("programme.saved")
	return c.See("/admin/groups?programme=" + d.Programme.ID)
}
