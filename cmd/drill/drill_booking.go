package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"impfportal/booking"
)

// racePlaces is how many series a race is about.
const racePlaces = 10

// raceSizes are the sizes of the booking drill.
type raceSizes struct{ racers, rounds, killRounds, kills int }

func bookingSizes() raceSizes {
	if full() {
		return raceSizes{racers: 2000, rounds: 100, killRounds: 10, kills: 5}
	}
	return raceSizes{racers: 300, rounds: 6, killRounds: 2, kills: 3}
}

// drillBooking lets hundreds race over HTTP for ten places, again and again:
// double clicks, two tabs, connections cut before the answer, holds given back,
// bookings cancelled; then with Postgres killed in the middle. In the end every
// booking that was answered is there, and no other.
func drillBooking(ctx context.Context, r *Report) (err error) {
	p, err := startPortal(ctx, portalOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	// What is given back is free at once here: the race wants all of it taken again.
	if err := p.Booking.SetReturns(ctx, booking.ReturnSettings{}, booking.By{Actor: "system", Role: "system"}); err != nil {
		return err
	}
	size := bookingSizes()
	slots, err := pairSlots(ctx, p)
	if err != nil {
		return err
	}
	if len(slots) < size.rounds+size.killRounds {
		return fmt.Errorf("%d pairs of slots are too few", len(slots))
	}
	r.note("%d people register", size.racers)
	race := &race{p: p, report: r}
	client := newClient(size.racers)
	defer client.CloseIdleConnections()
	race.free = make([]*racer, size.racers)
	err = together(ctx, size.racers, 32, func(ctx context.Context, i int) error {
		race.free[i] = &racer{browser: newBrowser(p.addr, client), race: race}
		return race.free[i].book(ctx, p)
	})
	if err != nil {
		return err
	}
	for n := range size.rounds + size.killRounds {
		kills := 0
		if n >= size.rounds {
			kills = size.kills
		}
		if err := race.round(ctx, slots[n], kills); err != nil {
			return err
		}
		if done := n + 1; done%10 == 0 {
			r.note("%d of %d rounds", done, size.rounds+size.killRounds)
		}
	}
	lost, err := race.lost(ctx)
	if err != nil {
		return err
	}
	r.note("%d held, %d told 'taken', %d cancelled, %d connections cut, %d answers in doubt and asked again, %d times told to come again, Postgres killed %d times, %d holds forgotten by it, %d holds found that a request in doubt had made",
		race.held.Load(), race.refused.Load(), race.cancelled.Load(), race.cuts.Load(), race.doubts.Load(), race.busy.Load(), race.killed, race.forgotten.Load(), race.found.Load())
	return checkBooked(ctx, p, r, lost)
}

// race is what all racers share.
type race struct {
	p      *portal
	report *Report
	free   []*racer // who has no appointment
	slots  slotPair
	kills  bool // Postgres is killed in this round

	held, refused, cancelled, cuts, doubts, busy, forgotten, found atomic.Int64

	killed int

	mu       sync.Mutex
	promised map[string]string // series -> state that the last answer told
}

// forgot reports whether a hold may have gone with a killed Postgres, and takes its
// promise back: a hold does not wait for the disk, so the last ones may go. What was
// confirmed may not.
func (r *race) forgot(series string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.kills || r.promised[series] != "held" {
		return false
	}
	delete(r.promised, series)
	r.forgotten.Add(1)
	return true
}

func (r *race) tell(series, state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.promised == nil {
		r.promised = map[string]string{}
	}
	r.promised[series] = state
}

// round offers ten places for a pair of slots and lets everybody race.
func (r *race) round(ctx context.Context, s slotPair, kills int) error {
	r.slots, r.kills = s, kills > 0
	for leg, slot := range []int64{s.first, s.second} {
		tag, err := r.p.env.Pool.Exec(ctx, `UPDATE booking.place SET places = taken + $4 WHERE slot_id = $1 AND channel = 'web' AND leg = $2 AND first_day = $3`, slot, leg+1, s.day, racePlaces)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("slot %d has no place row", slot)
		}
	}
	before, err := r.taken(ctx)
	if err != nil {
		return err
	}
	killed := make(chan error, 1)
	go func() { killed <- r.kill(ctx, kills) }()
	err = together(ctx, len(r.free), len(r.free), func(ctx context.Context, i int) error { return r.free[i].run(ctx) })
	if err := errors.Join(err, <-killed); err != nil {
		return err
	}
	if r.kills {
		if err := r.p.recovered(ctx); err != nil {
			return err
		}
		r.p.log.Set(slog.LevelError)
	}
	// What was given back is there for those who come later: all ten go.
	for _, x := range r.free {
		if x.series == "" && x.inside {
			if err := x.hold(ctx, plain); err != nil {
				return err
			}
			if x.series == "" {
				break
			}
			if err := x.confirm(ctx); err != nil {
				return err
			}
		}
	}
	after, err := r.taken(ctx)
	if err != nil {
		return err
	}
	r.report.promise(after-before == racePlaces, "of %d places %d were taken", racePlaces, after-before)
	return r.leave(ctx)
}

// leave takes those with an appointment out and gives the others a pass again.
func (r *race) leave(ctx context.Context) error {
	var free []*racer
	for _, x := range r.free {
		if x.series == "" {
			free = append(free, x)
		}
	}
	r.free = free
	return together(ctx, len(free), 32, func(ctx context.Context, i int) error {
		if free[i].inside {
			return nil
		}
		free[i].inside = true
		return free[i].pass(ctx, bookingRoom)
	})
}

func (r *race) taken(ctx context.Context) (n int, err error) {
	return n, r.p.env.Pool.QueryRow(ctx, `SELECT taken FROM booking.place WHERE slot_id = $1 AND channel = 'web' AND leg = 1 AND first_day = $2`, r.slots.first, r.slots.day).Scan(&n)
}

// lost counts series whose state is not what the last answer about them said.
func (r *race) lost(ctx context.Context) (lost int, err error) {
	rows, err := r.p.env.Pool.Query(ctx, `SELECT id::text, state FROM booking.series`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var id, state string
		if err := rows.Scan(&id, &state); err != nil {
			return 0, err
		}
		found[id] = state
		if state == "held" && r.promised[id] == "" {
			continue // of a request in doubt: it runs out by itself
		}
		if r.promised[id] == "" {
			lost++
			r.report.note("series %s is %s and nobody was told", id, state)
		}
	}
	for id, state := range r.promised {
		if found[id] != state {
			lost++
			r.report.note("series %s is %q, but the answer said %q", id, found[id], state)
		}
	}
	return lost, rows.Err()
}

// kill sends SIGKILL to a working Postgres process, which makes the server
// throw away everything that is not in its log and recover, n times.
func (r *race) kill(ctx context.Context, n int) error {
	if n > 0 {
		r.p.log.Set(quiet) // what follows is no news
	}
	for range n {
		if err := pause(ctx, time.Duration(100+rand.IntN(400))*time.Millisecond); err != nil {
			return err
		}
		for {
			pid, err := r.victim(ctx)
			if err == nil {
				err = syscall.Kill(pid, syscall.SIGKILL)
			}
			if err == nil {
				break
			}
			// The server is still recovering, or the process has ended by itself.
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
		r.killed++
	}
	return nil
}

// victim finds a process of the drill's own Postgres, one at work before others.
func (r *race) victim(ctx context.Context) (pid int, err error) {
	err = r.p.env.Pool.QueryRow(ctx, `
		SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY state = 'idle', random() LIMIT 1`).Scan(&pid)
	if err != nil {
		return 0, err
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !strings.HasPrefix(string(name), "postgres:") {
		err = fmt.Errorf("process %d is no process of Postgres", pid)
	}
	return pid, err
}

// how a hold is asked for.
type how int

const (
	plain       how = iota
	doubleClick     // the same request twice at the same time
	twoTabs         // two requests of one person at the same time
	cut             // the connection is cut before the answer, and the request sent again
)

// racer is one person in the race.
type racer struct {
	*browser
	race   *race
	tries  int
	series string // that stands now
	inside bool   // has a pass
}

// run is one person's part of a round.
func (x *racer) run(ctx context.Context) error {
	x.inside = true
	for range 4 {
		way := plain
		if !x.race.kills {
			way = []how{plain, plain, plain, doubleClick, twoTabs, cut}[rand.IntN(6)]
		}
		if err := x.hold(ctx, way); err != nil {
			return err
		}
		if x.series == "" {
			if err := pause(ctx, rand.N(60*time.Millisecond)); err != nil {
				return err
			}
			continue
		}
		switch dice := rand.IntN(100); {
		case dice < 20: // gives the hold back
			return x.cancel(ctx)
		case dice < 35: // books, and thinks better of it
			if err := x.confirm(ctx); err != nil || x.series == "" {
				return err
			}
			return x.cancel(ctx)
		default:
			return x.confirm(ctx)
		}
	}
	return nil
}

// held is the answer to a hold.
type held struct {
	ID    string // of the series
	Type  string // of the problem
	State string
}

const takenProblem, alreadyProblem, expiredProblem, nothingProblem = "booking.error.taken", "booking.error.already", "booking.error.expired", "web.error.not_found"

// hold asks for the pair once, in one of the ways.
func (x *racer) hold(ctx context.Context, way how) error {
	x.tries++
	key := fmt.Sprintf("race-%d", x.tries)
	body := func(key string) string {
		return fmt.Sprintf(`{"slot_ids":[%d,%d],"key":%q}`, x.race.slots.first, x.race.slots.second, key)
	}
	const path = "/api/v1/appointments/hold"
	if way == cut {
		if err := x.cut(request(http.MethodPost, path, body(key), "Cookie", x.cookies())); err != nil {
			return err
		}
	}
	answers := make([]held, 1)
	keys := []string{key}
	switch way {
	case doubleClick:
		answers, keys = make([]held, 2), []string{key, key}
	case twoTabs:
		answers, keys = make([]held, 2), []string{key, key + "b"}
	}
	err := together(ctx, len(answers), len(answers), func(ctx context.Context, i int) error {
		b := &browser{addr: x.addr, client: x.client, http: x.http, jar: maps.Clone(x.jar)} // jars are not shared by two at a time
		return x.ask(ctx, b, path, body(keys[i]), &answers[i])
	})
	if err != nil {
		return err
	}
	already := false
	for _, a := range answers {
		switch {
		case a.ID != "" && (x.series == "" || x.series == a.ID):
			x.series = a.ID
		case a.ID != "":
			x.race.report.promise(false, "one person holds two series")
		case strings.HasSuffix(a.Type, takenProblem):
			x.race.refused.Add(1)
		case strings.HasSuffix(a.Type, alreadyProblem):
			already = true
		default:
			return fmt.Errorf("a hold was refused: %s", a.Type)
		}
	}
	if already && x.series == "" {
		if err := x.find(ctx); err != nil {
			return err
		}
	}
	if x.series != "" {
		x.race.held.Add(1)
		x.race.tell(x.series, "held")
	}
	return nil
}

// find looks up what the person has: a request whose connection was cut, or that was
// told to come again, may have come through after the one that followed it.
func (x *racer) find(ctx context.Context) error {
	var mine struct{ Series held }
	status, answer, err := x.call(ctx, http.MethodGet, "/api/v1/appointments", "")
	if down := err != nil || status >= http.StatusInternalServerError; down && (x.race.kills || status == http.StatusServiceUnavailable) {
		return nil // the next try tells
	}
	if err == nil {
		err = json.Unmarshal(answer, &mine)
	}
	if err != nil {
		return err
	}
	if mine.Series.ID == "" || mine.Series.State != "held" {
		return fmt.Errorf("somebody is told to have a series, and has %.200q", answer)
	}
	x.series = mine.Series.ID
	x.race.found.Add(1)
	return nil
}

// ask posts until there is an answer that says what happened. Where the portal says
// that it is busy, and while Postgres is killed after whatever else comes, the same
// request is sent again, less and less often.
func (x *racer) ask(ctx context.Context, b *browser, path, body string, out *held) error {
	give := time.Now().Add(2 * time.Minute)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 3*time.Second) {
		status, answer, err := b.call(ctx, http.MethodPost, path, body)
		if err == nil && status < http.StatusInternalServerError {
			return json.Unmarshal(answer, out)
		}
		busy := err == nil && status == http.StatusServiceUnavailable
		if !x.race.kills && !busy || time.Now().After(give) {
			return errors.Join(err, fmt.Errorf("%s: status %d: %.200q", path, status, answer))
		}
		if x.race.kills {
			x.race.doubts.Add(1)
		} else {
			x.race.busy.Add(1)
		}
		if err := pause(ctx, wait/2+rand.N(wait)); err != nil {
			return err
		}
	}
}

// cut sends a request and hangs up.
func (x *racer) cut(req []byte) error {
	conn, err := net.DialTimeout("tcp", x.addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	x.race.cuts.Add(1)
	if _, err := conn.Write(req); err != nil {
		return err
	}
	time.Sleep(rand.N(4 * time.Millisecond))
	return nil
}

// confirm books what is held; no series afterwards: the hold is gone.
func (x *racer) confirm(ctx context.Context) error {
	path := "/api/v1/appointments/" + x.series + "/confirm"
	if !x.race.kills && rand.IntN(8) == 0 {
		if err := x.cut(request(http.MethodPost, path, "", "Cookie", x.cookies())); err != nil {
			return err
		}
	}
	return x.settle(ctx, path, "confirmed")
}

// cancel gives back what is held or booked.
func (x *racer) cancel(ctx context.Context) error {
	if err := x.settle(ctx, "/api/v1/appointments/"+x.series+"/cancel", "cancelled"); err != nil {
		return err
	}
	if x.series != "" {
		x.race.cancelled.Add(1)
		x.series = ""
	}
	return nil
}

// settle posts and notes the state that the answer tells.
func (x *racer) settle(ctx context.Context, path, state string) error {
	var a held
	if err := x.ask(ctx, x.browser, path, "", &a); err != nil {
		return err
	}
	if (strings.HasSuffix(a.Type, expiredProblem) || strings.HasSuffix(a.Type, nothingProblem)) && x.race.forgot(x.series) {
		x.series = ""
		return nil
	}
	if a.State != state {
		return fmt.Errorf("%s: state %q, want %q (%s)", path, a.State, state, a.Type)
	}
	if state == "confirmed" {
		x.inside = false // booking done: the pass is given back
	}
	x.race.tell(x.series, state)
	return nil
}
