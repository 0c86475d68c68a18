package waitingroom

import (
	"math/rand/v2"
	"net/http"
	"time"

	"impfportal/internal/web"
)

type roomIn struct {
	Room string `path:"room" json:"-"`
}

// RoomOut is a room with the state of its line.
type RoomOut struct {
	ID    string `json:"id"`
	Name  string `json:"name" doc:"in the caller's language"`
	State State  `json:"state"`
}

func (s *Service) apiState(c *web.Ctx, in roomIn) (RoomOut, error) {
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return RoomOut{}, problem(err)
	}
	st, err := s.State(v.id)
	if err != nil {
		return RoomOut{}, problem(err)
	}
	c.Set("Cache-Control", cacheControl)
	c.Vary("Accept-Language", "Cookie") // both choose the language
	return RoomOut{ID: v.id, Name: v.known.Load().Name.In(c.Lang), State: st}, nil
}

// TicketOut is a place in the line.
type TicketOut struct {
	Room     string    `json:"room"`
	Epoch    int64     `json:"epoch"`
	Cohort   int64     `json:"cohort" doc:"0 live line, 1 before the opening, 2 behind the line, 3 sent by the hotline"`
	Index    int64     `json:"index" doc:"the number of the place"`
	Drawn    bool      `json:"drawn" doc:"the order of this place is decided by the draw, which is not over yet"`
	Position int64     `json:"position" doc:"what serving is compared with; 0 = not known yet, or beside the line"`
	IssuedAt time.Time `json:"issued_at"`
	Ahead    int64     `json:"ahead" doc:"people before this place, by the snapshot"`
	Turn     bool      `json:"turn" doc:"enter now"`
	AskAgain int       `json:"ask_again_seconds" doc:"when to look at the snapshot again; spread by chance already"`
}

// askAgain is after how many seconds a program should look again; chance has
// spread it already.
func (s *Service) askAgain(st State, how turn) int {
	return max(1, seconds(st.PollIn(how.Known, how.Ahead, s.roomNow(), rand.Float64()))) //nolint:gosec // no secret
}

func (s *Service) apiJoin(c *web.Ctx, in joinIn) (TicketOut, error) {
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return TicketOut{}, problem(err)
	}
	t, err := s.takePlace(c, v)
	if err != nil {
		return TicketOut{}, problem(err)
	}
	st, err := s.State(v.id)
	if err != nil {
		return TicketOut{}, problem(err)
	}
	how := s.turnOf(v, st, t.Place)
	return TicketOut{
		Room: t.Room, Epoch: t.Epoch, Cohort: t.Cohort, Index: t.Index, IssuedAt: t.Issued,
		Drawn: !how.Known, Position: how.Position, Ahead: how.Ahead,
		Turn:     how.Now || how.Known && st.Phase == Open && !st.Trouble && how.Ahead == 0,
		AskAgain: s.askAgain(st, how),
	}, nil
}

// EnterOut is the answer at the door.
type EnterOut struct {
	Verdict   Verdict    `json:"verdict" doc:"in, or wait, full, busy, shut: the place is kept"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"end of the pass"`
	Ahead     int64      `json:"ahead"`
	AskAgain  int        `json:"ask_again_seconds"`
}

func (s *Service) apiEnter(c *web.Ctx, in roomIn) (EnterOut, error) {
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return EnterOut{}, problem(err)
	}
	if v.known.Load().Login && citizenOf(c) == "" {
		return EnterOut{}, loginNeeded(c, v)
	}
	t, have := s.placeOf(c, v)
	switch have {
	case goodTicket:
	case voidTicket:
		return EnterOut{}, problem(ErrVoid)
	default:
		return EnterOut{}, &web.Problem{Status: http.StatusConflict, Key: "waitingroom.error.no_ticket", Link: linePath(v.id, ""), LinkKey: "waitingroom.gate.link"}
	}
	pass, verdict, err := s.enterAs(c, t)
	if err != nil {
		return EnterOut{}, problem(err)
	}
	st, err := s.State(v.id)
	if err != nil {
		return EnterOut{}, problem(err)
	}
	how := s.turnOf(v, st, t.Place)
	out := EnterOut{Verdict: verdict, Ahead: how.Ahead, AskAgain: s.askAgain(st, how)}
	switch verdict {
	case Admitted:
		s.admit(c, pass)
		out.ExpiresAt, out.Ahead, out.AskAgain = &pass.Expires, 0, 0
	case Used:
		forget(c, v.id)
		return EnterOut{}, web.Fail(http.StatusConflict, "waitingroom.error.used")
	}
	return out, nil
}
