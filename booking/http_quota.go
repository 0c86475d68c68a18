package booking

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/programme"
)

func (s *Service) quotaRoutes() []web.Route {
	get := func(path string, handle func(c *web.Ctx) error) web.Route {
		return web.Route{Method: http.MethodGet, Path: path, Roles: admins, Handle: handle}
	}
	post := func(path string, handle func(c *web.Ctx) error) web.Route {
		return web.Route{Method: http.MethodPost, Path: path, Roles: admins, Handle: handle}
	}
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/quotas", Roles: admins, Nav: "booking.nav.quotas", NavGroup: "web.nav.appointments", Handle: s.showQuotas},
		get("/admin/quotas/live", s.showLive),
		get("/admin/quotas/shares", s.showShares),
		post("/admin/quotas/shares", s.postShares),
		get("/admin/quotas/day", s.showDay),
		post("/admin/quotas/day", s.postDay),
		get("/admin/quotas/copy", s.showCopy),
		post("/admin/quotas/copy", s.postCopy),
		post("/admin/quotas/shift", s.postShift),
		post("/admin/quotas/undo", s.postUndo),
		get("/admin/quotas/rules", s.showRules),
		post("/admin/quotas/release", s.postRelease),
		post("/admin/quotas/contingent", s.postContingent),
		{Method: http.MethodGet, Path: "/admin/booking-settings", Roles: admins, Nav: "booking.nav.settings", NavGroup: "web.nav.appointments", Handle: s.showSettings},
		post("/admin/booking-settings", s.postSettings),
		post("/admin/booking-settings/opening", s.postOpening),
	}
}

// adminProblem tells what an administrator has set wrong.
func adminProblem(err error) error {
	switch {
	case errors.Is(err, centre.ErrNotFound), errors.Is(err, programme.ErrNotFound),
		pg.Violates(err, "share_centre_id_fkey"), pg.Violates(err, "share_day_centre_id_fkey"):
		return web.NotFound()
	}
	return problem(err)
}

// refusal says in the administrator's language why a change is refused, one
// text for each conflict; none when err is something else.
type refusal struct {
	Key  string
	Args []any
}

// maxConflicts bounds how many conflicts are told.
const maxConflicts = 5

func refusals(c *web.Ctx, err error) []refusal {
	var below *BelowTakenError
	var not *NotFreeError
	name := func(ch Channel) string { return c.T("booking.channel." + string(ch)) }
	switch {
	case errors.As(err, &below):
		var out []refusal
		for i, x := range below.Conflicts {
			if i == maxConflicts {
				return append(out, refusal{"booking.error.below_more", []any{"Count", len(below.Conflicts) - i}})
			}
			out = append(out, refusal{"booking.error.below", []any{
				"Centre", x.Centre, "Day", web.FormatDayShort(c.Lang, x.Day), "Channel", name(x.Channel), "Taken", x.Taken, "Places", x.Places,
			}})
		}
		return out
	case errors.As(err, &not):
		return []refusal{{"booking.error.not_free", []any{"Channel", name(not.Channel), "Day", web.FormatDayShort(c.Lang, not.Day), "Free", not.Free}}}
	case errors.Is(err, ErrReceiver):
		return []refusal{{"booking.error.receiver", nil}}
	}
	return nil
}

// refused notes on the form why a change is refused; false when err is
// something else.
func refused(c *web.Ctx, f *web.Form, field string, err error) bool {
	list := refusals(c, err)
	for _, r := range list {
		f.Fail(field, r.Key, r.Args...)
	}
	return len(list) > 0
}

// quotaView is a week of a centre.
type quotaView struct {
	Centres    []web.Option
	Centre     centre.Centre
	Live       liveView
	Channels   []ChannelRule
	Options    []web.Option // channels to shift from and to
	Days       []web.Option
	Products   []web.Option
	Prev, Next time.Time
	This       time.Time
	Weeks      int
	Last       *QuotaChange
	LastBy     string
}

func (s *Service) showQuotas(c *web.Ctx) error { return s.pageQuotas(c, web.NewForm()) }

// weekOf is the Monday of the week that the address names, or else of this week; of the
// next one when this week the centre does not open any more.
func (s *Service) weekOf(c *web.Ctx, centreID string) (time.Time, error) {
	if d, err := time.Parse(time.DateOnly, c.Query("from")); err == nil {
		return Monday(d), nil
	}
	today := clock.Day(c.Now)
	next := Monday(today).AddDate(0, 0, weekDays)
	days, err := centre.HoursBetween(c.Std(), s.Pool, centreID, today, next.AddDate(0, 0, weekDays-1))
	if i := slices.IndexFunc(days, func(d centre.DayHours) bool { return d.Open && d.Closes.After(c.Now) }); i >= 0 && !days[i].Day.Before(next) {
		return next, err
	}
	return Monday(today), err
}

func (s *Service) pageQuotas(c *web.Ctx, f *web.Form) error {
	ctx := c.Std()
	v := quotaView{This: Monday(clock.Day(c.Now)), Weeks: maxCopyWeeks}
	var err error
	if v.Centres, v.Centre, err = s.centreOptions(c); err != nil {
		return err
	}
	from, err := s.weekOf(c, v.Centre.ID)
	if err != nil {
		return err
	}
	v.Prev, v.Next = from.AddDate(0, 0, -weekDays), from.AddDate(0, 0, weekDays)
	week, err := s.Week(ctx, s.Pool, v.Centre.ID, from)
	if err != nil {
		return adminProblem(err)
	}
	v.Live, v.Channels = newLiveView(c, week), week.Channels
	for _, ch := range week.Channels {
		v.Options = append(v.Options, web.Option{Value: string(ch.ID), Label: c.T("booking.channel." + string(ch.ID))})
	}
	for _, d := range week.Days {
		if !d.Day.Before(clock.Day(c.Now)) {
			v.Days = append(v.Days, web.Option{Value: d.Day.Format(time.DateOnly), Label: web.FormatDayShort(c.Lang, d.Day)})
		}
	}
	if v.Products, err = s.productOptions(c); err != nil {
		return err
	}
	last, err := lastChange(ctx, s.Pool, v.Centre.ID)
	switch {
	case err == nil:
		v.Last = &last
	case !errors.Is(err, ErrNotFound):
		return err
	}
	if f.Get("shift_to") == "" {
		f.Set("shift_from", string(Hotline))
		f.Set("shift_to", string(Web))
	}
	if f.Get("weeks") == "" {
		f.Set("weeks", "4")
	}
	return c.PageForm("booking/quotas", f, v)
}

// productOptions are all products, and first "every product".
func (s *Service) productOptions(c *web.Ctx) ([]web.Option, error) {
	out := []web.Option{{Value: "", Label: c.T("booking.quotas.all_products")}}
	products, err := programme.Products(c.Std(), s.Pool, "")
	for _, p := range products {
		out = append(out, web.Option{Value: p.ID, Label: p.Name})
	}
	return out, err
}

// showLive is the part of the page that is read again every few seconds.
func (s *Service) showLive(c *web.Ctx) error {
	_, at, err := s.centreOptions(c)
	if err != nil {
		return err
	}
	from, err := s.weekOf(c, at.ID)
	if err != nil {
		return err
	}
	week, err := s.liveWeek(c.Std(), at.ID, from)
	if err != nil {
		return adminProblem(err)
	}
	html, err := c.Fragment("booking/_quotaweek", quotaView{Live: newLiveView(c, week)})
	if err != nil {
		return err
	}
	c.Type("html", "utf-8")
	return c.SendString(string(html))
}

func quotaPath(c *web.Ctx) string {
	return "/admin/quotas?centre=" + pathSegment(c.Query("centre")) + "&from=" + pathSegment(c.Query("from"))
}

// postShift moves free places by hand.
func (s *Service) postShift(c *web.Ctx) error {
	f := c.Form()
	day, err := time.Parse(time.DateOnly, f.Get("shift_day"))
	if err != nil || day.Before(clock.Day(c.Now)) {
		f.Fail("shift_day", "booking.error.day")
	}
	n := number(f, "shift_places", 1, maxPlaces)
	if f.Get("shift_from") == f.Get("shift_to") {
		f.Fail("shift_to", "booking.error.same_channel")
	}
	if !f.OK() {
		return s.pageQuotas(c, f)
	}
	err = s.MoveFree(c.Std(), Shift{
		CentreID: c.Query("centre"), ProductID: f.Get("shift_product"), Day: day, Places: n,
		From: Channel(f.Get("shift_from")), To: Channel(f.Get("shift_to")),
	}, byUser(c))
	switch {
	case errors.Is(err, ErrReceiver):
		f.Fail("shift_to", "booking.error.receiver")
		return s.pageQuotas(c, f)
	case refused(c, f, "shift_places", err):
		return s.pageQuotas(c, f)
	case err != nil:
		return adminProblem(err)
	}
	c.Flash("booking.flash.shifted", "Count", n)
	return c.See(quotaPath(c))
}

// postUndo takes the last change back; which one it was stands on the button.
func (s *Service) postUndo(c *web.Ctx) error {
	f := c.Form()
	centreID, page := c.Query("centre"), s.pageQuotas
	switch {
	case c.Query("default") != "":
		centreID, page = "", s.pageShares
	case centreID == "":
		return web.NotFound()
	}
	last, err := lastChange(c.Std(), s.Pool, centreID)
	if errors.Is(err, ErrNotFound) || err == nil && strconv.FormatInt(last.ID, 10) != f.Get("change") {
		f.Fail("undo", "booking.error.undo_gone")
		return page(c, f)
	}
	if err == nil {
		err = s.Undo(c.Std(), centreID, byUser(c))
	}
	if refused(c, f, "undo", err) {
		return page(c, f)
	}
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.undone")
	return c.See(quotaPath(c))
}

// copyView shows what copying a week would do.
type copyView struct {
	Centre    centre.Centre
	From      time.Time
	Weeks     int
	Last      time.Time
	Days      []copyDay
	Conflicts []Conflict
	Channels  []ChannelRule
}

type copyDay struct {
	DayQuota
	Product string
	Cells   []Quota
	Against []Conflict
}

func (s *Service) showCopy(c *web.Ctx) error {
	return s.pageCopy(c, web.NewForm(), c.Query("weeks", "1"))
}

func (s *Service) pageCopy(c *web.Ctx, f *web.Form, typed string) error {
	f.Set("weeks", typed)
	weeks := number(f, "weeks", 1, maxCopyWeeks)
	if !f.OK() {
		return s.pageQuotas(c, f)
	}
	v := copyView{Weeks: weeks}
	var err error
	if _, v.Centre, err = s.centreOptions(c); err != nil {
		return err
	}
	if v.From, err = s.weekOf(c, v.Centre.ID); err != nil {
		return err
	}
	v.Last = v.From.AddDate(0, 0, weekDays*(weeks+1)-1)
	if v.Channels, err = Channels(c.Std(), s.Pool); err != nil {
		return err
	}
	names, err := s.productOptions(c)
	if err != nil {
		return err
	}
	days, against, err := s.PreviewCopy(c.Std(), v.Centre.ID, v.From, weeks)
	if err != nil {
		return adminProblem(err)
	}
	v.Conflicts = against
	for _, d := range days {
		row := copyDay{DayQuota: d}
		if i := slices.IndexFunc(names, func(o web.Option) bool { return o.Value == d.ProductID }); i >= 0 {
			row.Product = names[i].Label
		}
		for _, ch := range v.Channels {
			row.Cells = append(row.Cells, d.Quotas[ch.ID])
		}
		for _, x := range against {
			if x.Day.Equal(d.Day) {
				row.Against = append(row.Against, x)
			}
		}
		v.Days = append(v.Days, row)
	}
	return c.PageForm("booking/quotas_copy", f, v)
}

func (s *Service) postCopy(c *web.Ctx) error {
	f := c.Form()
	weeks := number(f, "weeks", 1, maxCopyWeeks)
	if !f.OK() {
		return s.pageQuotas(c, f)
	}
	from, err := s.weekOf(c, c.Query("centre"))
	if err != nil {
		return err
	}
	n, err := s.CopyWeek(c.Std(), c.Query("centre"), from, weeks, byUser(c))
	if refused(c, f, "weeks", err) {
		return s.pageCopy(c, f, f.Get("weeks"))
	}
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.copied", "Count", n)
	return c.See(quotaPath(c))
}
