package booking

import (
	"errors"
	"strconv"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// quotaFormView is the page on which the quotas of a centre, of all centres or of
// one day are set.
type quotaFormView struct {
	Heading   string
	Text      string
	Action    string
	Back      string
	Prefix    string // of the fields: "share_", "day_"
	Channels  []ChannelRule
	Products  []web.Option // of a day
	Day       string
	Last      *QuotaChange // of the default, which can be undone here
	Undo      string       // where
	Removable bool         // there is something of its own to take away
	Remove    string       // what is on the button that does it
}

// formQuotas reads the fields of all channels: percent under prefix and channel,
// places under "places_". What is empty is 0.
func (s *Service) formQuotas(c *web.Ctx, f *web.Form, prefix string) (Quotas, error) {
	channels, err := Channels(c.Std(), s.Pool)
	if err != nil {
		return nil, err
	}
	quotas, total := Quotas{}, 0
	for _, ch := range channels {
		x := Quota{}
		for _, field := range []struct {
			name string
			high int
			into *int
		}{{prefix + string(ch.ID), 100, &x.Percent}, {"places_" + string(ch.ID), maxPlaces, &x.Places}} {
			if f.Get(field.name) == "" {
				f.Set(field.name, "0")
			}
			*field.into = number(f, field.name, 0, field.high)
		}
		quotas[ch.ID] = x
		total += x.Percent
	}
	if f.OK() && total != 100 {
		f.Fail(prefix+string(channels[0].ID), "booking.error.sum", "Sum", total)
	}
	return quotas, nil
}

// fillQuotas sets the fields that nothing was typed into.
func fillQuotas(f *web.Form, prefix string, channels []ChannelRule, quotas Quotas) {
	for _, ch := range channels {
		for name, n := range map[string]int{prefix + string(ch.ID): quotas[ch.ID].Percent, "places_" + string(ch.ID): quotas[ch.ID].Places} {
			if f.Get(name) == "" {
				f.Set(name, strconv.Itoa(n))
			}
		}
	}
}

func (s *Service) showShares(c *web.Ctx) error { return s.pageShares(c, web.NewForm()) }

// pageShares is the form of a centre's standing quotas, or (?default=1) of the
// default.
func (s *Service) pageShares(c *web.Ctx, f *web.Form) error {
	_, at, err := s.centreOptions(c)
	if err != nil {
		return err
	}
	centreID := at.ID
	v := quotaFormView{Prefix: "share_", Back: quotaPath(c), Action: "/admin/quotas/shares?centre=" + at.ID + "&from=" + pathSegment(c.Query("from"))}
	if c.Query("default") != "" {
		centreID = ""
		v.Heading, v.Text = c.T("booking.quotas.default"), c.T("booking.quotas.default_text")
		v.Undo = "/admin/quotas/undo?centre=" + at.ID + "&from=" + pathSegment(c.Query("from")) + "&default=1"
		v.Action += "&default=1"
		last, err := lastChange(c.Std(), s.Pool, "")
		switch {
		case err == nil:
			v.Last = &last
		case !errors.Is(err, ErrNotFound):
			return err
		}
	} else {
		v.Heading, v.Text = c.T("booking.quotas.standing_of", "Centre", at.Name), c.T("booking.quotas.standing_text")
	}
	if v.Channels, err = Channels(c.Std(), s.Pool); err != nil {
		return err
	}
	quotas, own, err := standingQuotas(c.Std(), s.Pool, centreID, v.Channels)
	if err != nil {
		return err
	}
	v.Removable, v.Remove = own, c.T("booking.quotas.take_default")
	fillQuotas(f, v.Prefix, v.Channels, quotas)
	return c.PageForm("booking/quotas_form", f, v)
}

func (s *Service) postShares(c *web.Ctx) error {
	f := c.Form()
	centreID := c.Query("centre")
	switch {
	case c.Query("default") != "":
		centreID = ""
	case centreID == "":
		return web.NotFound()
	}
	var quotas Quotas
	var err error
	if f.Get("remove") == "" {
		if quotas, err = s.formQuotas(c, f, "share_"); err != nil {
			return err
		}
	}
	if !f.OK() {
		return s.pageShares(c, f)
	}
	err = s.SetQuotas(c.Std(), centreID, quotas, byUser(c))
	if refused(c, f, "share_"+string(Web), err) {
		return s.pageShares(c, f)
	}
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.saved")
	return c.See(quotaPath(c))
}

func (s *Service) showDay(c *web.Ctx) error {
	f := web.NewForm("day", c.Query("day"), "product", c.Query("product"))
	return s.pageDay(c, f)
}

// pageDay is the form of a day's exception.
func (s *Service) pageDay(c *web.Ctx, f *web.Form) error {
	_, at, err := s.centreOptions(c)
	if err != nil {
		return err
	}
	v := quotaFormView{
		Heading: c.T("booking.quotas.day_of", "Centre", at.Name), Text: c.T("booking.quotas.day_text"), Prefix: "day_", Back: quotaPath(c), Day: f.Get("day"),
		Action: "/admin/quotas/day?centre=" + at.ID + "&from=" + pathSegment(c.Query("from")),
	}
	if v.Channels, err = Channels(c.Std(), s.Pool); err != nil {
		return err
	}
	if v.Products, err = s.productOptions(c); err != nil {
		return err
	}
	quotas, _, err := standingQuotas(c.Std(), s.Pool, at.ID, v.Channels)
	if err != nil {
		return err
	}
	if day, err := time.Parse(time.DateOnly, f.Get("day")); err == nil {
		set, err := exceptions(c.Std(), s.Pool, at.ID, day)
		if err != nil {
			return err
		}
		for _, p := range []string{"", f.Get("product")} {
			if e := set[dayProduct{day, p}]; e != nil {
				quotas, v.Removable = e, p == f.Get("product")
			}
		}
	}
	v.Remove = c.T("booking.quotas.remove")
	fillQuotas(f, v.Prefix, v.Channels, quotas)
	return c.PageForm("booking/quotas_form", f, v)
}

func (s *Service) postDay(c *web.Ctx) error {
	f := c.Form()
	day, err := time.Parse(time.DateOnly, f.Get("day"))
	if err != nil || day.Before(clock.Day(c.Now)) {
		f.Fail("day", "booking.error.day")
	}
	var quotas Quotas
	if f.Get("remove") == "" {
		if quotas, err = s.formQuotas(c, f, "day_"); err != nil {
			return err
		}
	}
	if !f.OK() {
		return s.pageDay(c, f)
	}
	err = s.SetDays(c.Std(), c.Query("centre"), []DayQuota{{day, f.Get("product"), quotas}}, byUser(c))
	if refused(c, f, "day_"+string(Web), err) {
		return s.pageDay(c, f)
	}
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.saved")
	return c.See(quotaPath(c))
}
