package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/redis/go-redis/v9"

	"impfportal/cmd/wiring"
	"impfportal/waitingroom"
)

// yardsticks are a constant of the snapshot's length and one INCR a request,
// in the same application.
func yardsticks(app *fiber.App, env *wiring.Env) {
	constant := []byte(strings.Repeat("x", 4096))
	app.Get("/yardstick/constant/:n", func(c *fiber.Ctx) error {
		n, err := c.ParamsInt("n")
		if err != nil || n < 0 || n > len(constant) {
			return fiber.ErrBadRequest
		}
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(constant[:n])
	})
	app.Post("/yardstick/incr", func(c *fiber.Ctx) error {
		n, err := env.Redis.Incr(c.UserContext(), "yardstick").Result()
		if err != nil {
			return err
		}
		return c.JSON(map[string]int64{"n": n})
	})
}

const joinPath = "/api/v1/rooms/" + room + "/join"

func benchPoll(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	usual, err := snapshot(p)
	if err != nil {
		return err
	}
	body, err := fullSnapshot(ctx, p)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "waitingroom.snapshot_bytes", Value: float64(len(body)), Unit: "bytes"})
	r.note("after a draw whose pre-queue lost Redis, with a message of full length in two languages; %d bytes on a usual day", len(usual))
	r.promise(len(body) <= 2<<10, "the snapshot has %d bytes, more than 2 KB", len(body))
	poll := request(http.MethodGet, statePath, "")
	constant := request(http.MethodGet, fmt.Sprintf("/yardstick/constant/%d", len(body)), "")
	rate := func(req []byte) measurement {
		return func() (float64, error) { return load(ctx, p.addr, clients, d, always(req, http.StatusOK)) }
	}
	m, err := interleave(rate(constant), rate(poll))
	if err != nil {
		return err
	}
	r.add(Figure{Name: "waitingroom.poll", Value: m.median(1), Unit: "polls/s", Yardstick: m.median(0), Ratio: m.ratio(1, 0)})
	return benchPollCommands(ctx, p, r, poll)
}

func snapshot(p *portal) ([]byte, error) {
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	status, body, err := c.do(request(http.MethodGet, statePath, ""))
	if err != nil || status != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("snapshot: status %d", status))
	}
	return body, nil
}

// fullSnapshot opens the room by way of a draw, with all that a snapshot can
// have to say, and returns the snapshot.
func fullSnapshot(ctx context.Context, p *portal) ([]byte, error) {
	from, opens := p.env.Now(), p.env.Now().Add(3*time.Second)
	german := strings.Repeat("Heute öffnen wir für alle über 80 Jahre. Bitte haben Sie Geduld: Ihr Platz ist sicher. ", 5)
	english := strings.Repeat("Today we open for everybody over 80. Please be patient: your place is safe. ", 5)
	message := waitingroom.Text{"de": string([]rune(german)[:waitingroom.MaxMessage-1]), "en": english[:waitingroom.MaxMessage-1]}
	_, err := p.Rooms.SetPlan(ctx, "system", "system", room, waitingroom.Plan{PreQueueFrom: &from, OpensAt: &opens}, waitingroom.Settings{
		Draw: ptr(true), Beacon: ptr(waitingroom.LocalBeacon), Message: message, EndLine: true,
	})
	if err != nil {
		return nil, fmt.Errorf("plan an opening: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := awaitState(ctx, p, func(st waitingroom.State) bool { return st.Phase == waitingroom.PreQueue }); err != nil {
		return nil, err
	}
	join := newMany(http.MethodPost, joinPath)
	for range 2 { // a loss of Redis leaves a gap
		if _, err := load(ctx, p.addr, 16, time.Minute, times(500, join.call)); err != nil {
			return nil, err
		}
		if err := p.env.Redis.FlushAll(ctx).Err(); err != nil {
			return nil, err
		}
	}
	err = awaitState(ctx, p, func(st waitingroom.State) bool {
		return st.Phase == waitingroom.Open && st.Draw != nil && st.Draw.Key != "" && !st.Trouble
	})
	if err != nil {
		return nil, err
	}
	return snapshot(p)
}

// awaitState waits until the snapshot is as wanted.
func awaitState(ctx context.Context, p *portal, wanted func(waitingroom.State) bool) error {
	for {
		body, err := snapshot(p)
		if err != nil {
			return err
		}
		var st waitingroom.State
		if err := json.Unmarshal(body, &st); err != nil {
			return err
		}
		if wanted(st) {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the room stays %s: %w", st.Phase, err)
		}
	}
}

// benchPollCommands counts Redis commands during 100,000 polls, less those of
// an idle time of the same length before and after.
func benchPollCommands(ctx context.Context, p *portal, r *Report, poll []byte) error {
	const polls = 100_000
	measure := func(wait func() error) (commands, seconds float64, err error) {
		before, err := redisCommands(ctx, p.env)
		if err != nil {
			return 0, 0, err
		}
		start := time.Now()
		if err := wait(); err != nil {
			return 0, 0, err
		}
		took := time.Since(start).Seconds()
		after, err := redisCommands(ctx, p.env)
		return float64(after - before - 1), took, err // less the question itself
	}
	idle := func() error { return pause(ctx, 5*time.Second) }
	busy := func() error {
		_, err := load(ctx, p.addr, clients, time.Minute, times(polls, always(poll, http.StatusOK)))
		return err
	}
	var commands, seconds [3]float64
	for i, wait := range []func() error{idle, busy, idle} {
		var err error
		if commands[i], seconds[i], err = measure(wait); err != nil {
			return err
		}
	}
	atRest := (commands[0] + commands[2]) / (seconds[0] + seconds[2])
	extra := max(0, commands[1]-atRest*seconds[1])
	r.add(Figure{Name: "waitingroom.poll_redis_commands", Value: extra, Unit: "commands"})
	// The tick of a second more or less falls into the measured time.
	r.promise(extra < 4*atRest+20, "100,000 polls cost %.0f Redis commands", extra)
	return nil
}

func redisCommands(ctx context.Context, env *wiring.Env) (n int64, err error) {
	info, err := env.Redis.Info(ctx, "stats").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
			_, err = fmt.Sscan(rest, &n)
			return n, err
		}
	}
	return 0, errors.New("Redis tells no total_commands_processed")
}

// many is a crowd at home: each request has the address of another network, and
// the possession key that a browser has from the waiting page. A crowd from one
// address, or without keys, would be taken for machines.
type many struct {
	requests [][]byte
	next     atomic.Int64
}

func newMany(method, path string) *many {
	m := &many{requests: make([][]byte, 1<<16)}
	for i := range m.requests {
		m.requests[i] = request(method, path, "", "X-Real-IP", clientAddress(i), "Cookie", keyCookie+"="+waitingroom.NewKey())
	}
	return m
}

// call sends the request of the next one.
func (m *many) call(c *caller, _ int) error {
	return expect(c, m.requests[m.next.Add(1)%int64(len(m.requests))], http.StatusOK)
}

// joinCrowd is how many ask for a place at the same time: joins are coalesced,
// so they want many at once, as on an opening day.
const joinCrowd = 256

func benchJoin(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	join, incr := newMany(http.MethodPost, joinPath), newMany(http.MethodPost, "/yardstick/incr")
	rate := func(m *many) measurement {
		return func() (float64, error) { return load(ctx, p.addr, joinCrowd, d, m.call) }
	}
	m, err := interleave(rate(incr), rate(join))
	if err != nil {
		return err
	}
	r.add(Figure{Name: "waitingroom.join", Value: m.median(1), Unit: "joins/s", Yardstick: m.median(0), Ratio: m.ratio(1, 0)})
	// The line of the bench is no line of people: begin a new one.
	return p.newLine(ctx)
}

// benchMemory lets people stand in line and weighs the room's keys in Redis:
// 100,000 of them, scaled to a million, or a million with FULL=1.
func benchMemory(ctx context.Context, p *portal, r *Report, _ time.Duration) error {
	joins := int64(100_000)
	if full() {
		joins = 1_000_000
	}
	if err := p.newLine(ctx); err != nil {
		return err
	}
	before, _, err := roomBytes(ctx, p.env)
	if err != nil {
		return err
	}
	if _, err := load(ctx, p.addr, joinCrowd, 10*time.Minute, times(joins, newMany(http.MethodPost, joinPath).call)); err != nil {
		return err
	}
	after, rush, err := roomBytes(ctx, p.env)
	if err != nil {
		return err
	}
	million := float64(before) + max(0, float64(after-before))*1e6/float64(joins)
	r.add(Figure{Name: "waitingroom.redis_bytes_per_million", Value: million, Unit: "bytes"})
	if !full() {
		r.note("measured with %d joins (%d bytes before, %d after) and scaled; FULL=1 joins a million", joins, before, after)
	}
	r.note("beside it, %d bytes of counts per network, from %d networks, that go within minutes", rush, 1<<16)
	r.promise(million <= 2<<20, "a million people in line take %.0f bytes in Redis, more than 2 MB", million)
	return p.newLine(ctx)
}

// roomBytes is the memory of the keys of the room, and of those that the defence
// keeps for a few minutes of a rush.
func roomBytes(ctx context.Context, env *wiring.Env) (line, defence int64, err error) {
	keys := env.Redis.Scan(ctx, 0, "wr:{"+room+"}:*", 1000).Iterator()
	for keys.Next(ctx) {
		n, err := env.Redis.MemoryUsage(ctx, keys.Val(), 0).Result()
		if errors.Is(err, redis.Nil) {
			continue // gone meanwhile
		}
		if err != nil {
			return 0, 0, err
		}
		if strings.HasPrefix(keys.Val(), "wr:{"+room+"}:d:") {
			defence += n
		} else {
			line += n
		}
	}
	return line, defence, keys.Err()
}

// benchPortalMemory weighs a process of the portal with 10,000 people in line and
// with a million, who really come: what a process takes more for less of them is
// noise that must not be multiplied.
func benchPortalMemory(ctx context.Context, r *Report, _ time.Duration) (err error) {
	p, err := startPortal(ctx, portalOptions{Replicas: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	m := p.fleet.members[0]
	p.addr = *m.up.addr.Load()
	const few, crowd = int64(10_000), int64(1_000_000)
	join, poll := newMany(http.MethodPost, joinPath), newMany(http.MethodGet, statePath)
	// The same work before either weighing: what a process has once needed it keeps for a while.
	work := func(joins int64) error {
		_, err := load(ctx, p.addr, joinCrowd, 10*time.Minute, times(joins, join.call))
		return err
	}
	weigh := func() (float64, error) {
		var seen []float64
		for range 9 {
			if _, err := load(ctx, p.addr, clients, time.Second, poll.call); err != nil {
				return 0, err
			}
			kilobytes, err := residentKB(m.pid())
			if err != nil {
				return 0, err
			}
			seen = append(seen, kilobytes)
		}
		return median(seen), nil
	}
	if err := work(crowd / 4); err != nil {
		return err
	}
	if err := p.newLine(ctx); err != nil {
		return err
	}
	if err := work(few); err != nil {
		return err
	}
	before, err := weigh()
	if err != nil {
		return err
	}
	if err := work(crowd - few); err != nil {
		return err
	}
	after, err := weigh()
	if err != nil {
		return err
	}
	grown := after / before
	r.note("a portal with %d people in line takes %.1f MB, with %d %.1f MB", few, before/1024, crowd, after/1024)
	r.add(Figure{Name: "waitingroom.portal_memory_growth", Value: grown, Unit: "times"})
	r.promise(grown <= 1.2, "a portal with a million people in line takes %.2f times the memory of one with 10,000", grown)
	return nil
}

// residentKB is the memory that a process has in use.
func residentKB(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kb float64
			_, err := fmt.Sscan(rest, &kb)
			return kb, err
		}
	}
	return 0, fmt.Errorf("process %d tells no VmRSS", pid)
}

// full reports whether the large sizes are wanted.
func full() bool { return os.Getenv("FULL") == "1" }

// pause waits, or fails when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
