package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/cmd/wiring"
	"impfportal/internal/web"
)

// clients is the number of connections of every load and of its yardstick.
const clients = 16

type benchCmd struct {
	Seconds int `help:"length of one round" default:"2"`
}

// Run prints every figure as soon as it is there.
func (b benchCmd) Run(ctx context.Context) error {
	r := &Report{out: os.Stdout}
	d := time.Duration(b.Seconds) * time.Second
	only := os.Getenv("ONLY")
	want := func(name string) bool { return only == "" || strings.Contains(only, name) }
	if want("certificate") {
		if err := benchCertificate(r, d); err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
	}
	if want("waitingroom") || want("citizen") || want("booking") {
		if err := b.portal(ctx, r, d, want); err != nil {
			return err
		}
	}
	return r.finish()
}

func (b benchCmd) portal(ctx context.Context, r *Report, d time.Duration, want func(string) bool) (err error) {
	p, err := startPortal(ctx, yardsticks)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for _, part := range []struct {
		name string
		run  func(context.Context, *portal, *Report, time.Duration) error
	}{
		{"waitingroom", benchPoll}, {"waitingroom", benchJoin}, {"citizen", benchRegister}, {"booking", benchPair},
	} {
		if want(part.name) {
			if err := part.run(ctx, p, r, d); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	return nil
}

// yardsticks are a constant of the snapshot's length and one INCR a request,
// in the same application.
func yardsticks(app *fiber.App, env *wiring.Env) {
	constant := []byte(strings.Repeat("x", 512))
	app.Get("/yardstick/constant/:n", func(c *fiber.Ctx) error {
		n, err := c.ParamsInt("n")
		if err != nil || n > len(constant) {
			constant = []byte(strings.Repeat("x", n))
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

func benchPoll(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	path := "/rooms/" + room + "/state.json"
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	status, body, err := c.do(request("GET", path, "") {
		return fmt.Errorf("snapshot: %d, %w", status, err)
	}
	r.add(Figure{Name: "waitingroom.snapshot_bytes", Value: float64(len(body)), Unit: "bytes"})
	poll, constant := request("GET", path, ""), request("GET", fmt.Sprintf("/yardstick/constant/%d", len(body)), "")
	rate := func(req []byte) func() (float64, error) {
		return func() (float64, error) { return load(ctx, p.addr, clients, d, always(req, http.StatusOK)) }
	}
	own, bare, ratio, err := interleave(rate(poll), rate(constant))
	if err != nil {
		return err
	}
	r.add(Figure{Name: "waitingroom.poll", Value: own, Unit: "polls/s", Yardstick: bare, Ratio: ratio})
	return benchPollCommands(ctx, p, r, poll, d)
}

// benchPollCommands counts Redis commands during 100,000 polls, less those of
// an idle time of the same length.
func benchPollCommands(ctx context.Context, p *portal, r *Report, poll []byte, idle time.Duration) error {
	const polls = 100_000
	before, err := redisCommands(ctx, p.env)
	if err != nil {
		return err
	}
	start := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(2 * idle):
	}
	between, err := redisCommands(ctx, p.env)
	if err != nil {
		return err
	}
	perSecond := float64(between-before) / time.Since(start).Seconds()
	var n atomic.Int64
	start = time.Now()
	_, err = load(ctx, p.addr, clients, time.Minute, func(c *caller, i int) error {
		if n.Add(1) > polls {
			return errDone
		}
		return always(poll, http.StatusOK)(c, i)
	})
	if err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	after, err := redisCommands(ctx, p.env)
	if err != nil {
		return err
	}
	extra := max(0, float64(after-between)-perSecond*took)
	r.add(Figure{Name: "waitingroom.poll_redis_commands", Value: extra, Unit: "commands"})
	r.promise(extra < 50, "100,000 polls cost %.0f Redis commands", extra)
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
	join := request("POST", "/api/v1/rooms/"+room+"/join", "", "Accept", "application/json")
	incr := request("POST", "/yardstick/incr", "")
	// Joins are coalesced, so they want many at once, as on an opening day.
	const crowd = 256
	own, bare, ratio, err := interleave(
		func() (float64, error) {
			return load(ctx, p.addr, crowd, d, func(c *caller, _ int) error {
				status, body, err := c.do(join, nil)
				if err == nil && status >= 300 {
					err = fmt.Errorf("join: %d %.200s", status, body)
				}
				return err
			})
		},
		func() (float64, error) { return load(ctx, p.addr, crowd, d, always(incr, http.StatusOK)) },
	)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "waitingroom.join", Value: own, Unit: "joins/s", Yardstick: bare, Ratio: ratio})
	// The line of the bench is no line of people: begin a new one.
	return p.newLine(ctx)
}

var syllables = []string{"ba", "del", "fin", "gor", "hal", "ke", "lan", "mir", "nos", "pel", "rin", "sal", "tor", "wen", "zim", "auer", "bach", "mann"}

func randomName() string {
	n := syllables[rand.IntN(len(syllables))] + syllables[rand.IntN(len(syllables))] + syllables[rand.IntN(len(syllables))]
	return strings.ToUpper(n[:1]) + n[1:]
}

// registration is the body of one made-up person.
func registration() string {
	return fmt.Sprintf(`{"programme":"covid-19","group":%q,"proof_ready":true,"family_name":%q,"given_name":%q,"birth":"19%02d-%02d-%02d","sex":"female",`+
		`"address":{"street":"Musterweg %d","postcode":"04103","city":"Leipzig"},"email":"drill%d@example.org"}`,
		oldestGroup, randomName(), randomName(), 20+rand.IntN(20), 1+rand.IntN(12), 1+rand.IntN(28), 1+rand.IntN(99), rand.IntN(1e9))
}

func benchRegister(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	if _, err := p.env.Pool.Exec(ctx, pairTables); err != nil {
		return err
	}
	heads, err := passes(ctx, p, clients)
	if err != nil {
		return err
	}
	own, bare, ratio, err := interleave(
		func() (float64, error) {
			return load(ctx, p.addr, clients, d, func(c *caller, i int) error {
				return always(request("POST", "/api/v1/registrations", registration(), "Content-Type", "application/json", "Cookie", heads[i]), http.StatusCreated)(c, i)
			})
		},
		func() (float64, error) { return pgbench(ctx, p.env.Cfg.DatabaseURL, registerScript, clients, d) },
	)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "citizen.register", Value: own, Unit: "registrations/s", Yardstick: bare, Ratio: ratio})
	return nil
}

// passes lets n browsers in and returns their cookie headers.
func passes(ctx context.Context, p *portal, n int) ([]string, error) {
	out := make([]string, n)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex
		bad  error
	)
	for range min(n, 64) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				b := newBrowser(p.addr, client)
				if err := b.pass(ctx); err != nil {
					mu.Lock()
					bad = errors.Join(bad, err)
					mu.Unlock()
					return
				}
				out[i] = b.cookies()
			}
		})
	}
	wg.Wait()
	return out, bad
}

// pairPeople is how many people the pair bench needs; who has booked cannot
// book again.
const pairPeople = 15_000

func benchPair(ctx context.Context, p *portal, r *Report, d time.Duration) error {
	if _, err := p.env.Pool.Exec(ctx, pairTables); err != nil {
		return err
	}
	// As many places as anybody wants: what is measured is the engine.
	if _, err := p.env.Pool.Exec(ctx, `UPDATE booking.place SET places = 1000000 WHERE channel = 'web'`); err != nil {
		return err
	}
	slots, err := pairSlots(ctx, p)
	if err != nil {
		return err
	}
	heads, err := bookers(ctx, p, pairPeople)
	if err != nil {
		return err
	}
	var next atomic.Int64
	var mu sync.Mutex
	var holds []time.Duration
	pair := func(c *caller, _ int) error {
		i := int(next.Add(1)) - 1
		if i >= len(heads) {
			return errDone
		}
		s := slots[rand.IntN(len(slots))]
		start := time.Now()
		status, body, err := c.do(request("POST", "/api/v1/appointments/hold", fmt.Sprintf(`{"slot_ids":[%d,%d],"key":"drill-%d"}`, s[0], s[1], i),
			"Content-Type", "application/json", "Cookie", heads[i]), nil)
		if err != nil || status >= 300 {
			return errors.Join(err, fmt.Errorf("hold: %d %.300s", status, body))
		}
		took := time.Since(start)
		var series struct{ ID string }
		if err := json.Unmarshal(body, &series); err != nil {
			return err
		}
		status, body, err = c.do(request("POST", "/api/v1/appointments/"+series.ID+"/confirm", "", "Content-Type", "application/json", "Cookie", heads[i]), nil)
		if err != nil || status >= 300 {
			return errors.Join(err, fmt.Errorf("confirm: %d %.300s", status, body))
		}
		mu.Lock()
		holds = append(holds, took)
		mu.Unlock()
		return nil
	}
	own, bare, ratio, err := interleave(
		func() (float64, error) {
			left := len(heads) - int(next.Load())
			if left < len(heads)/20 {
				return 0, errors.New("the people of the bench ran out: make pairPeople larger")
			}
			return load(ctx, p.addr, clients, d, pair)
		},
		func() (float64, error) { return pgbench(ctx, p.env.Cfg.DatabaseURL, pairScript, clients, d) },
	)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "booking.pair", Value: own, Unit: "pairs/s", Yardstick: bare, Ratio: ratio})
	slices.Sort(holds)
	r.add(Figure{Name: "booking.hold_p99_ms", Value: float64(holds[len(holds)*99/100].Microseconds()) / 1000, Unit: "ms"})
	return checkBooked(ctx, p, r)
}

// pairSlots returns first and second slots that belong together.
func pairSlots(ctx context.Context, p *portal) (out [][2]int64, err error) {
	rows, err := p.env.Pool.Query(ctx, `
		SELECT s1.id, (SELECT p2.slot_id FROM booking.place p2 JOIN booking.slot s2 ON s2.id = p2.slot_id
		               WHERE p2.leg = 2 AND p2.channel = 'web' AND p2.first_day = s1.day AND s2.centre_id = s1.centre_id AND s2.product_id = s1.product_id
		               ORDER BY random() LIMIT 1)
		FROM booking.slot s1 JOIN booking.place p1 ON p1.slot_id = s1.id AND p1.leg = 1 AND p1.channel = 'web'
		WHERE s1.product_id = 'comirnaty' AND s1.start_at > $1 ORDER BY random() LIMIT 3000`, p.env.Now())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a int64
		var b *int64
		if err := rows.Scan(&a, &b); err != nil {
			return nil, err
		}
		if b != nil {
			out = append(out, [2]int64{a, *b})
		}
	}
	if err == nil && len(out) == 0 {
		err = errors.New("the demo has no pairs")
	}
	return out, errors.Join(err, rows.Err())
}

// bookers registers n people, lets each into the room and logs each in; it
// returns the cookie header of each.
func bookers(ctx context.Context, p *portal, n int) ([]string, error) {
	heads, err := passes(ctx, p, n)
	if err != nil {
		return nil, err
	}
	for {
		var have int
		if err := p.env.Pool.QueryRow(ctx, `SELECT count(*) FROM citizen.person WHERE state = 'active'`).Scan(&have); err != nil {
			return nil, err
		}
		if have >= n {
			break
		}
		var left atomic.Int64
		left.Store(int64(n - have))
		_, err := load(ctx, p.addr, clients, time.Minute, func(c *caller, i int) error {
			if left.Add(-1) < 0 {
				return errDone
			}
			return always(request("POST", "/api/v1/registrations", registration(), "Content-Type", "application/json", "Cookie", heads[i]), http.StatusCreated)(c, i)
		})
		if err != nil {
			return nil, err
		}
	}
	rows, err := p.env.Pool.Query(ctx, `SELECT id::text FROM citizen.person WHERE state = 'active' LIMIT $1`, n)
	if err != nil {
		return nil, err
	}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	now := p.env.Now()
	for i, id := range ids {
		token, err := web.NewSession(ctx, p.env.Pool, now, web.User{Kind: "citizen", ID: id, Roles: []web.Role{web.RoleCitizen}}, time.Hour)
		if err != nil {
			return nil, err
		}
		heads[i] += "; sid=" + token
	}
	return heads, nil
}

// checkBooked looks for what must never be: more taken than there is, half
// pairs, people with two series.
func checkBooked(ctx context.Context, p *portal, r *Report) error {
	var oversold, half, double int
	err := p.env.Pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM booking.place WHERE taken > places),
		(SELECT count(*) FROM (SELECT series_id FROM booking.appointment WHERE state = 'confirmed' AND product_id = 'comirnaty' GROUP BY series_id HAVING count(*) <> 2) h),
		(SELECT count(*) FROM (SELECT person_id FROM booking.series WHERE state = 'confirmed' GROUP BY person_id, programme_id HAVING count(*) > 1) d)`).
		Scan(&oversold, &half, &double)
	if err != nil {
		return err
	}
	wrong, err := p.Booking.Verify(ctx)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "booking.oversold", Value: float64(oversold), Unit: "places"})
	r.add(Figure{Name: "booking.double", Value: float64(double), Unit: "people"})
	r.add(Figure{Name: "booking.lost", Value: float64(len(wrong) + half), Unit: "places"})
	r.promise(oversold == 0, "%d places are oversold", oversold)
	r.promise(double == 0, "%d people have two series", double)
	r.promise(half == 0, "%d half pairs", half)
	r.promise(len(wrong) == 0, "%d places whose count is not that of their appointments", len(wrong))
	return nil
}
