package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// attempts is how often a command is tried again after the state was rebuilt
// or the valve read anew; each such reason happens once in practice.
const attempts = 6

// redisPatience is how long one command waits for Redis, with all that the
// client tries meanwhile: who stands at the door is told soon that it cannot be
// said now, and the browser asks again.
const redisPatience = 2500 * time.Millisecond

func (v *view) key(suffix string) string { return "wr:{" + v.id + "}:" + suffix }

// lineKeys are KEYS[1..5] of the scripts that tick.
func (v *view) lineKeys() []string {
	return []string{v.key("s"), v.key("here"), v.key("act"), v.key("door"), v.key("old")}
}

// stateKeys are KEYS[1..2] of every script, and more.
func (v *view) stateKeys(more ...string) []string {
	return append([]string{v.key("s"), v.key("here")}, more...)
}

// usedKey is the bitmap of the tickets that came in. Live and drawn tickets
// share one count of indexes, the other cohorts have their own.
func (v *view) usedKey(epoch, cohort int64) string {
	key := v.key("used:" + strconv.FormatInt(epoch, 10))
	if cohort > CohortDrawn {
		key += "." + strconv.FormatInt(cohort, 10)
	}
	return key
}

// offset is what the portal's clock adds to the time of Redis, in microseconds.
// It is cut to milliseconds, so that it is the same in every call. Where the
// wiring says what it is, a jump of the machine's clock changes nothing.
func (s *Service) offset() int64 { return s.clockOffset().Round(time.Millisecond).Microseconds() }

func (s *Service) clockOffset() time.Duration {
	if s.shift != nil {
		return *s.shift
	}
	return time.Until(s.now())
}

// timeSeen is the time that Redis told, and when that was by the machine's
// clock that never jumps.
type timeSeen struct {
	told   time.Time // with offset
	at     time.Time // monotonic
	offset time.Duration
}

// roomNow is the time that decides: that of Redis as it was last told, gone on
// by this machine's monotonic clock, plus the offset of the portal's clock. A
// replica whose clock is wrong by an hour decides as the others do.
func (s *Service) roomNow() time.Time {
	offset := s.clockOffset()
	if t := s.told.Load(); t != nil {
		return t.told.Add(time.Since(t.at) + offset - t.offset)
	}
	return time.Now().Add(offset).UTC()
}

// call is one script call: what it needs follows from what is known of the
// room, which may change between two attempts.
type call struct {
	script *redis.Script
	keys   func(r Room) []string
	args   func(r Room) []any
	ready  func(ctx context.Context, r Room) error // what must be true of the room first; nil = nothing
}

// eval runs c until its answer is more than a demand to know better, and
// returns it with the room as it was known for that answer.
func (s *Service) eval(ctx context.Context, v *view, c call) ([]any, Room, error) {
	for range attempts {
		r, seen := v.knownAndSeen()
		if c.ready != nil {
			if err := c.ready(ctx, r); err != nil {
				return nil, r, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
		args := append([]any{r.Generation, r.Version, s.offset(), seen.changes}, c.args(r)...)
		answer, err := s.run(ctx, c.script, c.keys(r), args)
		if err != nil {
			return nil, r, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		switch word(answer, 0) {
		case "stale":
			err = s.load(ctx)
		case "empty":
			err = s.restore(ctx, v, r.Generation)
		default:
			v.noteChanges(r.Generation, num(answer, 1))
			return answer, r, nil
		}
		if err != nil {
			return nil, r, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return nil, Room{}, fmt.Errorf("%w: the state does not settle", ErrUnavailable)
}

// run runs one script, and gives up in time. Every script may run twice for one
// call, because the client sends it again when the answer was lost.
func (s *Service) run(ctx context.Context, script *redis.Script, keys []string, args []any) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	return script.Run(ctx, s.rdb, keys, args...).Slice()
}

func (v *view) valveArgs(r Room) []any {
	valve, open := r.valve(), 0
	if valve.Open {
		open = 1
	}
	return []any{open, valve.Rate, valve.Bound, valve.Grace.Microseconds(), valve.Guests}
}

// Figures is how a line stands.
type Figures struct {
	Issued   int64   // places given out
	Serving  int64   // the last invited position
	Waiting  int64   // places not yet invited
	Inside   int64   // people with a pass
	Invited  int64   // invited lately and still expected to come
	Knocking int64   // invited lately, and found no seat yet
	Admitted int64   // passes of this line so far
	NoShows  int64   // invited, and did not come in their time
	Show     float64 // share of invited people who come, 0 to 1
	Behind   int64   // places behind the line that are not yet invited
	At       time.Time
	Pace     Pace

	epoch         int64
	ceiling       int64
	gaps          []Gap
	behindIssued  int64
	behindServing int64
	behindCeiling int64
}

// tick lets the line go on by what time and valve allow.
func (s *Service) tick(ctx context.Context, v *view) (Figures, error) {
	asked := time.Now()
	answer, r, err := s.eval(ctx, v, call{
		script: tickScript,
		keys:   func(Room) []string { return v.lineKeys() },
		args:   v.valveArgs,
	})
	if err != nil {
		return Figures{}, err
	}
	f := Figures{
		Issued: num(answer, 2), Serving: num(answer, 3), Inside: num(answer, 4), Invited: num(answer, 5), Admitted: num(answer, 6),
		epoch: r.Epoch, ceiling: num(answer, 7), At: time.UnixMicro(num(answer, 8)).UTC(), gaps: parseGaps(word(answer, 9)),
		NoShows: num(answer, 10), Show: float64(num(answer, 11)) / float64(showUnit), Knocking: num(answer, 12),
		behindIssued: num(answer, 13), behindServing: num(answer, 14), behindCeiling: num(answer, 15),
	}
	f.Waiting, f.Behind = Waiting(f.Issued, f.Serving, f.gaps), f.behindIssued-f.behindServing
	v.noteSeen(r.Epoch, f.Issued)
	// A late answer tells a time that is past. Otherwise the room's time here is
	// behind that of Redis by as much as the answer took, never ahead of it.
	if now := time.Now(); now.Sub(asked) < time.Second {
		s.told.Store(&timeSeen{told: f.At, at: now, offset: time.Duration(s.offset()) * time.Microsecond})
	}
	return f, nil
}

// hold keeps the state alive without letting the line go on: while Postgres does
// not answer, nobody is invited who could not come in.
func (s *Service) hold(ctx context.Context, v *view) error {
	_, _, err := s.eval(ctx, v, call{
		script: tickScript,
		keys:   func(Room) []string { return v.lineKeys() },
		args:   func(r Room) []any { return append([]any{0}, v.valveArgs(r)[1:]...) },
	})
	return err
}

// claim knocks at the door at a position of a lane. over is the end of the pass.
func (s *Service) claim(ctx context.Context, v *view, p Place, lane Lane, pos int64) (verdict Verdict, over time.Time, r Room, err error) {
	answer, r, err := s.eval(ctx, v, call{
		script: claimScript,
		keys:   func(Room) []string { return append(v.lineKeys(), v.usedKey(p.Epoch, p.Cohort)) },
		args: func(r Room) []any {
			return append(v.valveArgs(r), string(lane), pos, p.member(), p.Index, r.PassLength.Microseconds(), int64((TicketLife + 24*time.Hour).Seconds()))
		},
	})
	if err != nil {
		return "", time.Time{}, r, err
	}
	return Verdict(word(answer, 0)), time.UnixMicro(num(answer, 2)).UTC(), r, nil
}

// inside asks Redis whether a pass counts.
func (s *Service) inside(ctx context.Context, v *view, p Place) (bool, error) {
	answer, _, err := s.eval(ctx, v, call{
		script: insideScript,
		keys:   func(Room) []string { return v.stateKeys(v.key("act")) },
		args:   func(Room) []any { return []any{p.member()} },
	})
	if err != nil {
		return false, err
	}
	return word(answer, 0) == "in", nil
}

// leave frees seats, after Postgres knows that their stays are over.
func (s *Service) leave(ctx context.Context, v *view, places ...Place) error {
	members := make([]any, len(places))
	for i, p := range places {
		members[i] = p.member()
	}
	_, _, err := s.eval(ctx, v, call{
		script: leaveScript,
		keys:   func(Room) []string { return v.stateKeys(v.key("act")) },
		args:   func(Room) []any { return members },
	})
	return err
}

// extend lets a stay last until a later moment; ok is false when it is over.
// generation is that of the state in which it does.
func (s *Service) extend(ctx context.Context, v *view, p Place, until time.Time) (generation int64, ok bool, err error) {
	answer, r, err := s.eval(ctx, v, call{
		script: extendScript,
		keys:   func(Room) []string { return v.stateKeys(v.key("act")) },
		args:   func(Room) []any { return []any{p.member(), until.UnixMicro()} },
	})
	return r.Generation, word(answer, 0) == "ok", err
}

// unuse takes back the mark that a ticket was used.
func (s *Service) unuse(ctx context.Context, v *view, p Place) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	return s.rdb.SetBit(ctx, v.usedKey(p.Epoch, p.Cohort), p.Index, 0).Err()
}

// setGaps puts the gaps of the line into Redis, after Postgres has recorded them.
func (s *Service) setGaps(ctx context.Context, v *view, gaps []Gap) error {
	_, _, err := s.eval(ctx, v, call{
		script: gapsScript,
		keys:   func(Room) []string { return v.stateKeys() },
		args:   func(Room) []any { return []any{formatGaps(gaps)} },
	})
	return err
}

// numbers takes the next n numbers of the line, or of the places behind it,
// under a batch number that makes the command safe to send again. The deadline
// of ctx goes with the command.
func (s *Service) numbers(ctx context.Context, v *view, lane Lane, seq, n int64) (first int64, r Room, err error) {
	// Of one generation: after a rebuild the numbers that a lost answer told lie in
	// a gap, and who asks again gets fresh ones.
	last := "j:"
	if lane == Behind {
		last = "jb:"
	}
	for range attempts {
		answer, r, err := s.eval(ctx, v, call{
			script: joinScript,
			keys: func(r Room) []string {
				return v.stateKeys(v.key(last + strconv.FormatInt(r.Generation, 10) + ":" + s.replica))
			},
			args: func(Room) []any { return []any{seq, n, string(lane), s.roomDeadline(ctx)} },
			// Nobody gets a number while it is not fixed who takes part in the draw.
			ready: func(ctx context.Context, r Room) error {
				if lane != InLine || r.Phase != Drawing {
					return nil
				}
				_, err := s.awaitClose(ctx, v)
				return err
			},
		})
		if err != nil {
			return 0, r, err
		}
		if !r.Phase.TakesPlaces() {
			return 0, r, ErrNotTaking
		}
		switch word(answer, 0) {
		case "ok":
			first = num(answer, 2)
			if lane == InLine {
				v.noteSeen(r.Epoch, first+n-1)
			}
			return first, r, nil
		case "late":
			return 0, r, fmt.Errorf("%w: nobody waits for the batch any more", ErrUnavailable)
		}
		if err := s.raise(ctx, v, lane, num(answer, 2)+n); err != nil {
			return 0, r, err
		}
	}
	return 0, Room{}, fmt.Errorf("%w: no numbers left", ErrUnavailable)
}

// roomDeadline is the deadline of ctx in the time of the rooms, in
// microseconds; 0 when there is none or Redis has not told its time yet.
func (s *Service) roomDeadline(ctx context.Context) int64 {
	deadline, ok := ctx.Deadline()
	if !ok || s.told.Load() == nil {
		return 0
	}
	return s.roomNow().Add(time.Until(deadline)).UnixMicro()
}

func word(answer []any, i int) string {
	if i >= len(answer) {
		return ""
	}
	s, _ := answer[i].(string)
	return s
}

func num(answer []any, i int) int64 {
	if i >= len(answer) {
		return 0
	}
	n, _ := answer[i].(int64)
	return n
}

func formatGaps(gaps []Gap) string {
	part := make([]string, len(gaps))
	for i, g := range gaps {
		part[i] = strconv.FormatInt(g.First, 10) + "-" + strconv.FormatInt(g.Last, 10)
	}
	return strings.Join(part, ",")
}

// parseGaps reads what formatGaps wrote.
func parseGaps(text string) []Gap {
	var gaps []Gap
	for part := range strings.SplitSeq(text, ",") {
		a, b, ok := strings.Cut(part, "-")
		first, err1 := strconv.ParseInt(a, 10, 64)
		last, err2 := strconv.ParseInt(b, 10, 64)
		if ok && errors.Join(err1, err2) == nil {
			gaps = append(gaps, Gap{first, last})
		}
	}
	return gaps
}
