package waitingroom

import (
	"errors"
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
	AskAgain int       `json:"ask_again_seconds" doc:"when to look at the snapshot again"`
}

func (s *Service) apiJoin(c *web.Ctx, in roomIn) (TicketOut, error) {
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
		AskAgain: PollAfter(how.Ahead, st.Pace, st.Poll),
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
	t, have := s.ticketOf(c, v)
	switch have {
	case goodTicket:
	case voidTicket:
		return EnterOut{}, problem(ErrVoid)
	default:
		return EnterOut{}, &web.Problem{Status: http.StatusConflict, Key: "waitingroom.error.no_ticket", Link: linePath(v.id, ""), LinkKey: "waitingroom.gate.link"}
	}
	pass, verdict, err := s.Enter(c.Std(), t)
	if err != nil {
		return EnterOut{}, problem(err)
	}
	st, err := s.State(v.id)
	if err != nil {
		return EnterOut{}, problem(err)
	}
	out := EnterOut{Verdict: verdict, Ahead: s.turnOf(v, st, t.Place).Ahead}
	out.AskAgain = PollAfter(out.Ahead, st.Pace, st.Poll)
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

// FiguresOut is what the administration watches.
type FiguresOut struct {
	Phase     Phase `json:"phase"`
	Rate      int   `json:"rate_per_minute"`
	Bound     int   `json:"active_bound"`
	Waiting   int64 `json:"waiting"`
	Inside    int64 `json:"inside"`
	Invited   int64 `json:"invited" doc:"invited lately, not yet inside"`
	Admitted  int64 `json:"admitted" doc:"passes of this line so far"`
	Issued    int64 `json:"issued"`
	Serving   int64 `json:"serving"`
	Epoch     int64 `json:"epoch"`
	Pace      Pace  `json:"pace"`
	Trouble   bool  `json:"trouble"`
	AgeMillis int64 `json:"age_ms" doc:"how old the figures are"`
	Version   int64 `json:"version"`
	Message   Text  `json:"message"`
}

// figures returns what this replica saw at its last tick, at most about a
// second ago.
func (s *Service) figures(v *view) FiguresOut {
	r := v.known.Load()
	out := FiguresOut{Phase: r.Phase, Rate: r.Rate, Bound: r.Bound, Epoch: r.Epoch, Version: r.Version, Message: r.Message}
	if out.Message == nil {
		out.Message = Text{}
	}
	if snap := v.snap.Load(); snap == nil || snap.state.Trouble {
		out.Trouble = true
	}
	if f, age, ok := v.lineFigures(s.now()); ok && f.epoch == r.Epoch {
		out.Waiting, out.Inside, out.Invited, out.Admitted = f.Waiting, f.Inside, f.Invited, f.Admitted
		out.Issued, out.Serving, out.Pace, out.AgeMillis = f.Issued, f.Serving, f.Pace, max(0, age.Milliseconds())
	}
	return out
}

func (s *Service) apiFigures(c *web.Ctx, in roomIn) (FiguresOut, error) {
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return FiguresOut{}, problem(err)
	}
	return s.figures(v), nil
}

type valveIn struct {
	Room    string `path:"room" json:"-"`
	Phase   *Phase `json:"phase,omitempty"`
	Rate    *int   `json:"rate_per_minute,omitempty"`
	Bound   *int   `json:"active_bound,omitempty"`
	Message Text   `json:"message,omitempty" doc:"by language; {} takes the message away"`
	NewLine bool   `json:"new_line,omitempty" doc:"only in a closed room: all tickets become void"`
}

func (s *Service) apiValve(c *web.Ctx, in valveIn) (FiguresOut, error) {
	for lang, text := range in.Message {
		in.Message[lang] = web.CleanText(text)
	}
	change := Change{Phase: in.Phase, Rate: in.Rate, Bound: in.Bound, Message: in.Message, NewLine: in.NewLine}
	if _, err := s.SetValve(c.Std(), c.Actor(), string(web.RoleAdmin), in.Room, change); err != nil {
		if p, ok := errors.AsType[FieldProblem](err); ok {
			return FiguresOut{}, web.Invalid(web.FieldError{Field: p.Field, Key: p.Key})
		}
		return FiguresOut{}, problem(err)
	}
	v, err := s.view(c.Std(), in.Room)
	if err != nil {
		return FiguresOut{}, problem(err)
	}
	return s.figures(v), nil
}
