package waitingroom

import (
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web"
)

// adminRoutes are the administrators' addresses; the auditor may look.
func (s *Service) adminRoutes() []web.Route {
	admin := []web.Role{web.RoleAdmin}
	watch := []web.Role{web.RoleAdmin, web.RoleAuditor}
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/rooms", Roles: watch, Nav: "waitingroom.admin.nav", NavGroup: "web.nav.today", Handle: s.showRooms},
		{Method: http.MethodGet, Path: "/admin/rooms/new", Roles: admin, Handle: s.showNewRoom},
		{Method: http.MethodPost, Path: "/admin/rooms/new", Roles: admin, Handle: s.postNewRoom},
		{Method: http.MethodGet, Path: "/admin/rooms/:room", Roles: watch, Handle: s.showRoom},
		{Method: http.MethodPost, Path: "/admin/rooms/:room", Roles: admin, Handle: s.postValve},
		{Method: http.MethodGet, Path: "/admin/rooms/:room/plan", Roles: admin, Handle: s.showPlan},
		{Method: http.MethodPost, Path: "/admin/rooms/:room/plan", Roles: admin, Handle: s.postPlan},
		{Method: http.MethodGet, Path: "/admin/rooms/:room/settings", Roles: admin, Handle: s.showSettings},
		{Method: http.MethodPost, Path: "/admin/rooms/:room/settings", Roles: admin, Handle: s.postSettings},
		{Method: http.MethodGet, Path: "/admin/rooms/:room/delete", Roles: admin, Handle: s.showDelete},
		{Method: http.MethodPost, Path: "/admin/rooms/:room/delete", Roles: admin, Handle: s.postDelete},

		{Method: http.MethodGet, Path: "/api/v1/rooms", Roles: watch, API: web.JSON("All rooms with settings, plan and figures", s.apiRooms)},
		{Method: http.MethodPost, Path: "/api/v1/rooms", Roles: admin, API: web.JSON("Make a room; it is closed at first", s.apiCreate)},
		{Method: http.MethodPatch, Path: "/api/v1/rooms/:room", Roles: admin, API: web.JSON("The valve and the settings of a room", s.apiPatch)},
		{Method: http.MethodDelete, Path: "/api/v1/rooms/:room", Roles: admin, API: web.JSON("Delete a closed room: its tickets are void, its groups of pages are unguarded", s.apiDelete)},
		{Method: http.MethodPut, Path: "/api/v1/rooms/:room/plan", Roles: admin, API: web.JSON("Plan an opening", s.apiPlan)},
		{Method: http.MethodDelete, Path: "/api/v1/rooms/:room/plan", Roles: admin, API: web.JSON("Cancel the planned opening", s.apiUnplan)},
		{Method: http.MethodGet, Path: "/api/v1/rooms/:room/figures", Roles: watch, API: web.JSON("Live figures of a room", s.apiFigures)},
		{Method: http.MethodGet, Path: "/api/v1/rooms/:room/minutes", Roles: watch, API: web.JSON("How a room went, minute by minute", s.apiMinutes)},
	}
}

// FiguresOut is what the administration watches.
type FiguresOut struct {
	Phase     Phase   `json:"phase"`
	Rate      int     `json:"rate_per_minute"`
	Bound     int     `json:"active_bound"`
	Waiting   int64   `json:"waiting"`
	Behind    int64   `json:"behind" doc:"places behind the line, not yet invited"`
	Inside    int64   `json:"inside"`
	Invited   int64   `json:"invited" doc:"invited lately, not yet inside"`
	Admitted  int64   `json:"admitted" doc:"passes of this line so far"`
	NoShows   int64   `json:"no_shows" doc:"invited people who did not come in their time, of this line so far"`
	Show      float64 `json:"show" doc:"share of invited people who come, 0 to 1"`
	Issued    int64   `json:"issued"`
	Serving   int64   `json:"serving"`
	Epoch     int64   `json:"epoch"`
	Pace      Pace    `json:"pace"`
	Challenge bool    `json:"challenge_on" doc:"newcomers must prove work now"`
	Trouble   bool    `json:"trouble"`
	AgeMillis int64   `json:"age_ms" doc:"how old the figures are"`
	Version   int64   `json:"version"`
	Message   Text    `json:"message"`
}

// figures returns what this replica saw at its last tick, at most about a
// second ago.
func (s *Service) figures(v *view) FiguresOut {
	r := v.known.Load()
	out := FiguresOut{Phase: r.Phase, Rate: r.Rate, Bound: r.Bound, Epoch: r.Epoch, Version: r.Version, Message: r.Message}
	if out.Message == nil {
		out.Message = Text{}
	}
	snap := v.snap.Load()
	out.Trouble = snap == nil || snap.state.Trouble
	out.Challenge = snap != nil && snap.state.Challenge
	if f, age, ok := v.lineFigures(s.roomNow()); ok && f.epoch == r.Epoch {
		out.Waiting, out.Behind, out.Inside, out.Invited, out.Admitted = f.Waiting, f.Behind, f.Inside, f.Invited, f.Admitted
		out.NoShows, out.Show = f.NoShows, f.Show
		out.Issued, out.Serving, out.Pace, out.AgeMillis = f.Issued, f.Serving, f.Pace, max(0, age.Milliseconds())
	}
	return out
}

// AdminRoomOut is a room with everything that is set of it, and its figures.
type AdminRoomOut struct {
	ID           string     `json:"id"`
	Name         Text       `json:"name" doc:"by language"`
	Groups       []string   `json:"groups" doc:"groups of pages behind the room"`
	PassMinutes  float64    `json:"pass_minutes"`
	GraceSeconds float64    `json:"grace_seconds"`
	Login        bool       `json:"login"`
	Draw         bool       `json:"draw"`
	Beacon       Beacon     `json:"beacon"`
	BeaconName   string     `json:"beacon_name"`
	Hotline      int        `json:"hotline_percent"`
	Invites      int        `json:"invites_daily"`
	ChallengeSet Challenge  `json:"challenge"`
	PreQueueFrom *time.Time `json:"prequeue_from,omitempty"`
	OpensAt      *time.Time `json:"opens_at,omitempty"`
	ClosesAt     *time.Time `json:"closes_at,omitempty"`
	FiguresOut
}

func (s *Service) adminRoom(v *view) AdminRoomOut {
	r := v.known.Load()
	out := AdminRoomOut{
		ID: r.ID, Name: r.Name, Groups: r.Groups, PassMinutes: r.PassLength.Minutes(), GraceSeconds: r.Grace.Seconds(), Login: r.Login, Draw: r.Draw,
		Beacon: r.Beacon, BeaconName: r.BeaconName, Hotline: r.Hotline, Invites: r.Invites, ChallengeSet: r.Challenge,
		PreQueueFrom: r.Plan.PreQueueFrom, OpensAt: r.Plan.OpensAt, ClosesAt: r.Plan.ClosesAt, FiguresOut: s.figures(v),
	}
	if out.Groups == nil {
		out.Groups = []string{}
	}
	return out
}

// adminProblem maps what went wrong with a change.
func adminProblem(c *web.Ctx, err error) error {
	if p, ok := problemFields(err); ok {
		return web.Invalid(inWords(c, p)...)
	}
	if errors.Is(err, ErrChanged) {
		return web.Fail(http.StatusConflict, "waitingroom.admin.error.changed")
	}
	return problem(err)
}

// inWords names groups of pages as people know them.
func inWords(c *web.Ctx, p Problems) Problems {
	for _, f := range p {
		for i := 0; i+1 < len(f.Args); i += 2 {
			if g, ok := f.Args[i+1].(string); ok && f.Args[i] == "Group" {
				f.Args[i+1] = groupName(c, g)
			}
		}
	}
	return p
}

// RoomsOut lists rooms.
type RoomsOut struct {
	Rooms []AdminRoomOut `json:"rooms"`
}

func (s *Service) apiRooms(c *web.Ctx, _ struct{}) (RoomsOut, error) {
	s.ensure(c.Std())
	out := RoomsOut{Rooms: []AdminRoomOut{}}
	for _, v := range s.sortedViews() {
		out.Rooms = append(out.Rooms, s.adminRoom(v))
	}
	return out, nil
}

// SettingsIn is what may be set of a room; what is left out stays.
type SettingsIn struct {
	Name         Text       `json:"name,omitempty" doc:"by language"`
	Groups       *[]string  `json:"groups,omitempty" doc:"groups of pages; each has one room at most"`
	Rate         *int       `json:"rate_per_minute,omitempty"`
	Bound        *int       `json:"active_bound,omitempty"`
	PassMinutes  *int       `json:"pass_minutes,omitempty"`
	GraceSeconds *int       `json:"grace_seconds,omitempty" doc:"how long an invitation keeps a seat free"`
	Hotline      *int       `json:"hotline_percent,omitempty" doc:"of the rate, for those whom the hotline sends"`
	Invites      *int       `json:"invites_daily,omitempty" doc:"admission codes that one agent may give out in a day"`
	Login        *bool      `json:"login,omitempty" doc:"one place per case number; changing it begins a new line"`
	Draw         *bool      `json:"draw,omitempty" doc:"the order of the pre-queue is drawn"`
	Beacon       *Beacon    `json:"beacon,omitempty" doc:"none, local, drand, lottery"`
	BeaconName   *string    `json:"beacon_name,omitempty" doc:"lottery: which drawing"`
	Challenge    *Challenge `json:"challenge,omitempty" doc:"auto, on, off"`
	Message      Text       `json:"message,omitempty" doc:"by language; {} takes the message away"`
	EndLine      bool       `json:"end_line,omitempty" doc:"those who wait may lose their places by this change"`
	Version      int64      `json:"version,omitempty" doc:"the version that the caller has seen: another one is refused with 409; 0 = any"`
}

func (in SettingsIn) settings() Settings {
	c := Settings{
		Name: cleaned(in.Name), Groups: in.Groups, Login: in.Login, Draw: in.Draw, Beacon: in.Beacon, BeaconName: in.BeaconName, Rate: in.Rate, Bound: in.Bound,
		Hotline: in.Hotline, Invites: in.Invites, Challenge: in.Challenge, Message: cleaned(in.Message), EndLine: in.EndLine, Version: in.Version,
	}
	if in.PassMinutes != nil {
		d := time.Duration(*in.PassMinutes) * time.Minute
		c.PassLength = &d
	}
	if in.GraceSeconds != nil {
		d := time.Duration(*in.GraceSeconds) * time.Second
		c.Grace = &d
	}
	return c
}

func cleaned(t Text) Text {
	for lang, text := range t {
		t[lang] = web.CleanText(text)
	}
	return t
}

type createIn struct {
	ID string `json:"id" doc:"small letters, digits and hyphens; part of the address"`
	SettingsIn
}

// createdOut is the room that was made.
type createdOut struct{ AdminRoomOut }

// HTTPStatus makes the answer a 201.
func (createdOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiCreate(c *web.Ctx, in createIn) (createdOut, error) {
	r, err := s.CreateRoom(c.Std(), c.Actor(), string(web.RoleAdmin), in.ID, in.settings())
	if err != nil {
		return createdOut{}, adminProblem(c, err)
	}
	out, err := s.adminRoomByID(c, r.ID)
	return createdOut{out}, err
}

func (s *Service) adminRoomByID(c *web.Ctx, id string) (AdminRoomOut, error) {
	v, err := s.view(c.Std(), id)
	if err != nil {
		return AdminRoomOut{}, problem(err)
	}
	return s.adminRoom(v), nil
}

type patchIn struct {
	Room    string `path:"room" json:"-"`
	Phase   *Phase `json:"phase,omitempty" doc:"pre-queue, open, paused, closed; opening a pre-queue whose order is drawn begins the drawing"`
	NewLine bool   `json:"new_line,omitempty" doc:"only in a closed room: all tickets become void"`
	SettingsIn
}

func (s *Service) apiPatch(c *web.Ctx, in patchIn) (AdminRoomOut, error) {
	set := in.settings()
	d := deed{c.Actor(), string(web.RoleAdmin), "waitingroom.settings"}
	if in.Phase != nil || in.NewLine {
		d.action = "waitingroom.valve"
	}
	waiting := s.waiting(in.Room)
	_, err := s.alter(c.Std(), d, in.Room, func(tx pgx.Tx, r Room) (Room, error) {
		r, err := s.withEdit(c.Std(), tx, r, set, waiting)
		if err != nil {
			return r, err
		}
		return withValve(c.Std(), tx, r, Change{Phase: in.Phase, NewLine: in.NewLine})
	})
	if err != nil {
		return AdminRoomOut{}, adminProblem(c, err)
	}
	return s.adminRoomByID(c, in.Room)
}

type deleteIn struct {
	Room    string `path:"room" json:"-"`
	Confirm string `query:"confirm" json:"-" doc:"the id of the room once more"`
}

func (s *Service) apiDelete(c *web.Ctx, in deleteIn) (struct{}, error) {
	if err := s.DeleteRoom(c.Std(), c.Actor(), string(web.RoleAdmin), in.Room, in.Confirm); err != nil {
		return struct{}{}, adminProblem(c, err)
	}
	return struct{}{}, nil
}

type planIn struct {
	Room         string     `path:"room" json:"-"`
	PreQueueFrom *time.Time `json:"prequeue_from,omitempty" doc:"a new line begins: places are given out, all equal until the opening"`
	OpensAt      *time.Time `json:"opens_at,omitempty" doc:"once the pre-queue has begun it may only be moved to later"`
	ClosesAt     *time.Time `json:"closes_at,omitempty"`
	SettingsIn
}

func (s *Service) apiPlan(c *web.Ctx, in planIn) (AdminRoomOut, error) {
	p := Plan{PreQueueFrom: in.PreQueueFrom, OpensAt: in.OpensAt, ClosesAt: in.ClosesAt}
	if _, err := s.SetPlan(c.Std(), c.Actor(), string(web.RoleAdmin), in.Room, p, in.settings()); err != nil {
		return AdminRoomOut{}, adminProblem(c, err)
	}
	return s.adminRoomByID(c, in.Room)
}

func (s *Service) apiUnplan(c *web.Ctx, in roomIn) (AdminRoomOut, error) {
	if _, err := s.SetPlan(c.Std(), c.Actor(), string(web.RoleAdmin), in.Room, Plan{}, Settings{}); err != nil {
		return AdminRoomOut{}, adminProblem(c, err)
	}
	return s.adminRoomByID(c, in.Room)
}

func (s *Service) apiFigures(c *web.Ctx, in roomIn) (FiguresOut, error) {
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return FiguresOut{}, problem(err)
	}
	return s.figures(v), nil
}

type minutesIn struct {
	Room  string `path:"room" json:"-"`
	Hours int    `query:"hours" json:"-" doc:"how far back, 1 to 24; 1 when left out"`
}

// MinutesOut is a room's past.
type MinutesOut struct {
	Minutes []Minute `json:"minutes" doc:"oldest first; minutes in which nobody looked are missing"`
}

func (s *Service) apiMinutes(c *web.Ctx, in minutesIn) (MinutesOut, error) {
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return MinutesOut{}, problem(err)
	}
	if in.Hours < 1 || in.Hours > 24 {
		in.Hours = 1
	}
	minutes, err := s.Minutes(c.Std(), v.id, s.roomNow().Add(-time.Duration(in.Hours)*time.Hour))
	return MinutesOut{Minutes: minutes}, err
}
