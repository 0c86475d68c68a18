package waitingroom

import (
	"errors"
	"strconv"
	"strings"

	"impfportal/internal/web"
)

// roomRow is one room in the administration's list.
type roomRow struct {
	Room    Room
	Name    string
	Figures FiguresOut
}

// showRooms lists the rooms with the state of their valves.
func (s *Service) showRooms(c *web.Ctx) error {
	s.ensure(c.Std())
	var rows []roomRow
	for _, id := range s.RoomIDs() {
		v := s.rooms.Load().views[id]
		r := v.known.Load()
		rows = append(rows, roomRow{Room: *r, Name: r.Name.In(c.Lang), Figures: s.figures(v)})
	}
	return c.Page("waitingroom/rooms", rows)
}

// roomPage is the valve of one room.
type roomPage struct {
	Room    Room
	Name    string
	Groups  string
	Figures FiguresOut
	Wait    waitText
	Next    []Phase // what the valve may be set to by hand
	Primary Phase
	MayNew  bool
	May     bool // the viewer may change it
}

func (s *Service) roomPage(c *web.Ctx, v *view) roomPage {
	r := *v.known.Load()
	p := roomPage{
		Room: r, Name: r.Name.In(c.Lang), Groups: guarded(c, r.Groups), Figures: s.figures(v), Next: mayFollow[r.Phase],
		MayNew: r.Phase == Closed, May: c.User.Has(web.RoleAdmin),
	}
	p.Wait = waitFor(c.T, p.Figures.Waiting, p.Figures.Pace)
	return p
}

// guarded names the groups of pages that a room stands before.
func guarded(c *web.Ctx, groups []string) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = c.T("waitingroom.group." + g)
	}
	return strings.Join(names, ", ")
}

func (s *Service) showRoom(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	r := v.known.Load()
	f := web.NewForm("message_de", r.Message["de"], "message_en", r.Message["en"],
		"rate_per_minute", strconv.Itoa(r.Rate), "active_bound", strconv.Itoa(r.Bound))
	return c.PageForm("waitingroom/room", f, s.roomPage(c, v))
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
		_, err = s.SetValve(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, change)
		if p, ok := errors.AsType[FieldProblem](err); ok {
			f.Fail(p.Field, p.Key)
		} else if err != nil {
			return problem(err)
		}
	}
	if !f.OK() {
		r := v.known.Load()
		for name, value := range map[string]string{
			"message_de": r.Message["de"], "message_en": r.Message["en"],
			"rate_per_minute": strconv.Itoa(r.Rate), "active_bound": strconv.Itoa(r.Bound),
		} {
			if f.All(name) == nil {
				f.Set(name, value)
			}
		}
		return c.PageForm("waitingroom/room", f, s.roomPage(c, v))
	}
	c.Flash(said)
	return c.See("/admin/rooms/" + v.id)
}

// parseChange reads the form; said is the notice for the change.
func (s *Service) parseChange(f *web.Form) (change Change, said string) {
	switch action := f.Get("action"); action {
	case "limits":
		change.Rate, change.Bound = number(f, "rate_per_minute", MaxRate), number(f, "active_bound", MaxBound)
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
		change.Phase, change.Message = &phase, messageOf(f)
		return change, "waitingroom.admin.done." + strings.ReplaceAll(action, "-", "_")
	}
	f.Fail("phase", "waitingroom.admin.error.phase")
	return change, ""
}

func messageOf(f *web.Form) Text {
	return Text{"de": f.Get("message_de"), "en": f.Get("message_en")}
}

func number(f *web.Form, name string, most int) *int {
	n, err := strconv.Atoi(f.Get(name))
	if err != nil || n < 1 || n > most {
		f.Fail(name, "waitingroom.admin.error.number", "Max", most)
		return nil
	}
	return &n
}
