package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/cmd/wiring"
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
	const path = "/rooms/" + room + "/state.json"
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	poll := request(http.MethodGet, path, "")
	status, body, err := c.do(poll)
	if err != nil || status != http.StatusOK {
		return errors.Join(err, fmt.Errorf("snapshot: status %d", status))
	}
	r.add(Figure{Name: "waitingroom.snapshot_bytes", Value: float64(len(body)), Unit: "bytes"})
	r.promise(len(body) <= 2<<10, "the snapshot has %d bytes, more than 2 KB", len(body))
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

func benchJoin(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	join, incr := request(http.MethodPost, joinPath, ""), request(http.MethodPost, "/yardstick/incr", "")
	// Joins are coalesced, so they want many at once, as on an opening day.
	const crowd = 256
	rate := func(req []byte) measurement {
		return func() (float64, error) { return load(ctx, p.addr, crowd, d, always(req, http.StatusOK)) }
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
	before, err := roomBytes(ctx, p.env)
	if err != nil {
		return err
	}
	if _, err := load(ctx, p.addr, 256, 10*time.Minute, times(joins, always(request(http.MethodPost, joinPath, ""), http.StatusOK))); err != nil {
		return err
	}
	after, err := roomBytes(ctx, p.env)
	if err != nil {
		return err
	}
	million := float64(before) + max(0, float64(after-before))*1e6/float64(joins)
	r.add(Figure{Name: "waitingroom.redis_bytes_per_million", Value: million, Unit: "bytes"})
	if !full() {
		r.note("measured with %d joins (%d bytes before, %d after) and scaled; FULL=1 joins a million", joins, before, after)
	}
	r.promise(million <= 2<<20, "a million people in line take %.0f bytes in Redis, more than 2 MB", million)
	return p.newLine(ctx)
}

// roomBytes is the memory of all keys of the room.
func roomBytes(ctx context.Context, env *wiring.Env) (sum int64, err error) {
	keys := env.Redis.Scan(ctx, 0, "wr:{"+room+"}:*", 1000).Iterator()
	for keys.Next(ctx) {
		n, err := env.Redis.MemoryUsage(ctx, keys.Val(), 0).Result()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, keys.Err()
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
