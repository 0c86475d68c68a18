package waitingroom

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
)

// What a browser keeps, all in cookies that scripts cannot read: its possession
// key (one for all rooms), and per room a ticket and a pass.
const (
	keyCookie    = "wr_key"
	ticketCookie = "wr_t_"
	passCookie   = "wr_p_"
	keyLife      = 60 * 24 * time.Hour
)

// The groups of routes that the two rooms of the portal guard.
const (
	groupRegister = "register"
	groupHold     = "hold"
)

// Where a pass leads when nobody said where to. Links of the portal say it where
// it is anything else.
const (
	defaultTarget = "/register"
	bookingTarget = "/appointments"
)

// appointmentsRoom is the room in front of booking, as the portal begins.
const appointmentsRoom = "appointments"

// browserKey returns the hash of the browser's possession key.
func browserKey(c *web.Ctx) (KeyHash, bool) { return HashKey(c.GetCookie(keyCookie)) }

// ensureKey is browserKey that gives the browser a key when it has none.
func ensureKey(c *web.Ctx) KeyHash {
	if h, ok := browserKey(c); ok {
		return h
	}
	key := NewKey()
	c.PutCookie(keyCookie, key, keyLife)
	h, _ := HashKey(key)
	return h
}

// ticketState says what the browser's ticket for a room is worth.
type ticketState int

const (
	noTicket    ticketState = iota
	goodTicket              // a place in this line
	voidTicket              // of an earlier line, or too old
	alienTicket             // another browser's or person's, or not ours at all
)

// ticketOf reads the browser's ticket for a room; no I/O.
func (s *Service) ticketOf(c *web.Ctx, v *view) (Ticket, ticketState) {
	text := c.GetCookie(ticketCookie + v.id)
	if text == "" {
		return Ticket{}, noTicket
	}
	t, err := s.keys.Ticket(text)
	if err != nil || t.Room != v.id {
		return Ticket{}, alienTicket
	}
	if !mine(c, t.Key) {
		return Ticket{}, alienTicket
	}
	if t.Epoch != v.known.Load().Epoch || s.roomNow().Sub(t.Issued) > TicketLife {
		return t, voidTicket
	}
	return t, goodTicket
}

// passOf reads the browser's pass for a room: signed, its own or of the person
// who is logged in, not run out. No I/O but for the session, if that was not
// looked up yet; whether it was released only [Service.Inside] knows.
func (s *Service) passOf(c *web.Ctx, v *view) (Pass, bool) {
	p, ok := s.signedPass(c, v)
	return p, ok && mine(c, p.Key)
}

// signedPass is a pass that counts for somebody.
func (s *Service) signedPass(c *web.Ctx, v *view) (Pass, bool) {
	text := c.GetCookie(passCookie + v.id)
	if text == "" {
		return Pass{}, false
	}
	p, err := s.keys.Pass(text)
	if err != nil || p.Room != v.id || !p.Expires.After(s.roomNow()) {
		return Pass{}, false
	}
	return p, true
}

// admit gives the browser its pass. Whoever comes in to book is done with
// registering: the pass for that is free for somebody else.
func (s *Service) admit(c *web.Ctx, p Pass) {
	s.putPass(c, p)
	guard := s.rooms.Load().guard
	if register := guard[groupRegister]; register != nil && register.id != p.Room && guard[groupHold] != nil && guard[groupHold].id == p.Room {
		s.giveBack(c, register)
	}
}

func (s *Service) putPass(c *web.Ctx, p Pass) {
	c.PutCookie(passCookie+p.Room, s.keys.SignPass(p), p.Expires.Sub(s.roomNow()))
}

// forget takes the browser's ticket and pass for a room.
func forget(c *web.Ctx, roomID string) {
	for _, name := range []string{ticketCookie + roomID, passCookie + roomID} {
		if c.GetCookie(name) != "" {
			c.PutCookie(name, "", -1)
		}
	}
}

// Gate refuses a request of a guarded group that brings no valid pass: 403 with
// the way back to the line, and without a signed pass no Redis command and no
// database work. A signed pass costs one Redis command, and where it belongs to a
// person the look at the session, which every page with a login costs.
//
// Nobody shall press through a waiting page on which nobody waits. So a citizen
// who is logged in and opens a page behind a room that demands login is let in
// on the way, place and pass in one go, while the line is empty ([Service.letIn]).
// Whatever is in doubt (somebody waits, the door is busy, a form, the API) is
// refused as ever.
//
// Staff need no pass. Their routes are not guarded; what they may call of the
// citizens' has no login, so only there a session is looked at, one that was
// given out to staff.
func (s *Service) Gate(c *web.Ctx, group string) error {
	if c.User != nil && c.User.Kind == "staff" {
		return nil
	}
	s.ensure(c.Std())
	set := s.rooms.Load()
	v := set.guard[group]
	if v == nil {
		if len(set.views) > 0 {
			return nil // no room guards this group
		}
		return web.Fail(http.StatusServiceUnavailable, "waitingroom.error.unavailable")
	}
	login := v.known.Load().Login
	if p, ok := s.signedPass(c, v); ok {
		if _, err := c.Who("citizen"); err != nil && login {
			return problem(fmt.Errorf("%w: %w", ErrUnavailable, err))
		}
		if mine(c, p.Key) {
			in, err := s.Inside(c.Std(), p)
			if err != nil {
				return problem(err)
			}
			if in {
				return nil
			}
		}
	}
	if login {
		if s.letIn(c, v) {
			return nil
		}
	} else if u, err := c.Who("staff"); err == nil && u != nil {
		return nil
	}
	return s.refuse(c, v, group)
}

// letIn lets a citizen in without a waiting page when nobody waits. It reports
// whether that has come about; a place that was taken is kept in any case.
func (s *Service) letIn(c *web.Ctx, v *view) bool {
	if c.Method() != fiber.MethodGet || wantsJSON(c) || strings.HasPrefix(c.Path(), "/api/") || strings.Contains(c.Get("Sec-Purpose"), "prefetch") {
		return false
	}
	st, err := s.State(v.id)
	if err != nil || !st.NoLine() || citizenOf(c) == "" {
		return false
	}
	t, err := s.newPlace(c, v)
	if err != nil {
		s.log.Info("not let in on the way", "room", v.id, "err", err)
		return false
	}
	s.putTicket(c, t)
	pass, verdict, err := s.Enter(c.Std(), t)
	if err != nil || verdict != Admitted {
		return false
	}
	s.admit(c, pass)
	return true
}

func (s *Service) refuse(c *web.Ctx, v *view, group string) error {
	refusals.WithLabelValues(group).Inc()
	return &web.Problem{
		Status: http.StatusForbidden, Key: "waitingroom.gate.refused", LinkKey: "waitingroom.gate.link",
		Link:  linePath(v.id, cameFrom(c)),
		Extra: map[string]string{"room": v.id},
	}
}

// PassID returns the id of the browser's pass for a group of routes, for
// [Service.Release]; "" when it has none. No I/O.
func (s *Service) PassID(c *web.Ctx, group string) string {
	v := s.rooms.Load().guard[group]
	if v == nil {
		return ""
	}
	p, ok := s.passOf(c, v)
	if !ok {
		return ""
	}
	return p.ID()
}

// ReleaseRequest ends the stays of the browser that sent this request: its
// booking is done, it logs out, or it gives up. The tickets are used up with it.
// Trouble is logged only, since what the citizen did is done and a pass runs out
// by itself.
func (s *Service) ReleaseRequest(c *web.Ctx) {
	for _, v := range s.rooms.Load().views {
		s.giveBack(c, v)
	}
}

// giveBack is ReleaseRequest for one room.
func (s *Service) giveBack(c *web.Ctx, v *view) {
	p, ok := s.passOf(c, v)
	if !ok {
		return
	}
	if err := s.Release(c.Std(), p.ID()); err != nil {
		s.log.Warn("release a pass", "room", v.id, "err", err)
		return
	}
	forget(c, v.id)
}

// afterHold is how long a pass goes on after what its person holds has ended:
// to read that, and to choose again.
const afterHold = time.Minute

// ExtendRequest keeps the stay of the browser that sent this request open until
// the end of what it holds, and a little longer. Trouble is logged only: what is
// held is held, and confirming it needs no pass.
func (s *Service) ExtendRequest(c *web.Ctx, until time.Time) {
	v := s.rooms.Load().guard[groupHold]
	if v == nil {
		return
	}
	p, ok := s.passOf(c, v)
	if until = until.Add(afterHold); !ok || !p.Expires.Before(until) {
		return // it lasts long enough: nothing to write
	}
	over, ok, err := s.Extend(c.Std(), p.ID(), until)
	if err != nil {
		s.log.Warn("extend a pass", "room", v.id, "err", err)
		return
	}
	if ok {
		p.Expires = over.UTC().Truncate(time.Second)
		s.putPass(c, p)
	}
}

// linePath is the address of the waiting page that leads on to a path.
func linePath(roomID, to string) string {
	p := "/rooms/" + roomID
	if to != "" && to != defaultTo(roomID) {
		p += "?to=" + url.QueryEscape(to)
	}
	return p
}

// cameFrom is the page that a refused request wanted, or came from.
func cameFrom(c *web.Ctx) string {
	if c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead {
		return web.OwnPath(c.OriginalURL(), defaultTarget)
	}
	u, err := url.Parse(c.Get(fiber.HeaderReferer))
	if err != nil || u.Host != string(c.Request().Host()) {
		return defaultTarget
	}
	return web.OwnPath(u.RequestURI(), defaultTarget)
}

// target is where the citizen wants to go: ?to= or the form's field, own
// paths only.
func target(c *web.Ctx) string {
	to := c.Query("to")
	if to == "" && c.Method() == fiber.MethodPost {
		to = c.Form().Get("to")
	}
	return web.OwnPath(to, defaultTo(c.Params("room")))
}

func defaultTo(roomID string) string {
	if roomID == appointmentsRoom {
		return bookingTarget
	}
	return defaultTarget
}
