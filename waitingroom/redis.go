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

func (v *view) key(suffix string) string { return "wr:{" + v.id + "}:" + suffix }

func (v *view) lineKeys() []string {
	return []string{v.key("s"), v.key("inv"), v.key("left"), v.key("act")}
}

func (v *view) usedKey(epoch int64) string { return v.key("used:" + strconv.FormatInt(epoch, 10)) }

// offset is what the portal's clock adds to the time of Redis, in microseconds.
// It is cut to milliseconds, so that it is the same in every call.
func (s *Service) offset() int64 {
	return time.Until(s.now()).Round(time.Millisecond).Microseconds()
}

// call is one script call: what it needs follows from what is known of the
// room, which may change between two attempts.
type call struct {
	script *redis.Script
	keys   func(r Room) []string
	args   func(r Room) []any
}

// eval runs c until its answer is more than a demand to know better, and
// returns it with the room as it was known for that answer.
func (s *Service) eval(ctx context.Context, v *view, c call) ([]any, Room, error) {
	for range attempts {
		r, seen := v.knownAndSeen()
		args := append([]any{r.Generation, r.Version, s.offset(), seen}, c.args(r)...)
		answer, err := c.script.Run(ctx, s.rdb, c.keys(r), args...).Slice()
		if err != nil {
			return nil, r, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		switch word(answer, 0) {
		case "stale":
			err = s.load(ctx)
		case "empty":
			err = s.restore(ctx, v)
		default:
			return answer, r, nil
		}
		if err != nil {
			return nil, r, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return nil, Room{}, fmt.Errorf("%w: the state does not settle", ErrUnavailable)
}

func (v *view) valveArgs(r Room) []any {
	valve, open := r.valve(), 0
	if valve.Open {
		open = 1
	}
	return []any{open, valve.Rate, valve.Bound, valve.Grace.Microseconds()}
}

// Figures is how a line stands.
type Figures struct {
	Issued   int64 // places given out
	Serving  int64 // the last invited place
	Waiting  int64 // places not yet invited
	Inside   int64 // people with a pass
	Invited  int64 // invited lately and not yet inside
	Admitted int64 // passes of this line so far
	At       time.Time
	Pace     Pace

	epoch   int64
	ceiling int64
	gaps    []Gap
}

// tick lets the line go on by what time and valve allow.
func (s *Service) tick(ctx context.Context, v *view) (Figures, error) {
	answer, r, err := s.eval(ctx, v, call{
		script: tickScript,
		keys:   func(Room) []string { return v.lineKeys() },
		args:   v.valveArgs,
	})
	if err != nil {
		return Figures{}, err
	}
	f := Figures{
		Issued: num(answer, 1), Serving: num(answer, 2), Inside: num(answer, 3), Invited: num(answer, 4), Admitted: num(answer, 5),
		epoch: r.Epoch, ceiling: num(answer, 6), At: time.UnixMicro(num(answer, 7)).UTC(), gaps: parseGaps(word(answer, 8)),
	}
	f.Waiting = Waiting(f.Issued, f.Serving, f.gaps)
	v.noteSeen(r.Epoch, f.Issued)
	return f, nil
}

// claim knocks at the door. over is the end of the pass.
func (s *Service) claim(ctx context.Context, v *view, p Place) (verdict Verdict, over time.Time, r Room, err error) {
	answer, r, err := s.eval(ctx, v, call{
		script: claimScript,
		keys:   func(Room) []string { return append(v.lineKeys(), v.usedKey(p.Epoch)) },
		args: func(r Room) []any {
			return append(v.valveArgs(r), p.Index, p.member(), r.PassLength.Microseconds(), int64((TicketLife + 24*time.Hour).Seconds()))
		},
	})
	if err != nil {
		return "", time.Time{}, r, err
	}
	return Verdict(word(answer, 0)), time.UnixMicro(num(answer, 1)).UTC(), r, nil
}

// inside asks Redis whether a pass counts.
func (s *Service) inside(ctx context.Context, v *view, p Place) (bool, error) {
	answer, _, err := s.eval(ctx, v, call{
		script: insideScript,
		keys:   func(Room) []string { return []string{v.key("s"), v.key("act")} },
		args:   func(Room) []any { return []any{p.member()} },
	})
	if err != nil {
		return false, err
	}
	return word(answer, 0) == "in", nil
}

// leave frees the seat of a place, after Postgres knows that it is over.
func (s *Service) leave(ctx context.Context, v *view, p Place) error {
	_, _, err := s.eval(ctx, v, call{
		script: leaveScript,
		keys:   func(Room) []string { return []string{v.key("s"), v.key("act")} },
		args:   func(Room) []any { return []any{p.member()} },
	})
	return err
}

// unuse takes back the mark that a ticket was used.
func (s *Service) unuse(ctx context.Context, v *view, p Place) error {
	return s.rdb.SetBit(ctx, v.usedKey(p.Epoch), p.Index, 0).Err()
}

// numbers takes the next n numbers of the line, under a batch number that makes
// the command safe to send again.
func (s *Service) numbers(ctx context.Context, v *view, seq, n int64) (first int64, r Room, err error) {
	for range attempts {
		answer, r, err := s.eval(ctx, v, call{
			script: joinScript,
			keys:   func(Room) []string { return []string{v.key("s"), v.key("j:" + s.replica)} },
			args:   func(Room) []any { return []any{seq, n} },
		})
		if err != nil {
			return 0, r, err
		}
		if !r.Phase.TakesPlaces() {
			return 0, r, ErrNotTaking
		}
		if word(answer, 0) == "ok" {
			first = num(answer, 1)
			v.noteSeen(r.Epoch, first+n-1)
			return first, r, nil
		}
		if err := s.raise(ctx, v, num(answer, 1)+n); err != nil {
			return 0, r, err
		}
	}
	return 0, Room{}, fmt.Errorf("%w: no numbers left", ErrUnavailable)
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
