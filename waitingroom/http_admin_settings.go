package waitingroom

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"impfportal/internal/web"
)

// settingsPage is the form of a room's settings, and of a new room.
type settingsPage struct {
	Room       Room
	Name       string
	New        bool
	Groups     []groupChoice
	GroupWrong string // what is wrong with the choice of groups
	Challenges []web.Option
	MayLogin   bool         // who gets a place can be changed now
	Waiting    int64        // people who would lose their places by it
	Changed    []settingRow // somebody else was quicker: what is set now, where it differs
	Conflict   bool
}

// groupChoice is one group of pages, and who has it already.
type groupChoice struct {
	Group, Name string
	Owner       string // another room; "" = free
	Chosen      bool
}

func (s *Service) settingsPage(c *web.Ctx, r Room, f *web.Form) settingsPage {
	p := settingsPage{Room: r, Name: r.Name.In(c.Lang), MayLogin: r.Phase == Closed || r.Phase == Scheduled, Waiting: s.waiting(r.ID)}
	set := s.rooms.Load()
	for _, g := range s.knownGroups(r) {
		choice := groupChoice{Group: g, Name: groupName(c, g), Chosen: slices.Contains(f.All("groups"), g)}
		if v := set.guard[g]; v != nil && v.id != r.ID {
			choice.Owner = v.known.Load().Name.In(c.Lang)
		}
		p.Groups = append(p.Groups, choice)
	}
	for _, o := range []Challenge{ChallengeAuto, ChallengeOn, ChallengeOff} {
		p.Challenges = append(p.Challenges, web.Option{
			Value: string(o), Label: c.T("waitingroom.admin.challenge." + string(o)), Hint: c.T("waitingroom.admin.challenge." + string(o) + ".hint"),
		})
	}
	for _, e := range f.Errors {
		if e.Field == "groups" {
			p.GroupWrong = c.T(e.Key, e.Args...)
		}
	}
	return p
}

func settingsForm(r Room) *web.Form {
	f := web.NewForm("name_de", r.Name["de"], "name_en", r.Name["en"], "rate_per_minute", strconv.Itoa(r.Rate), "active_bound", strconv.Itoa(r.Bound),
		"pass_minutes", strconv.Itoa(int(r.PassLength.Minutes())), "grace_seconds", strconv.Itoa(int(r.Grace.Seconds())),
		"hotline_percent", strconv.Itoa(r.Hotline), "invites_daily", strconv.Itoa(r.Invites), "challenge", string(r.Challenge), "version", strconv.FormatInt(r.Version, 10))
	f.Set("groups", r.Groups...)
	if r.Login {
		f.Set("login", "1")
	}
	return f
}

// parseSettings reads the form; all its fields are always sent.
func parseSettings(f *web.Form) Settings {
	number := func(name string, low, high int) *int {
		n := f.Int(name, low, high, "waitingroom.admin.error.range")
		return &n
	}
	groups, login, challenge := slices.Clone(f.All("groups")), f.Get("login") != "", Challenge(f.Get("challenge"))
	c := Settings{
		Name: Text{"de": f.Get("name_de"), "en": f.Get("name_en")}, Groups: &groups, Login: &login, Challenge: &challenge,
		Rate: number("rate_per_minute", 1, MaxRate), Bound: number("active_bound", 1, MaxBound), Hotline: number("hotline_percent", 0, MaxHotline),
		Invites: number("invites_daily", 0, MaxInvites),
		EndLine: f.Get("end_line") != "",
	}
	pass := time.Duration(*number("pass_minutes", int(MinPass.Minutes()), int(MaxPass.Minutes()))) * time.Minute
	grace := time.Duration(*number("grace_seconds", int(MinGrace.Seconds()), int(MaxGrace.Seconds()))) * time.Second
	c.PassLength, c.Grace = &pass, &grace
	c.Version, _ = strconv.ParseInt(f.Get("version"), 10, 64)
	return c
}

func (s *Service) showSettings(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	r := *v.known.Load()
	f := settingsForm(r)
	return c.PageForm("waitingroom/room_settings", f, s.settingsPage(c, r, f))
}

func (s *Service) postSettings(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	f := c.Form()
	set := parseSettings(f)
	if r := v.known.Load(); r.Phase != Closed && r.Phase != Scheduled {
		set.Login = nil // the page does not ask for it now
	}
	if f.OK() {
		_, err := s.EditRoom(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, set)
		if p, ok := problemFields(err); ok {
			f.Errors = append(f.Errors, inWords(c, p)...)
		} else if errors.Is(err, ErrChanged) {
			return s.settingsChanged(c, v, f)
		} else if err != nil {
			return problem(err)
		}
	}
	if !f.OK() {
		return c.PageForm("waitingroom/room_settings", f, s.settingsPage(c, *v.known.Load(), f))
	}
	c.Flash("waitingroom.admin.done.settings")
	return c.See("/admin/rooms/" + v.id)
}

// settingsChanged shows the form again with everything that was typed, and
// names what is set otherwise meanwhile.
func (s *Service) settingsChanged(c *web.Ctx, v *view, f *web.Form) error {
	if err := s.load(c.Std()); err != nil {
		return err
	}
	r := *v.known.Load()
	p := s.settingsPage(c, r, f)
	p.Conflict = true
	now := settingsForm(r)
	for _, field := range []struct{ name, label string }{
		{"name_de", "waitingroom.admin.name.de"},
		{"name_en", "waitingroom.admin.name.en"},
		{"rate_per_minute", "waitingroom.admin.rate"},
		{"active_bound", "waitingroom.admin.bound"},
		{"pass_minutes", "waitingroom.admin.pass.minutes"},
		{"grace_seconds", "waitingroom.admin.grace.seconds"},
		{"hotline_percent", "waitingroom.admin.hotline.percent"},
		{"invites_daily", "waitingroom.admin.invites"},
	} {
		if now.Get(field.name) != f.Get(field.name) {
			p.Changed = append(p.Changed, settingRow{c.T(field.label), now.Get(field.name)})
		}
	}
	if typed := slices.Sorted(slices.Values(f.All("groups"))); !slices.Equal(typed, slices.Sorted(slices.Values(r.Groups))) {
		p.Changed = append(p.Changed, settingRow{c.T("waitingroom.admin.groups"), guarded(c, r.Groups)})
	}
	if now.Get("challenge") != f.Get("challenge") {
		p.Changed = append(p.Changed, settingRow{c.T("waitingroom.admin.challenge"), c.T("waitingroom.admin.challenge." + string(r.Challenge))})
	}
	f.Set("version", strconv.FormatInt(r.Version, 10))
	c.Status(http.StatusConflict)
	return c.PageForm("waitingroom/room_settings", f, p)
}

func (s *Service) showNewRoom(c *web.Ctx) error {
	s.ensure(c.Std())
	f := settingsForm(newRoom(""))
	p := s.settingsPage(c, newRoom(""), f)
	p.New = true
	return c.PageForm("waitingroom/room_settings", f, p)
}

func (s *Service) postNewRoom(c *web.Ctx) error {
	s.ensure(c.Std())
	f := c.Form()
	set := parseSettings(f)
	set.Version = 0
	if f.OK() {
		r, err := s.CreateRoom(c.Std(), c.Actor(), string(web.RoleAdmin), f.Get("id"), set)
		if err == nil {
			c.Flash("waitingroom.admin.done.created")
			return c.See("/admin/rooms/" + r.ID)
		}
		p, ok := problemFields(err)
		if !ok {
			return problem(err)
		}
		f.Errors = append(f.Errors, inWords(c, p)...)
	}
	p := s.settingsPage(c, newRoom(""), f)
	p.New = true
	return c.PageForm("waitingroom/room_settings", f, p)
}

// deletePage asks once more.
type deletePage struct {
	Room   Room
	Name   string
	Groups string
	Inside int64
	May    bool   // it is closed
	Sure   string // key of what is asked
}

func (s *Service) deletePage(c *web.Ctx, v *view) deletePage {
	r := *v.known.Load()
	p := deletePage{
		Room: r, Name: r.Name.In(c.Lang), Groups: guarded(c, r.Groups), Inside: s.figures(v).Inside, May: r.Phase == Closed,
		Sure: "waitingroom.admin.delete.sure",
	}
	if p.Groups == "" {
		p.Sure = "waitingroom.admin.delete.sure_plain"
	}
	return p
}

func (s *Service) showDelete(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	return c.PageForm("waitingroom/room_delete", web.NewForm(), s.deletePage(c, v))
}

func (s *Service) postDelete(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	f := c.Form()
	if f.Get("sure") == "" {
		f.Fail("sure", "waitingroom.admin.error.delete_sure")
	}
	if f.OK() {
		err := s.DeleteRoom(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, f.Get("typed"))
		if p, ok := problemFields(err); ok {
			f.Errors = append(f.Errors, p...)
		} else if err != nil {
			return problem(err)
		}
	}
	if !f.OK() {
		return c.PageForm("waitingroom/room_delete", f, s.deletePage(c, v))
	}
	c.Flash("waitingroom.admin.done.deleted")
	return c.See("/admin/rooms")
}
