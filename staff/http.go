package staff

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"slices"
	"strings"

	"impfportal/internal/id"
	"impfportal/internal/web"
)

//go:embed templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "staff", FS: files}

var admin = []web.Role{web.RoleAdmin}

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	r := []web.Route{
		{Method: http.MethodGet, Path: "/staff/login", Handle: s.loginPage},
		{Method: http.MethodPost, Path: "/staff/login", Handle: s.login},
		{Method: http.MethodPost, Path: "/staff/logout", Roles: web.StaffRoles, Handle: s.logout},
		{Method: http.MethodGet, Path: "/admin/staff", Roles: admin, Nav: "staff.nav", NavGroup: "web.nav.control", Handle: s.list},
		{Method: http.MethodPost, Path: "/admin/staff", Roles: admin, Handle: s.create},
		{Method: http.MethodPost, Path: "/admin/staff/:id/disable", Roles: admin, Handle: s.disable(true)},
		{Method: http.MethodPost, Path: "/admin/staff/:id/enable", Roles: admin, Handle: s.disable(false)},
		{Method: http.MethodPost, Path: "/admin/staff/:id/renew", Roles: admin, Handle: s.renew},
		{Method: http.MethodPost, Path: "/api/v1/staff/sessions", API: web.JSON("Log staff in with password and one-time code", s.apiLogin)},
		{Method: http.MethodDelete, Path: "/api/v1/staff/sessions", Roles: web.StaffRoles, API: web.JSON("Log staff out", s.apiLogout)},
		{Method: http.MethodGet, Path: "/api/v1/admin/staff", Roles: admin, API: web.JSON("List accounts", s.apiList)},
		{Method: http.MethodPost, Path: "/api/v1/admin/staff", Roles: admin, API: web.JSON("Make an account; answers the secret of its one-time codes once", s.apiCreate)},
		{Method: http.MethodPatch, Path: "/api/v1/admin/staff/:id", Roles: admin, API: web.JSON("Disable or enable an account", s.apiDisable)},
		{Method: http.MethodPost, Path: "/api/v1/admin/staff/:id/renew", Roles: admin, API: web.JSON("New password and new one-time secret", s.apiRenew)},
	}
	if s.demo {
		r = append(r, web.Route{Method: http.MethodGet, Path: "/dev/logins", Nav: "staff.demo.title", Handle: s.demoPage})
	}
	return r
}

// homes is where each role begins its day, in this order.
var homes = []struct {
	role web.Role
	path string
}{
	{web.RoleAdmin, "/admin"},
	{web.RoleAgent, "/hotline"},
	{web.RoleSite, "/site"},
	{web.RoleDispatcher, "/teams"},
	{web.RoleTeam, "/teams/today"},
	{web.RoleIssuer, "/issuer"},
	{web.RoleAuditor, "/admin/audit"},
}

// Home is where an account begins its day.
func Home(u web.User) string {
	for _, h := range homes {
		if slices.Contains(u.Roles, h.role) {
			return h.path
		}
	}
	return "/"
}

func (s *Service) loginPage(c *web.Ctx) error {
	if c.User.Has(web.StaffRoles...) {
		return c.See(Home(*c.User))
	}
	return c.PageForm("staff/login", web.NewForm("to", c.Query("to")), s.loginView(c.Query("to")))
}

// loginView is what the page says; those who come from the pages of practices and
// pharmacies have a key and no password.
type loginView struct{ Demo, KeyFirst bool }

func (s *Service) loginView(to string) loginView {
	return loginView{s.demo, strings.HasPrefix(to, "/issuer")}
}

func (s *Service) login(c *web.Ctx) error {
	f := c.Form()
	u, err := s.Login(c.Std(), f.Get("login"), f.Get("password"), f.Get("code"), c.Network())
	switch {
	case errors.Is(err, ErrTooMany):
		return web.Fail(http.StatusTooManyRequests, "staff.error.too_many")
	case errors.Is(err, ErrLogin):
		f.Fail("login", "staff.error.refused")
		return c.PageForm("staff/login", f, s.loginView(f.Get("to")))
	case err != nil:
		return err
	}
	if _, err := c.Login(c.Std(), u, sessionTTL); err != nil {
		return err
	}
	return c.See(web.OwnPath(f.Get("to"), Home(u)))
}

func (s *Service) logout(c *web.Ctx) error {
	if err := c.Logout(); err != nil {
		return err
	}
	return c.See("/staff/login")
}

type listView struct {
	Accounts []Account
	Roles    []web.Option
	Scopes   []web.Option
	New      *newSecret
}

type newSecret struct{ Login, Secret string }

func (s *Service) view(c *web.Ctx) (listView, error) {
	v := listView{Scopes: []web.Option{{Value: "", Label: c.T("staff.scope.all")}}}
	var err error
	if v.Accounts, err = List(c.Std(), s.pool); err != nil {
		return v, err
	}
	for _, r := range web.StaffRoles {
		if r == web.RoleIssuer {
			continue // see Create
		}
		v.Roles = append(v.Roles, web.Option{Value: string(r), Label: c.T("staff.role." + string(r))})
	}
	if s.scopes != nil {
		more, err := s.scopes(c.Std())
		if err != nil {
			return v, err
		}
		v.Scopes = append(v.Scopes, more...)
	}
	return v, nil
}

func (s *Service) list(c *web.Ctx) error {
	v, err := s.view(c)
	if err != nil {
		return err
	}
	return c.Page("staff/list", v)
}

func (s *Service) create(c *web.Ctx) error {
	f := c.Form()
	n := NewAccount{
		Login: strings.ToLower(f.Get("login")), Name: f.Get("name"), Password: f.Get("password"),
		Roles: f.All("roles"), Scope: f.Get("scope"),
	}
	_, secret, err := s.Create(c.Std(), n, c.Actor())
	var p *web.Problem
	switch {
	case errors.As(err, &p):
		f.Take(p)
	case errors.Is(err, ErrLoginTaken):
		f.Fail("login", "staff.error.login_taken")
	case err != nil:
		return err
	}
	return s.showSecret(c, f, n.Login, secret)
}

// showSecret shows the list again, with the one-time secret when there is one:
// it stands on this one answer and nowhere else.
func (s *Service) showSecret(c *web.Ctx, f *web.Form, login, secret string) error {
	v, err := s.view(c)
	if err != nil {
		return err
	}
	if f.OK() {
		v.New = &newSecret{login, secret}
		f = web.NewForm()
	}
	return c.PageForm("staff/list", f, v)
}

func (s *Service) disable(disable bool) func(c *web.Ctx) error {
	return func(c *web.Ctx) error {
		if !id.Valid(c.Params("id")) {
			return web.NotFound()
		}
		err := s.Disable(c.Std(), c.Params("id"), disable, c.User)
		if errors.Is(err, ErrNotFound) {
			return web.NotFound()
		}
		if err != nil {
			return err
		}
		c.Flash("staff.saved")
		return c.See("/admin/staff")
	}
}

func (s *Service) renew(c *web.Ctx) error {
	if !id.Valid(c.Params("id")) {
		return web.NotFound()
	}
	f := c.Form()
	secret, err := s.Renew(c.Std(), c.Params("id"), f.Get("password"), c.Actor())
	var p *web.Problem
	if errors.Is(err, ErrNotFound) {
		return web.NotFound()
	} else if errors.As(err, &p) {
		f.Take(p)
	} else if err != nil {
		return err
	}
	return s.showSecret(c, f, f.Get("login"), secret)
}

func (s *Service) demoPage(c *web.Ctx) error {
	logins, err := s.demoLogins(c.Std())
	if err != nil {
		return err
	}
	if c.Query("format") == "json" {
		out := map[string]map[string]string{}
		for _, l := range logins {
			out[l.Login] = map[string]string{"password": DemoPassword, "code": l.Code}
		}
		return c.Ctx.JSON(out)
	}
	return c.Page("staff/demo", demoView{logins, DemoPassword, c.AtLocalhost()})
}

type demoView struct {
	Logins    []DemoLogin
	Password  string
	Elsewhere string // this page where security keys work; "" = here
}

// NameOf returns the name of an account, for pages that show who did something;
// the id when it is not known.
func (s *Service) NameOf(ctx context.Context, accountID string) string {
	var name string
	if err := s.pool.QueryRow(ctx, `SELECT name FROM staff.account WHERE id = $1`, accountID).Scan(&name); err != nil {
		return accountID
	}
	return name
}
