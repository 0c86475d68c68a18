package booking

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/programme"
)

// allCentres stands in an address for the rules of every centre.
const allCentres = "all"

// rulesView lists the releases and contingents of a centre, or of all.
type rulesView struct {
	Centres     []web.Option
	Centre      centre.Centre // ID allCentres: the rules of every centre
	Releases    []releaseRow
	Contingents []contingentRow
	From        []web.Option // channels
	To          []web.Option // channels that people book over, and none
	Bookable    []web.Option
	Groups      []web.Option
	Products    []web.Option
	Units       []web.Option
}

type releaseRow struct {
	ReleaseRule
	Time   string
	Own    bool // may be removed here
	Passed bool // another rule has followed it
}

type contingentRow struct {
	Contingent
	GroupName, Product string
	Own                bool
	Over               bool
}

// clockOf writes a minute of the day as people do.
func clockOf(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// minuteOf reads a time of the day of a field.
func minuteOf(f *web.Form, name string) int {
	t, err := time.Parse("15:04", f.Get(name))
	if err != nil {
		f.Fail(name, "booking.error.time")
		return 0
	}
	return t.Hour()*60 + t.Minute()
}

// dayField reads a day of a field.
func dayField(f *web.Form, name string, notBefore time.Time) time.Time {
	d, err := time.Parse(time.DateOnly, f.Get(name))
	if err != nil || d.Before(notBefore) {
		f.Fail(name, "booking.error.day")
	}
	return d
}

// ruleCentre is the centre of the rules that the address names; "" for every centre.
func ruleCentre(c *web.Ctx) string {
	if id := c.Query("centre"); id != allCentres {
		return id
	}
	return ""
}

func (s *Service) showRules(c *web.Ctx) error { return s.pageRules(c, web.NewForm()) }

func (s *Service) pageRules(c *web.Ctx, f *web.Form) error {
	ctx, today := c.Std(), clock.Day(c.Now)
	v := rulesView{
		Centres: []web.Option{{Value: allCentres, Label: c.T("booking.rules.all_centres")}}, Centre: centre.Centre{ID: allCentres, Name: c.T("booking.rules.all_centres")},
		To:    []web.Option{{Value: "", Label: c.T("booking.rules.nobody")}},
		Units: []web.Option{{Value: "places", Label: c.T("booking.rules.unit_places")}, {Value: "percent", Label: c.T("booking.rules.unit_percent")}},
	}
	centres, err := centre.All(ctx, s.Pool)
	if err != nil {
		return err
	}
	centreID := ruleCentre(c)
	for _, at := range centres {
		v.Centres = append(v.Centres, web.Option{Value: at.ID, Label: at.Name})
		if at.ID == centreID {
			v.Centre = at
		}
	}
	if centreID != "" && v.Centre.ID == allCentres {
		return web.NotFound()
	}
	channels, err := Channels(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, ch := range channels {
		o := web.Option{Value: string(ch.ID), Label: c.T("booking.channel." + string(ch.ID))}
		v.From = append(v.From, o)
		if ch.Bookable {
			v.To, v.Bookable = append(v.To, o), append(v.Bookable, o)
		}
	}
	if v.Products, err = s.productOptions(c); err != nil {
		return err
	}
	names, err := s.groupOptions(c, &v)
	if err != nil {
		return err
	}
	releases, err := Releases(ctx, s.Pool, centreID)
	if err != nil {
		return err
	}
	for i, r := range releases {
		row := releaseRow{ReleaseRule: r, Time: clockOf(r.AtMinute), Own: r.CentreID == centreID}
		if i+1 < len(releases) {
			next := releases[i+1]
			row.Passed = next.From == r.From && next.CentreID == r.CentreID && !next.FromDay.After(today)
		}
		v.Releases = append(v.Releases, row)
	}
	kept, err := Contingents(ctx, s.Pool, centreID, today)
	if err != nil {
		return err
	}
	for _, k := range kept {
		row := contingentRow{Contingent: k, GroupName: names[k.Group], Own: k.CentreID == centreID, Over: !c.Now.Before(k.Until)}
		if i := slices.IndexFunc(v.Products, func(o web.Option) bool { return o.Value == k.ProductID }); i >= 0 {
			row.Product = v.Products[i].Label
		}
		v.Contingents = append(v.Contingents, row)
	}
	for name, value := range map[string]string{
		"release_from": string(Hotline), "release_to": string(Web), "release_since": today.Format(time.DateOnly), "kept_first": today.Format(time.DateOnly),
	} {
		if f.Get(name) == "" && f.OK() {
			f.Set(name, value)
		}
	}
	return c.PageForm("booking/quotas_rules", f, v)
}

// groupOptions fills in the groups of all programmes and returns their names.
func (s *Service) groupOptions(c *web.Ctx, v *rulesView) (map[string]string, error) {
	names := map[string]string{}
	programmes, err := programme.Programmes(c.Std(), s.Pool, c.Lang)
	if err != nil {
		return nil, err
	}
	for _, p := range programmes {
		groups, err := programme.GroupsOn(c.Std(), s.Pool, p.ID, c.Now, c.Lang)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			names[g.Code] = g.Name
			v.Groups = append(v.Groups, web.Option{Value: p.ID + "|" + g.Code, Label: p.Name + ": " + g.Name})
		}
	}
	return names, nil
}

func rulesPath(c *web.Ctx) string {
	return "/admin/quotas/rules?centre=" + pathSegment(c.Query("centre"))
}

func (s *Service) postRelease(c *web.Ctx) error {
	f := c.Form()
	since := dayField(f, "release_since", time.Time{})
	if f.Get("remove") != "" {
		if !f.OK() {
			return web.NotFound()
		}
		if err := s.RemoveRelease(c.Std(), ruleCentre(c), Channel(f.Get("release_from")), since, byUser(c)); err != nil {
			return adminProblem(err)
		}
		c.Flash("booking.flash.removed")
		return c.See(rulesPath(c))
	}
	r := ReleaseRule{CentreID: ruleCentre(c), From: Channel(f.Get("release_from")), To: Channel(f.Get("release_to")), FromDay: since}
	if since.Before(clock.Day(c.Now)) && f.OK() {
		f.Fail("release_since", "booking.error.day")
	}
	if r.To != "" {
		r.DaysBefore, r.AtMinute = number(f, "release_days", 0, 90), minuteOf(f, "release_time")
	}
	if !f.OK() {
		return s.pageRules(c, f)
	}
	err := s.SetRelease(c.Std(), r, byUser(c))
	if errors.Is(err, ErrInvalid) {
		f.Fail("release_to", "booking.error.release")
		return s.pageRules(c, f)
	}
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.saved")
	return c.See(rulesPath(c))
}

func (s *Service) postContingent(c *web.Ctx) error {
	f := c.Form()
	if end := f.Get("end"); end != "" {
		n, err := strconv.ParseInt(end, 10, 64)
		if err != nil {
			return web.NotFound()
		}
		if err := s.EndContingent(c.Std(), n, byUser(c)); err != nil {
			return adminProblem(err)
		}
		c.Flash("booking.flash.contingent_ended")
		return c.See(rulesPath(c))
	}
	today := clock.Day(c.Now)
	programmeID, group, _ := strings.Cut(f.Get("kept_group"), "|")
	k := Contingent{CentreID: ruleCentre(c), ProductID: f.Get("kept_product"), Channel: Channel(f.Get("kept_channel")), ProgrammeID: programmeID, Group: group}
	k.FromDay = dayField(f, "kept_first", today)
	k.ToDay = dayField(f, "kept_last", k.FromDay)
	if f.Get("kept_unit") == "percent" {
		k.Percent = number(f, "kept_number", 1, 100)
	} else {
		k.Places = number(f, "kept_number", 1, maxPlaces)
	}
	until, minute := dayField(f, "kept_until_day", today), minuteOf(f, "kept_until_time")
	if k.Until = clock.At(until, minute/60, minute%60); f.OK() && !k.Until.After(c.Now) {
		f.Fail("kept_until_time", "booking.error.past")
	}
	if !f.OK() {
		return s.pageRules(c, f)
	}
	_, err := s.AddContingent(c.Std(), k, byUser(c))
	if errors.Is(err, ErrInvalid) || errors.Is(err, programme.ErrNotFound) {
		f.Fail("kept_group", "booking.error.contingent")
		return s.pageRules(c, f)
	}
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.saved")
	return c.See(rulesPath(c))
}
