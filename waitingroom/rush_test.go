package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest/topology"
)

// rush is an opening in small: several portals with their own clients and their
// own Run, people who come, wait, come in, stay and leave, and somebody who
// watches that the promises hold. What happens to Redis meanwhile is the test's
// business.
type rush struct {
	t        *testing.T
	pool     *pgxpool.Pool // for looking; the portals may have another way there
	services []*Service
	room     string
	rate     int
	bound    int

	ctx    context.Context // ends when the test gives up
	people sync.WaitGroup
	others sync.WaitGroup
	over   chan struct{} // everybody has been inside

	inside   atomic.Int64
	worst    atomic.Int64
	entered  atomic.Int64
	troubled atomic.Bool // a snapshot said so
	split    atomic.Bool // two masters are written to

	mu      sync.Mutex
	numbers map[string]bool
}

const (
	rushPeople = 45
	rushStay   = 150 * time.Millisecond
	// rushRecovery is within what time a line is itself again.
	rushRecovery = 10 * time.Second
)

// newRush makes a portal for every address of Redis. set is applied to the room.
func newRush(t *testing.T, urls ...string) *rush {
	t.Helper()
	return newRushOn(t, pgtest.New(t), room, urls...)
}

// newRushOn is newRush for any room of a database.
func newRushOn(t *testing.T, pool *pgxpool.Pool, roomID string, urls ...string) *rush {
	t.Helper()
	return newRushOver(t, pool, pool, roomID, urls...)
}

func newRushOver(t *testing.T, pool, portals *pgxpool.Pool, roomID string, urls ...string) *rush {
	t.Helper()
	// The rate lets everybody in within some seconds, and the bound binds.
	r := &rush{t: t, pool: pool, room: roomID, rate: 1500, bound: 8, over: make(chan struct{}), numbers: map[string]bool{}}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	t.Cleanup(cancel)
	r.ctx = ctx
	none := time.Duration(0)
	for _, url := range urls {
		r.services = append(r.services, New(Config{
			Pool: portals, Redis: topology.Open(t, url), Now: time.Now, Shift: &none, Keys: NewSigner(testKeys...), Log: slog.New(slog.DiscardHandler),
		}))
	}
	s := r.services[0]
	if err := s.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetValve(ctx, "staff:test", "admin", roomID, Change{Rate: &r.rate, Bound: &r.bound}); err != nil {
		t.Fatal(err)
	}
	return r
}

// start lets the portals run and the people come.
func (r *rush) start() {
	r.t.Helper()
	running, stop := context.WithCancel(r.ctx)
	var portals sync.WaitGroup
	for _, s := range r.services {
		if err := s.Refresh(r.ctx); err != nil {
			r.t.Fatal(err)
		}
		portals.Go(func() { _ = s.Run(running) })
	}
	r.others.Go(r.watch)
	for i := range rushPeople {
		r.people.Go(func() { r.person(i) })
	}
	go func() {
		r.people.Wait()
		close(r.over)
	}()
	r.t.Cleanup(func() {
		stop()
		portals.Wait()
	})
}

func (r *rush) portal() *Service { return r.services[rand.IntN(len(r.services))] }

// person comes within a second, takes a place, asks at whichever portal until it
// is its turn, stays a while, and tries the ticket once more.
func (r *rush) person(i int) {
	ctx := r.ctx
	pause(ctx, time.Duration(i)*time.Second/rushPeople)
	key, _ := HashKey(NewKey())
	var ticket Ticket
	for {
		var err error
		if ticket, err = r.portal().Join(ctx, r.room, key); err == nil {
			break
		}
		if ctx.Err() != nil {
			r.t.Errorf("person %d got no place: %v", i, err)
			return
		}
		pause(ctx, 50*time.Millisecond)
	}
	r.mu.Lock()
	if r.numbers[ticket.ID()] {
		r.t.Errorf("number %s was given out twice", ticket.ID())
	}
	r.numbers[ticket.ID()] = true
	r.mu.Unlock()

	var pass Pass
	for {
		began := time.Now()
		p, verdict, err := r.portal().Enter(ctx, ticket)
		if took := time.Since(began); took > 8*time.Second {
			r.t.Errorf("an answer at the door took %v", took)
		}
		if verdict == Admitted {
			pass = p
			break
		}
		if verdict == Used || errors.Is(err, ErrVoid) || ctx.Err() != nil {
			r.t.Errorf("ticket %s lost its place: %s, %v", ticket.ID(), verdict, err)
			return
		}
		pause(ctx, 20*time.Millisecond+rand.N(20*time.Millisecond))
	}
	n := r.inside.Add(1)
	for w := r.worst.Load(); n > w && !r.worst.CompareAndSwap(w, n); w = r.worst.Load() {
	}
	r.entered.Add(1)
	for until := time.Now().Add(rushStay); time.Now().Before(until); pause(ctx, 40*time.Millisecond) {
		if in, err := r.portal().Inside(ctx, pass); err == nil && !in {
			r.t.Errorf("ticket %s was thrown out", ticket.ID())
		}
	}
	// Who asks again while inside gets the same pass. A portal that is cut off on
	// an old master does not know of it and says "wait" until it is back, which
	// costs nobody the seat: the pass itself was asked for above.
	for asked := time.Now(); ; pause(ctx, 40*time.Millisecond) {
		again, verdict, err := r.portal().Enter(ctx, ticket)
		if err == nil && verdict == Wait && r.split.Load() && time.Since(asked) < rushRecovery && ctx.Err() == nil {
			continue
		}
		if err == nil && (verdict != Admitted || again.ID() != pass.ID()) {
			r.t.Errorf("ticket %s, asked again while inside: %s", ticket.ID(), verdict)
		}
		break
	}
	r.inside.Add(-1)
	for r.portal().Release(ctx, pass.ID()) != nil && ctx.Err() == nil {
		pause(ctx, 50*time.Millisecond)
	}
	if _, verdict, err := r.portal().Enter(ctx, ticket); err == nil && verdict == Admitted {
		r.t.Errorf("ticket %s came in twice", ticket.ID())
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// watch counts those whom Postgres knows as inside, and looks at the snapshots.
func (r *rush) watch() {
	for {
		select {
		case <-r.over:
			return
		case <-r.ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
		var live int
		err := r.pool.QueryRow(r.ctx, `SELECT count(*) FROM waitingroom.pass WHERE room_id = $1 AND released_at IS NULL AND expires_at > now()`, r.room).Scan(&live)
		if err == nil && live > r.bound {
			r.t.Errorf("%d inside, bound %d", live, r.bound)
		}
		for _, s := range r.services {
			if st, err := s.State(r.room); err == nil && st.Trouble {
				r.troubled.Store(true)
			}
		}
	}
}

// until waits until so many people have been inside.
func (r *rush) until(n int64) {
	r.t.Helper()
	for r.entered.Load() < n {
		if r.ctx.Err() != nil || r.t.Failed() {
			r.t.Fatalf("only %d came in, waiting for %d", r.entered.Load(), n)
		}
		pause(r.ctx, 5*time.Millisecond)
	}
}

// trouble waits until a snapshot says that the line cannot be reached.
func (r *rush) trouble() {
	r.t.Helper()
	r.await("a snapshot says that there is trouble", r.troubled.Load)
}

func (r *rush) await(what string, holds func() bool) {
	r.t.Helper()
	topology.Await(r.t, what, func() bool { return holds() || r.ctx.Err() != nil })
}

// recovers waits until every portal is sure again and somebody more has come
// in; that must be within ten seconds from now.
func (r *rush) recovers() {
	r.t.Helper()
	from, before := time.Now(), r.entered.Load()
	r.await("the line goes on", func() bool {
		for _, s := range r.services {
			if st, err := s.State(r.room); err != nil || st.Trouble {
				return false
			}
		}
		return r.entered.Load() > before || before == rushPeople
	})
	took := time.Since(from)
	r.t.Logf("the line went on after %v", took.Round(10*time.Millisecond))
	if took > rushRecovery {
		r.t.Errorf("recovery took %v", took)
	}
}

// end waits for everybody and looks at what Postgres knows.
func (r *rush) end() {
	r.t.Helper()
	<-r.over
	r.others.Wait()
	if got := r.worst.Load(); got > int64(r.bound) {
		r.t.Errorf("%d inside at once, bound %d", got, r.bound)
	}
	var rows, people int
	err := r.pool.QueryRow(context.Background(), `SELECT count(*), count(DISTINCT ticket_index) FROM waitingroom.pass WHERE room_id = $1`, r.room).Scan(&rows, &people)
	if err != nil || rows != rushPeople || people != rushPeople {
		r.t.Errorf("%d admissions of %d tickets for %d people, %v", rows, people, rushPeople, err)
	}
	if err := r.rateHeld(); err != nil {
		r.t.Error(err)
	}
}

// rateHeld looks at the moments in which the door decided: the end of a pass
// less its length. In any stretch of time no more may come in than the bucket
// holds and receives.
func (r *rush) rateHeld() error {
	rows, err := r.pool.Query(context.Background(), `
		SELECT p.expires_at - make_interval(secs => m.pass_seconds) FROM waitingroom.pass p JOIN waitingroom.room m ON m.id = p.room_id
		WHERE p.room_id = $1`, r.room)
	if err != nil {
		return err
	}
	at, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return err
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := range at {
		for j := i; j < len(at); j++ {
			most := DoorSize(int64(r.rate)) + int64(at[j].Sub(at[i]).Minutes()*float64(DoorRate(int64(r.rate)))) + 1
			if n := int64(j - i + 1); n > most {
				return fmt.Errorf("%d came in within %v, at most %d may", n, at[j].Sub(at[i]), most)
			}
		}
	}
	return nil
}

// generations tells how often the line was rebuilt.
func (r *rush) generation() (n int64) {
	r.t.Helper()
	if err := r.pool.QueryRow(context.Background(), `SELECT generation FROM waitingroom.line WHERE room_id = $1`, r.room).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// cutPool is another way to the database of a test, through a network that can
// be cut.
func cutPool(t *testing.T, url string) (*pgxpool.Pool, *topology.Front) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	_, target := pgconn.NetworkAddress(cfg.ConnConfig.Host, cfg.ConnConfig.Port)
	front := topology.NewFront(t, target)
	var d net.Dialer
	cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", front.Addr) }
	cfg.MaxConns = 12
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, front
}
