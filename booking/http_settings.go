package booking

import (
	"fmt"
	"strconv"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// settingsView are the settings of booking for all centres, and when new days open.
type settingsView struct {
	Settings settings
	Channels []ChannelRule
	Openings []openingRow
	Next     time.Time
	Weekdays []weekdayBox
	Stages   []int
}

type openingRow struct {
	OpeningRule
	Days  []string // names of the weekdays
	Lines []stageRow
	Now   bool // in force today
}

type stageRow struct {
	Time    string
	Percent int
}

type weekdayBox struct {
	Value   string
	Name    string
	Checked bool
}

// shownStages is how many stages the form has.
const shownStages = 3

func (s *Service) showSettings(c *web.Ctx) error { return s.pageSettings(c, web.NewForm()) }

func (s *Service) pageSettings(c *web.Ctx, f *web.Form) error {
	var v settingsView
	var err error
	if v.Settings, err = readSettings(c.Std(), s.Pool); err != nil {
		return err
	}
	if v.Channels, err = Channels(c.Std(), s.Pool); err != nil {
		return err
	}
	rules, err := Openings(c.Std(), s.Pool)
	if err != nil {
		return err
	}
	v.Next = openings(rules).next(c.Now)
	current := openings(rules).at(clock.Day(c.Now))
	for _, r := range rules {
		row := openingRow{OpeningRule: r, Now: r.FromDay.Equal(current.FromDay)}
		for _, w := range r.Weekdays {
			row.Days = append(row.Days, c.T(weekdayKey(w)))
		}
		for _, st := range r.Stages {
			row.Lines = append(row.Lines, stageRow{clockOf(st.AtMinute), st.Percent})
		}
		v.Openings = append(v.Openings, row)
	}
	chosen := map[string]bool{}
	for _, w := range f.All("opening_day") {
		chosen[w] = true
	}
	for i := range 7 {
		w := time.Weekday((i + 1) % 7)
		value := strconv.Itoa(int(w))
		v.Weekdays = append(v.Weekdays, weekdayBox{value, c.T(weekdayKey(w)), chosen[value]})
	}
	for i := range shownStages {
		v.Stages = append(v.Stages, i+1)
	}
	if f.Get("opening_from") == "" && f.OK() {
		f.Set("opening_from", clock.Day(c.Now).Format(time.DateOnly))
	}
	return c.PageForm("booking/settings", f, v)
}

func weekdayKey(w time.Weekday) string { return fmt.Sprintf("booking.weekday.%d", int(w)) }

const settingsPath = "/admin/booking-settings"

func (s *Service) postSettings(c *web.Ctx) error {
	f := c.Form()
	channels, err := Channels(c.Std(), s.Pool)
	if err != nil {
		return err
	}
	margin := number(f, "margin", 0, 60)
	u := SettingsUpdate{
		HorizonDays: number(f, "horizon", 1, 366), HoldMinutes: number(f, "hold", 2, 60), SlotMinutes: number(f, "slot", 5, 120),
		DeliveryMarginDays: &margin, LeadDays: map[Channel]int{},
	}
	for _, ch := range channels {
		if ch.Bookable {
			u.LeadDays[ch.ID] = number(f, "lead_"+string(ch.ID), 0, 90)
		}
	}
	if !f.OK() {
		return s.pageSettings(c, f)
	}
	if err := s.SetSettings(c.Std(), u, byUser(c)); err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.saved")
	return c.See(settingsPath)
}

func (s *Service) postOpening(c *web.Ctx) error {
	f := c.Form()
	if f.Get("remove") != "" {
		day, err := time.Parse(time.DateOnly, f.Get("remove"))
		if err != nil {
			return web.NotFound()
		}
		if err := s.RemoveOpening(c.Std(), day, byUser(c)); err != nil {
			return adminProblem(err)
		}
		c.Flash("booking.flash.removed")
		return c.See(settingsPath)
	}
	r := OpeningRule{FromDay: dayField(f, "opening_from", clock.Day(c.Now))}
	for _, w := range f.All("opening_day") {
		if n, err := strconv.Atoi(w); err == nil && n >= 0 && n < 7 {
			r.Weekdays = append(r.Weekdays, time.Weekday(n))
		}
	}
	var typed []int // number of the fields of each stage: lines may be left empty
	for i := 1; i <= shownStages; i++ {
		at, percent := fmt.Sprintf("stage_time_%d", i), fmt.Sprintf("stage_percent_%d", i)
		if f.Get(at) == "" && f.Get(percent) == "" {
			continue
		}
		typed = append(typed, i)
		r.Stages = append(r.Stages, Stage{minuteOf(f, at), number(f, percent, 1, 100)})
	}
	if f.OK() {
		for _, fault := range r.wrong() {
			f.Fail(fault.field(typed), "booking.error.opening."+fault.What)
		}
	}
	if !f.OK() {
		return s.pageSettings(c, f)
	}
	err := s.SetOpening(c.Std(), r, byUser(c))
	if err != nil {
		return adminProblem(err)
	}
	c.Flash("booking.flash.saved")
	return c.See(settingsPath)
}

// field names the field of the form that is wrong; typed says in which line each stage
// stands.
func (x openingFault) field(typed []int) string {
	switch x.What {
	case "weekdays":
		return "opening_day"
	case "stages":
		return "stage_time_1"
	case "time":
		return fmt.Sprintf("stage_time_%d", typed[x.Stage])
	}
	return fmt.Sprintf("stage_percent_%d", typed[x.Stage])
}
