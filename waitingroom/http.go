package waitingroom

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"slices"
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
		{Method: http.MethodPost, Path: "/rooms/:room/reminder", CrossSite: true, Handle: s.postReminder},

		// The same as JSON.
		{Method: http.MethodGet, Path: "/api/v1/rooms/:room", API: web.JSON("How the line of a room stands", s.apiState)},
		{Method: http.MethodPost, Path: "/api/v1/rooms/:room/join", API: web.JSON("Take a place in the line; the ticket is a cookie", s.apiJoin)},
		{Method: http.MethodPost, Path: "/api/v1/rooms/:room/enter", API: web.JSON("Turn the ticket into a pass; both are cookies", s.apiEnter)},
	}, slices.Concat(s.adminRoutes(), s.defenceRoutes(), s.drawRoutes())...)
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

// wantsJSON: the forms' addresses also answer as JSON when asked.
func wantsJSON(c *web.Ctx) bool {
	accept := c.Get(fiber.HeaderAccept)
	return strings.Contains(accept, fiber.MIMEApplicationJSON) && !strings.Contains(accept, fiber.MIMETextHTML)
}

// takePlace returns the ticket that this request has for the room, a new one
// only when it has none that counts.
func (s *Service) takePlace(c *web.Ctx, v *view) (Ticket, error) {
	if typed := codeOf(c); typed != "" {
		return s.takeInvited(c, v, typed)
	}
	if t, have := s.ticketOf(c, v); have == goodTicket {
		return t, nil
	}
	t, err := s.newPlace(c, v)
	if err != nil {
		return Ticket{}, err
	}
	c.PutCookie(ticketCookie+v.id, s.keys.SignTicket(t), TicketLife)
	return t, nil
}

// newPlace takes a place for a newcomer, where the defence lets it be.
func (s *Service) newPlace(c *web.Ctx, v *view) (Ticket, error) {
	login := v.known.Load().Login
	if login && citizenOf(c) == "" {
		return Ticket{}, loginNeeded(c, v)
	}
	lane, err := s.laneFor(c, v)
	if err != nil {
		return Ticket{}, err
	}
	if login {
		t, _, err := s.joinAs(c.Std(), v, citizenOf(c))
		return t, err
	}
	return s.join(c.Std(), v.id, ensureKey(c), lane)
}

// postJoin takes a place, and goes straight in when nobody waits.
func (s *Service) postJoin(c *web.Ctx) error {
	if wantsJSON(c) {
		out, err := s.apiJoin(c, joinIn{Room: c.Params("room")})
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
	line := linePath(v.id, target(c))
	t, err := s.takePlace(c, v)
	switch {
	case errors.Is(err, ErrNotTaking):
		return c.See(line)
	case errors.Is(err, ErrProofNeeded):
		return c.See(withAnswer(line, "proof"))
	case errors.Is(err, ErrLoginNeeded):
		return c.See(loginPath(line))
	case errors.Is(err, ErrCode), errors.Is(err, ErrCodeTypo):
		f := c.Form()
		if wrong, ok := errors.AsType[*web.Problem](err); ok {
			f.Take(wrong)
		}
		return s.renderLine(c, v, f)
	case err != nil:
		return problem(err)
	}
	if st, err := s.State(v.id); err != nil || !s.straightIn(v, st, t) {
		if c.GetCookie(keyCookie) == "" && !v.known.Load().Login {
			line = withAnswer(line, "cookies") // the page has given it one before; it says so if there is none again
		}
		return c.See(line)
	}
	return s.goIn(c, v, t, false)
}

// straightIn reports whether somebody who has just come need not see the line.
func (s *Service) straightIn(v *view, st State, t Ticket) bool {
	how, r := s.turnOf(v, st, t.Place), v.known.Load()
	if r.Login && (st.Phase == Paused || st.Phase == Closed) {
		return true // perhaps inside already, on another device: the door knows
	}
	return st.Phase == Open && !st.Trouble && how.Known && how.Ahead <= DoorSize(int64(r.Rate))
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
	t, have := s.placeOf(c, v)
	if have != goodTicket {
		return c.See(linePath(v.id, target(c)))
	}
	return s.goIn(c, v, t, true)
}

// goIn knocks at the door and leads on, or back to the line with its answer.
func (s *Service) goIn(c *web.Ctx, v *view, t Ticket, tell bool) error {
	pass, verdict, err := s.enterAs(c, t)
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
	if t, have := s.ticketOf(c, v); have == goodTicket && c.GetCookie(reminderCookie+v.id) != "" && s.remind.offered() {
		if err := s.dropReminder(c.Std(), t.Place); err != nil {
			return err
		}
		c.PutCookie(reminderCookie+v.id, "", -1)
	}
	forget(c, v.id)
	c.Flash("waitingroom.left")
	return c.See("/")
}
