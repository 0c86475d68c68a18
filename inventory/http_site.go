package inventory

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

// siteRoutes are for those who hold the vials in their hands: a centre's staff
// and the mobile teams, each for their own place.
func (s *Service) siteRoutes() []web.Route {
	site := []web.Role{web.RoleSite, web.RoleTeam, web.RoleAdmin}
	return []web.Route{
		{Method: http.MethodGet, Path: "/site/stock", Roles: site, Nav: "inventory.nav.site", NavGroup: "web.nav.today", Handle: s.sitePage},
		{Method: http.MethodGet, Path: "/site/deliveries/:id", Roles: site, Handle: s.siteDeliveryPage},
		{Method: http.MethodPost, Path: "/site/deliveries/:id/receive", Roles: site, Handle: s.siteReceiveForm},
		{Method: http.MethodPost, Path: "/site/stock/thaw", Roles: site, Handle: s.thawForm},
		{Method: http.MethodPost, Path: "/site/stock/vials/:id", Roles: site, Handle: s.yieldForm},
		{Method: http.MethodPost, Path: "/site/stock/lots/:id/discard", Roles: site, Handle: s.discardForm},
		{Method: http.MethodGet, Path: "/api/v1/site/stock", Roles: site, API: web.JSON("List what lies at one's own place, and the vials opened since yesterday", s.apiSite)},
		{Method: http.MethodPost, Path: "/api/v1/site/stock/thaw", Roles: site, API: changing(s, "Note that frozen vials were thawed", s.apiThaw)},
		{Method: http.MethodPost, Path: "/api/v1/site/stock/vials/:id", Roles: site, API: changing(s, "Note how many doses an opened vial gave", s.apiYield)},
		{Method: http.MethodPost, Path: "/api/v1/site/stock/lots/:id/discard", Roles: site, API: changing(s, "Throw away what is left in the opened vials of a lot", s.apiDiscard)},
	}
}

// ownPlace is the place that the user answers for: a team's box, the centre of
// an account that has one, else the place that was chosen ("" = none yet).
func (s *Service) ownPlace(c *web.Ctx, chosen Place) (Place, error) {
	roles, scope := c.User.Roles, c.User.Scope
	var own Place
	switch {
	case slices.Contains(roles, web.RoleTeam) && !slices.Contains(roles, web.RoleSite) && !slices.Contains(roles, web.RoleAdmin):
		if !id.Valid(scope) {
			return "", web.Forbidden() // an account of no team
		}
		own = TeamPlace(scope)
	case scope != "":
		if _, err := centre.Get(c.Std(), s.pool, scope); err != nil {
			return "", web.Forbidden()
		}
		own = CentrePlace(scope)
	case chosen == "":
		return "", nil
	default:
		if _, err := centre.Get(c.Std(), s.pool, chosen.CentreID()); err != nil {
			return "", web.NotFound()
		}
		return chosen, nil
	}
	if chosen != "" && chosen != own {
		return "", web.Forbidden()
	}
	return own, nil
}

type sitePage struct {
	Names    *names
	Place    Place
	Choose   []web.Option // for those who answer for all places
	Totals   []siteTotal
	Coming   []comingRow
	Holdings []Holding
	Vials    []vialRow
	Frozen   []web.Option // lots with frozen vials
	Thaw     string       // today
}

// vialRow is an opened vial and the field of its form.
type vialRow struct {
	OpenedVial
	Field string
	Now   bool // the newest of a lot that has open doses
}

// Most is the highest number that the form takes.
func (v vialRow) Most() int { return 2 * v.Doses }

// Less is how many doses did not come out.
func (v vialRow) Less() int { return max(0, -v.Extra) }

// shownSince is from when on opened vials are listed: the morning of yesterday.
func shownSince(now time.Time) time.Time { return clock.At(clock.Day(now).AddDate(0, 0, -1), 0, 0) }

func (s *Service) site(c *web.Ctx, chosen Place) (sitePage, error) {
	place, err := s.ownPlace(c, chosen)
	if err != nil {
		return sitePage{}, err
	}
	n, err := s.names(c)
	if err != nil {
		return sitePage{}, err
	}
	d := sitePage{Names: n, Place: place, Thaw: isoDay(clock.Day(c.Now))}
	if c.User.Scope == "" {
		for _, o := range n.Places {
			if Place(o.Value).CentreID() != "" {
				d.Choose = append(d.Choose, o)
			}
		}
	}
	if place == "" {
		return d, nil
	}
	if d.Holdings, err = s.Holdings(c.Std(), s.pool, place, "", c.Now); err != nil {
		return d, err
	}
	rules, err := ShelfRules(c.Std(), s.pool)
	if err != nil {
		return d, err
	}
	open, thaws := map[string]bool{}, thawing(rules, clock.Day(c.Now))
	for _, h := range d.Holdings {
		open[h.LotID] = h.OpenDoses > 0
		if thaws[h.ProductID] && h.FrozenVials() > 0 && !h.Blocked && !h.Expiry.Before(clock.Day(c.Now)) {
			d.Frozen = append(d.Frozen, web.Option{Value: h.LotID, Label: c.T("inventory.site.lot", "Product", n.Product(h.ProductID), "Lot", h.Number, "Vials", h.FrozenVials())})
		}
	}
	d.Totals = totalsOf(n, d.Holdings)
	if d.Coming, err = s.comingTo(c, place); err != nil {
		return d, err
	}
	vials, err := OpenedVials(c.Std(), s.pool, place, shownSince(c.Now))
	for _, v := range vials {
		d.Vials = append(d.Vials, vialRow{v, "gave_" + v.ID, open[v.LotID]})
		open[v.LotID] = false
	}
	return d, err
}

// fill sets what the forms of the page show at first, except in what was sent.
func (d sitePage) fill(f *web.Form) *web.Form {
	set := func(field, value string) {
		if len(f.All(field)) == 0 {
			f.Set(field, value)
		}
	}
	set("place", string(d.Place))
	set("thawed_on", d.Thaw)
	for _, v := range d.Vials {
		set(v.Field, strconv.Itoa(v.Gave()))
	}
	return f
}

func (s *Service) sitePage(c *web.Ctx) error {
	d, err := s.site(c, Place(c.Query("place")))
	if err != nil {
		return err
	}
	return c.PageForm("inventory/site", d.fill(web.NewForm()), d)
}

// siteDone runs do and shows the page again: with what is wrong at the field, or
// from the start with the notice.
func (s *Service) siteDone(c *web.Ctx, f *web.Form, d sitePage, field, notice string, do func(tx pgx.Tx) error) error {
	if f.OK() {
		if err := s.change(c, do); err != nil && !formProblem(f, field, err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/site", d.fill(f), d)
	}
	c.Flash(notice)
	return c.See("/site/stock?place=" + string(d.Place))
}

// siteForm reads a form of the page and the place that it is about.
func (s *Service) siteForm(c *web.Ctx) (*web.Form, sitePage, error) {
	f := c.Form()
	d, err := s.site(c, Place(f.Get("place")))
	if err == nil && d.Place == "" {
		err = web.NotFound()
	}
	return f, d, err
}

func (s *Service) thawForm(c *web.Ctx) error {
	f, d, err := s.siteForm(c)
	if err != nil {
		return err
	}
	t := Thaw{
		Place: d.Place, LotID: known(f, "thaw_lot", d.Frozen), Vials: f.Int("thaw_vials", 1, maxVials, "inventory.error.number"),
		Day: f.Day("thawed_on", "inventory.error.day"), Actor: c.Actor(), At: c.Now,
	}
	if !t.Day.IsZero() && (t.Day.After(clock.Day(c.Now)) || t.Day.Before(clock.Day(c.Now).AddDate(0, 0, -maxThawNoted))) {
		f.Fail("thawed_on", "inventory.error.thaw_day")
	}
	return s.siteDone(c, f, d, "thaw_vials", "inventory.site.thawed", func(tx pgx.Tx) error { return s.thawAudited(c.Std(), tx, t, by(c)) })
}

func (s *Service) yieldForm(c *web.Ctx) error {
	f, d, err := s.siteForm(c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(d.Vials, func(v vialRow) bool { return v.ID == c.Params("id") })
	if i < 0 {
		return web.NotFound()
	}
	v := d.Vials[i]
	gave := f.Int(v.Field, 0, 2*v.Doses, "inventory.error.number")
	return s.siteDone(c, f, d, v.Field, "inventory.site.noted", func(tx pgx.Tx) error { return s.NoteYield(c.Std(), tx, v.ID, gave, by(c)) })
}

// ReadOpenRest reads from the fields 'doses' and 'opened' what the page showed as
// open; false when they are missing.
func ReadOpenRest(f *web.Form) (seen OpenRest, ok bool) {
	n, err := strconv.Atoi(f.Get("doses"))
	if err != nil {
		return seen, false
	}
	seen.Doses, seen.OpenedAt = n, openedOf(f)
	return seen, seen.OpenedAt != nil || f.Get("opened") == ""
}

// openedOf reads from the field 'opened' which opened vial is meant; nil = none said.
func openedOf(f *web.Form) *time.Time {
	at, err := time.Parse(time.RFC3339Nano, f.Get("opened"))
	if err != nil {
		return nil
	}
	return &at
}

func (s *Service) discardForm(c *web.Ctx) error {
	f, d, err := s.siteForm(c)
	if err != nil {
		return err
	}
	field := "discard_" + c.Params("id")
	seen, ok := ReadOpenRest(f)
	if !ok {
		f.Fail(field, "inventory.error.rest_changed")
	}
	return s.siteDone(c, f, d, field, "inventory.site.discarded", func(tx pgx.Tx) error {
		return s.Discard(c.Std(), tx, d.Place, c.Params("id"), seen, "left over", by(c))
	})
}

type siteIn struct {
	Place string `query:"place" json:"-" doc:"centre:leipzig; needed only by accounts that answer for all centres"`
}

type siteOut struct {
	Place  string       `json:"place"`
	Stock  []holdingOut `json:"stock"`
	Opened []OpenedVial `json:"opened"`
}

func (s *Service) apiPlace(c *web.Ctx, chosen string) (Place, error) {
	place, err := s.ownPlace(c, Place(chosen))
	if err == nil && place == "" {
		err = web.NotFound()
	}
	return place, err
}

func (s *Service) apiSite(c *web.Ctx, in siteIn) (siteOut, error) {
	place, err := s.apiPlace(c, in.Place)
	if err != nil {
		return siteOut{}, err
	}
	out := siteOut{Place: string(place), Stock: []holdingOut{}}
	hs, err := s.Holdings(c.Std(), s.pool, place, "", c.Now)
	if err != nil {
		return out, err
	}
	for _, h := range hs {
		out.Stock = append(out.Stock, asHoldingOut(h))
	}
	out.Opened, err = OpenedVials(c.Std(), s.pool, place, shownSince(c.Now))
	return out, err
}

type thawIn struct {
	Place    string `json:"place,omitempty" doc:"needed only by accounts that answer for all centres"`
	LotID    string `json:"lot_id"`
	Vials    int    `json:"vials"`
	ThawedOn string `json:"thawed_on" format:"date"`
}

func (s *Service) apiThaw(c *web.Ctx, in thawIn) (struct{}, error) {
	place, err := s.apiPlace(c, in.Place)
	if err != nil {
		return struct{}{}, err
	}
	day, err := parseDay("thawed_on", in.ThawedOn)
	if err != nil {
		return struct{}{}, err
	}
	t := Thaw{Place: place, LotID: in.LotID, Vials: in.Vials, Day: day, Actor: c.Actor(), At: c.Now}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.thawAudited(c.Std(), tx, t, by(c)) }))
}

type yieldIn struct {
	ID   string `path:"id" json:"-"`
	Gave int    `json:"gave" doc:"doses that came out of the vial"`
}

func (s *Service) apiYield(c *web.Ctx, in yieldIn) (struct{}, error) {
	v, err := VialByID(c.Std(), s.pool, in.ID)
	if err != nil {
		return struct{}{}, problem(err)
	}
	if _, err := s.apiPlace(c, string(v.Place)); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.NoteYield(c.Std(), tx, in.ID, in.Gave, by(c)) }))
}

type discardIn struct {
	ID       string     `path:"id" json:"-"`
	Place    string     `json:"place,omitempty" doc:"needed only by accounts that answer for all centres"`
	Doses    int        `json:"doses" doc:"open doses as they were seen; when there are others now nothing is thrown away"`
	OpenedAt *time.Time `json:"opened_at,omitempty" doc:"when the vial was opened, as it was seen"`
}

func (s *Service) apiDiscard(c *web.Ctx, in discardIn) (struct{}, error) {
	place, err := s.apiPlace(c, in.Place)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error {
		return s.Discard(c.Std(), tx, place, in.ID, OpenRest{in.Doses, in.OpenedAt}, "left over", by(c))
	}))
}
