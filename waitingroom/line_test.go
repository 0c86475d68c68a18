package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"impfportal/internal/clock"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
)

const room = "registration"

type fixture struct {
	pool     *pgxpool.Pool
	rdb      redis.UniversalClient
	replicas []*Service
	shift    atomic.Int64 // nanoseconds on top of the system clock
}

// setup makes n replicas over one Postgres and one Redis; nobody runs in the
// background, so that a test decides when a replica refreshes.
func setup(t *testing.T, n int) *fixture {
	t.Helper()
	f := &fixture{pool: pgtest.New(t), rdb: redistest.New(t)}
	for range n {
		f.replicas = append(f.replicas, f.replica())
	}
	f.refresh(t)
	return f
}

func (f *fixture) now() time.Time {
	return clock.Shifted(time.Duration(f.shift.Load()))()
}

func (f *fixture) replica() *Service {
	return New(Config{Pool: f.pool, Redis: f.rdb, Now: f.now, Keys: NewSigner(testKeys...), Log: slog.New(slog.DiscardHandler)})
}

func (f *fixture) refresh(t *testing.T) {
	t.Helper()
	for _, s := range f.replicas {
		if err := s.Refresh(context.Background()); err != nil {
			t.Fatalf("refresh: %v", err)
		}
	}
}

// pass moves the clock of all replicas and lets each tick.
func (f *fixture) pass(t *testing.T, d time.Duration) {
	t.Helper()
	f.shift.Add(int64(d))
	f.refresh(t)
}

func (f *fixture) valve(t *testing.T, c Change) Room {
	t.Helper()
	r, err := f.replicas[0].SetValve(context.Background(), "staff:test", "admin", room, c)
	if err != nil {
		t.Fatalf("valve: %v", err)
	}
	f.refresh(t)
	return r
}

func (f *fixture) join(t *testing.T, s *Service) Ticket {
	t.Helper()
	key, _ := HashKey(NewKey())
	ticket, err := s.Join(context.Background(), room, key)
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	return ticket
}

func (f *fixture) enter(t *testing.T, s *Service, ticket Ticket, want Verdict) Pass {
	t.Helper()
	pass, got, err := s.Enter(context.Background(), ticket)
	// Fresh buckets fill within milliseconds.
	for deadline := time.Now().Add(2 * time.Second); got == Busy && want != Busy && time.Now().Before(deadline); {
		pass, got, err = s.Enter(context.Background(), ticket)
	}
	if err != nil {
		t.Fatalf("enter: %v", err)
	}
	if got != want {
		t.Fatalf("ticket %d: %s, want %s", ticket.Index, got, want)
	}
	return pass
}

// liveRows counts the passes that Postgres holds as valid.
func (f *fixture) liveRows(t *testing.T) (n int) {
	t.Helper()
	err := f.pool.QueryRow(context.Background(), `SELECT count(*) FROM waitingroom.pass WHERE released_at IS NULL AND expires_at > $1`, f.now()).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ptr[T any](v T) *T { return &v }

func TestOneClickWhenNobodyWaits(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	s := f.replicas[0]
	ticket := f.join(t, s)
	pass := f.enter(t, s, ticket, Admitted)
	if in, err := s.Inside(context.Background(), pass); err != nil || !in {
		t.Fatalf("inside: %v, %v", in, err)
	}
	if again := f.enter(t, s, ticket, Admitted); again != pass {
		t.Errorf("asked again: %+v, want %+v", again, pass)
	}
	if err := s.Release(context.Background(), pass.ID()); err != nil {
		t.Fatal(err)
	}
	if in, err := s.Inside(context.Background(), pass); err != nil || in {
		t.Errorf("after the release: %v, %v", in, err)
	}
	f.enter(t, s, ticket, Used)
}

func TestNumbersAreGivenOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	const each = 400
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got []int64
	)
	for i := range 3 * each {
		wg.Go(func() {
			ticket := f.join(t, f.replicas[i%3])
			mu.Lock()
			defer mu.Unlock()
			got = append(got, ticket.Index)
		})
	}
	wg.Wait()
	slices.Sort(got)
	for i, n := range got {
		if n != int64(i+1) {
			t.Fatalf("the %d-th number is %d", i+1, n)
		}
	}
	if calls := f.replicas[0].rooms.Load().views[room].joining.seq; calls >= each {
		t.Errorf("%d commands for %d joins", calls, each)
	}
}

// TestRateAndBoundHold: many browsers at several replicas knock as fast as they
// can, some leave again, replicas tick at random.
func TestRateAndBoundHold(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	const people, bound, rate = 300, 25, 600
	f.valve(t, Change{Bound: ptr(bound), Rate: ptr(rate)})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	start := f.now()
	var inside, worst, total atomic.Int64
	var wg sync.WaitGroup
	for i := range people {
		s := f.replicas[i%3]
		ticket := f.join(t, s)
		wg.Go(func() {
			for ctx.Err() == nil {
				pass, verdict, err := s.Enter(ctx, ticket)
				if err != nil {
					return // the time is up
				}
				if verdict != Admitted {
					time.Sleep(10 * time.Millisecond) // as impatient as nobody should be
					continue
				}
				total.Add(1)
				n := inside.Add(1)
				for w := worst.Load(); n > w && !worst.CompareAndSwap(w, n); w = worst.Load() {
				}
				if i%2 == 0 {
					inside.Add(-1)
					if err := f.replicas[(i+1)%3].Release(context.Background(), pass.ID()); err != nil {
						t.Error(err)
					}
				}
				return
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			for _, s := range f.replicas {
				_ = s.Refresh(ctx) // ends with the time
			}
		}
	})
	wg.Wait()
	elapsed := f.now().Sub(start)
	if worst.Load() > bound {
		t.Errorf("%d inside at once, bound %d", worst.Load(), bound)
	}
	most := DoorSize(rate) + int64(elapsed.Seconds()*float64(DoorRate(rate))/60) + 1
	if total.Load() > most {
		t.Errorf("%d came in within %v, at most %d may", total.Load(), elapsed, most)
	}
	if total.Load() < 5 { // a busy machine is no reason to fail
		t.Errorf("only %d came in", total.Load())
	}
	var rows int64
	if err := f.pool.QueryRow(context.Background(), `SELECT count(*) FROM waitingroom.pass`).Scan(&rows); err != nil || rows < total.Load() {
		t.Errorf("%d rows for %d admissions, %v", rows, total.Load(), err)
	}
}

func TestBoundFreesSeatsOverTime(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	f.valve(t, Change{Bound: ptr(2)})
	s := f.replicas[1]
	var tickets []Ticket
	for range 5 {
		tickets = append(tickets, f.join(t, s))
	}
	first := f.enter(t, s, tickets[0], Admitted)
	f.enter(t, s, tickets[1], Admitted)
	f.enter(t, s, tickets[2], Wait)
	if err := f.replicas[0].Release(context.Background(), first.ID()); err != nil {
		t.Fatal(err)
	}
	f.enter(t, s, tickets[2], Admitted)
	f.enter(t, s, tickets[3], Wait)
	f.pass(t, 31*time.Minute) // longer than a pass lasts
	f.enter(t, s, tickets[3], Admitted)
	f.enter(t, s, tickets[4], Admitted)
	f.enter(t, s, tickets[2], Used)
}

// TestDoorIsFull: who is invited and finds the room full keeps the first place.
func TestDoorIsFull(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	s := f.replicas[0]
	f.valve(t, Change{Bound: ptr(1)})
	late, next := f.join(t, s), f.join(t, s)
	f.refresh(t)
	f.pass(t, 3*time.Minute) // the first does not come
	pass := f.enter(t, s, next, Admitted)
	f.enter(t, s, late, Full)
	if err := s.Release(context.Background(), pass.ID()); err != nil {
		t.Fatal(err)
	}
	f.enter(t, s, late, Admitted)
}

func TestValveReachesEveryReplica(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	other := f.replicas[1]
	ticket := f.join(t, other)
	// The other replica does not refresh: Redis tells it that it knows too little.
	if _, err := f.replicas[0].SetValve(context.Background(), "staff:x", "admin", room, Change{Phase: ptr(Paused), Message: Text{"de": "Kurze Pause"}}); err != nil {
		t.Fatal(err)
	}
	f.enter(t, other, ticket, Shut)
	f.refresh(t)
	st, err := other.State(room)
	if err != nil || st.Phase != Paused || st.Message["de"] != "Kurze Pause" {
		t.Errorf("state: %+v, %v", st, err)
	}
	f.valve(t, Change{Phase: ptr(Open)})
	f.enter(t, other, ticket, Admitted)
	f.valve(t, Change{Phase: ptr(Closed)})
	key, _ := HashKey(NewKey())
	if _, err := other.Join(context.Background(), room, key); !errors.Is(err, ErrNotTaking) {
		t.Errorf("join a closed room: %v", err)
	}
	if _, err := other.SetValve(context.Background(), "staff:x", "admin", room, Change{Phase: ptr(Paused)}); !errors.As(err, new(FieldProblem)) {
		t.Errorf("pause a closed room: %v", err)
	}
	var entries int
	if err := f.pool.QueryRow(context.Background(), `SELECT count(*) FROM audit.entry WHERE subject = 'room:registration'`).Scan(&entries); err != nil || entries != 3 {
		t.Errorf("%d audit entries, want 3 (%v)", entries, err)
	}
}

func TestNewLineVoidsTickets(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	s := f.replicas[1]
	f.valve(t, Change{Bound: ptr(1)})
	f.enter(t, s, f.join(t, s), Admitted)
	waiting := f.join(t, s)
	f.valve(t, Change{Phase: ptr(Closed)})
	f.valve(t, Change{NewLine: true})
	f.valve(t, Change{Phase: ptr(Open)})
	if _, _, err := s.Enter(context.Background(), waiting); !errors.Is(err, ErrVoid) {
		t.Errorf("old ticket: %v", err)
	}
	next := f.join(t, s)
	if next.Index != 1 || next.Epoch != waiting.Epoch+1 {
		t.Errorf("first of the new line: %+v", next)
	}
	f.enter(t, s, next, Wait) // somebody of the old line is still inside
	f.pass(t, time.Hour)
	f.enter(t, s, next, Admitted)
}

// TestFlushAll empties Redis in mid-rush: no number twice, nobody out, nobody
// in twice, bound kept, order kept.
func TestFlushAll(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	ctx := context.Background()
	f.valve(t, Change{Bound: ptr(5)})
	var tickets []Ticket
	for i := range 20 {
		tickets = append(tickets, f.join(t, f.replicas[i%3]))
	}
	var passes []Pass
	for i := range 5 {
		passes = append(passes, f.enter(t, f.replicas[i%3], tickets[i], Admitted))
	}
	if err := f.replicas[0].Release(ctx, passes[0].ID()); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	tickets = append(tickets, f.join(t, f.replicas[2])) // after the last checkpoint

	if err := f.rdb.FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	f.enter(t, f.replicas[0], tickets[0], Used)
	for i, p := range passes {
		if in, err := f.replicas[i%3].Inside(ctx, p); err != nil || in != (i > 0) {
			t.Errorf("pass %d: inside %v, %v", i, in, err)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]string{}
	for _, ticket := range tickets {
		seen[ticket.Index] = "before"
	}
	for i := range 30 {
		wg.Go(func() {
			ticket := f.join(t, f.replicas[i%3])
			mu.Lock()
			defer mu.Unlock()
			if seen[ticket.Index] != "" || ticket.Index < 21 {
				t.Errorf("number %d given out again", ticket.Index)
			}
			seen[ticket.Index] = "after"
			tickets = append(tickets, ticket)
		})
	}
	wg.Wait()
	f.refresh(t)
	if got := f.liveRows(t); got > 5 {
		t.Fatalf("%d inside, bound 5", got)
	}
	st, err := f.replicas[1].State(room)
	if err != nil || st.Waiting < 40 || st.Waiting > 50 {
		t.Errorf("waiting %d, %v", st.Waiting, err)
	}

	// Everybody still gets in, in order, and never more than the bound.
	slices.SortFunc(tickets, func(a, b Ticket) int { return int(a.Index - b.Index) })
	done := map[int64]bool{}
	for i := range 5 {
		done[tickets[i].Index] = true
	}
	for i := 1; i < 5; i++ {
		if err := f.replicas[1].Release(ctx, passes[i].ID()); err != nil {
			t.Fatal(err)
		}
	}
	for round := 0; len(done) < len(tickets); round++ {
		if round > 100 {
			t.Fatalf("%d of %d came in", len(done), len(tickets))
		}
		f.pass(t, 5*time.Second)
		var inside []Pass
		for _, ticket := range tickets {
			if done[ticket.Index] {
				continue
			}
			pass, verdict, err := f.replicas[round%3].Enter(ctx, ticket)
			if err != nil {
				t.Fatal(err)
			}
			if verdict == Admitted {
				done[ticket.Index] = true
				inside = append(inside, pass)
			}
		}
		if len(inside) > 5 {
			t.Fatalf("%d inside, bound 5", len(inside))
		}
		for _, p := range inside {
			if err := f.replicas[round%3].Release(ctx, p.ID()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFlushWhileEntering empties Redis again and again while people come in.
func TestFlushWhileEntering(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	const bound = 10
	f.valve(t, Change{Bound: ptr(bound), Rate: ptr(60_000)})
	ctx := context.Background()
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			s := f.replicas[i%3]
			ticket := f.join(t, s)
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
				pass, verdict, err := s.Enter(ctx, ticket)
				if err == nil && verdict == Admitted {
					if in, err := s.Inside(ctx, pass); err != nil || !in {
						t.Errorf("ticket %d has a pass and is not inside: %v, %v", ticket.Index, in, err)
					}
					if err := s.Release(ctx, pass.ID()); err != nil {
						t.Error(err)
					}
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
			t.Errorf("ticket %d never came in", ticket.Index)
		})
	}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(30 * time.Millisecond):
			}
			if n := f.liveRows(t); n > bound {
				t.Errorf("%d inside, bound %d", n, bound)
			}
			if i%4 == 0 && i < 60 {
				if err := f.rdb.FlushDB(ctx).Err(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	close(stop)
	watch.Wait()
	var n int
	if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM waitingroom.pass`).Scan(&n); err != nil || n != 60 {
		t.Errorf("%d admissions of 60 tickets, %v", n, err)
	}
}

// old takes the state of the room as it stands, as a replica has it, to be put
// in place later.
func (f *fixture) old(t *testing.T, v *view) (putBack func(mark bool)) {
	t.Helper()
	ctx := context.Background()
	dumps := map[string]string{}
	for _, key := range []string{v.key("s"), v.key("act"), v.key("door"), v.key("old"), v.key("here")} {
		if dump, err := f.rdb.Dump(ctx, key).Result(); err == nil {
			dumps[key] = dump
		}
	}
	return func(mark bool) {
		t.Helper()
		f.rdb.Del(ctx, v.key("s"), v.key("act"), v.key("door"), v.key("old"), v.key("here"))
		for key, dump := range dumps {
			if key == v.key("here") && !mark {
				continue
			}
			if err := f.rdb.RestoreReplace(ctx, key, 0, dump).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRedisBehind: a Redis that has forgotten the last moments (a stale replica
// after a failover) is rebuilt, not believed: by its count of changes where a
// portal has seen more, by the mark that no replica has where none has.
func TestRedisBehind(t *testing.T) {
	t.Parallel()
	for _, mark := range []bool{true, false} {
		t.Run(fmt.Sprintf("with mark %v", mark), func(t *testing.T) {
			t.Parallel()
			f := setup(t, 2)
			f.valve(t, Change{Bound: ptr(1)})
			f.join(t, f.replicas[0])
			putBack := f.old(t, f.replicas[0].rooms.Load().views[room])
			last := f.join(t, f.replicas[0])
			putBack(mark)
			if next := f.join(t, f.replicas[0]); next.Index <= last.Index {
				t.Errorf("number %d after %d", next.Index, last.Index)
			}
		})
	}
}

// TestAdmissionForgotten: an admission that the server which took over never
// saw still takes its seat, also for replicas that did not see it either.
func TestAdmissionForgotten(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	f.valve(t, Change{Bound: ptr(1)})
	first, second := f.join(t, f.replicas[0]), f.join(t, f.replicas[0])
	f.refresh(t)
	putBack := f.old(t, f.replicas[0].rooms.Load().views[room])
	f.enter(t, f.replicas[0], first, Admitted) // and its replica dies
	putBack(false)
	f.replicas = f.replicas[1:]
	if _, verdict, err := f.replicas[0].Enter(context.Background(), second); err != nil || verdict == Admitted {
		t.Fatalf("a second person inside, bound 1: %s, %v", verdict, err)
	}
	if n := f.liveRows(t); n != 1 {
		t.Errorf("%d inside", n)
	}
}

// TestClockOfOneReplicaJumps: a replica whose clock is wrong by an hour decides
// as the others do, neither throws out nor lets in more.
func TestClockOfOneReplicaJumps(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	var jump atomic.Int64
	none := time.Duration(0)
	mad := New(Config{
		Pool: f.pool, Redis: f.rdb, Keys: NewSigner(testKeys...), Log: slog.New(slog.DiscardHandler), Shift: &none,
		Now: func() time.Time { return time.Now().Add(time.Duration(jump.Load())) },
	})
	f.replicas = append(f.replicas, mad)
	f.valve(t, Change{Bound: ptr(2), Rate: ptr(6000)})
	before := f.enter(t, mad, f.join(t, mad), Admitted)
	for _, d := range []time.Duration{time.Hour, -time.Hour} {
		jump.Store(int64(d))
		f.refresh(t)
		if in, err := mad.Inside(context.Background(), before); err != nil || !in {
			t.Fatalf("clock %v: thrown out, %v", d, err)
		}
	}
	pass := f.enter(t, mad, f.join(t, mad), Admitted)
	if left := time.Until(pass.Expires); left > 31*time.Minute || left < 29*time.Minute {
		t.Errorf("a pass of %v", left)
	}
	if _, verdict, err := mad.Enter(context.Background(), f.join(t, f.replicas[0])); err != nil || verdict == Admitted {
		t.Errorf("a third one: %s, %v", verdict, err)
	}
	// It rebuilds a lost state without losing anybody.
	f.rdb.FlushDB(context.Background())
	jump.Store(int64(time.Hour))
	f.refresh(t)
	for _, s := range f.replicas {
		if in, err := s.Inside(context.Background(), pass); err != nil || !in {
			t.Errorf("after the rebuild: %v, %v", in, err)
		}
	}
}

// TestExtend: a pass does not run out under somebody who holds a slot, also
// when Redis is lost, and one that is over stays over.
func TestExtend(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	s, ctx := f.replicas[0], context.Background()
	pass := f.enter(t, s, f.join(t, s), Admitted)
	until := pass.Expires.Add(10 * time.Minute)
	over, ok, err := s.Extend(ctx, pass.ID(), until)
	if err != nil || !ok || !over.Equal(until) {
		t.Fatalf("extend: %v, %v, %v", over, ok, err)
	}
	if over, _, _ := s.Extend(ctx, pass.ID(), until.Add(-time.Hour)); !over.Equal(until) {
		t.Errorf("shortened to %v", over)
	}
	pass.Expires = over
	f.rdb.FlushDB(ctx)
	f.pass(t, 35*time.Minute)
	if in, err := s.Inside(ctx, pass); err != nil || !in {
		t.Errorf("inside: %v, %v", in, err)
	}
	f.pass(t, 10*time.Minute)
	if _, ok, err := s.Extend(ctx, pass.ID(), f.now().Add(time.Hour)); ok || err != nil {
		t.Errorf("a pass that is over was extended: %v", err)
	}
	if _, ok, err := s.Extend(ctx, "", until); ok || err != nil {
		t.Errorf("no pass: %v, %v", ok, err)
	}
}

// TestBehindTheLine: a place behind comes in when nobody else waits, and
// survives the loss of Redis.
func TestBehindTheLine(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	s, ctx := f.replicas[0], context.Background()
	f.valve(t, Change{Bound: ptr(1)})
	f.enter(t, s, f.join(t, s), Admitted)
	waiting := f.join(t, s)
	key, _ := HashKey(NewKey())
	behind, err := s.JoinBehind(ctx, room, key)
	if err != nil || behind.Cohort != CohortBehind {
		t.Fatalf("%+v, %v", behind, err)
	}
	f.enter(t, s, behind, Wait)
	f.rdb.FlushDB(ctx)
	f.refresh(t)
	again, err := s.JoinBehind(ctx, room, key)
	if err != nil || again.Index <= behind.Index {
		t.Fatalf("number %d after %d, %v", again.Index, behind.Index, err)
	}
	f.enter(t, s, behind, Wait)
	f.valve(t, Change{Bound: ptr(1000), Rate: ptr(100_000)})
	f.pass(t, 2*time.Second)
	f.enter(t, s, waiting, Admitted)
	f.pass(t, 20*time.Second)
	f.enter(t, s, behind, Admitted)
}

// TestRedisGone: without Redis nobody comes in, the snapshot says so, and who is
// inside stays inside.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	s := f.replicas[0]
	ctx := context.Background()
	pass := f.enter(t, s, f.join(t, s), Admitted)
	waiting := f.join(t, s)
	f.refresh(t)
	s.rdb = redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: 100 * time.Millisecond})
	if err := s.Refresh(ctx); err == nil {
		t.Error("refresh found nothing wrong")
	}
	st, err := s.State(room)
	if err != nil || !st.Trouble || st.Issued == 0 {
		t.Errorf("state: %+v, %v", st, err)
	}
	if _, _, err := s.Enter(ctx, waiting); !errors.Is(err, ErrUnavailable) {
		t.Errorf("enter: %v", err)
	}
	if in, err := s.Inside(ctx, pass); err != nil || !in {
		t.Errorf("inside: %v, %v", in, err)
	}
	s.rdb = f.rdb
	f.refresh(t)
	f.enter(t, s, waiting, Admitted)
}

func TestRunStops(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.replicas[0].Run(ctx) }()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("Run does not end")
	}
}

func TestRoomApply(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		phase  Phase
		change Change
		field  string
	}{
		{Open, Change{Rate: ptr(0)}, "rate_per_minute"},
		{Open, Change{Bound: ptr(MaxBound + 1)}, "active_bound"},
		{Open, Change{Phase: ptr(PreQueue)}, "phase"},
		{Open, Change{Phase: ptr(Phase("x"))}, "phase"},
		{Open, Change{NewLine: true}, "new_line"},
		{Open, Change{Message: Text{"xx": "?"}}, "message"},
		{Open, Change{Message: Text{"de": fmt.Sprintf("%0301d", 1)}}, "message_de"},
		{Open, Change{Phase: ptr(Paused), Rate: ptr(10), Message: Text{"de": "Pause"}}, ""},
		{Closed, Change{NewLine: true}, ""},
	} {
		_, err := Room{Phase: c.phase}.Apply(c.change)
		var p FieldProblem
		errors.As(err, &p)
		if p.Field != c.field {
			t.Errorf("%d: %v, want a problem with %q", i, err, c.field)
		}
	}
}
