package statement

import (
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this package's pages and texts.
var Assets = web.Bundle{Name: "statement", FS: files}

var (
	operator = []web.Role{web.RoleIssuer}
	admin    = []web.Role{web.RoleAdmin}
	overseer = []web.Role{web.RoleAdmin, web.RoleAuditor}
)

// Routes lists this package's addresses.
func (s *Service) Routes() []web.Route {
	own, all := "/issuer/statements", "/admin/statements"
	return []web.Route{
		{Method: http.MethodGet, Path: own, Roles: operator, Nav: "statement.nav", Handle: s.ownPage},
		{Method: http.MethodGet, Path: own + "/:id", Roles: operator, Handle: s.ownOne},
		{Method: http.MethodGet, Path: own + "/:id/:file", Roles: operator, Handle: s.ownFile},
		{Method: http.MethodGet, Path: all, Roles: overseer, Nav: "statement.nav_admin", NavGroup: "web.nav.control", Handle: s.adminPage},
		{Method: http.MethodPost, Path: all + "/tariff", Roles: admin, Handle: s.tariffForm},
		{Method: http.MethodGet, Path: all + "/:id", Roles: overseer, Handle: s.adminOne},
		{Method: http.MethodGet, Path: all + "/:id/:file", Roles: overseer, Handle: s.adminFile},
		{Method: http.MethodGet, Path: "/api/v1/issuer/statements", Roles: operator, API: web.JSON("This issuer's monthly statements, newest first", s.apiOwn)},
		{Method: http.MethodGet, Path: "/api/v1/issuer/statements/:id", Roles: operator, API: web.JSON("One of this issuer's statements with its lines", s.apiOwnOne)},
		{Method: http.MethodGet, Path: "/api/v1/admin/statements", Roles: overseer, API: web.JSON("Settled months with their totals; with a month, its statements", s.apiMonths)},
		{Method: http.MethodGet, Path: "/api/v1/admin/statements/:id", Roles: overseer, API: web.JSON("One statement with its lines", s.apiOne)},
		{Method: http.MethodGet, Path: "/api/v1/admin/tariff", Roles: overseer, API: web.JSON("What a certificate is worth, by kind of issuer, item and day", s.apiTariff)},
	}
}

// ref is the issuer of whoever asks: an operator's scope is its issuer.
func ref(c *web.Ctx) (string, error) {
	if !id.Valid(c.User.Scope) {
		return "", web.Forbidden()
	}
	return "issuer:" + c.User.Scope, nil
}

type ownView struct{ Statements []Statement }

func (s *Service) ownPage(c *web.Ctx) error {
	if !id.Valid(c.User.Scope) {
		return c.Page("statement/own", ownView{}) // an account of no place
	}
	r, err := ref(c)
	if err != nil {
		return err
	}
	list, err := Of(c.Std(), s.Pool, r)
	if err != nil {
		return err
	}
	return c.Page("statement/own", ownView{list})
}

func (s *Service) ownFile(c *web.Ctx) error {
	r, err := ref(c)
	if err != nil {
		return err
	}
	return s.file(c, r)
}

func (s *Service) adminFile(c *web.Ctx) error { return s.file(c, "") }

// file sends one of a statement's files; ref "" is any issuer's.
func (s *Service) file(c *web.Ctx, ref string) error {
	st, err := s.find(c, c.Params("id"), ref)
	if err != nil {
		return err
	}
	name := "abrechnung-" + st.No()
	switch c.Params("file") {
	case "statement.pdf":
		body, err := s.PDF(c.Std(), st)
		if err != nil {
			return err
		}
		return c.Download("application/pdf", name+".pdf", body)
	case "lines.csv":
		body, err := s.CSV(c.Std(), st)
		if err != nil {
			return err
		}
		return c.Download("text/csv; charset=utf-8", name+".csv", body)
	case "proofs.json":
		p, err := s.Proofs(c.Std(), st)
		if err != nil {
			return err
		}
		body, err := json.Marshal(p)
		if err != nil {
			return err
		}
		return c.Download("application/json", name+"-nachweise.json", body)
	}
	return web.NotFound()
}

func (s *Service) find(c *web.Ctx, statementID, ref string) (Statement, error) {
	if !id.Valid(statementID) {
		return Statement{}, web.NotFound()
	}
	st, err := Get(c.Std(), s.Pool, statementID, ref)
	if errors.Is(err, ErrNotFound) {
		err = web.NotFound()
	}
	return st, err
}

type adminView struct {
	Months     []Month
	Shown      *Month // whose statements are listed
	Statements []Statement
	More       bool
	Tariff     Tariff
	Kinds      []web.Option
	Items      []web.Option
	MayWrite   bool
}

var monthPattern = regexp.MustCompile(`^\d{4}-\d{2}$`)

// monthIn reads a month as addresses have it; the zero time is none.
func monthIn(text string) time.Time {
	if !monthPattern.MatchString(text) {
		return time.Time{}
	}
	m, _ := time.Parse("2006-01", text) //nolint:errcheck // a month that there is not has no statements
	return m
}

func (s *Service) adminPage(c *web.Ctx) error {
	return s.showAdmin(c, web.NewForm("month", c.Query("month"), "q", c.Query("q")))
}

func (s *Service) showAdmin(c *web.Ctx, f *web.Form) error {
	v := adminView{MayWrite: c.User.Has(web.RoleAdmin)}
	var err error
	if v.Months, err = Months(c.Std(), s.Pool); err != nil {
		return err
	}
	month := monthIn(c.Query("month"))
	for i, m := range v.Months {
		if m.Done() && (month.IsZero() || m.Month.Equal(month)) {
			v.Shown = &v.Months[i]
			break
		}
	}
	if v.Shown != nil {
		if v.Statements, err = OfMonth(c.Std(), s.Pool, v.Shown.Month, c.Query("q")); err != nil {
			return err
		}
		v.More = len(v.Statements) == listMost
	}
	if v.Tariff, err = Rates(c.Std(), s.Pool); err != nil {
		return err
	}
	for _, k := range kinds {
		v.Kinds = append(v.Kinds, web.Option{Value: k, Label: c.T("statement.kind." + kindKey(k))})
	}
	for _, i := range billable {
		v.Items = append(v.Items, web.Option{Value: i, Label: c.T("statement.item." + i)})
	}
	return c.PageForm("statement/admin", f, v)
}

// kinds are the kinds of issuers that may have a tariff of their own.
var kinds = []string{"", "practice", "pharmacy", "centre", "mobile"}

func kindKey(kind string) string {
	if kind == "" {
		return "all"
	}
	return kind
}

// KindKey names the text of a rate's kind.
func (r Rate) KindKey() string { return "statement.kind." + kindKey(r.IssuerKind) }

// MonthName is the statement's month as people read it.
func (s Statement) MonthName(lang string) string { return monthName(lang, s.Month) }

// Money is what the statement is worth as people read it.
func (s Statement) Money(lang string) string { return money(lang, s.Cents) }

// Name is the month as people read it.
func (m Month) Name(lang string) string { return monthName(lang, m.Month) }

// Money is what the month is worth as people read it.
func (m Month) Money(lang string) string { return money(lang, m.Cents) }

// Key is the month as addresses have it.
func (m Month) Key() string { return m.Month.Format("2006-01") }

// Money is the rate as people read it.
func (r Rate) Money(lang string) string { return money(lang, int64(r.Cents)) }

var eurosPattern = regexp.MustCompile(`^\d{1,3}([.,]\d{2})?$`)

func (s *Service) tariffForm(c *web.Ctx) error {
	f := c.Form()
	r := Rate{IssuerKind: f.Get("kind"), Item: f.Get("item"), Source: f.Get("source"), SetBy: c.Actor()}
	if !eurosPattern.MatchString(f.Get("euro")) {
		f.Fail("euro", "statement.error.euro")
	} else {
		r.Cents = cents(f.Get("euro"))
	}
	var err error
	if r.From, err = time.Parse(time.DateOnly, f.Get("from")); err != nil || r.From.Year() < 2020 || r.From.Year() > 2100 {
		f.Fail("from", "statement.error.day")
	}
	if r.Source == "" || len(r.Source) > 200 {
		f.Fail("source", "statement.error.source")
	}
	if f.OK() {
		err := s.SetRate(c, r)
		switch {
		case errors.Is(err, ErrSettled):
			f.Fail("from", "statement.error.settled")
		case pg.Violates(err, "statement_tariff_kind"), pg.Violates(err, "statement_tariff_item"):
			return web.Fail(http.StatusUnprocessableEntity, "statement.error.item")
		case err != nil:
			return err
		}
	}
	if !f.OK() {
		return s.showAdmin(c, f)
	}
	c.Flash("statement.tariff.done")
	return c.See("/admin/statements")
}

// cents reads an amount that matches eurosPattern.
func cents(euros string) (n int) {
	whole := true
	for _, r := range euros {
		if r < '0' || r > '9' {
			whole = false
			continue
		}
		n = n*10 + int(r-'0')
	}
	if whole {
		n *= 100
	}
	return n
}

// SetRate writes a row of the tariff, in the name of who asks; ErrSettled when
// there are statements for its days.
func (s *Service) SetRate(c *web.Ctx, r Rate) error {
	err := pg.InTx(c.Std(), s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(c.Std(), `
			INSERT INTO certificate.statement_tariff (issuer_kind, item, from_day, cents, source, set_by) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (issuer_kind, item, from_day) DO UPDATE SET cents = excluded.cents, source = excluded.source, set_by = excluded.set_by`,
			r.IssuerKind, r.Item, r.From, r.Cents, r.Source, r.SetBy); err != nil {
			return err
		}
		return audit.Write(c.Std(), tx, s.Now(), audit.Entry{
			Actor: c.Actor(), Role: c.Role(web.RoleAdmin), Action: "statement.tariff", Subject: "tariff:" + kindKey(r.IssuerKind) + "/" + r.Item,
			After: map[string]any{"from": r.From.Format(time.DateOnly), "cents": r.Cents, "source": r.Source},
		})
	})
	if pg.Violates(err, "statement_tariff_past") {
		return ErrSettled
	}
	return err
}
