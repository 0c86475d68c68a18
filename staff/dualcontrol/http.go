package dualcontrol

import (
	"embed"
	"errors"
	"net/http"
	"net/url"

	"impfportal/internal/web"
	"impfportal/staff/passkey"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "dualcontrol", FS: files}

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	get, post := http.MethodGet, http.MethodPost
	admin, readers := []web.Role{web.RoleAdmin}, []web.Role{web.RoleAdmin, web.RoleAuditor}
	return []web.Route{
		{Method: get, Path: "/admin/approvals", Roles: readers, Nav: "dualcontrol.nav", NavGroup: "web.nav.control", Handle: s.page},
		{Method: get, Path: "/admin/approvals/:id", Roles: readers, Handle: s.onePage},
		{Method: post, Path: "/admin/approvals/approvers", Roles: admin, Handle: s.admitForm},
		{Method: post, Path: "/admin/approvals/:id/approve", Roles: admin, Handle: s.approveForm},
		{Method: post, Path: "/admin/approvals/:id/refuse", Roles: admin, Handle: s.refuseForm},
		{Method: post, Path: "/admin/approvals/:id/withdraw", Roles: admin, Handle: s.withdrawForm},

		{Method: get, Path: "/api/v1/admin/proposals", Roles: readers, API: web.JSON("Proposals that two people decide: the open ones, or those that are closed", s.apiList)},
		{Method: get, Path: "/api/v1/admin/proposals/:id", Roles: readers, API: web.JSON("A proposal; its stored assertions are verified again", s.apiGet)},
		{Method: post, Path: "/api/v1/admin/proposals/:id/challenge", Roles: admin, API: web.JSON("Ask for the touch that approves a proposal", s.apiAsk)},
		{Method: post, Path: "/api/v1/admin/proposals/:id/approvals", Roles: admin, API: web.JSON("Approve a proposal with a touch; the second approval applies it", s.apiApprove)},
		{Method: post, Path: "/api/v1/admin/proposals/:id/refusal", Roles: admin, API: web.JSON("Refuse a proposal", s.apiRefuse)},
		{Method: http.MethodDelete, Path: "/api/v1/admin/proposals/:id", Roles: admin, API: web.JSON("Withdraw an own proposal", s.apiWithdraw)},
		{Method: post, Path: "/api/v1/admin/approvers", Roles: admin, API: web.JSON("Propose that an account may approve", s.apiAdmit)},
	}
}

// proposalView is a proposal in words.
type proposalView struct {
	Proposal

	Title     string
	Changes   []Change
	Proposer  string
	Closer    string
	Approvals []approvalView
	Valid     int // approvals that count
	// What this user may do.
	MayApprove, MayRefuse, MayWithdraw bool
	Barred                             string // key of the text why not
}

type approvalView struct {
	Approval

	Name, Key string
	Verified  bool
}

// listed is how many closed proposals the page shows.
const listed = 50

func (s *Service) list(c *web.Ctx, open bool) ([]proposalView, error) {
	limit := listed
	if open {
		limit = 200
	}
	list, err := List(c.Std(), s.pool, open, limit)
	if err != nil {
		return nil, err
	}
	var out []proposalView
	for _, p := range list {
		v, err := s.viewOf(c, p)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// viewOf says a proposal in words, and verifies the assertions of its approvals.
func (s *Service) viewOf(c *web.Ctx, p Proposal) (v proposalView, err error) {
	v.Proposal, v.Title = p, p.Kind
	if h, known := s.handlers[p.Kind]; known {
		if v.Title, err = h.Title(c, p); err != nil {
			return v, err
		}
		if h.Changes != nil {
			if v.Changes, err = h.Changes(c, p); err != nil {
				return v, err
			}
		}
	}
	if v.Proposer, err = s.name(c, p.ProposedBy); err != nil {
		return v, err
	}
	if v.Closer, err = s.name(c, p.ClosedBy); err != nil {
		return v, err
	}
	approvals, err := Approvals(c.Std(), s.pool, p.ID)
	if err != nil {
		return v, err
	}
	did := false
	for _, a := range approvals {
		av := approvalView{Approval: a}
		if av.Name, err = s.name(c, a.AccountID); err != nil {
			return v, err
		}
		if err := s.pool.QueryRow(c.Std(), `SELECT name FROM staff.credential WHERE id = $1`, a.CredentialID).Scan(&av.Key); err != nil {
			return v, err
		}
		if err := s.cfg.Keys.Reverify(c.Std(), s.pool, a.TouchID); err == nil {
			av.Verified = true
		} else if !passkey.IsRefused(err) {
			return v, err
		}
		if a.VoidedAt == nil {
			v.Valid++
			did = did || a.AccountID == c.User.ID
		}
		v.Approvals = append(v.Approvals, av)
	}
	if p.State != Open || !c.User.Has(web.RoleAdmin) {
		return v, nil
	}
	v.MayWithdraw = p.ProposedBy == c.User.ID
	switch err := s.mayDecide(c.Std(), s.pool, p, c.User.ID); {
	case err == nil:
		v.MayRefuse, v.MayApprove = true, !did
		if did {
			v.Barred = "dualcontrol.did"
		}
	case errors.Is(err, ErrOwnConcern):
		v.Barred = "dualcontrol.error.own"
	case errors.Is(err, ErrNotApprover):
		v.Barred = "dualcontrol.error.approver"
	case errors.Is(err, ErrClosed):
		v.Barred = "dualcontrol.error.closed"
	default:
		return v, err
	}
	return v, nil
}

// name of an account; "" for none.
func (s *Service) name(c *web.Ctx, accountID string) (name string, err error) {
	if accountID == "" {
		return "", nil
	}
	err = s.pool.QueryRow(c.Std(), `SELECT name FROM staff.account WHERE id = $1`, accountID).Scan(&name)
	return name, err
}

type view struct {
	Open, Closed []proposalView
	Approvers    []Approver
	Candidates   []web.Option
	Elsewhere    string
	Approves     int // approvers there are
}

func (s *Service) page(c *web.Ctx) error { return s.show(c, web.NewForm()) }

func (s *Service) show(c *web.Ctx, f *web.Form) error {
	v := view{Elsewhere: s.cfg.Keys.Elsewhere(c)}
	var err error
	if v.Open, err = s.list(c, true); err != nil {
		return err
	}
	if v.Closed, err = s.list(c, false); err != nil {
		return err
	}
	if v.Approvers, err = Approvers(c.Std(), s.pool); err != nil {
		return err
	}
	for _, a := range v.Approvers {
		if a.EndedAt == nil {
			v.Approves++
		}
	}
	candidates, err := Candidates(c.Std(), s.pool)
	if err != nil {
		return err
	}
	for _, a := range candidates {
		v.Candidates = append(v.Candidates, web.Option{Value: a.AccountID, Label: a.Name})
	}
	return c.PageForm("dualcontrol/list", f, v)
}

type oneView struct {
	P         proposalView
	Elsewhere string
}

func (s *Service) onePage(c *web.Ctx) error { return s.showOne(c, web.NewForm()) }

func (s *Service) showOne(c *web.Ctx, f *web.Form) error {
	p, err := Get(c.Std(), s.pool, c.Params("id"))
	if err != nil {
		return Problem(err)
	}
	v, err := s.viewOf(c, p)
	if err != nil {
		return err
	}
	return c.PageForm("dualcontrol/one", f, oneView{v, s.cfg.Keys.Elsewhere(c)})
}

func (s *Service) approveForm(c *web.Ctx) error {
	t, err := passkey.FormTouch(c.Form())
	if err == nil {
		err = s.Approve(c.Std(), c.Params("id"), c.User.ID, t)
	}
	if err = Problem(err); err != nil {
		var p *web.Problem
		if errors.As(err, &p) && p.Link == "" {
			p.Link, p.LinkKey = "/admin/approvals/"+url.PathEscape(c.Params("id")), "dualcontrol.back"
		}
		return err
	}
	p, err := Get(c.Std(), s.pool, c.Params("id"))
	if err != nil {
		return err
	}
	if p.State == Applied {
		c.Flash("dualcontrol.flash.applied")
	} else {
		c.Flash("dualcontrol.flash.approved")
	}
	return c.See("/admin/approvals/" + p.ID)
}

func (s *Service) refuseForm(c *web.Ctx) error {
	f := c.Form()
	if !validWhy(f.Get("why")) {
		f.Fail("why", "dualcontrol.error.why")
		return s.showOne(c, f)
	}
	if err := s.Refuse(c.Std(), c.Params("id"), c.User.ID, f.Get("why")); err != nil {
		return Problem(err)
	}
	c.Flash("dualcontrol.flash.refused")
	return c.See("/admin/approvals")
}

func (s *Service) withdrawForm(c *web.Ctx) error {
	if err := s.Withdraw(c.Std(), c.Params("id"), c.User.ID); err != nil {
		return Problem(err)
	}
	c.Flash("dualcontrol.flash.withdrawn")
	return c.See("/admin/approvals")
}

func (s *Service) admitForm(c *web.Ctx) error {
	f := c.Form()
	out, err := s.apiAdmit(c, AdmitIn{f.Get("account"), f.Get("why")})
	var p *web.Problem
	if errors.As(err, &p) && len(p.Fields) > 0 {
		f.Take(p)
		return s.show(c, f)
	}
	if err != nil {
		return err
	}
	c.Flash("dualcontrol.flash.proposed")
	return c.See("/admin/approvals/" + out.ID)
}

// AdminCard shows how many proposals wait, on the administration's first page.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "dualcontrol/_card", Data: func(c *web.Ctx) (any, error) {
		var n int
		if err := s.pool.QueryRow(c.Std(), `SELECT count(*) FROM staff.proposal WHERE state = 'open' AND expires_at > $1`, c.Now).Scan(&n); err != nil || n == 0 {
			return nil, err
		}
		return n, nil
	}}
}
