package waitingroom

import (
	"net/http"
	"net/url"
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

// defaultTarget is where a pass leads when nobody said where to.
const defaultTarget = "/register"

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
	alienTicket             // another browser's, or not ours at all
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
	if h, ok := browserKey(c); !ok || !h.Equal(t.Key) {
		return Ticket{}, alienTicket
	}
	if t.Epoch != v.known.Load().Epoch || s.roomNow().Sub(t.Issued) > TicketLife {
		return t, voidTicket
	}
	return t, goodTicket
}

// passOf reads the browser's pass for a room: signed, this browser's, not run
// out. No I/O; whether it was released only [Service.Inside] knows.
func (s *Service) passOf(c *web.Ctx, v *view) (Pass, bool) {
	text := c.GetCookie(passCookie + v.id)
	if text == "" {
		return Pass{}, false
	}
	p, err := s.keys.Pass(text)
	if err != nil || p.Room != v.id || !p.Expires.After(s.roomNow()) {
		return Pass{}, false
	}
	h, ok := browserKey(c)
	return p, ok && h.Equal(p.Key)
}

// admit gives the browser its pass.
func (s *Service) admit(c *web.Ctx, p Pass) {
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
// the way back to the line. A request without a pass costs no Redis command and
// no database work; one with a signed pass costs one Redis command.
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
	p, ok := s.passOf(c, v)
	if !ok {
		return s.refuse(c, v, group)
	}
	in, err := s.Inside(c.Std(), p)
	if err != nil {
		return problem(err)
	}
	if !in {
		return s.refuse(c, v, group)
	}
	return nil
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

// ReleaseRequest ends the stay of the browser that sent this request: its
// booking is done, or it gives up. The tickets are used up with it. Trouble is
// logged only, since what the citizen did is done and a pass runs out by itself.
func (s *Service) ReleaseRequest(c *web.Ctx) {
	for _, v := range s.rooms.Load().views {
		p, ok := s.passOf(c, v)
		if !ok {
			continue
		}
		if err := s.Release(c.Std(), p.ID()); err != nil {
			s.log.Warn("release a pass", "room", v.id, "err", err)
			continue
		}
		forget(c, v.id)
	}
}

// linePath is the address of the waiting page that leads on to a path.
func linePath(roomID, to string) string {
	p := "/rooms/" + roomID
	if to != "" && to != defaultTarget {
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
	return web.OwnPath(to, defaultTarget)
}
