package stop

import (
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the pages and texts of this package.
var Assets = web.Bundle{Name: "stop", FS: files}

// Routes are the public notice, the switch, and their operations.
func (s *Service) Routes() []web.Route {
	admin := []web.Role{web.RoleAdmin}
	readers := []web.Role{web.RoleAdmin, web.RoleAuditor}
	return []web.Route{
		{Method: http.MethodGet, Path: "/certificates/notice", Handle: s.showNotice},
		{Method: http.MethodGet, Path: "/api/v1/certificates/notices", API: web.JSON("What is said in public about stops of issuing: open ones and those that ended within a day", s.apiNotices)},

		{Method: http.MethodGet, Path: "/admin/stop", Roles: readers, Nav: "stop.nav", NavGroup: "web.nav.certificates", Handle: s.showSwitch},
		{Method: http.MethodPost, Path: "/admin/stop", Roles: admin, Handle: s.postOrder},
		{Method: http.MethodGet, Path: "/admin/stop/:id", Roles: readers, Handle: s.showStop},
		{Method: http.MethodPost, Path: "/admin/stop/:id/return", Roles: admin, Handle: s.postReturn},
		{Method: http.MethodPost, Path: "/admin/stop/:id/lift", Roles: admin, Handle: s.postLift},
		{Method: http.MethodPost, Path: "/admin/stop/:id/cohorts/:cohort/admit", Roles: admin, Handle: s.postAdmit},

		{Method: http.MethodPost, Path: "/api/v1/admin/certificate-stops", Roles: admin, API: web.JSON("Stop issuing, at once; the answer comes when it has effect everywhere", s.apiOrder)},
		{Method: http.MethodPost, Path: "/api/v1/admin/certificate-stops/:id/cohorts/:cohort/admit", Roles: admin, API: web.JSON("Verify the members of the next cohort and let in who passes", s.apiAdmit)},
	}
}

type noticePage struct {
	Notices []Notice
	Now     time.Time
}

func (s *Service) showNotice(c *web.Ctx) error {
	list, err := s.Notices(c)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Page("stop/notice", noticePage{list, c.Now})
}

// switchPage is the administration's page.
type switchPage struct {
	Stops                        []row
	Kinds, Paths, Regions, Signs []web.Option
	May                          bool
}

// row is a stop with its words.
type row struct {
	Stop
	What string
}

func (s *Service) showSwitch(c *web.Ctx) error { return s.pageSwitch(c, nil) }

func (s *Service) pageSwitch(c *web.Ctx, f *web.Form) error {
	list, err := List(c.Std(), s.Pool)
	if err != nil {
		return err
	}
	p := switchPage{May: c.User.Has(web.RoleAdmin)}
	for _, st := range list {
		p.Stops = append(p.Stops, row{st, scopeText(c, st.Scope)})
	}
	options := func(values []string, prefix string) (out []web.Option) {
		out = append(out, web.Option{Value: "", Label: c.T("stop.any")})
		for _, v := range values {
			out = append(out, web.Option{Value: v, Label: c.T(prefix + v)})
		}
		return out
	}
	p.Kinds, p.Paths = options(kinds, "stop.kind."), options(paths, "stop.path.")
	if p.Regions, err = s.regions(c); err != nil {
		return err
	}
	p.Signs = append([]web.Option{{Value: "", Label: c.T("stop.any")}}, s.Signers(c)...)
	if f == nil {
		f = c.Form()
		f.Set("reason_de", c.T("stop.order.default_de"))
		f.Set("reason_en", c.T("stop.order.default_en"))
	}
	return c.PageForm("stop/switch", f, p)
}

// regions are those in which somebody issues.
func (s *Service) regions(c *web.Ctx) ([]web.Option, error) {
	issuers, err := s.Issuers(c.Std(), s.Pool)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, i := range issuers {
		if i.Region != "" {
			known = append(known, i.Region)
		}
	}
	slices.Sort(known)
	out := []web.Option{{Value: "", Label: c.T("stop.any")}}
	for _, r := range slices.Compact(known) {
		out = append(out, web.Option{Value: r, Label: c.T("stop.region", "Region", r)})
	}
	return out, nil
}

func (s *Service) postOrder(c *web.Ctx) error {
	f := c.Form()
	o := Order{
		Scope:    Scope{Kind: f.Get("kind"), Path: f.Get("path"), Region: f.Get("region"), KID: f.Get("kid")},
		ReasonDE: f.Get("reason_de"), ReasonEN: f.Get("reason_en"), Internal: f.Get("internal"), Actor: c.Actor(), Role: string(web.RoleAdmin),
	}
	for _, name := range []string{"reason_de", "reason_en", "internal"} {
		if f.Get(name) == "" {
			f.Fail(name, "stop.error."+name)
		}
	}
	if text := f.Get("expected"); text != "" {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			f.Fail("expected", "stop.error.expected")
		}
		o.Expected = &day
	}
	// Stopping everything is one tick more: it must not happen by a slip.
	if o.Everything() && f.Get("all") == "" {
		f.Fail("all", "stop.error.all")
	}
	if !f.OK() {
		return s.pageSwitch(c, f)
	}
	stopID, err := s.Order(c.Std(), o)
	switch {
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "stop.error.invalid")
	case errors.Is(err, ErrUnderWay):
		c.Flash("stop.under_way")
	case err != nil:
		return err
	default:
		c.Flash("stop.ordered")
	}
	return c.See("/admin/stop/" + stopID)
}

// stopPage shows one stop and its return.
type stopPage struct {
	row
	By        string
	Waiting   int
	Cohorts   []Cohort
	Next      int // cohort that may be admitted; 0 = none
	Health    Health
	Problems  []problem
	Proposals []dualcontrol.Proposal
	May       bool
	Notice    Notice
}

type problem struct{ Ref, Why string }

func (s *Service) showStop(c *web.Ctx) error { return s.pageStop(c, c.Form()) }

func (s *Service) pageStop(c *web.Ctx, f *web.Form) error {
	ctx := c.Std()
	st, err := Get(ctx, s.Pool, c.Params("id"))
	if errors.Is(err, ErrNotFound) {
		return web.NotFound()
	}
	if err != nil {
		return err
	}
	p := stopPage{row: row{st, scopeText(c, st.Scope)}, May: c.User.Has(web.RoleAdmin), By: st.OrderedBy}
	if s.Admin != nil {
		p.By = s.Admin(ctx, strings.TrimPrefix(st.OrderedBy, "staff:"))
	}
	p.Notice = Notice{Stop: st, What: p.What, Why: st.Reason(c.Lang), NotAffected: notAffected(c, st.Scope), Over: st.State == Lifted}
	if err := s.Pool.QueryRow(ctx, `SELECT count(*) FROM certificate.certificate WHERE waiting_since IS NOT NULL`).Scan(&p.Waiting); err != nil {
		return err
	}
	if p.Cohorts, err = Cohorts(ctx, s.Pool, st.ID); err != nil {
		return err
	}
	if p.Health, err = health(ctx, s.Pool, st.ID); err != nil {
		return err
	}
	if st.State == Returning {
		for _, k := range p.Cohorts {
			if k.AdmittedAt == nil {
				p.Next = k.Number
				break
			}
		}
	}
	rows, err := s.Pool.Query(ctx, `SELECT issuer_ref, problem FROM certificate.stop_member WHERE stop_id = $1 AND problem <> '' ORDER BY issuer_ref LIMIT 200`, st.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var x problem
		if err := rows.Scan(&x.Ref, &x.Why); err != nil {
			return err
		}
		p.Problems = append(p.Problems, x)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, kind := range []string{KindReturn, KindLift} {
		open, ok, err := dualcontrol.OpenFor(ctx, s.Pool, kind, subject(st.ID))
		if err != nil {
			return err
		}
		if ok {
			p.Proposals = append(p.Proposals, open)
		}
	}
	if f.Get("shares") == "" {
		f.Set("shares", "1, 10, 30")
		f.Set("budget", "2")
	}
	return c.PageForm("stop/stop", f, p)
}

func (s *Service) postReturn(c *web.Ctx) error {
	f := c.Form()
	plan, ok := parsePlan(f.Get("shares"), f.Get("budget"))
	if !ok {
		f.Fail("shares", "stop.error.shares")
	}
	if f.Get("why") == "" {
		f.Fail("why", "stop.error.why")
	}
	if !f.OK() {
		return s.pageStop(c, f)
	}
	_, err := s.ProposeReturn(c.Std(), c.Params("id"), plan, f.Get("why"), c.User.ID)
	return s.proposed(c, err)
}

func (s *Service) postLift(c *web.Ctx) error {
	f := c.Form()
	if f.Get("why_lift") == "" {
		f.Fail("why_lift", "stop.error.why")
		return s.pageStop(c, f)
	}
	_, err := s.ProposeLift(c.Std(), c.Params("id"), f.Get("why_lift"), c.User.ID)
	return s.proposed(c, err)
}

func (s *Service) proposed(c *web.Ctx, err error) error {
	if err != nil {
		return asProblem(err)
	}
	c.Flash("stop.proposed")
	return c.See("/admin/stop/" + c.Params("id"))
}

func (s *Service) postAdmit(c *web.Ctx) error {
	n, _ := strconv.Atoi(c.Params("cohort"))
	failed, err := s.Admit(c.Std(), c.Params("id"), n, c.Actor(), string(web.RoleAdmin))
	if err != nil {
		return asProblem(err)
	}
	if len(failed) > 0 {
		c.Flash("stop.admitted_some", "Count", len(failed))
	} else {
		c.Flash("stop.admitted")
	}
	return c.See("/admin/stop/" + c.Params("id"))
}

func asProblem(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return web.NotFound()
	case errors.Is(err, ErrState):
		return web.Fail(http.StatusConflict, "stop.error.state")
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "stop.error.invalid")
	}
	return err
}

// parsePlan reads "1, 10, 30" and a percentage.
func parsePlan(shares, budget string) (p Plan, ok bool) {
	for _, part := range strings.FieldsFunc(shares, func(r rune) bool { return r == ',' || r == ' ' || r == ';' || r == '%' }) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return p, false
		}
		p.Shares = append(p.Shares, n)
	}
	var err error
	if p.Budget, err = strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(budget), "%"))); err != nil {
		return p, false
	}
	return p, p.valid()
}

// titleReturn, changesReturn and titleLift tell the approvers what they approve.
func (s *Service) titleReturn(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
	st, err := Get(c.Std(), s.Pool, stopOf(p))
	return c.T("stop.proposal.return", "What", scopeText(c, st.Scope)), err
}

func (s *Service) changesReturn(c *web.Ctx, p dualcontrol.Proposal) ([]dualcontrol.Change, error) {
	var plan Plan
	if err := json.Unmarshal(p.Payload, &plan); err != nil {
		return nil, err
	}
	rest, text := 100, []string{}
	for _, n := range plan.Shares {
		rest -= n
		text = append(text, strconv.Itoa(n)+" %")
	}
	text = append(text, strconv.Itoa(rest)+" %")
	return []dualcontrol.Change{
		{What: c.T("stop.proposal.cohorts"), Before: c.T("stop.proposal.nobody"), After: strings.Join(text, ", ")},
		{What: c.T("stop.proposal.budget"), After: strconv.Itoa(plan.Budget) + " %"},
	}, nil
}

func (s *Service) titleLift(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
	st, err := Get(c.Std(), s.Pool, stopOf(p))
	return c.T("stop.proposal.lift", "What", scopeText(c, st.Scope)), err
}
