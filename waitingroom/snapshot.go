package waitingroom

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
)

// State is what everybody may know about a room: the JSON of state.json.
type State struct {
	Room    string     `json:"room" doc:"id of the room"`
	Epoch   int64      `json:"epoch" doc:"tickets of another epoch are void"`
	Phase   Phase      `json:"phase" doc:"scheduled, pre-queue, open, paused, closed"`
	Trouble bool       `json:"trouble" doc:"the line cannot be reached at the moment; nobody is let in, no place is lost"`
	Serving int64      `json:"serving" doc:"tickets up to this index are invited"`
	Issued  int64      `json:"issued" doc:"the last index given out"`
	Waiting int64      `json:"waiting" doc:"places not yet invited"`
	Full    bool       `json:"full,omitempty" doc:"nobody who comes now finds room inside, even if nobody waits"`
	Gaps    [][2]int64 `json:"gaps" doc:"indexes that nobody holds, first and last"`
	Pace    Pace       `json:"pace" doc:"places per minute, at worst and at best"`
	Poll    PollAdvice `json:"poll" doc:"seconds after which to ask again"`
	Message Text       `json:"message" doc:"from the administration, by language"`

	Login         bool       `json:"login,omitempty" doc:"one place per case number"`
	PreQueueFrom  *time.Time `json:"prequeue_from,omitempty" doc:"from when places are given out, all equal until the opening"`
	OpensAt       *time.Time `json:"opens_at,omitempty"`
	ClosesAt      *time.Time `json:"closes_at,omitempty"`
	Draw          *DrawState `json:"draw,omitempty" doc:"of the places of cohort 1"`
	BehindServing int64      `json:"behind_serving,omitempty" doc:"as serving, for the places of cohort 2"`
	Challenge     bool       `json:"challenge,omitempty" doc:"a place in the line wants a proof of work now"`
	Left          *int64     `json:"left,omitempty" doc:"how many people could still get what is behind the room, as far as known"`
}

// DrawState is what a browser needs to work out its place: before the opening
// only that there will be a draw, then everything.
type DrawState struct {
	Tickets   int64      `json:"tickets,omitempty" doc:"places that took part"`
	LastIndex int64      `json:"last_index,omitempty"`
	Gaps      [][2]int64 `json:"gaps,omitempty" doc:"indexes below last_index that nobody holds"`
	Key       string     `json:"key,omitempty" doc:"of the permutation, 64 hexadecimal digits, once it is revealed"`
	BeaconDue *time.Time `json:"beacon_due,omitempty" doc:"when the public value is expected"`
}

// snapshot is one immutable answer, ready in all its forms. It holds nothing
// but what changes what a reader sees, so an unchanged line keeps its ETag, in
// every replica.
type snapshot struct {
	state State
	*web.Public
}

// cacheControl lets a proxy answer for a second, and a while longer when the
// portal does not.
const cacheControl = "public, max-age=1, stale-while-revalidate=2, stale-if-error=30"

// publish renews the snapshot of v. fig nil means that the line cannot be
// reached: the numbers stay, and nobody is let in until they can be known.
func (s *Service) publish(v *view, fig *Figures) {
	r := v.known.Load()
	st := State{
		Room: v.id, Epoch: r.Epoch, Phase: r.Phase, Message: r.Message, Gaps: [][2]int64{}, Login: r.Login,
		PreQueueFrom: r.Plan.PreQueueFrom, OpensAt: r.Plan.OpensAt, ClosesAt: r.Plan.ClosesAt,
		Draw: v.drawState(r), Challenge: s.challengeNow(v), Left: v.left.Load(),
	}
	if st.Message == nil {
		st.Message = Text{}
	}
	old := v.snap.Load()
	switch {
	case fig != nil:
		v.line.Store(fig)
		st.Serving, st.Issued, st.Waiting, st.Pace, st.BehindServing = fig.Serving, fig.Issued, fig.Waiting, fig.Pace, fig.behindServing
		for _, g := range fig.gaps {
			if g.Last > fig.Serving {
				st.Gaps = append(st.Gaps, [2]int64{g.First, g.Last})
			}
		}
		st.Full = r.Phase == Open && (fig.Inside >= int64(r.Bound) || fig.Knocking > 0)
	case old != nil && old.state.Epoch == r.Epoch:
		st.Trouble, st.BehindServing = true, old.state.BehindServing
		st.Serving, st.Issued, st.Waiting, st.Gaps, st.Pace = old.state.Serving, old.state.Issued, old.state.Waiting, old.state.Gaps, old.state.Pace
	default:
		st.Trouble = true
	}
	people := st.Waiting
	if fig != nil {
		people += fig.Behind
	}
	st.Poll = AdvicePolls(r.Phase, people)
	body, err := json.Marshal(st)
	if err != nil {
		s.log.Error("snapshot", "room", v.id, "err", err) // numbers and texts only: cannot happen
		return
	}
	if old != nil && bytes.Equal(old.Body(), body) {
		return
	}
	v.snap.Store(&snapshot{st, web.NewPublic(fiber.MIMEApplicationJSON, cacheControl, body)})
}

// State returns the snapshot of a room as this replica has it. It returns
// ErrNoRoom, or ErrUnavailable before the first one.
func (s *Service) State(roomID string) (State, error) {
	v := s.rooms.Load().views[roomID]
	if v == nil {
		return State{}, ErrNoRoom
	}
	snap := v.snap.Load()
	if snap == nil {
		return State{}, ErrUnavailable
	}
	return snap.state, nil
}

// drawState is what the snapshot tells of the draw: nil in a room without one.
func (v *view) drawState(r *Room) *DrawState {
	if lot := v.lot.Load(); lot != nil {
		return &DrawState{Tickets: lot.Tickets, LastIndex: lot.LastIndex, Gaps: lot.Gaps, Key: hex.EncodeToString(lot.Key[:])}
	}
	if r.Draw && (r.Phase == Scheduled || r.Phase == PreQueue || r.Phase == Drawing) {
		return &DrawState{BeaconDue: v.due.Load()}
	}
	return nil
}

// Ahead returns how many people come before a position of the line.
func (st State) Ahead(pos int64) int64 { return Ahead(pos, st.Serving, st.gaps()) }

func (st State) gaps() []Gap {
	gaps := make([]Gap, len(st.Gaps))
	for i, g := range st.Gaps {
		gaps[i] = Gap{g[0], g[1]}
	}
	return gaps
}

// NoLine reports whether somebody who comes now may go straight in.
func (st State) NoLine() bool { return st.Phase == Open && !st.Trouble && !st.Full && st.Waiting == 0 }

// MountFast registers the snapshot's address straight on the app. Called before
// the app's middleware is set up, a poll costs no more than a constant answer:
// no session, no Redis, no cryptography.
func (s *Service) MountFast(app *fiber.App) {
	app.Get("/rooms/:room/state.json", s.serveState)
	app.Head("/rooms/:room/state.json", s.serveState)
}

func (s *Service) serveState(c *fiber.Ctx) error {
	v := s.rooms.Load().views[c.Params("room")]
	h := &c.Response().Header
	if v == nil {
		h.Set(fiber.HeaderCacheControl, "public, max-age=5")
		return c.SendStatus(fiber.StatusNotFound)
	}
	snap := v.snap.Load()
	if snap == nil {
		h.Set(fiber.HeaderRetryAfter, "2")
		return c.SendStatus(fiber.StatusServiceUnavailable)
	}
	polls.Inc()
	return snap.Serve(c)
}

// lineFigures returns what the last tick of this replica saw, and how old it is.
func (v *view) lineFigures(now time.Time) (f Figures, age time.Duration, ok bool) {
	p := v.line.Load()
	if p == nil {
		return Figures{}, 0, false
	}
	return *p, now.Sub(p.At), true
}
