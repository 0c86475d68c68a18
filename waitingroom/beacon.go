package waitingroom

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"impfportal/internal/clock"
	"impfportal/waitingroom/draw"
)

// beaconMargin lies between the planned opening and the value that is named for
// it: time for closing the pre-queue and publishing how many take part.
const beaconMargin = 15 * time.Second

// beaconSlack is by how much the clocks of the portal's Redis and of the world
// may differ when it is asked whether a value could be known at the close.
const beaconSlack = 2 * time.Second

// lotteryWait is when a lottery's numbers are expected after the opening, unless
// the administrators say when it draws.
const lotteryWait = 10 * time.Minute

// Limits of asking a drand server.
const (
	drandTimeout = 4 * time.Second
	drandAnswer  = 4 << 10 // bytes
	drandEvery   = 2 * time.Second
)

// DrawConfig is what draws need.
type DrawConfig struct {
	// Key signs how many tickets take part; nil = a key of this process alone, for tests.
	Key   ed25519.PrivateKey
	Drand Drand
	// Real is the time of the world outside, where beacons are; nil = the time
	// of the rooms without the clock's shift.
	Real clock.Clock
}

// Drand is where rounds of a drand chain can be fetched.
type Drand struct {
	URLs  []string   // of servers, tried in this order; none = rooms cannot use drand
	Chain draw.Chain // zero = [draw.Quicknet]
}

// Check returns what is wrong with the configuration.
func (d Drand) Check() error {
	for _, text := range d.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("waitingroom: %q is no address of a drand server", text)
		}
	}
	if d.Chain == (draw.Chain{}) {
		return nil
	}
	return d.Chain.Check()
}

// chain is the chain that new draws use.
func (d Drand) chain() draw.Chain {
	if d.Chain == (draw.Chain{}) {
		return draw.Quicknet
	}
	return d.Chain
}

// conductor is what a replica needs for conducting draws.
type conductor struct {
	key   ed25519.PrivateKey
	drand Drand
	http  *http.Client
	real  clock.Clock

	mu     sync.Mutex
	asked  map[draw.Subject]time.Time // when this replica may ask for a value again
	warned map[draw.Subject]time.Time
	past   map[lineID]pastLine // draws of earlier lines, as they were read

	known atomic.Pointer[map[string][]int64] // lines with draws, ascending, of all rooms there are and were
}

func newConductor(c DrawConfig) *conductor {
	if c.Key == nil {
		_, c.Key, _ = ed25519.GenerateKey(rand.Reader) // never fails (crypto/rand)
	}
	return &conductor{
		key: c.Key, drand: c.Drand, real: c.Real, http: &http.Client{
			Timeout:       drandTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		asked: map[draw.Subject]time.Time{}, warned: map[draw.Subject]time.Time{}, past: map[lineID]pastLine{},
	}
}

// realNow is the time of the world outside, where beacons are. On a demo with a
// shifted clock it is not the time of the rooms.
func (s *Service) realNow() time.Time {
	if s.draws.real != nil {
		return s.draws.real().UTC()
	}
	return s.roomNow().Add(-s.clockOffset()).UTC()
}

// ahead is by how much the rooms' time is ahead of the world's.
func (s *Service) ahead() time.Duration {
	if s.draws.real != nil {
		return s.roomNow().Sub(s.draws.real()).Round(time.Millisecond)
	}
	return s.clockOffset().Round(time.Millisecond)
}

// toReal and toRoom translate between the rooms' time and the world's.
func (s *Service) toReal(t time.Time) time.Time { return t.Add(-s.ahead()) }
func (s *Service) toRoom(t time.Time) time.Time { return t.Add(s.ahead()) }

// naming is a public value named before it exists.
type naming struct {
	beacon Beacon
	name   string
	due    time.Time // real
	chain  *draw.Chain
}

// nameBeacon names the value for a draw whose pre-queue closes at a real moment.
func (s *Service) nameBeacon(beacon Beacon, name string, closes time.Time) naming {
	n := naming{beacon: beacon, due: draw.Stamp(closes)}
	switch beacon {
	case DrandBeacon:
		chain := s.draws.drand.chain()
		round := chain.RoundAfter(closes.Add(beaconMargin))
		n.name, n.due, n.chain = chain.Name(round), chain.Time(round), &chain
	case LotteryBeacon:
		n.name, n.due = cleanName(name), draw.Stamp(closes.Add(lotteryWait))
	}
	return n
}

// cleanName makes a name that can be hashed out of what somebody typed.
func cleanName(name string) string { return strings.Join(strings.Fields(name), " ") }

// errNoRound says that no server has the round yet, or none answers.
var errNoRound = errors.New("waitingroom: no drand server has the round")

// fetchRound asks the configured servers for a round, and believes only a
// signature of the chain.
func (c *conductor) fetchRound(ctx context.Context, chain draw.Chain, name string) (value, signature string, err error) {
	round, ok := chain.ParseName(name)
	if !ok {
		return "", "", fmt.Errorf("waitingroom: %q is no round of the chain", name)
	}
	errs := []error{errNoRound}
	for _, base := range c.drand.URLs {
		signature, err := c.askServer(ctx, strings.TrimRight(base, "/")+"/"+name, round)
		if err == nil {
			value, err = chain.Value(round, signature)
		}
		if err == nil {
			return value, signature, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", base, err))
	}
	return "", "", errors.Join(errs...)
}

func (c *conductor) askServer(ctx context.Context, address string, round int64) (signature string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", res.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, drandAnswer+1))
	if err != nil {
		return "", err
	}
	if len(raw) > drandAnswer {
		return "", errors.New("the answer is too long")
	}
	var answer struct {
		Round     int64  `json:"round"`
		Signature string `json:"signature"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", err
	}
	if answer.Round != round {
		return "", fmt.Errorf("it answers with round %d", answer.Round)
	}
	return answer.Signature, nil
}
