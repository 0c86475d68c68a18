package waitingroom

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
	"impfportal/waitingroom/draw"
)

// drawRoutes are the addresses of the draws.
func (s *Service) drawRoutes() []web.Route {
	return []web.Route{
		// Citizens.
		{Method: http.MethodGet, Path: "/rooms/:room/draw", Handle: s.showDraw},
		{Method: http.MethodGet, Path: "/rooms/:room/draw.json", Handle: s.serveDraw},

		// Administration.
		{Method: http.MethodGet, Path: "/admin/rooms/:room/draw", Roles: []web.Role{web.RoleAdmin, web.RoleAuditor}, Handle: s.showAdminDraw},
		{Method: http.MethodPost, Path: "/admin/rooms/:room/draw", Roles: []web.Role{web.RoleAdmin}, Handle: s.postAdminDraw},
	}
}

// maxPast bounds how many draws of earlier lines a replica keeps in memory.
const maxPast = 32

// pastFresh is how long a replica goes by a draw of an earlier line that was not
// revealed.
const pastFresh = 5 * time.Second

// lineID names a line of a room, also of one that is gone.
type lineID struct {
	room  string
	epoch int64
}

// pastLine is the draw of an earlier line.
type pastLine struct {
	*drawnLine
	readAt time.Time
}

// drawFor finds what is published of a room's draw: of the line that was asked
// for, else of the present line, the planned one, or the last there was. It
// returns nil when there is none. Only earlier lines that were drawn cost a query,
// once: anybody may ask for any room and any line, as often as they like.
func (s *Service) drawFor(ctx context.Context, roomID, epochText string) (*drawnLine, error) {
	if !validRoom(roomID) {
		return nil, web.NotFound()
	}
	s.ensure(ctx)
	var (
		set     drawnSet
		present int64
		drawn   []int64
	)
	if known := s.draws.known.Load(); known != nil {
		drawn = (*known)[roomID]
	}
	if v := s.rooms.Load().views[roomID]; v != nil {
		present = v.known.Load().Epoch
		if d := v.drawn.Load(); d != nil {
			set = *d
		}
	}
	epoch, err := strconv.ParseInt(epochText, 10, 32)
	switch {
	case epochText != "" && (err != nil || epoch < 1):
		return nil, web.NotFound()
	case epochText == "" && set.lines[present] != nil:
		epoch = present
	case epochText == "" && len(drawn) > 0:
		epoch = drawn[len(drawn)-1]
	case epochText == "":
		return nil, nil //nolint:nilnil // nothing was drawn here
	}
	if l := set.lines[epoch]; l != nil {
		return l, nil
	}
	if !slices.Contains(drawn, epoch) {
		return nil, nil //nolint:nilnil // no such draw
	}
	return s.pastDraw(ctx, roomID, epoch)
}

// pastDraw is drawnPast with a small memory, for a line that was drawn: what is
// over does not change. What is not there is never remembered.
func (s *Service) pastDraw(ctx context.Context, roomID string, epoch int64) (*drawnLine, error) {
	name := lineID{roomID, epoch}
	c := s.draws
	c.mu.Lock()
	l, ok := c.past[name]
	c.mu.Unlock()
	if ok && (l.now().revealedAt != nil || s.realNow().Sub(l.readAt).Abs() < pastFresh) {
		return l.drawnLine, nil
	}
	read, err := s.drawnPast(ctx, s.pool, roomID, epoch)
	if err != nil || read == nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.past { // any one makes room
		if len(c.past) < maxPast {
			break
		}
		delete(c.past, old)
	}
	c.past[name] = pastLine{read, s.realNow()}
	return read, nil
}

// serveDraw is draw.json.
func (s *Service) serveDraw(c *web.Ctx) error {
	l, err := s.drawFor(c.Std(), c.Params("room"), c.Query("epoch"))
	if err != nil {
		return err
	}
	h := &c.Response().Header
	if l == nil {
		h.Set(fiber.HeaderCacheControl, "public, max-age=5")
		return c.SendStatus(fiber.StatusNotFound)
	}
	h.Set(fiber.HeaderAccessControlAllowOrigin, "*") // anybody's page may recompute
	return l.file.Serve(c.Ctx)
}

// drawPage is the page "check my place".
type drawPage struct {
	Room    string
	Name    string
	JSON    string // address of draw.json
	Base    string // of the portal, before JSON; may be empty
	There   bool   // there is a draw
	State   draw.State
	Trust   draw.Trust
	Rule    string
	Holds   attemptView
	Failed  []attemptView
	Others  []int64 // lines with draws of their own
	Epoch   int64
	Asked   bool
	Place   int64 // answer; 0 = the number did not take part
	Index   int64
	Mine    int64 // the browser's own number
	Live    bool  // it came after the close: its place is its number
	Tickets int64
}

// Number is what the command to recompute the draw asks for; 0 = no number.
func (p drawPage) Number() int64 {
	switch {
	case p.Asked:
		return p.Index
	case p.Live:
		return 0
	}
	return p.Mine
}

// groupedIndex is a number with one of the thousands separators that the portal
// prints or that people write, always the same.
var groupedIndex = func() *regexp.Regexp {
	var groups []string
	for _, sep := range []string{".", ",", "'", " ", "\u2019", "\u00a0", "\u2009", "\u202f"} {
		groups = append(groups, "(?:"+regexp.QuoteMeta(sep)+"[0-9]{3})+")
	}
	return regexp.MustCompile("^[0-9]{1,3}(?:" + strings.Join(groups, "|") + ")$")
}()

// plainIndex is a number without separators, as long as a script is exact.
var plainIndex = regexp.MustCompile("^[0-9]{1,15}$")

// parseIndex reads a number as people copy it from the portal. draw.js takes the
// same inputs.
func parseIndex(text string) (index int64, ok bool) {
	text = strings.Trim(text, " \t\r\n\u00a0\u202f")
	if groupedIndex.MatchString(text) {
		text = strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, text)
	}
	if !plainIndex.MatchString(text) {
		return 0, false
	}
	index, err := strconv.ParseInt(text, 10, 64)
	return index, err == nil && index > 0
}

// attemptView is one attempt in the words of the page; times as the portal
// shows them.
type attemptView struct {
	draw.Attempt
	Due, Committed, Closed, ValueAt, Revealed, FailedAt time.Time
	Tickets, LastIndex                                  int64
	Round                                               int64 // drand
	Gaps                                                int64 // numbers that nobody holds
}

func (s *Service) attemptView(d *drawRow, a draw.Attempt) attemptView {
	v := attemptView{Attempt: a, Due: s.toRoom(d.due), Committed: s.toRoom(d.committedAt)}
	for _, t := range []struct {
		dst *time.Time
		src *time.Time
	}{{&v.Closed, d.closedAt}, {&v.ValueAt, d.valueAt}, {&v.Revealed, d.revealedAt}, {&v.FailedAt, d.failedAt}} {
		if t.src != nil {
			*t.dst = s.toRoom(*t.src)
		}
	}
	if d.closed() {
		v.Tickets, v.LastIndex, v.Gaps = *d.tickets, *d.last, *d.last-*d.tickets
	}
	if d.chain != nil {
		v.Round, _ = d.chain.ParseName(d.name)
	}
	return v
}

// showDraw explains the draw and recomputes a place, with or without a script.
func (s *Service) showDraw(c *web.Ctx) error {
	roomID := c.Params("room")
	epochText := c.Query("epoch")
	p := drawPage{Room: roomID, Name: roomID}
	if v := s.rooms.Load().views[roomID]; v != nil {
		p.Name = v.known.Load().Name.In(c.Lang)
		if t, have := s.ticketOf(c, v); (have == goodTicket || have == voidTicket) && (t.Cohort == CohortDrawn || t.Cohort == CohortLive) {
			if epochText == "" {
				epochText = strconv.FormatInt(t.Epoch, 10)
			}
			if epochText == strconv.FormatInt(t.Epoch, 10) {
				p.Mine, p.Live = t.Index, t.Cohort == CohortLive
			}
		}
	}
	l, err := s.drawFor(c.Std(), roomID, epochText)
	if err == nil && l == nil && c.Query("epoch") == "" {
		p.Mine, p.Live = 0, false
		l, err = s.drawFor(c.Std(), roomID, "") // the own number's line was not drawn
	}
	if err != nil {
		return err
	}
	if l == nil {
		if s.rooms.Load().views[roomID] == nil || c.Query("epoch") != "" {
			return web.NotFound()
		}
		return c.PageForm("waitingroom/draw", web.NewForm(), p)
	}
	pub := l.published
	p.There, p.State, p.Trust, p.Epoch, p.Rule = true, pub.State, pub.Trust, pub.Epoch, draw.LateRule[c.Lang]
	if p.Rule == "" {
		p.Rule = draw.LateRule["de"]
	}
	p.Base = strings.TrimSuffix(s.remind.base, "/")
	p.JSON = "/rooms/" + roomID + "/draw.json?epoch=" + strconv.FormatInt(pub.Epoch, 10)
	for i := range l.attempts {
		a := s.attemptView(&l.attempts[i], pub.Attempts[i])
		if i == len(l.attempts)-1 {
			p.Holds = a
		} else {
			p.Failed = append(p.Failed, a)
		}
	}
	for _, e := range pub.Epochs {
		if e != pub.Epoch {
			p.Others = append(p.Others, e)
		}
	}
	f := web.NewForm("index", "", "epoch", strconv.FormatInt(pub.Epoch, 10))
	if p.Mine > 0 {
		f.Set("index", strconv.FormatInt(p.Mine, 10))
	}
	if text := strings.TrimSpace(c.Query("index")); text != "" {
		f.Set("index", text)
		index, ok := parseIndex(text)
		if !ok {
			f.Fail("index", "waitingroom.draw.error.index")
		} else if lot, ok := pub.Lot(); ok {
			p.Asked, p.Index, p.Tickets = true, index, lot.Tickets
			p.Place, _ = lot.Place(index)
		} else {
			p.Asked, p.Index = true, index
		}
	}
	return c.PageForm("waitingroom/draw", f, p)
}
