package mobileteams

import (
	"embed"
	"errors"
	"net/http"
	"strconv"
	"time"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/programme"
	"impfportal/vaccination"
)

//go:embed all:templates i18n
var assets embed.FS

// Assets are the pages and texts of dispatch and teams.
var Assets = web.Bundle{Name: "mobileteams", FS: assets}

var (
	dispatch = []web.Role{web.RoleDispatcher, web.RoleAdmin}
	team     = []web.Role{web.RoleTeam}
)

// Routes are the pages of dispatch and teams and their JSON operations.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		// The dispatcher's desk.
		{Method: "GET", Path: "/teams", Roles: dispatch, Nav: "mobileteams.nav", NavGroup: "web.nav.today", Handle: s.showBoard},
		{Method: "GET", Path: "/teams/facilities/new", Roles: dispatch, Handle: s.showFacility},
		{Method: "POST", Path: "/teams/facilities", Roles: dispatch, Handle: s.postFacility},
		{Method: "GET", Path: "/teams/visits/new", Roles: dispatch, Handle: s.showNewVisit},
		{Method: "POST", Path: "/teams/visits", Roles: dispatch, Handle: s.postVisit},
		{Method: "GET", Path: "/teams/visits/:id", Roles: dispatch, Handle: s.showVisit},
		{Method: "POST", Path: "/teams/visits/:id/assign", Roles: dispatch, Handle: s.visitAction(s.doAssign)},
		{Method: "POST", Path: "/teams/visits/:id/load", Roles: dispatch, Handle: s.visitAction(s.doLoad)},
		{Method: "POST", Path: "/teams/visits/:id/back", Roles: dispatch, Handle: s.visitAction(s.doBack)},
		{Method: "POST", Path: "/teams/visits/:id/discard", Roles: dispatch, Handle: s.visitAction(s.doDiscard)},
		{Method: "POST", Path: "/teams/visits/:id/discard-vials", Roles: dispatch, Handle: s.visitAction(s.doDiscardLate)},
		{Method: "POST", Path: "/teams/visits/:id/cancel", Roles: dispatch, Handle: s.visitAction(s.doCancel)},
		// The team's telephone.
		{Method: "GET", Path: "/teams/today", Roles: team, Nav: "mobileteams.today.nav", Handle: s.showToday},
		{Method: "GET", Path: "/teams/today/:id", Roles: team, Handle: s.showStop},
		{Method: "POST", Path: "/teams/today/:id/start", Roles: team, Handle: s.postStart},
		{Method: "POST", Path: "/teams/today/:id/finish", Roles: team, Handle: s.postFinish},
		{Method: "POST", Path: "/teams/today/:id/dose", Roles: team, Handle: s.postDose},
	}, s.api()...)
}

// problem maps the errors of this package to status and words; the errors of
// recording a dose are vaccination's.
func problem(err error) error {
	field := func(name, key string) error { return web.Invalid(web.FieldError{Field: name, Key: key}) }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrOthersTeam):
		return web.NotFound()
	case errors.Is(err, ErrState):
		return web.Fail(http.StatusConflict, "mobileteams.error.state")
	case errors.Is(err, ErrTeamBusy):
		return web.Fail(http.StatusConflict, "mobileteams.error.busy")
	case errors.Is(err, ErrNotToday):
		return web.Fail(http.StatusConflict, "mobileteams.error.not_today")
	case errors.Is(err, ErrExists):
		return web.Fail(http.StatusConflict, "mobileteams.error.exists")
	case errors.Is(err, ErrClearFirst):
		return field("vials", "mobileteams.error.clear_first")
	case errors.Is(err, ErrUnusable):
		return field("vials", "mobileteams.error.unusable")
	case errors.Is(err, ErrNotEnough):
		return field("vials", "mobileteams.error.not_enough")
	case errors.Is(err, inventory.ErrRestChanged):
		return web.Fail(http.StatusConflict, "mobileteams.error.rest_changed")
	case errors.Is(err, inventory.ErrKeyUsed):
		return web.Fail(http.StatusUnprocessableEntity, "mobileteams.error.key_used")
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "mobileteams.error.incomplete")
	}
	return vaccination.Problem(err)
}

// into puts an error into the form; what has no words is returned.
func into(f *web.Form, err error) error {
	var p *web.Problem
	if !errors.As(problem(err), &p) || p.Status == http.StatusNotFound {
		return problem(err)
	}
	if len(p.Fields) > 0 {
		f.Take(p)
	} else {
		f.Fail("main", p.Key, p.Args...)
	}
	return nil
}

const boardDays = 14

type boardPage struct {
	Days  []boardDay
	Teams []Team
	Open  int // visits without a team
}

type boardDay struct {
	Date   time.Time
	Visits []Visit
}

func (s *Service) showBoard(c *web.Ctx) error {
	visits, err := s.Board(c.Std(), s.pool, clock.Day(c.Now), boardDays)
	if err != nil {
		return err
	}
	var p boardPage
	if p.Teams, err = s.Teams(c.Std(), s.pool); err != nil {
		return err
	}
	for _, v := range visits {
		if n := len(p.Days); n == 0 || !p.Days[n-1].Date.Equal(v.Day) {
			p.Days = append(p.Days, boardDay{Date: v.Day})
		}
		d := &p.Days[len(p.Days)-1]
		d.Visits = append(d.Visits, v)
		if v.State == Planned {
			p.Open++
		}
	}
	return c.Page("mobileteams/board", p)
}

func (s *Service) showFacility(c *web.Ctx) error { return c.Page("mobileteams/facility", nil) }

func (s *Service) postFacility(c *web.Ctx) error {
	f := c.Form()
	in := Facility{Name: f.Get("name"), Street: f.Get("street"), Postcode: f.Get("postcode"), City: f.Get("city"), Phone: f.Get("phone")}
	for _, name := range []string{"name", "street", "city"} {
		if f.Get(name) == "" {
			f.Fail(name, "web.error.required")
		}
	}
	if !isPostcode(in.Postcode) {
		f.Fail("postcode", "mobileteams.error.postcode")
	}
	if f.OK() {
		_, err := s.AddFacility(c.Std(), c.Now, in, c.Actor(), string(web.RoleDispatcher))
		if err == nil {
			c.Flash("mobileteams.flash.facility")
			return c.See("/teams/visits/new")
		}
		if err := into(f, err); err != nil {
			return err
		}
	}
	return c.PageForm("mobileteams/facility", f, nil)
}

type newVisitPage struct {
	Facilities, Centres, Products []web.Option
	Today                         time.Time
}

func (s *Service) showNewVisit(c *web.Ctx) error {
	return s.renderNewVisit(c, web.NewForm("day", clock.Day(c.Now).Format(time.DateOnly), "time", "09:00", "people", "30"))
}

func (s *Service) renderNewVisit(c *web.Ctx, f *web.Form) error {
	p := newVisitPage{Today: clock.Day(c.Now)}
	facilities, err := s.Facilities(c.Std(), s.pool)
	if err != nil {
		return err
	}
	for _, x := range facilities {
		p.Facilities = append(p.Facilities, web.Option{Value: x.ID, Label: x.Name + ", " + x.City})
	}
	centres, err := centre.List(c.Std(), s.pool)
	if err != nil {
		return err
	}
	for _, x := range centres {
		p.Centres = append(p.Centres, web.Option{Value: x.ID, Label: x.Name})
	}
	products, err := programme.Products(c.Std(), s.pool, "")
	if err != nil {
		return err
	}
	for _, x := range products {
		p.Products = append(p.Products, web.Option{Value: x.ID, Label: x.Name})
	}
	return c.PageForm("mobileteams/newvisit", f, p)
}

func (s *Service) postVisit(c *web.Ctx) error {
	f := c.Form()
	in := NewVisit{FacilityID: f.Get("facility"), CentreID: f.Get("centre"), ProductID: f.Get("product")}
	var err error
	if in.People, err = strconv.Atoi(f.Get("people")); err != nil || in.People < 1 || in.People > maxPeople {
		f.Fail("people", "mobileteams.error.people", "Max", maxPeople)
	}
	if in.StartsAt, err = parseStart(f.Get("day"), f.Get("time")); err != nil || clock.Day(in.StartsAt).Before(clock.Day(c.Now)) {
		f.Fail("day", "mobileteams.error.start")
	}
	if f.OK() {
		visitID, err := s.Plan(c.Std(), c.Now, in, c.Actor(), string(web.RoleDispatcher))
		if err == nil {
			c.Flash("mobileteams.flash.planned")
			return c.See("/teams/visits/" + visitID)
		}
		if err := into(f, err); err != nil {
			return err
		}
	}
	return s.renderNewVisit(c, f)
}

// parseStart reads day and wall clock in Berlin.
func parseStart(day, clockTime string) (time.Time, error) {
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse("15:04", clockTime)
	if err != nil {
		return time.Time{}, err
	}
	return clock.At(d, t.Hour(), t.Minute()), nil
}

type visitPage struct {
	Visit
	Centre  string
	Product string
	Teams   []web.Option
	Source  []web.Option // lots of the centre
	Box     []BoxLot     // what the team carries
	Reasons []web.Option
}

// MayAssign, MayLoad and MayCancel say what the page offers.
func (p visitPage) MayAssign() bool { _, ok := next(p.State, actionAssign); return ok }

// MayLoad reports whether the team may be given vials now.
func (p visitPage) MayLoad() bool { return p.State == Assigned || p.State == UnderWay }

// MayCancel reports whether the visit can be called off.
func (p visitPage) MayCancel() bool { _, ok := next(p.State, actionCancel); return ok }

func (s *Service) showVisit(c *web.Ctx) error { return s.renderVisit(c, &web.Form{}) }

func (s *Service) renderVisit(c *web.Ctx, f *web.Form) error {
	v, err := s.Visit(c.Std(), s.pool, c.Params("id"))
	if err != nil {
		return problem(err)
	}
	p := visitPage{Visit: v}
	ce, err := centre.Get(c.Std(), s.pool, v.CentreID)
	if err != nil {
		return err
	}
	product, err := programme.ProductByID(c.Std(), s.pool, v.ProductID)
	if err != nil {
		return err
	}
	p.Centre, p.Product = ce.Name, product.Name
	teams, err := s.Teams(c.Std(), s.pool)
	if err != nil {
		return err
	}
	for _, t := range teams {
		p.Teams = append(p.Teams, web.Option{Value: t.ID, Label: t.Name})
	}
	lots, err := s.Source(c.Std(), s.pool, v.CentreID, v.ProductID, c.Now)
	if err != nil {
		return err
	}
	for _, l := range lots {
		if l.Vials > 0 {
			p.Source = append(p.Source, web.Option{Value: l.LotID, Label: c.T("mobileteams.lot", "Number", l.Number,
				"Expiry", web.FormatDayShort(c.Lang, l.Expiry), "Vials", l.Vials)})
		}
	}
	if v.TeamID != "" {
		if p.Box, err = s.Box(c.Std(), s.pool, v.TeamID, c.Now); err != nil {
			return err
		}
	}
	for _, r := range Reasons {
		p.Reasons = append(p.Reasons, web.Option{Value: r, Label: c.T("mobileteams.reason." + r)})
	}
	return c.PageForm("mobileteams/visit", f, p)
}

// visitAction runs one action of the visit page and shows the page again.
func (s *Service) visitAction(fn func(c *web.Ctx, f *web.Form, visitID string) (flash string, err error)) func(c *web.Ctx) error {
	return func(c *web.Ctx) error {
		f := c.Form()
		flash, err := fn(c, f, c.Params("id"))
		if err == nil && f.OK() {
			c.Flash(flash)
			return c.See("/teams/visits/" + c.Params("id"))
		}
		if err != nil {
			if err := into(f, err); err != nil {
				return err
			}
		}
		return s.renderVisit(c, f)
	}
}

func (s *Service) doAssign(c *web.Ctx, f *web.Form, visitID string) (string, error) {
	if f.Get("team") == "" {
		return "mobileteams.flash.unassigned", s.Unassign(c.Std(), c.Now, visitID, c.Actor(), string(web.RoleDispatcher))
	}
	return "mobileteams.flash.assigned", s.Assign(c.Std(), c.Now, visitID, f.Get("team"), c.Actor(), string(web.RoleDispatcher))
}

func vialsOf(f *web.Form, field string) int {
	n, err := strconv.Atoi(f.Get(field))
	if err != nil || n < 1 || n > 10000 {
		f.Fail(field, "mobileteams.error.vials")
		return 0
	}
	return n
}

func (s *Service) doLoad(c *web.Ctx, f *web.Form, visitID string) (string, error) {
	n := vialsOf(f, "vials")
	if !f.OK() {
		return "", nil
	}
	return "mobileteams.flash.loaded", s.Load(c.Std(), c.Now, visitID, f.Get("lot"), n, c.Actor(), inventory.RequestOf(c))
}

func (s *Service) doBack(c *web.Ctx, f *web.Form, visitID string) (string, error) {
	n := vialsOf(f, "vials")
	if !f.OK() {
		return "", nil
	}
	return "mobileteams.flash.back", s.BringBack(c.Std(), c.Now, visitID, f.Get("lot"), n, c.Actor(), inventory.RequestOf(c))
}

func (s *Service) doDiscard(c *web.Ctx, f *web.Form, visitID string) (string, error) {
	seen, ok := inventory.ReadOpenRest(f)
	if !ok {
		return "", inventory.ErrRestChanged
	}
	return "mobileteams.flash.discarded", s.Discard(c.Std(), c.Now, visitID, f.Get("lot"), seen, c.Actor(), inventory.RequestOf(c))
}

func (s *Service) doCancel(c *web.Ctx, f *web.Form, visitID string) (string, error) {
	return "mobileteams.flash.cancelled", s.Cancel(c.Std(), c.Now, visitID, f.Get("cancel_reason"), c.Actor(), string(web.RoleDispatcher))
}

func (s *Service) doDiscardLate(c *web.Ctx, f *web.Form, visitID string) (string, error) {
	n, err := strconv.Atoi(f.Get("vials"))
	if err != nil {
		return "", inventory.ErrRestChanged
	}
	return "mobileteams.flash.discarded_vials", s.DiscardLate(c.Std(), c.Now, visitID, f.Get("lot"), n, c.Actor(), inventory.RequestOf(c))
}
