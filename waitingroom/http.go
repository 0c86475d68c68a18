package waitingroom

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the pages and texts of the slice.
var Assets = web.Bundle{Name: "waitingroom", FS: files}

// Routes of the slice. Joining needs no session: where a request comes from is
// checked instead of a token, so the waiting page can be served to everybody.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		// Citizens.
		{Method: http.MethodGet, Path: "/rooms/:room", Handle: s.showLine},
		{Method: http.MethodGet, Path: "/rooms/:room/state.json", Handle: func(c *web.Ctx) error { return s.serveState(c.Ctx) }},
		{Method: http.MethodPost, Path: "/rooms/:room/join", CrossSite: true, Handle: s.postJoin},
		{Method: http.MethodPost, Path: "/rooms/:room/enter", CrossSite: true, Handle: s.postEnter},
		{Method: http.MethodPost, Path: "/rooms/:room/leave", CrossSite: true, Handle: s.postLeave},

		// The same as JSON.
		{Method: http.MethodGet, Path: "/api/v1/rooms/:room", API: web.JSON("How the line of a room stands", s.apiState)},
		{Method: http.MethodPost, Path: "/api/v1/rooms/:room/join", API: web.JSON("Take a place in the line; the ticket is a cookie", s.apiJoin)},
		{Method: http.MethodPost, Path: "/api/v1/rooms/:room/enter", API: web.JSON("Turn the ticket into a pass; both are cookies", s.apiEnter)},
	}, s.adminRoutes()...)
}

// problem maps the errors of the slice to what is told.
func problem(err error) error {
	switch {
	case errors.Is(err, ErrNoRoom):
		return web.NotFound()
	case errors.Is(err, ErrNotTaking):
		return web.Fail(http.StatusConflict, "waitingroom.error.not_taking")
	case errors.Is(err, ErrVoid):
		return web.Fail(http.StatusConflict, "waitingroom.error.void")
	case errors.Is(err, ErrUnavailable):
		return withCause(web.Fail(http.StatusServiceUnavailable, "waitingroom.error.unavailable"), err)
	}
	return err
}

// causedProblem keeps what happened for the log, behind what is told.
type causedProblem struct {
	*web.Problem
	cause error
}

func withCause(p *web.Problem, cause error) error { return causedProblem{p, cause} }

func (p causedProblem) Error() string { return p.Problem.Error() + ": " + p.cause.Error() }
func (p causedProblem) Unwrap() error { return p.Problem }

// linePage is the waiting page.
type linePage struct {
	Room    Room
	State   State
	To      string
	View    string // see viewOf
	Answer  string // what the door said last: full, busy, wait, shut, used, void
	Ticket  Ticket
	Ahead   int64
	Wait    waitText
	Pass    Pass
	Message string
	Refresh int    // seconds until a browser without JavaScript asks again; 0 = not
	Live    bool   // has a place: the script may follow the line
	Name    string // of the room
	Here    string // this page, without the door's answer
	PassFor string // how long a pass lasts
	Phase   string
}

// The views of the waiting page.
const (
	viewInside    = "inside"    // has a pass
	viewTurn      = "turn"      // may come in
	viewWaiting   = "waiting"   // has a place
	viewFree      = "free"      // no place yet, nobody waits
	viewJoin      = "join"      // no place yet, others wait
	viewPreQueue  = "pre-queue" // no place yet, the room opens later
	viewScheduled = "scheduled"
	viewPaused    = "paused" // no place yet
	viewClosed    = "closed"
)

// showLine is the waiting page. It reads cookies and the snapshot; only a
// browser with a pass costs a Redis command.
func (s *Service) showLine(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	st, err := s.State(v.id)
	if err != nil {
		return problem(err)
	}
	r := v.known.Load()
	p := linePage{
		Room: *r, State: st, To: target(c), Message: st.Message.In(c.Lang), Answer: knownAnswer(c.Query("answer")),
		Name: r.Name.In(c.Lang), PassFor: duration(c.T, int(r.PassLength.Minutes())), Phase: string(st.Phase),
	}
	p.Here = linePath(v.id, p.To)
	ticket, have := s.ticketOf(c, v)
	if have == voidTicket && p.Answer == "" {
		p.Answer = "void"
	}
	if pass, ok := s.passOf(c, v); ok {
		in, err := s.Inside(c.Std(), pass)
		if err != nil {
			return problem(err)
		}
		if in {
			p.Pass, p.View = pass, viewInside
			return c.Page("waitingroom/line", p)
		}
	}
	t := s.turnOf(v, st, ticket.Place)
	p.View = viewOf(st, t, have)
	if have == goodTicket {
		p.Live = p.View == viewWaiting || p.View == viewTurn
		p.Ticket, p.Ahead = ticket, t.Ahead
		p.Wait = waitFor(c.T, p.Ahead, st.Pace)
		if st.Trouble || st.Phase == Paused || !t.Known {
			p.Wait = waitText{Kind: "unknown"} // nobody can say how long
		}
		p.Refresh = max(15, PollAfter(p.Ahead, st.Pace, st.Poll))
	} else {
		p.Wait = waitFor(c.T, st.Waiting, st.Pace)
		if p.View == viewPaused || p.View == viewScheduled || p.View == viewClosed {
			p.Refresh = 60
		}
	}
	return c.Page("waitingroom/line", p)
}

// viewOf decides what the waiting page shows to somebody without a pass.
func viewOf(st State, t turn, have ticketState) string {
	if have == goodTicket && st.Phase != Closed && st.Phase != Scheduled {
		if t.Now {
			return viewTurn
		}
		return viewWaiting
	}
	switch st.Phase {
	case Scheduled:
		return viewScheduled
	case PreQueue:
		return viewPreQueue
	case Paused:
		return viewPaused
	case Closed:
		return viewClosed
	}
	if st.NoLine() {
		return viewFree
	}
	return viewJoin
}

func knownAnswer(a string) string {
	switch a {
	case "wait", "full", "busy", "shut", "used", "void":
		return a
	}
	return ""
}

// waitText is an estimate in words.
type waitText struct {
	Low, High string // durations
	Kind      string // "range", "one", "least", "unknown"
}

// waitFor tells how long ahead people will take. The page's script words it the
// same way.
func waitFor(t func(key string, args ...any) string, ahead int64, pace Pace) waitText {
	e := EstimateFor(ahead, pace)
	w := waitText{Low: duration(t, e.Low), High: duration(t, e.High), Kind: "range"}
	switch {
	case e.Low == 0:
		w.Kind = "unknown"
	case e.High == 0:
		w.Kind = "least"
	case e.Low == e.High:
		w.Kind = "one"
	case e.High < 120:
		w.Low = strconv.Itoa(e.Low) // "10 bis 20 Minuten"
	}
	return w
}

// duration writes whole minutes: "35 Minuten", "2 Stunden 15 Minuten".
func duration(t func(key string, args ...any) string, n int) string {
	unit := func(n int, one, many string) string {
		if n == 1 {
			return "1 " + t(one)
		}
		return strconv.Itoa(n) + " " + t(many)
	}
	if n < 120 {
		return unit(n, "waitingroom.unit.minute", "waitingroom.unit.minutes")
	}
	text := unit(n/60, "waitingroom.unit.hour", "waitingroom.unit.hours")
	if m := n % 60; m > 0 {
		text += " " + unit(m, "waitingroom.unit.minute", "waitingroom.unit.minutes")
	}
	return text
}

// wantsJSON: the forms' addresses also answer as JSON when asked.
func wantsJSON(c *web.Ctx) bool {
	accept := c.Get(fiber.HeaderAccept)
	return strings.Contains(accept, fiber.MIMEApplicationJSON) && !strings.Contains(accept, fiber.MIMETextHTML)
}

// takePlace returns the browser's ticket for the room, a new one only when it
// has none that counts.
func (s *Service) takePlace(c *web.Ctx, v *view) (Ticket, error) {
	if t, have := s.ticketOf(c, v); have == goodTicket {
		return t, nil
	}
	t, err := s.Join(c.Std(), v.id, ensureKey(c))
	if err != nil {
		return Ticket{}, err
	}
	c.PutCookie(ticketCookie+v.id, s.keys.SignTicket(t), TicketLife)
	return t, nil
}

// postJoin takes a place, and goes straight in when nobody waits.
func (s *Service) postJoin(c *web.Ctx) error {
	if wantsJSON(c) {
		out, err := s.apiJoin(c, roomIn{Room: c.Params("room")})
		if err != nil {
			return err
		}
		return c.JSON(out)
	}
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	if inside, err := s.alreadyInside(c, v); err != nil {
		return err
	} else if inside {
		return c.See(target(c))
	}
	t, err := s.takePlace(c, v)
	if errors.Is(err, ErrNotTaking) {
		return c.See(linePath(v.id, target(c)))
	}
	if err != nil {
		return problem(err)
	}
	if st, err := s.State(v.id); err != nil || st.Phase != Open || st.Trouble || !s.turnOf(v, st, t.Place).Known || s.turnOf(v, st, t.Place).Ahead > DoorSize(int64(v.known.Load().Rate)) {
		return c.See(linePath(v.id, target(c)))
	}
	return s.goIn(c, v, t, false)
}

// postEnter claims the pass.
func (s *Service) postEnter(c *web.Ctx) error {
	if wantsJSON(c) {
		out, err := s.apiEnter(c, roomIn{Room: c.Params("room")})
		if err != nil {
			return err
		}
		return c.JSON(out)
	}
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	if inside, err := s.alreadyInside(c, v); err != nil {
		return err
	} else if inside {
		return c.See(target(c))
	}
	t, have := s.ticketOf(c, v)
	if have != goodTicket {
		return c.See(linePath(v.id, target(c)))
	}
	return s.goIn(c, v, t, true)
}

// goIn knocks at the door and leads on, or back to the line with its answer.
func (s *Service) goIn(c *web.Ctx, v *view, t Ticket, tell bool) error {
	pass, verdict, err := s.Enter(c.Std(), t)
	if errors.Is(err, ErrVoid) {
		return c.See(withAnswer(linePath(v.id, target(c)), "void"))
	}
	if err != nil {
		return problem(err)
	}
	switch verdict {
	case Admitted:
		s.admit(c, pass)
		return c.See(target(c))
	case Used:
		forget(c, v.id)
		tell = true
	}
	if !tell {
		return c.See(linePath(v.id, target(c)))
	}
	return c.See(withAnswer(linePath(v.id, target(c)), string(verdict)))
}

func withAnswer(path, answer string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + "answer=" + answer
}

func (s *Service) alreadyInside(c *web.Ctx, v *view) (bool, error) {
	p, ok := s.passOf(c, v)
	if !ok {
		return false, nil
	}
	in, err := s.Inside(c.Std(), p)
	if err != nil {
		return false, problem(err)
	}
	return in, nil
}

// postLeave gives the place or the pass back.
func (s *Service) postLeave(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	if p, ok := s.passOf(c, v); ok {
		ctx, cancel := context.WithTimeout(c.Std(), 3*time.Second)
		defer cancel()
		if err := s.Release(ctx, p.ID()); err != nil {
			return err
		}
	}
	forget(c, v.id)
	c.Flash("waitingroom.left")
	return c.See("/")
}
