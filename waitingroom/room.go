package waitingroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// Phase of a room; see the package comment for what each lets happen.
type Phase string

// The phases.
const (
	Scheduled Phase = "scheduled"
	PreQueue  Phase = "pre-queue"
	Drawing   Phase = "drawing" // the pre-queue has closed, its order is not yet known
	Open      Phase = "open"
	Paused    Phase = "paused"
	Closed    Phase = "closed"
)

// TakesPlaces reports whether somebody may join the line in this phase.
func (p Phase) TakesPlaces() bool {
	return p == PreQueue || p == Drawing || p == Open || p == Paused
}

// Plan is a planned opening; nil = not planned. Without PreQueueFrom the room
// opens without a pre-queue.
type Plan struct{ PreQueueFrom, OpensAt, ClosesAt *time.Time }

// Beacon is where a draw takes its public value from.
type Beacon string

// The beacons. NoBeacon and LocalBeacon mean that the operator is trusted, and
// what is published says so.
const (
	NoBeacon      Beacon = "none"
	LocalBeacon   Beacon = "local"   // made by the portal itself: for drills
	DrandBeacon   Beacon = "drand"   // a round of the League of Entropy, named by its number
	LotteryBeacon Beacon = "lottery" // the numbers of a public lottery, entered by two administrators
)

// Challenge says when newcomers must prove work.
type Challenge string

// The settings of Challenge.
const (
	ChallengeAuto Challenge = "auto" // while the verdict says machines
	ChallengeOn   Challenge = "on"
	ChallengeOff  Challenge = "off"
)

// Text is one text per language, keyed by "de", "en" ...
type Text map[string]string

// In returns the text in lang, else in German, else "".
func (t Text) In(lang string) string {
	if s := t[lang]; s != "" {
		return s
	}
	return t["de"]
}

// Room is what the administration has set, and which line it is.
type Room struct {
	ID         string
	Name       Text
	Groups     []string // route groups that need a pass
	Phase      Phase
	Rate       int // admissions in any 60 seconds, over all replicas
	Bound      int // people inside at once
	PassLength time.Duration
	Grace      time.Duration // how long an invitation keeps a seat free
	Message    Text          // told to everybody in the line
	Login      bool          // one place per case number
	Draw       bool          // the order of the pre-queue is drawn
	Beacon     Beacon        // what the draw mixes in
	BeaconName string        // lottery: which drawing, in words for everybody
	Plan       Plan
	Hotline    int       // percent of the rate, for those whom the hotline sends
	Invites    int       // admission codes that one agent may give out in a day
	Challenge  Challenge // when newcomers must prove work
	Version    int64     // grows with every change
	ChangedAt  time.Time

	Epoch      int64 // tickets of another epoch are void
	Generation int64 // of the state in Redis
}

func (r Room) valve() Valve {
	return Valve{Open: r.Phase == Open, Rate: int64(r.Rate), Bound: int64(r.Bound), Grace: r.Grace, Pass: r.PassLength, Guests: int64(r.Hotline)}
}

// The errors of the slice. All of them leave a person's place as it was.
var (
	ErrNoRoom      = errors.New("waitingroom: no such room")
	ErrNotTaking   = errors.New("waitingroom: the room gives out no places now")
	ErrVoid        = errors.New("waitingroom: the ticket is of an earlier line or too old")
	ErrUnavailable = errors.New("waitingroom: the line cannot be reached now")
)

// Limits of what the administration may set; the table has the same.
const (
	MaxRate    = 100_000
	MaxBound   = 100_000
	MaxMessage = 300 // characters per language
)

const roomColumns = `r.id, r.name, r.groups, r.phase, r.rate_per_minute, r.active_bound, r.pass_seconds, r.grace_seconds,
	r.message, r.login, r.draw, r.beacon, r.beacon_name, r.prequeue_from, r.opens_at, r.closes_at, r.hotline_percent, r.invites_daily, r.challenge,
	r.version, r.changed_at, l.epoch, l.generation`

func scanRoom(row pgx.CollectableRow) (Room, error) {
	var (
		r             Room
		name, message []byte
		pass, grace   int
	)
	err := row.Scan(&r.ID, &name, &r.Groups, &r.Phase, &r.Rate, &r.Bound, &pass, &grace,
		&message, &r.Login, &r.Draw, &r.Beacon, &r.BeaconName, &r.Plan.PreQueueFrom, &r.Plan.OpensAt, &r.Plan.ClosesAt, &r.Hotline, &r.Invites, &r.Challenge,
		&r.Version, &r.ChangedAt, &r.Epoch, &r.Generation)
	if err != nil {
		return Room{}, err
	}
	r.PassLength, r.Grace = time.Duration(pass)*time.Second, time.Duration(grace)*time.Second
	return r, errors.Join(json.Unmarshal(name, &r.Name), json.Unmarshal(message, &r.Message))
}

// Rooms returns all rooms by id.
func Rooms(ctx context.Context, q pg.Querier) ([]Room, error) {
	rows, err := q.Query(ctx, `SELECT `+roomColumns+` FROM waitingroom.room r JOIN waitingroom.line l ON l.room_id = r.id ORDER BY r.id`)
	if err != nil {
		return nil, fmt.Errorf("rooms: %w", err)
	}
	return pgx.CollectRows(rows, scanRoom)
}

// roomLock is what a transaction keeps from changing until it ends while it works
// with a room: the two rows of the room, its setting and its line.
type roomLock string

const (
	lockNothing  roomLock = ""
	lockSetting  roomLock = "FOR UPDATE OF r" // phase, rate, plan ...; the line may be rebuilt meanwhile
	lockLine     roomLock = "FOR UPDATE OF l"
	lockBoth     roomLock = "FOR UPDATE OF r, l"
	lockNewLines roomLock = "FOR SHARE OF l" // no new line begins; many may hold it at once
)

// readRoom reads a room in a transaction. It returns ErrNoRoom.
func readRoom(ctx context.Context, tx pgx.Tx, roomID string, lock roomLock) (Room, error) {
	const from = ` FROM waitingroom.room r JOIN waitingroom.line l ON l.room_id = r.id WHERE r.id = $1 `
	if lock != lockNothing {
		// First: a statement that had to wait for one row reads the other as it was before.
		if _, err := tx.Exec(ctx, `SELECT 1`+from+string(lock), roomID); err != nil {
			return Room{}, err
		}
	}
	rows, err := tx.Query(ctx, `SELECT `+roomColumns+from, roomID)
	if err != nil {
		return Room{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRoom)
	if pg.NoRows(err) {
		return Room{}, ErrNoRoom
	}
	return r, err
}

// Change is what one use of the valve sets; nil leaves as it is.
type Change struct {
	Phase   *Phase `json:"phase,omitempty"`
	Rate    *int   `json:"rate_per_minute,omitempty"`
	Bound   *int   `json:"active_bound,omitempty"`
	Message Text   `json:"message,omitempty"` // nil = unchanged, {} = none
	NewLine bool   `json:"new_line,omitempty"`
}

// FieldProblem says which part of a Change cannot be.
type FieldProblem struct{ Field, Key string }

func (p FieldProblem) Error() string { return "waitingroom: " + p.Field + ": " + p.Key }

// mayFollow lists the phases that an administrator may set by hand. Scheduled
// comes by a plan, not by hand.
var mayFollow = map[Phase][]Phase{
	Scheduled: {PreQueue, Open, Closed},
	PreQueue:  {Open, Closed},
	Drawing:   {Closed},
	Open:      {Paused, Closed},
	Paused:    {Open, Closed},
	Closed:    {PreQueue, Open},
}

// Apply returns the room after c, or a FieldProblem.
func (r Room) Apply(c Change) (Room, error) {
	if c.Phase != nil && *c.Phase != r.Phase {
		if !slices.Contains(mayFollow[r.Phase], *c.Phase) {
			return r, FieldProblem{"phase", "waitingroom.admin.error.phase"}
		}
		r.Phase = *c.Phase
	}
	if c.Rate != nil {
		if *c.Rate < 1 || *c.Rate > MaxRate {
			return r, FieldProblem{"rate_per_minute", "waitingroom.admin.error.rate"}
		}
		r.Rate = *c.Rate
	}
	if c.Bound != nil {
		if *c.Bound < 1 || *c.Bound > MaxBound {
			return r, FieldProblem{"active_bound", "waitingroom.admin.error.bound"}
		}
		r.Bound = *c.Bound
	}
	if c.Message != nil {
		r.Message = Text{}
		for lang, text := range c.Message {
			if lang != "de" && lang != "en" {
				return r, FieldProblem{"message", "waitingroom.admin.error.language"}
			}
			if utf8.RuneCountInString(text) > MaxMessage {
				return r, FieldProblem{"message_" + lang, "waitingroom.admin.error.message"}
			}
			if text != "" {
				r.Message[lang] = text
			}
		}
	}
	if c.NewLine {
		if r.Phase != Closed {
			return r, FieldProblem{"new_line", "waitingroom.admin.error.new_line"}
		}
		r.Epoch++
		r.Generation++
	}
	return r, nil
}

// SetValve changes a room by hand. What that means for a planned opening
// [Room.byHand] says. It returns ErrNoRoom, or a FieldProblem for a change that
// cannot be.
func (s *Service) SetValve(ctx context.Context, actor, role, roomID string, c Change) (Room, error) {
	return s.alter(ctx, deed{actor, role, "waitingroom.valve"}, roomID, func(tx pgx.Tx, r Room) (Room, error) {
		return withValve(ctx, tx, r, c)
	})
}
