package waitingroom

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// sortedViews returns what this replica knows, by id.
func (s *Service) sortedViews() []*view {
	set := s.rooms.Load().views
	out := make([]*view, 0, len(set))
	for _, id := range s.RoomIDs() {
		if v := set[id]; v != nil {
			out = append(out, v)
		}
	}
	return out
}

// roomRow is one room in the administration's list.
type roomRow struct {
	Room    Room
	Name    string
	Groups  string
	Plan    string // what comes next, in a sentence; "" = nothing
	Figures FiguresOut
	// Machines is the verdict of the defence.
	Machines bool
	Notice   *drawNotice // of a draw that waits for its value
}

func (s *Service) roomRows(c *web.Ctx) []roomRow {
	s.ensure(c.Std())
	var rows []roomRow
	for _, v := range s.sortedViews() {
		r := v.known.Load()
		rows = append(rows, roomRow{
			Room: *r, Name: r.Name.In(c.Lang), Groups: guarded(c, r.Groups), Plan: planSentence(c, *r, s.roomNow()), Figures: s.figures(v),
			Machines: s.defenceView(c, v).Machines, Notice: s.drawNotice(c, v),
		})
	}
	return rows
}

type roomsPage struct {
	Rows      []roomRow
	Unguarded string // groups of pages without a room
	May       bool
}

// showRooms lists the rooms with the state of their valves.
func (s *Service) showRooms(c *web.Ctx) error {
	p := roomsPage{Rows: s.roomRows(c), May: c.User.Has(web.RoleAdmin)}
	var free []string
	for _, g := range s.knownGroups(Room{}) {
		if s.rooms.Load().guard[g] == nil {
			free = append(free, g)
		}
	}
	p.Unguarded = guarded(c, free)
	return c.Page("waitingroom/rooms", p)
}

// valveButton is one thing that the valve can do now, and what it means.
type valveButton struct {
	Action  string // phase
	Label   string // key
	Effect  string // key
	Primary bool
}

// buttons lists what the valve can do, the likeliest first. In a room that
// follows a plan nothing is likely: the plan does it.
func (r Room) buttons() []valveButton {
	b := func(to Phase, name string, primary bool) valveButton {
		return valveButton{string(to), "waitingroom.admin.do." + name, "waitingroom.admin.then." + name, primary}
	}
	planned := r.Plan.PreQueueFrom != nil
	switch r.Phase {
	case Open:
		return []valveButton{b(Paused, "paused", true), b(Closed, "closed", false)}
	case Paused:
		return []valveButton{b(Open, "resume", true), b(Closed, "closed", false)}
	case PreQueue:
		if r.Draw {
			return []valveButton{b(Open, "draw", false), b(Closed, "stop", false)}
		}
		return []valveButton{b(Open, "open", r.Plan.OpensAt == nil), b(Closed, "stop", false)}
	case Drawing:
		return []valveButton{b(Closed, "stop", false)}
	case Scheduled:
		out := []valveButton{b(Open, "early", false)}
		if planned {
			out = []valveButton{b(PreQueue, "now", false), b(Open, "meanwhile", false)}
		}
		return append(out, b(Closed, "unplan", false))
	}
	out := []valveButton{b(Open, "open", true)}
	if !r.Draw {
		out = append(out, b(PreQueue, "pre-queue", false))
	}
	return out
}

// roomPage is everything about one room.
type roomPage struct {
	Room     Room
	Name     string
	Groups   string
	Figures  FiguresOut
	Wait     waitText
	Buttons  []valveButton
	Steps    []planStep
	Plan     string // the coming opening in a sentence
	Settings []settingRow
	Defence  defenceView
	Notice   *drawNotice // of a draw that waits for its value
	Charts   []chart
	Minutes  []Minute // newest first
	Hours    int
	MayNew   bool
	May      bool // the viewer may change it
}

// settingRow is one setting in words.
type settingRow struct{ Label, Value string }

func (s *Service) roomPage(c *web.Ctx, v *view) (roomPage, error) {
	r := *v.known.Load()
	p := roomPage{
		Room: r, Name: r.Name.In(c.Lang), Groups: guarded(c, r.Groups), Figures: s.figures(v), Buttons: r.buttons(), Steps: planSteps(c, r, s.roomNow()),
		Plan: planSentence(c, r, s.roomNow()), Settings: settingRows(c, r), Defence: s.defenceView(c, v), Notice: s.drawNotice(c, v), MayNew: r.Phase == Closed, May: c.User.Has(web.RoleAdmin), Hours: 1,
	}
	p.Wait = waitFor(c.T, p.Figures.Waiting, p.Figures.Pace)
	if r.Phase != Open || p.Figures.Trouble {
		p.Wait = waitText{Kind: "unknown"}
	}
	if c.Query("hours") == "6" {
		p.Hours = 6
	}
	now := s.roomNow()
	minutes, err := s.Minutes(c.Std(), v.id, now.Add(-time.Duration(p.Hours)*time.Hour))
	if err != nil {
		return p, err
	}
	p.Charts = charts(c, minutes, now, time.Duration(p.Hours)*time.Hour)
	slices.Reverse(minutes)
	p.Minutes = minutes
	return p, nil
}

func settingRows(c *web.Ctx, r Room) []settingRow {
	yes := func(b bool) string {
		if b {
			return c.T("waitingroom.admin.yes")
		}
		return c.T("waitingroom.admin.no")
	}
	order := c.T("waitingroom.admin.order.arrival")
	if r.Draw {
		order = c.T("waitingroom.admin.order.draw", "Beacon", c.T("waitingroom.beacon."+string(r.Beacon)))
	}
	return []settingRow{
		{c.T("waitingroom.admin.groups"), guarded(c, r.Groups)},
		{c.T("waitingroom.admin.login"), yes(r.Login)},
		{c.T("waitingroom.admin.order"), order},
		{c.T("waitingroom.admin.pass"), duration(c.T, int(r.PassLength.Minutes()))},
		{c.T("waitingroom.admin.grace"), c.T("waitingroom.unit.seconds", "N", int(r.Grace.Seconds()))},
		{c.T("waitingroom.admin.hotline"), c.T("waitingroom.admin.percent", "N", r.Hotline)},
		{c.T("waitingroom.admin.invites"), strconv.Itoa(r.Invites)},
		{c.T("waitingroom.admin.challenge"), c.T("waitingroom.admin.challenge." + string(r.Challenge))},
	}
}

// groupName is a group of pages as people know it.
func groupName(c *web.Ctx, group string) string {
	if text := c.T("waitingroom.group." + group); text != "waitingroom.group."+group {
		return text
	}
	return group
}

// guarded names groups of pages.
func guarded(c *web.Ctx, groups []string) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = groupName(c, g)
	}
	return strings.Join(names, ", ")
}

func (s *Service) showRoom(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	p, err := s.roomPage(c, v)
	if err != nil {
		return err
	}
	return c.PageForm("waitingroom/room", valveForm(p.Room), p)
}

// valveForm is the fields of the room's page as they are set.
func valveForm(r Room) *web.Form {
	return web.NewForm("message_de", r.Message["de"], "message_en", r.Message["en"],
		"rate_per_minute", strconv.Itoa(r.Rate), "active_bound", strconv.Itoa(r.Bound))
}

// postValve sets what the pressed button stands for: a phase with its message,
// the limits, or a new line.
func (s *Service) postValve(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	f := c.Form()
	change, said := s.parseChange(f)
	if f.OK() {
		r, err := s.SetValve(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, change)
		if p, ok := problemFields(err); ok {
			f.Errors = append(f.Errors, inWords(c, p)...)
		} else if err != nil {
			return problem(err)
		}
		if change.Phase != nil && *change.Phase != r.Phase { // opening means drawing first, closing may mean scheduled
			said = "waitingroom.admin.done." + strings.ReplaceAll(string(r.Phase), "-", "_")
		}
	}
	if !f.OK() {
		p, err := s.roomPage(c, v)
		if err != nil {
			return err
		}
		set := valveForm(p.Room)
		for _, name := range []string{"message_de", "message_en", "rate_per_minute", "active_bound"} {
			if f.All(name) == nil {
				f.Set(name, set.Get(name))
			}
		}
		return c.PageForm("waitingroom/room", f, p)
	}
	c.Flash(said)
	return c.See("/admin/rooms/" + v.id)
}

// parseChange reads the form; said is the notice for the change.
func (s *Service) parseChange(f *web.Form) (change Change, said string) {
	switch action := f.Get("action"); action {
	case "limits":
		rate, bound := f.Int("rate_per_minute", 1, MaxRate, "waitingroom.admin.error.range"), f.Int("active_bound", 1, MaxBound, "waitingroom.admin.error.range")
		change.Rate, change.Bound = &rate, &bound
		return change, "waitingroom.admin.done.limits"
	case "new_line":
		if f.Get("sure") == "" {
			f.Fail("sure", "waitingroom.admin.error.sure")
		}
		return Change{NewLine: true}, "waitingroom.admin.done.new_line"
	case "message":
		change.Message = messageOf(f)
		return change, "waitingroom.admin.done.message"
	case string(PreQueue), string(Open), string(Paused), string(Closed):
		phase := Phase(action)
		change.Phase = &phase
		if f.All("message_de") != nil || f.All("message_en") != nil {
			change.Message = messageOf(f)
		}
		return change, "waitingroom.admin.done." + strings.ReplaceAll(action, "-", "_")
	}
	f.Fail("phase", "waitingroom.admin.error.phase")
	return change, ""
}

func messageOf(f *web.Form) Text {
	return Text{"de": f.Get("message_de"), "en": f.Get("message_en")}
}

// planStep is one moment of a plan in words.
type planStep struct {
	At   time.Time
	When string
	Text string
}

// planSteps tells what will happen by itself.
func planSteps(c *web.Ctx, r Room, now time.Time) []planStep {
	var out []planStep
	add := func(t *time.Time, key string) {
		if t != nil {
			out = append(out, planStep{*t, planTime(c, *t, now), c.T("waitingroom.plan.step." + key)})
		}
	}
	open := r.Phase == Open || r.Phase == Paused
	switch {
	case open:
		add(r.Plan.PreQueueFrom, "prequeue_ends")
	default:
		add(r.Plan.PreQueueFrom, "prequeue")
	}
	switch {
	case r.Draw && (r.Plan.PreQueueFrom != nil || r.Phase == PreQueue):
		add(r.Plan.OpensAt, "draw")
	case r.Plan.PreQueueFrom != nil || r.Phase == PreQueue:
		add(r.Plan.OpensAt, "opens_order")
	default:
		add(r.Plan.OpensAt, "opens")
	}
	add(r.Plan.ClosesAt, "closes")
	return out
}

// planSentence tells the coming opening or closing in one sentence; "" when
// nothing is planned.
func planSentence(c *web.Ctx, r Room, now time.Time) string {
	p := r.Plan
	switch {
	case p.PreQueueFrom != nil && p.OpensAt != nil:
		key := "waitingroom.plan.says.order"
		if r.Draw {
			key = "waitingroom.plan.says.draw"
		}
		at := web.FormatClock(c.Lang, *p.OpensAt)
		if !clock.Day(*p.PreQueueFrom).Equal(clock.Day(*p.OpensAt)) {
			at = planTime(c, *p.OpensAt, now)
		}
		return c.T(key, "From", planTime(c, *p.PreQueueFrom, now), "At", at)
	case p.OpensAt != nil && r.Draw && r.Phase == PreQueue:
		return c.T("waitingroom.plan.says.draw_at", "At", planTime(c, *p.OpensAt, now))
	case p.OpensAt != nil:
		return c.T("waitingroom.plan.says.opens", "At", planTime(c, *p.OpensAt, now))
	case p.ClosesAt != nil:
		return c.T("waitingroom.plan.says.closes", "At", planTime(c, *p.ClosesAt, now))
	}
	return ""
}

// planTime writes a time, with its day unless that is today.
func planTime(c *web.Ctx, t, now time.Time) string {
	at := web.FormatClock(c.Lang, t)
	if t.Second() != 0 {
		at = t.In(clock.Berlin).Format("15:04:05")
	}
	if clock.Day(t).Equal(clock.Day(now)) {
		return c.T("waitingroom.plan.today", "At", at)
	}
	return web.FormatDayShort(c.Lang, t) + ", " + at
}
