package centre

import (
	"embed"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
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
var Assets = web.Bundle{Name: "centre", FS: files}

// Service is the pages and operations of this slice; reading needs none.
type Service struct{ pool *pgxpool.Pool }

// New returns the service on pool.
func New(pool *pgxpool.Pool) *Service { return &Service{pool} }

var admin = []web.Role{web.RoleAdmin}

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		{Method: http.MethodGet, Path: "/centres", Handle: s.public},
		{Method: http.MethodGet, Path: "/admin/centres", Roles: admin, Nav: "centre.nav", NavGroup: "web.nav.appointments", Handle: s.list},
		{Method: http.MethodGet, Path: "/admin/centres/new", Roles: admin, Handle: s.newPage},
		{Method: http.MethodPost, Path: "/admin/centres/new", Roles: admin, Handle: s.create},
		{Method: http.MethodGet, Path: "/admin/centres/:id", Roles: admin, Handle: s.edit},
		{Method: http.MethodPost, Path: "/admin/centres/:id", Roles: admin, Handle: s.update},
		{Method: http.MethodPost, Path: "/admin/centres/:id/hours", Roles: admin, Handle: s.saveWeek},
		{Method: http.MethodPost, Path: "/admin/centres/:id/exceptions", Roles: admin, Handle: s.saveException},
		{Method: http.MethodPost, Path: "/admin/centres/:id/exceptions/:day/remove", Roles: admin, Handle: s.removeException},
	}, append(s.minutesRoutes(), s.apiRoutes()...)...)
}

func by(c *web.Ctx) By { return By{Actor: c.Actor(), Role: string(web.RoleAdmin)} }

// problem tells domain errors in words; others pass through.
func problem(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return web.NotFound()
	case errors.Is(err, ErrExists):
		return web.Fail(http.StatusConflict, "centre.error.exists")
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "centre.error.invalid")
	}
	return err
}

// publicCentre is a centre with its hours of the next days.
type publicCentre struct {
	Centre
	Days []DayHours
}

// public lists the centres with their hours of the next seven days.
func (s *Service) public(c *web.Ctx) error {
	centres, err := List(c.Std(), s.pool)
	if err != nil {
		return err
	}
	out := make([]publicCentre, len(centres))
	for i, ce := range centres {
		days, err := HoursBetween(c.Std(), s.pool, ce.ID, c.Now, c.Now.AddDate(0, 0, 6))
		if err != nil {
			return err
		}
		out[i] = publicCentre{ce, days}
	}
	return c.Page("centre/public", out)
}

func (s *Service) list(c *web.Ctx) error {
	centres, err := All(c.Std(), s.pool)
	if err != nil {
		return err
	}
	now, err := minutesOn(c.Std(), s.pool, c.Now)
	if err != nil {
		return err
	}
	for i, ce := range centres {
		if n, ok := now[ce.ID]; ok {
			centres[i].MinutesPerPerson = n
		}
	}
	return c.Page("centre/list", centres)
}

func (s *Service) newPage(c *web.Ctx) error {
	return c.PageForm("centre/new", web.NewForm("stations", "4", "minutes_per_person", "10", "active", "1"), nil)
}

var (
	idPattern       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,39}$`)
	postcodePattern = regexp.MustCompile(`^[0-9]{5}$`)
)

// readCentre reads and checks the fields that creating and changing share.
func readCentre(f *web.Form, id string) Centre {
	c := Centre{
		ID: id, Name: f.Get("name"), Street: f.Get("street"), Postcode: f.Get("postcode"), City: f.Get("city"),
		Lat: degrees(f, "lat", 90), Lon: degrees(f, "lon", 180),
		Stations: f.Int("stations", 0, 200, "centre.error.number"), MinutesPerPerson: f.Int("minutes_per_person", 1, 120, "centre.error.number"),
		Active: f.Get("active") != "",
	}
	for name, v := range map[string]string{"name": c.Name, "street": c.Street, "city": c.City} {
		if v == "" || len([]rune(v)) > 100 {
			f.Fail(name, "centre.error.words")
		}
	}
	if !postcodePattern.MatchString(c.Postcode) {
		f.Fail("postcode", "centre.error.postcode")
	}
	return c
}

// degrees reads a coordinate; people write the decimal with a comma or a point.
func degrees(f *web.Form, name string, limit float64) float64 {
	d, err := strconv.ParseFloat(strings.Replace(f.Get(name), ",", ".", 1), 64)
	if err != nil || d != d || d < -limit || d > limit {
		f.Fail(name, "centre.error.degrees")
		return 0
	}
	return d
}

func (s *Service) create(c *web.Ctx) error {
	f := c.Form()
	ce := readCentre(f, f.Get("id"))
	if !idPattern.MatchString(ce.ID) || ce.ID == "new" {
		f.Fail("id", "centre.error.id")
	}
	if f.OK() {
		err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return Create(c.Std(), tx, c.Now, ce, by(c)) })
		if errors.Is(err, ErrExists) {
			f.Fail("id", "centre.error.exists")
		} else if err != nil {
			return problem(err)
		}
	}
	if !f.OK() {
		return c.PageForm("centre/new", f, nil)
	}
	c.Flash("centre.created", "Name", ce.Name)
	return c.See("/admin/centres/" + ce.ID)
}

type editPage struct {
	Centre     Centre
	Weekdays   []weekday
	Coming     []time.Time
	Exceptions []Exception
	Minutes    []minutesLine
	Today      string
}

// minutesLine is a rule and whether it is in force today, or still to come.
type minutesLine struct {
	Minutes
	InForce, Coming bool
}

// weekday is one line of the hours' form.
type weekday struct {
	Key           string // of its name
	Opens, Closes string // names of the fields
	Span          Span
}

// InWords writes the span as people read it, "" when closed.
func (s Span) InWords() string {
	if s.Closed() {
		return ""
	}
	return hhmm(s.Opens) + "–" + hhmm(s.Closes)
}

func hhmm(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

func (s *Service) page(c *web.Ctx) (editPage, error) {
	ce, err := Get(c.Std(), s.pool, c.Params("id"))
	if err != nil {
		return editPage{}, problem(err)
	}
	d := editPage{Centre: ce, Today: clock.Day(c.Now).Format(time.DateOnly)}
	week, err := WeekOn(c.Std(), s.pool, ce.ID, c.Now)
	if err != nil {
		return d, err
	}
	for i, span := range week {
		n := strconv.Itoa(i + 1)
		d.Weekdays = append(d.Weekdays, weekday{"centre.weekday." + n, "opens_" + n, "closes_" + n, span})
	}
	if d.Coming, err = NextWeeks(c.Std(), s.pool, ce.ID, c.Now); err != nil {
		return d, err
	}
	rules, err := MinutesRules(c.Std(), s.pool, ce.ID)
	if err != nil {
		return d, err
	}
	inForce := false
	for _, r := range rules {
		l := minutesLine{Minutes: r, Coming: r.ValidFrom.After(clock.Day(c.Now))}
		l.InForce = !l.Coming && !inForce
		inForce = inForce || l.InForce
		d.Minutes = append(d.Minutes, l)
	}
	d.Exceptions, err = Exceptions(c.Std(), s.pool, ce.ID, c.Now)
	return d, err
}

// stored is what the forms of the page show at first.
func (d editPage) stored(now time.Time) *web.Form {
	ce := d.Centre
	f := web.NewForm("name", ce.Name, "street", ce.Street, "postcode", ce.Postcode, "city", ce.City,
		"lat", strconv.FormatFloat(ce.Lat, 'f', -1, 64), "lon", strconv.FormatFloat(ce.Lon, 'f', -1, 64),
		"stations", strconv.Itoa(ce.Stations), "minutes_per_person", strconv.Itoa(ce.MinutesPerPerson),
		"minutes_from", clock.Day(now).AddDate(0, 0, 1).Format(time.DateOnly),
		"valid_from", clock.Day(now).AddDate(0, 0, 1).Format(time.DateOnly))
	if ce.Active {
		f.Set("active", "1")
	}
	for _, w := range d.Weekdays {
		if !w.Span.Closed() {
			f.Set(w.Opens, hhmm(w.Span.Opens))
			f.Set(w.Closes, hhmm(w.Span.Closes%(24*60))) // a clock has no 24:00
		}
	}
	return f
}

func (s *Service) edit(c *web.Ctx) error {
	d, err := s.page(c)
	if err != nil {
		return err
	}
	return c.PageForm("centre/edit", d.stored(c.Now), d)
}

// again shows the page with what was typed and what is wrong; the other forms
// of the page show what is stored.
func (s *Service) again(c *web.Ctx, f *web.Form) error {
	d, err := s.page(c)
	if err != nil {
		return err
	}
	stored := d.stored(c.Now)
	names := []string{"name", "street", "postcode", "city", "lat", "lon", "stations", "minutes_per_person", "valid_from"}
	if len(f.All("name")) == 0 { // an unticked box is not sent with its form
		names = append(names, "active")
	}
	for _, w := range d.Weekdays {
		names = append(names, w.Opens, w.Closes)
	}
	for _, name := range names {
		if len(f.All(name)) == 0 {
			f.Set(name, stored.All(name)...)
		}
	}
	return c.PageForm("centre/edit", f, d)
}

func (s *Service) update(c *web.Ctx) error {
	f := c.Form()
	ce := readCentre(f, c.Params("id"))
	if !f.OK() {
		return s.again(c, f)
	}
	if err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return Update(c.Std(), tx, c.Now, ce, by(c)) }); err != nil {
		return problem(err)
	}
	c.Flash("centre.saved", "Name", ce.Name)
	return c.See("/admin/centres/" + ce.ID)
}

// readSpan reads opening hours; both fields empty means closed.
func readSpan(f *web.Form, opens, closes string) Span {
	if f.Get(opens) == "" && f.Get(closes) == "" {
		return Span{}
	}
	o, okO := minutes(f.Get(opens))
	cl, okC := minutes(f.Get(closes))
	if cl == 0 {
		cl = 24 * 60 // until midnight
	}
	switch {
	case !okO:
		f.Fail(opens, "centre.error.time")
	case !okC:
		f.Fail(closes, "centre.error.time")
	case o >= cl:
		f.Fail(closes, "centre.error.order")
	}
	return Span{o, cl}
}

// minutes reads "08:30", as <input type="time"> sends it.
func minutes(s string) (int, bool) {
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil
}

func (s *Service) saveWeek(c *web.Ctx) error {
	f := c.Form()
	from := f.Day("valid_from", "centre.error.day")
	var week [7]Span
	for i := range week {
		n := strconv.Itoa(i + 1)
		week[i] = readSpan(f, "opens_"+n, "closes_"+n)
	}
	if !f.OK() {
		return s.again(c, f)
	}
	id := c.Params("id")
	if err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetWeek(c.Std(), tx, c.Now, id, from, week, by(c)) }); err != nil {
		return problem(err)
	}
	c.Flash("centre.hours_saved")
	return c.See("/admin/centres/" + id)
}

func (s *Service) saveException(c *web.Ctx) error {
	f := c.Form()
	e := Exception{Day: f.Day("day", "centre.error.day"), Span: readSpan(f, "opens", "closes"), Reason: f.Get("reason")}
	if n := len([]rune(e.Reason)); n == 0 || n > 100 {
		f.Fail("reason", "centre.error.words")
	}
	if !f.OK() {
		return s.again(c, f)
	}
	id := c.Params("id")
	if err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetException(c.Std(), tx, c.Now, id, e, by(c)) }); err != nil {
		return problem(err)
	}
	c.Flash("centre.hours_saved")
	return c.See("/admin/centres/" + id)
}

func (s *Service) removeException(c *web.Ctx) error {
	day, err := time.Parse(time.DateOnly, c.Params("day"))
	if err != nil {
		return web.NotFound()
	}
	id := c.Params("id")
	if err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return RemoveException(c.Std(), tx, c.Now, id, day, by(c)) }); err != nil {
		return problem(err)
	}
	c.Flash("centre.hours_saved")
	return c.See("/admin/centres/" + id)
}
