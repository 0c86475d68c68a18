package booking

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/programme"
)

var admins = []web.Role{web.RoleAdmin}

func (s *Service) adminRoutes() []web.Route {
	return append(s.quotaRoutes(), []web.Route{
		{Method: http.MethodGet, Path: "/admin/capacity", Roles: admins, Nav: "booking.nav.capacity", NavGroup: "web.nav.appointments", Handle: s.showCapacity},
		{Method: http.MethodPost, Path: "/admin/capacity/lane", Roles: admins, Handle: s.postLane},
		{Method: http.MethodPost, Path: "/admin/capacity/plan", Roles: admins, Handle: s.postPlan},
		{Method: http.MethodGet, Path: "/admin/shortfall", Roles: admins, Nav: "booking.nav.shortfall", NavGroup: "web.nav.appointments", Handle: s.showShortfall},
	}...)
}

func byUser(c *web.Ctx) By { return By{Actor: c.Actor(), Role: string(web.RoleAdmin)} }

// centreOptions are the centres to choose from; the first one is taken when
// the address names none.
func (s *Service) centreOptions(c *web.Ctx) (options []web.Option, current centre.Centre, err error) {
	all, err := centre.All(c.Std(), s.Pool)
	if err != nil {
		return nil, current, err
	}
	if len(all) == 0 {
		return nil, current, web.NotFound()
	}
	wanted := c.Query("centre")
	if wanted == "" {
		wanted = all[0].ID
	}
	found := false
	for _, at := range all {
		options = append(options, web.Option{Value: at.ID, Label: at.Name})
		if at.ID == wanted {
			current, found = at, true
		}
	}
	if !found {
		return nil, current, web.NotFound()
	}
	return options, current, nil
}

// number reads a whole number of a field.
func number(f *web.Form, name string, low, high int) int {
	n, err := strconv.Atoi(f.Get(name))
	if err != nil || n < low || n > high {
		f.Fail(name, "booking.error.number", "Low", low, "High", high)
		return low
	}
	return n
}

// capacityView shows lanes, stock and plans of a centre.
type capacityView struct {
	Centres  []web.Option
	Centre   centre.Centre
	Lanes    []laneView
	Plans    []planRow
	Products []web.Option
}

type laneView struct {
	Lane
	Product string
}

type planRow struct {
	Product   string
	Stations  int
	Doses     int
	Series    int
	Left      int
	MadeAt    *time.Time
	Unplanned bool // vaccine, but no station works for it
}

func (s *Service) showCapacity(c *web.Ctx) error { return s.pageCapacity(c, c.Form()) }

func (s *Service) pageCapacity(c *web.Ctx, f *web.Form) error {
	ctx := c.Std()
	var v capacityView
	var err error
	if v.Centres, v.Centre, err = s.centreOptions(c); err != nil {
		return err
	}
	today := clock.Day(c.Now)
	lanes, err := Lanes(ctx, s.Pool, v.Centre.ID)
	if err != nil {
		return err
	}
	busy, err := s.plannable(ctx, s.Pool, v.Centre.ID)
	if err != nil {
		return err
	}
	products, err := programme.Products(ctx, s.Pool, "")
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, p := range products {
		names[p.ID] = p.Name
		v.Products = append(v.Products, web.Option{Value: p.ID, Label: p.Name})
	}
	for _, l := range lanes {
		v.Lanes = append(v.Lanes, laneView{l, names[l.ProductID]})
	}
	for _, p := range busy {
		row := planRow{Product: names[p], Stations: stationsFor(lanes, today, p, busy, v.Centre.Stations)}
		stock, err := s.Inventory.Doses(ctx, s.Pool, inventory.CentrePlace(v.Centre.ID), p, today)
		if err != nil {
			return err
		}
		row.Doses = stock.Doses
		row.Unplanned = row.Doses > 0 && row.Stations == 0
		err = s.Pool.QueryRow(ctx, `SELECT series, doses_left, made_at FROM booking.plan WHERE centre_id = $1 AND product_id = $2`, v.Centre.ID, p).
			Scan(&row.Series, &row.Left, &row.MadeAt)
		if err != nil && !pg.NoRows(err) {
			return err
		}
		v.Plans = append(v.Plans, row)
	}
	if f.Get("from") == "" {
		f.Set("from", today.Format(time.DateOnly))
	}
	return c.PageForm("booking/capacity", f, v)
}

func (s *Service) postLane(c *web.Ctx) error {
	f := c.Form()
	from, err := time.Parse(time.DateOnly, f.Get("from"))
	if err != nil || from.Before(clock.Day(c.Now).AddDate(-1, 0, 0)) {
		f.Fail("from", "booking.error.day")
	}
	stations := -1
	if f.Get("remove") == "" {
		stations = number(f, "stations", 0, 200)
	}
	if _, err := programme.ProductByID(c.Std(), s.Pool, f.Get("product")); err != nil {
		f.Fail("product", "booking.error.product")
	}
	if !f.OK() {
		return s.pageCapacity(c, f)
	}
	err = s.SetLane(c.Std(), Lane{c.Query("centre"), f.Get("product"), from, stations}, byUser(c))
	if errors.Is(err, ErrInvalid) {
		f.Fail("stations", "booking.error.stations")
		return s.pageCapacity(c, f)
	}
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.saved")
	return c.See("/admin/capacity?centre=" + pathSegment(c.Query("centre")))
}

// postPlan makes all plans anew; the page that follows shows how far it is.
func (s *Service) postPlan(c *web.Ctx) error {
	p, err := s.planInBackground(c)
	if err != nil {
		return err
	}
	return c.SeeProgress(p, "/admin/capacity")
}

// planInBackground plans all centres and returns the id of its progress.
func (s *Service) planInBackground(c *web.Ctx) (progressID string, err error) {
	p, run, err := s.startReplanAll(c.Std(), c.T("booking.capacity.plan_all"), c.Actor())
	if err != nil {
		return "", err
	}
	ctx := context.WithoutCancel(c.Std()) // c itself is gone when the page is out
	s.background.Go(func() {
		if err := run(ctx); err != nil {
			s.Log.Error("plan all", "err", err)
		}
	})
	return p, nil
}

// shortfallView lists what is missing.
type shortfallView struct{ Rows []shortfallRow }

type shortfallRow struct {
	Shortfall
	Centre, Product string
}

func (s *Service) showShortfall(c *web.Ctx) error {
	list, err := Shortfalls(c.Std(), s.Pool)
	if err != nil {
		return err
	}
	centres, err := centre.All(c.Std(), s.Pool)
	if err != nil {
		return err
	}
	products, err := programme.Products(c.Std(), s.Pool, "")
	if err != nil {
		return err
	}
	names, rank := map[string]string{}, map[string]int{}
	for i, at := range centres {
		names["c:"+at.ID], rank[at.ID] = at.Name, i
	}
	slices.SortStableFunc(list, func(a, b Shortfall) int { return cmp.Or(a.Day.Compare(b.Day), rank[a.CentreID]-rank[b.CentreID]) })
	for _, p := range products {
		names["p:"+p.ID] = p.Name
	}
	var v shortfallView
	for _, f := range list {
		v.Rows = append(v.Rows, shortfallRow{f, names["c:"+f.CentreID], names["p:"+f.ProductID]})
	}
	return c.Page("booking/shortfall", v)
}
