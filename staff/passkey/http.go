package passkey

import (
	"embed"
	"errors"
	"net/http"
	"regexp"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/staff"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "passkey", FS: files}

var admin = []web.Role{web.RoleAdmin}

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	get, post := http.MethodGet, http.MethodPost
	return []web.Route{
		{Method: get, Path: "/admin/keys", Roles: web.StaffRoles, Nav: "passkey.nav", NavGroup: "web.nav.control", Handle: s.keysPage},
		{Method: post, Path: "/admin/keys/:id/rename", Roles: web.StaffRoles, Handle: s.renameForm},
		{Method: post, Path: "/admin/keys/:id/remove", Roles: web.StaffRoles, Handle: s.removeForm},
		{Method: get, Path: "/admin/key-accounts", Roles: admin, Nav: "passkey.accounts.nav", NavGroup: "web.nav.control", Handle: s.accountsPage},
		{Method: post, Path: "/admin/key-accounts/:id/code", Roles: admin, Handle: s.codeForm},
		{Method: post, Path: "/admin/key-accounts/keys/:id/revoke", Roles: admin, Handle: s.revokeForm},
		{Method: get, Path: "/admin/key-models", Roles: admin, Nav: "passkey.models.nav", NavGroup: "web.nav.control", Handle: s.modelsPage},
		{Method: post, Path: "/admin/key-models", Roles: admin, Handle: s.modelForm},
		{Method: post, Path: "/admin/key-models/end", Roles: admin, Handle: s.modelEndForm},
		{Method: get, Path: "/staff/key", Handle: s.firstPage},
		{Method: post, Path: "/staff/login/key", Handle: s.loginForm},
		{Method: get, Path: "/staff/fresh/:action", Roles: web.StaffRoles, Handle: s.freshPage},
		{Method: post, Path: "/staff/fresh/:action", Roles: web.StaffRoles, Handle: s.freshForm},

		{Method: post, Path: "/api/v1/staff/keys/login/challenge", API: web.JSON("Begin a login with a security key", s.apiAskLogin)},
		{Method: post, Path: "/api/v1/staff/keys/login", API: web.JSON("Log staff in with a security key", s.apiLogin)},
		{Method: post, Path: "/api/v1/staff/keys/offers/code", API: web.JSON("Begin the first key of an account, with a set-up code", s.apiOfferCode)},
		{Method: post, Path: "/api/v1/staff/keys/offers/password", Roles: web.StaffRoles, API: web.JSON("Begin one's first key, with password and one-time code", s.apiOfferPassword)},
		{Method: post, Path: "/api/v1/staff/keys/offers/touch/challenge", Roles: web.StaffRoles, API: web.JSON("Ask for the touch that vouches for another key", s.apiAskAdditional)},
		{Method: post, Path: "/api/v1/staff/keys/offers/touch", Roles: web.StaffRoles, API: web.JSON("Begin another key, with a touch of one that is there", s.apiOfferAdditional)},
		{Method: post, Path: "/api/v1/staff/keys", API: web.JSON("Enrol a key that answers an offer", s.apiEnrol)},
		{Method: get, Path: "/api/v1/staff/keys", Roles: web.StaffRoles, API: web.JSON("One's own keys", s.apiKeys)},
		{Method: http.MethodPatch, Path: "/api/v1/staff/keys/:id", Roles: web.StaffRoles, API: web.JSON("Rename an own key", s.apiRename)},
		{Method: post, Path: "/api/v1/staff/keys/:id/removal/challenge", Roles: web.StaffRoles, API: web.JSON("Ask for the touch that removes an own key", s.apiAskRemove)},
		{Method: post, Path: "/api/v1/staff/keys/:id/removal", Roles: web.StaffRoles, API: web.JSON("Remove an own key with a touch; the last one stays", s.apiRemove)},
		{Method: post, Path: "/api/v1/staff/fresh/:action/challenge", Roles: web.StaffRoles, API: web.JSON("Ask for the touch that makes this session fresh for a deed", s.apiAskFresh)},
		{Method: post, Path: "/api/v1/staff/fresh/:action", Roles: web.StaffRoles, API: web.JSON("Make this session fresh for a deed, for 15 minutes", s.apiRefresh)},
		{Method: post, Path: "/api/v1/admin/staff/:id/key-code", Roles: admin, API: web.JSON("A one-time set-up code for the first key of an account; answered once", s.apiCode)},
		{Method: http.MethodDelete, Path: "/api/v1/admin/keys/:id", Roles: admin, API: web.JSON("Disable somebody's key, for example a lost one", s.apiRevoke)},
		{Method: get, Path: "/api/v1/admin/key-models", Roles: admin, API: web.JSON("Authenticator models and when they are allowed", s.apiModels)},
		{Method: http.MethodDelete, Path: "/api/v1/admin/key-models/:aaguid/:from", Roles: admin, API: web.JSON("Stop an authenticator model: from now on no key of it counts", s.apiEndModel)},
		{Method: post, Path: "/api/v1/admin/key-models", Roles: admin, API: web.JSON("Allow an authenticator model from a day on; two people decide it, except during the first set-up", s.apiAllowModel)},
	}
}

var actionPattern = regexp.MustCompile(`^[a-z][a-z0-9.-]{1,39}$`)

// validAction: what a session may be made fresh for has a plain name, and is none
// of the deeds that are bound to something else.
func validAction(action string) bool {
	return actionPattern.MatchString(action) && action != actionAdd && action != actionCreate && action != actionLogin && action != actionRemove && action != "approve"
}

// Elsewhere is this page at the address where keys work, in a local run that was
// opened by its number; "" = they work here.
func (s *Service) Elsewhere(c *web.Ctx) string {
	if !s.cfg.Local {
		return ""
	}
	return c.AtLocalhost()
}

type keysView struct {
	Keys      []Credential
	Has, New  bool
	Password  bool // the account has one
	Local     bool
	Elsewhere string
}

func (s *Service) keysPage(c *web.Ctx) error { return s.showKeys(c, web.NewForm()) }

func (s *Service) showKeys(c *web.Ctx, f *web.Form) error {
	v := keysView{New: c.Query("new") != "", Password: !c.User.Has(web.RoleIssuer), Local: s.cfg.Local, Elsewhere: s.Elsewhere(c)}
	var err error
	if v.Keys, err = Keys(c.Std(), s.pool, c.User.ID, c.Now); err != nil {
		return err
	}
	for _, k := range v.Keys {
		v.Has = v.Has || k.DisabledAt == nil
	}
	return c.PageForm("passkey/keys", f, v)
}

func (s *Service) renameForm(c *web.Ctx) error {
	f := c.Form()
	err := s.rename(c, c.Params("id"), f.Get("name"))
	var p *web.Problem
	if errors.As(err, &p) && len(p.Fields) > 0 {
		f.Take(p)
		return s.showKeys(c, f)
	}
	if err != nil {
		return err
	}
	c.Flash("passkey.renamed")
	return c.See("/admin/keys")
}

func (s *Service) removeForm(c *web.Ctx) error {
	t, err := FormTouch(c.Form())
	if err == nil {
		_, err = s.apiRemove(c, RemoveIn{c.Params("id"), t})
	}
	if err = Problem(err); err != nil {
		return err
	}
	c.Flash("passkey.removed")
	return c.See("/admin/keys")
}

func (s *Service) firstPage(c *web.Ctx) error {
	return c.PageForm("passkey/first", web.NewForm(), keysView{New: c.Query("new") != "", Local: s.cfg.Local, Elsewhere: s.Elsewhere(c)})
}

func (s *Service) loginForm(c *web.Ctx) error {
	f := c.Form()
	t, err := FormTouch(f)
	if err != nil {
		return Problem(err)
	}
	u, err := s.Login(c.Std(), t, c.Network())
	if err = Problem(err); err != nil {
		var p *web.Problem
		if errors.As(err, &p) {
			p.Link, p.LinkKey = "/staff/login", "web.login"
		}
		return err
	}
	if _, err := staff.StartSession(c, u); err != nil {
		return err
	}
	return c.See(web.OwnPath(f.Get("to"), staff.Home(u)))
}

type freshView struct {
	Action, To string
	Minutes    int
	Elsewhere  string
}

func (s *Service) freshPage(c *web.Ctx) error {
	if !validAction(c.Params("action")) {
		return web.NotFound()
	}
	return c.Page("passkey/fresh", freshView{c.Params("action"), web.OwnPath(c.Query("to"), staff.Home(*c.User)), int(FreshFor.Minutes()), s.Elsewhere(c)})
}

func (s *Service) freshForm(c *web.Ctx) error {
	if !validAction(c.Params("action")) {
		return web.NotFound()
	}
	f := c.Form()
	t, err := FormTouch(f)
	if err == nil {
		_, err = s.Refresh(c.Std(), c, c.Params("action"), t)
	}
	if err != nil {
		return Problem(err)
	}
	return c.See(web.OwnPath(f.Get("to"), staff.Home(*c.User)))
}

// AdminCard tells of copied keys, on the administration's first page, for a week.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "passkey/_card", Data: func(c *web.Ctx) (any, error) {
		var n int
		err := s.pool.QueryRow(c.Std(), `SELECT count(*) FROM staff.credential WHERE disabled_why = 'cloned' AND disabled_at > $1`, c.Now.AddDate(0, 0, -7)).Scan(&n)
		if err != nil || n == 0 {
			return nil, err
		}
		return n, nil
	}}
}

// accountRow is an account with its keys, for administrators.
type accountRow struct {
	ID, Login, Name string
	Roles           []string
	Disabled        bool
	Keys            []Credential
	Has             bool
}

type accountsView struct {
	Accounts []accountRow
	Code     *CodeOut
	For      string
}

func (s *Service) accountsPage(c *web.Ctx) error { return s.showAccounts(c, accountsView{}) }

func (s *Service) showAccounts(c *web.Ctx, v accountsView) error {
	accounts, err := staff.List(c.Std(), s.pool)
	if err != nil {
		return err
	}
	rows, err := s.pool.Query(c.Std(), `SELECT `+credentialColumns+credentialFrom+`ORDER BY k.disabled_at IS NOT NULL, k.created_at`, clock.Day(c.Now))
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Credential])
	if err != nil {
		return err
	}
	byAccount := map[string][]Credential{}
	for _, k := range all {
		byAccount[k.AccountID] = append(byAccount[k.AccountID], k)
	}
	for _, a := range accounts {
		r := accountRow{ID: a.ID, Login: a.Login, Name: a.Name, Roles: a.Roles, Disabled: a.DisabledAt != nil, Keys: byAccount[a.ID]}
		r.Has = len(r.Keys) > 0 && r.Keys[0].DisabledAt == nil
		if v.Code != nil && a.ID == c.Params("id") {
			v.For = a.Login
		}
		v.Accounts = append(v.Accounts, r)
	}
	return c.Page("passkey/accounts", v)
}

func (s *Service) codeForm(c *web.Ctx) error {
	out, err := s.newCode(c, c.Params("id"))
	if err != nil {
		return err
	}
	return s.showAccounts(c, accountsView{Code: &out})
}

func (s *Service) revokeForm(c *web.Ctx) error {
	if _, err := s.apiRevoke(c, KeyIn{c.Params("id")}); err != nil {
		return err
	}
	c.Flash("passkey.revoked")
	return c.See("/admin/key-accounts")
}

type modelsView struct {
	Models  []modelRow
	Waiting []WaitingModel
	First   bool // one administrator alone allows a model
	Local   bool
}

type modelRow struct {
	Model

	Now bool
}

func (s *Service) modelsPage(c *web.Ctx) error { return s.showModels(c, web.NewForm()) }

// models gathers the list, and what waits to be on it.
func (s *Service) models(c *web.Ctx) (v modelsView, err error) {
	v.Local = s.cfg.Local
	models, err := Models(c.Std(), s.pool)
	if err != nil {
		return v, err
	}
	for _, m := range models {
		v.Models = append(v.Models, modelRow{m, m.InForce(c.Now) && (!m.Virtual || s.cfg.Local)})
	}
	if v.Waiting, err = WaitingModels(c.Std(), s.pool, c.Now); err != nil {
		return v, err
	}
	v.First, err = FirstSetup(c.Std(), s.pool)
	return v, err
}

func (s *Service) showModels(c *web.Ctx, f *web.Form) error {
	v, err := s.models(c)
	if err != nil {
		return err
	}
	return c.PageForm("passkey/models", f, v)
}

func (s *Service) modelForm(c *web.Ctx) error {
	f := c.Form()
	out, err := s.apiAllowModel(c, ModelIn{AAGUID: f.Get("aaguid"), Name: f.Get("name"), From: f.Get("from"), To: f.Get("to"), Roots: f.Get("roots"), Why: f.Get("why")})
	var p *web.Problem
	if errors.As(err, &p) && len(p.Fields) > 0 {
		f.Take(p)
		return s.showModels(c, f)
	}
	if err != nil {
		return err
	}
	if out.ProposalID == "" {
		c.Flash("passkey.models.saved")
	} else {
		c.Flash("passkey.models.proposed")
	}
	return c.See("/admin/key-models")
}

func (s *Service) modelEndForm(c *web.Ctx) error {
	f := c.Form()
	if _, err := s.apiEndModel(c, EndModelIn{f.Get("aaguid"), f.Get("from")}); err != nil {
		return err
	}
	c.Flash("passkey.models.saved")
	return c.See("/admin/key-models")
}
