package waitingroom

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/web"
	"impfportal/waitingroom/defence"
)

// ErrProofNeeded says that a place in the line wants a proof of work now, and
// that the request brought none that counts. A place behind the line is to be
// had without.
var ErrProofNeeded = errors.New("waitingroom: a proof of work is needed")

// errSpent says that a solution has counted before.
var errSpent = errors.New("waitingroom: the solution has been used")

// The fields of a join, in a form and in JSON alike.
const (
	solutionField = "altcha" // the solution, as the widget writes it
	behindField   = "behind" // "1": a place behind the line is welcome, without proof
)

// Defence are the settings of the defence; zero fields take the defaults.
type Defence struct {
	Limits defence.Limits
	Work   defence.Work
}

// defending is what the service needs to defend its rooms.
type defending struct {
	once       sync.Once
	settings   Defence
	challenger *defence.Challenger
}

// roomDefence is the defence of one room in this replica.
type roomDefence struct {
	once  sync.Once
	watch *defence.Watch
	seen  atomic.Pointer[defenceSeen] // by the last exchange; nil = none yet

	// Of watchArrivals only:
	looked bool
	noted  time.Time // beginning of the verdict that is written down; zero = none
}

// defenceSeen is how the defence stands over all replicas.
type defenceSeen struct {
	defence.Seen
	verdict defence.Verdict
}

// defence returns the defence of v, making it at the first call.
func (s *Service) defence(v *view) *roomDefence {
	d := &v.defence
	d.once.Do(func() {
		d.watch = defence.NewWatch(s.rdb, v.key(""), s.replica, s.defend.settings.Limits)
	})
	return d
}

// challenges makes and checks challenges; its secret follows from the one that
// signs tickets.
func (s *Service) challenges() *defence.Challenger {
	s.defend.once.Do(func() {
		s.defend.challenger = defence.NewChallenger(s.keys.derive("challenge"), s.defend.settings.Work)
	})
	return s.defend.challenger
}

// challengeNow reports whether newcomers must prove work: by hand, or while the
// verdict says machines. Never in a room that demands login, where a case
// number has one place however often it is asked for.
func (s *Service) challengeNow(v *view) bool {
	r := v.known.Load()
	switch {
	case r.Login, r.Challenge == ChallengeOff:
		return false
	case r.Challenge == ChallengeOn:
		return true
	}
	seen := v.defence.seen.Load()
	return seen != nil && seen.Held.On
}

// mustProve reports whether this browser would have to prove work now: as
// challengeNow, or because its network is above the soft limit. For the page; no I/O.
func (s *Service) mustProve(c *web.Ctx, v *view) bool {
	if s.challengeNow(v) {
		return true
	}
	r := v.known.Load()
	return !r.Login && r.Challenge != ChallengeOff && s.defence(v).watch.Peek(s.roomNow(), defence.Networks(c.Address())) == defence.Prove
}

// laneFor decides where a newcomer joins: in the line, or behind it. It counts
// the arrival, so it is called once for each request for a new place. Without a
// solution it costs no Redis command. It returns a Problem when the network is
// above its hard limit (429), and ErrProofNeeded in a Problem when a proof is
// missing or does not count.
func (s *Service) laneFor(c *web.Ctx, v *view) (Lane, error) {
	if !v.known.Load().Phase.TakesPlaces() {
		return InLine, nil // Join says so; nothing is spent for it
	}
	behind, err := s.weigh(c, v)
	if err == nil && behind {
		return Behind, nil
	}
	return InLine, err
}

// weigh counts an arrival and decides about it: behind tells that a proof was
// demanded, and that the newcomer does without and takes a place behind the line.
func (s *Service) weigh(c *web.Ctx, v *view) (behind bool, err error) {
	r, w := v.known.Load(), s.defence(v).watch
	nets := defence.Networks(c.Address())
	_, hasKey := browserKey(c)
	standing, wait := w.Join(s.roomNow(), nets, hasKey)
	if standing == defence.Refused {
		joinStandings.WithLabelValues(v.id, "limited").Inc()
		return false, s.limited(c, v, wait)
	}
	if r.Login || r.Challenge == ChallengeOff || standing == defence.Free && !s.challengeNow(v) {
		joinStandings.WithLabelValues(v.id, "free").Inc()
		return false, nil
	}
	solution, takesBehind := proofOf(c)
	if solution != "" {
		err = s.prove(c, v, nets, solution)
		if err == nil {
			joinStandings.WithLabelValues(v.id, "proven").Inc()
			return false, nil
		}
		if !errors.Is(err, ErrProofNeeded) {
			return false, err
		}
	}
	if takesBehind {
		w.Behind()
		joinStandings.WithLabelValues(v.id, "behind").Inc()
		return true, nil
	}
	joinStandings.WithLabelValues(v.id, "challenged").Inc()
	if err == nil {
		err = s.proofNeeded(v, nil)
	}
	return false, err
}

// proofOf reads what a join brings: a solution, and whether a place behind the
// line will do.
func proofOf(c *web.Ctx) (solution string, behind bool) {
	if !strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEApplicationJSON) {
		f := c.Form()
		return f.Get(solutionField), f.Get(behindField) != ""
	}
	var in joinIn
	if err := json.NewDecoder(bytes.NewReader(c.Body())).Decode(&in); err != nil {
		return "", false
	}
	return in.Solution, in.Behind
}

// joinIn is the body of a join.
type joinIn struct {
	Room     string `path:"room" json:"-"`
	Solution string `json:"altcha,omitempty" doc:"solution of a challenge of /rooms/{room}/challenge.json, as ALTCHA's widget writes it; needed while the room's state says challenge"`
	Behind   bool   `json:"behind,omitempty" doc:"take a place behind the line when a solution is needed and there is none"`
	Code     string `json:"code,omitempty" doc:"an admission code of the hotline: a place that waits for nobody in the line"`
}

// OptionalBody: a join without a body brings nothing.
func (joinIn) OptionalBody() {}

// bound is what a challenge for this request is good for.
func (v *view) bound(nets []defence.Network) defence.Bound {
	b := defence.Bound{Room: v.id, Line: v.known.Load().Generation}
	if len(nets) > 0 {
		b.Network = nets[0]
	}
	return b
}

// prove checks a solution and uses it up. One Redis command, and only for a
// solution whose challenge is ours, for this room and network, and not expired.
func (s *Service) prove(c *web.Ctx, v *view, nets []defence.Network, text string) error {
	now, w := s.roomNow(), s.defence(v).watch
	solution, err := s.challenges().Open(now, text, v.bound(nets))
	if err == nil {
		first, redisErr := w.Spend(c.Std(), solution, now)
		switch {
		case redisErr != nil:
			return problem(fmt.Errorf("%w: %w", ErrUnavailable, redisErr))
		case !first:
			err = errSpent
		default:
			err = solution.Solved()
		}
	}
	outcome := "solved"
	switch {
	case errors.Is(err, defence.ErrNotOurs):
		outcome = "foreign"
	case errors.Is(err, defence.ErrExpired):
		outcome = "expired"
	case errors.Is(err, errSpent):
		outcome = "used"
	case err != nil:
		outcome = "wrong"
	}
	challengeOutcomes.WithLabelValues(v.id, outcome).Inc()
	if err == nil {
		w.Proven()
		return nil
	}
	if wait := w.Wrong(now, nets); wait > 0 {
		return s.limited(c, v, wait)
	}
	return s.proofNeeded(v, err)
}

// proofError is ErrProofNeeded, told in words.
type proofError struct {
	*web.Problem
	why error
}

func (p proofError) Unwrap() []error { return []error{p.Problem, ErrProofNeeded, p.why} }

// proofNeeded sends somebody for a proof; why is what was wrong with the one
// that came, nil = none came.
func (s *Service) proofNeeded(v *view, why error) error {
	key := "waitingroom.defence.proof_needed"
	if why != nil {
		key = "waitingroom.defence.proof_refused"
	} else {
		why = ErrProofNeeded
	}
	return proofError{&web.Problem{
		Status: http.StatusForbidden, Key: key, Link: linePath(v.id, ""), LinkKey: "waitingroom.gate.link",
		Extra: map[string]string{"room": v.id, "challenge": challengePath(v.id)},
	}, why}
}

// limited refuses a request of a network above its hard limit.
func (s *Service) limited(c *web.Ctx, v *view, wait time.Duration) error {
	// A few seconds more or less: else all of them come again in the same instant.
	seconds := int(math.Ceil(wait.Seconds())) + rand.N(5) //nolint:gosec // no secret
	c.Set(fiber.HeaderRetryAfter, strconv.Itoa(seconds))
	return &web.Problem{
		Status: http.StatusTooManyRequests, Key: "waitingroom.defence.limited",
		Args: []any{"Wait", waitWords(c, seconds), "Phone", c.T("web.phone")},
		Link: linePath(v.id, ""), LinkKey: "waitingroom.gate.link",
	}
}

// waitWords writes a short wait: "30 Sekunden", "2 Minuten".
func waitWords(c *web.Ctx, seconds int) string {
	if seconds < 90 {
		return c.T("waitingroom.defence.seconds", "Count", seconds)
	}
	return duration(c.T, (seconds+59)/60)
}

func challengePath(roomID string) string { return "/rooms/" + roomID + "/challenge.json" }

// derive returns a secret of its own for another purpose than tickets.
func (s *Signer) derive(purpose string) []byte {
	m := hmac.New(sha256.New, s.keys[0].Secret)
	m.Write([]byte("impfportal room " + purpose))
	return m.Sum(nil)
}

// watchArrivals exchanges what this replica has counted, judges, and makes the
// verdict known; once a second in every replica.
func (s *Service) watchArrivals(ctx context.Context) error {
	var errs []error
	for _, v := range s.rooms.Load().views {
		if err := s.watchRoom(ctx, v); err != nil {
			errs = append(errs, fmt.Errorf("defence of room %s: %w", v.id, err))
		}
	}
	return errors.Join(errs...)
}
