package waitingroom

import (
	"context"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
)

// modelChecks is how many histories are tried: each is some dozens of calls of
// real Redis and Postgres.
const modelChecks = 40

// TestPromisesHold drives one to three replicas through random histories of
// joins, entries, expiries, ends, extensions, crashes and losses of Redis, and
// compares every answer with what was promised.
func TestPromisesHold(t *testing.T) {
	t.Parallel()
	f := &fixture{pool: pgtest.New(t), rdb: redistest.New(t)}
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > modelChecks {
			return
		}
		m := newModel(t, rt, f)
		rt.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"join":    m.join,
			"enter":   m.enter,
			"enter2":  m.enter, // more often than the others
			"release": m.release,
			"extend":  m.extend,
			"wait":    m.wait,
			"tick":    func(t *rapid.T) { m.refresh(t, m.some(t)) },
			"crash":   func(t *rapid.T) { f.replicas[rapid.IntRange(0, len(f.replicas)-1).Draw(t, "replica")] = f.replica() },
			"lose":    m.lose,
			"restore": func(t *rapid.T) { m.lose(t); m.refresh(t, m.some(t)) },
		})
		m.drain(rt)
	})
}

// modelTicket is what the model knows of a ticket.
type modelTicket struct {
	Ticket
	pass    Pass
	until   time.Time // end of the stay
	entered bool
	left    bool
}

type model struct {
	*fixture
	t           *testing.T
	rate, bound int
	tickets     []*modelTicket // by number
	furthest    int64          // last position that was let in
	at          []time.Time    // of the admissions
	kept        []func(mark bool)
}

func newModel(t *testing.T, rt *rapid.T, f *fixture) *model {
	ctx := context.Background()
	m := &model{fixture: f, t: t, rate: rapid.SampledFrom([]int{60, 600, 6000}).Draw(rt, "rate"), bound: rapid.IntRange(1, 4).Draw(rt, "bound")}
	f.shift.Store(0)
	f.rdb.FlushDB(ctx)
	for _, sql := range []string{
		`DELETE FROM waitingroom.pass`,
		`UPDATE waitingroom.line SET epoch = 1, generation = 1, ceiling = 0, issued = 0, serving = 0, gaps = '[]'`,
		`UPDATE waitingroom.room SET version = 1`,
	} {
		if _, err := f.pool.Exec(ctx, sql); err != nil {
			rt.Fatal(err)
		}
	}
	if _, err := f.pool.Exec(ctx, `UPDATE waitingroom.room SET rate_per_minute = $1, active_bound = $2 WHERE id = $3`, m.rate, m.bound, room); err != nil {
		rt.Fatal(err)
	}
	f.replicas = nil
	for range rapid.IntRange(1, 3).Draw(rt, "replicas") {
		f.replicas = append(f.replicas, f.replica())
	}
	return m
}

func (m *model) some(t *rapid.T) *Service {
	return m.replicas[rapid.IntRange(0, len(m.replicas)-1).Draw(t, "replica")]
}

func (m *model) refresh(t *rapid.T, s *Service) {
	if err := s.Refresh(context.Background()); err != nil {
		t.Fatalf("refresh: %v", err)
	}
}

func (m *model) join(t *rapid.T) {
	if len(m.tickets) >= 14 {
		t.Skip("enough people")
	}
	key, _ := HashKey(NewKey())
	ticket, err := m.some(t).Join(context.Background(), room, key)
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	if n := len(m.tickets); n > 0 && ticket.Index <= m.tickets[n-1].Index {
		t.Fatalf("number %d after %d", ticket.Index, m.tickets[n-1].Index)
	}
	m.tickets = append(m.tickets, &modelTicket{Ticket: ticket})
}

func (m *model) any(t *rapid.T, which func(*modelTicket) bool) *modelTicket {
	var some []*modelTicket
	for _, k := range m.tickets {
		if which(k) {
			some = append(some, k)
		}
	}
	if len(some) == 0 {
		t.Skip("nobody")
	}
	return some[rapid.IntRange(0, len(some)-1).Draw(t, "which")]
}

// inside tells whether a stay lasts; sure is false in its last moment.
func (m *model) inside(k *modelTicket) (in, sure bool) {
	left := k.until.Sub(m.now())
	return k.entered && !k.left && left > 0, left.Abs() > time.Second || !k.entered || k.left
}

func (m *model) enter(t *rapid.T) {
	m.tryEnter(t, m.some(t), m.any(t, func(*modelTicket) bool { return true }))
}

func (m *model) tryEnter(t *rapid.T, s *Service, k *modelTicket) Verdict {
	inside, sure := m.inside(k)
	pass, verdict, err := s.Enter(context.Background(), k.Ticket)
	if err != nil {
		t.Fatalf("enter with ticket %d: %v", k.Index, err)
	}
	if !sure {
		return verdict
	}
	switch {
	case inside && (verdict != Admitted || pass.ID() != k.pass.ID()):
		t.Fatalf("ticket %d, inside until %v: %s", k.Index, k.until, verdict)
	case !inside && k.entered && verdict == Admitted:
		t.Fatalf("ticket %d came in again", k.Index)
	case !k.entered && verdict == Used:
		t.Fatalf("ticket %d was never used", k.Index)
	case verdict == Wait && k.Index <= m.furthest:
		t.Fatalf("ticket %d waits, and %d came in", k.Index, m.furthest)
	case verdict == Admitted && !k.entered:
		k.entered, k.pass, k.until = true, pass, pass.Expires
		m.furthest = max(m.furthest, k.Index)
		m.at = append(m.at, m.now())
	}
	return verdict
}

func (m *model) release(t *rapid.T) {
	k := m.any(t, func(k *modelTicket) bool { return k.entered && !k.left })
	if err := m.some(t).Release(context.Background(), k.pass.ID()); err != nil {
		t.Fatalf("release: %v", err)
	}
	k.left = true
}

func (m *model) extend(t *rapid.T) {
	k := m.any(t, func(k *modelTicket) bool { return k.entered })
	inside, sure := m.inside(k)
	over, ok, err := m.some(t).Extend(context.Background(), k.pass.ID(), m.now().Add(rapid.SampledFrom([]time.Duration{time.Minute, 40 * time.Minute}).Draw(t, "by")))
	if err != nil || sure && ok != inside {
		t.Fatalf("extend ticket %d, inside %v: %v, %v", k.Index, inside, ok, err)
	}
	if ok {
		k.until, k.pass.Expires = over, over
	}
}

func (m *model) wait(t *rapid.T) {
	m.shift.Add(int64(rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second, 20 * time.Second, 3 * time.Minute, 32 * time.Minute}).Draw(t, "time")))
}

// lose empties Redis, or puts an older state in place as a server that takes
// over has it: without the mark, or with the mark of the server before.
func (m *model) lose(t *rapid.T) {
	ctx := context.Background()
	v := &view{id: room}
	switch what := rapid.SampledFrom([]string{"empty", "keep", "old", "foreign"}).Draw(t, "loss"); {
	case what == "empty":
		m.rdb.FlushDB(ctx)
	case what == "keep" || len(m.kept) == 0:
		m.kept = append(m.kept, m.old(m.t, v))
	default:
		m.kept[rapid.IntRange(0, len(m.kept)-1).Draw(t, "state")](false)
		if what == "foreign" {
			m.rdb.Set(ctx, v.key("here"), "0123456789abcdef:"+m.rdb.HGet(ctx, v.key("s"), "gen").Val(), time.Minute)
		}
	}
}

// check holds the promises against what Postgres and every replica say.
func (m *model) check(t *rapid.T) {
	if n := m.liveRows(m.t); n > m.bound {
		t.Fatalf("%d inside, bound %d", n, m.bound)
	}
	for i := range m.at {
		if j := i + m.rate; j < len(m.at) && m.at[j].Sub(m.at[i]) < time.Minute {
			t.Fatalf("more than %d came in within %v", m.rate, m.at[j].Sub(m.at[i]))
		}
	}
	for i, k := range m.tickets {
		if !k.entered {
			continue
		}
		want, sure := m.inside(k)
		in, err := m.replicas[i%len(m.replicas)].Inside(context.Background(), k.pass)
		if err != nil || sure && in != want {
			t.Fatalf("ticket %d inside: %v, want %v, %v", k.Index, in, want, err)
		}
	}
}

// drain lets everybody in who has not been inside, in order.
func (m *model) drain(t *rapid.T) {
	waiting := slices.DeleteFunc(slices.Clone(m.tickets), func(k *modelTicket) bool { return k.entered })
	for round := 0; len(waiting) > 0; round++ {
		if round > 100 {
			t.Fatalf("ticket %d never comes in", waiting[0].Index)
		}
		for _, k := range m.tickets {
			if k.entered && !k.left {
				if err := m.replicas[0].Release(context.Background(), k.pass.ID()); err != nil {
					t.Fatal(err)
				}
				k.left = true
			}
		}
		m.shift.Add(int64(6 * time.Second))
		for _, s := range m.replicas {
			m.refresh(t, s)
		}
		before := waiting
		waiting = nil
		for _, k := range before {
			if verdict := m.tryEnter(t, m.replicas[round%len(m.replicas)], k); verdict != Admitted {
				waiting = append(waiting, k)
			}
		}
		m.check(t)
	}
}
