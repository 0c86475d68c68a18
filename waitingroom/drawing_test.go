package waitingroom

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudflare/circl/sign/bls"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/waitingroom/draw"
)

// ownDrand is a drand network of one: its server answers with a round once the
// world's clock says that the round has come.
type ownDrand struct {
	chain  draw.Chain
	key    *bls.PrivateKey[bls.KeyG2SigG1]
	server *httptest.Server
	asked  atomic.Int64
}

func newDrand(t *testing.T, now func() time.Time) *ownDrand {
	t.Helper()
	key, err := bls.KeyGen[bls.KeyG2SigG1](make([]byte, 32), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	d := &ownDrand{key: key, chain: draw.Chain{Hash: strings.Repeat("cd", 32), PublicKey: hex.EncodeToString(public), Period: 3, Genesis: 1_500_000_000}}
	d.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.asked.Add(1)
		round, err := strconv.ParseInt(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], 10, 64)
		if err != nil || !strings.HasPrefix(r.URL.Path, "/"+d.chain.Hash+"/public/") || d.chain.Time(round).After(now()) {
			w.WriteHeader(http.StatusTooEarly)
			return
		}
		fmt.Fprintf(w, `{"round":%d,"randomness":"ignored","signature":"%s"}`, round, d.sign(round))
	}))
	t.Cleanup(d.server.Close)
	return d
}

func (d *ownDrand) sign(round int64) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(round)))
	return hex.EncodeToString(bls.Sign(d.key, sum[:]))
}

type drawFixture struct {
	*fixture
	drand *ownDrand
	down  []string // addresses of drand servers that come first
}

// setupDraw makes n replicas over one Postgres and one Redis whose world has the
// time of the test.
func setupDraw(t *testing.T, n int) *drawFixture {
	t.Helper()
	f := &drawFixture{fixture: &fixture{pool: pgtest.New(t), rdb: redistest.New(t)}}
	f.drand = newDrand(t, f.now)
	for range n {
		f.replicas = append(f.replicas, f.replica())
	}
	f.refresh(t)
	return f
}

func (f *drawFixture) replica() *Service {
	return New(Config{
		Pool: f.pool, Redis: f.rdb, Now: f.now, Keys: NewSigner(testKeys...), Log: slog.New(slog.DiscardHandler),
		StaffSince: func(context.Context, string) (time.Time, error) { return f.now().AddDate(-1, 0, 0), nil },
		Draws:      DrawConfig{Real: f.now, Drand: Drand{URLs: append(f.down, f.drand.server.URL), Chain: f.drand.chain}},
	})
}

// plan begins a pre-queue now that closes in ten minutes.
func (f *drawFixture) plan(t *testing.T, b Beacon) {
	t.Helper()
	now := f.replicas[0].roomNow()
	opens := now.Add(10 * time.Minute)
	_, err := f.replicas[0].SetPlan(context.Background(), "staff:test", "admin", room, Plan{PreQueueFrom: &now, OpensAt: &opens},
		Settings{Draw: ptr(true), Beacon: &b, BeaconName: ptr("Lotto 6 aus 49 am Samstag")})
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	f.refresh(t)
	f.phase(t, PreQueue)
}

func (f *drawFixture) phase(t *testing.T, want Phase) {
	t.Helper()
	for i, s := range f.replicas {
		if got := s.rooms.Load().views[room].known.Load().Phase; got != want {
			t.Fatalf("replica %d: phase %s, want %s", i, got, want)
		}
	}
}

// until refreshes all replicas until the room is in a phase.
func (f *drawFixture) until(t *testing.T, want Phase) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		for _, s := range f.replicas {
			_ = s.Refresh(context.Background()) // may meet another replica at work
		}
		there := true
		for _, s := range f.replicas {
			there = there && s.rooms.Load().views[room].known.Load().Phase == want
		}
		if there {
			return
		}
		if time.Now().After(deadline) {
			f.phase(t, want)
			t.Fatal("not in time")
		}
	}
}

// joins takes n places over all replicas at once.
func (f *drawFixture) joins(t *testing.T, n int) []Ticket {
	t.Helper()
	tickets := make([]Ticket, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			key, _ := HashKey(NewKey())
			ticket, err := f.replicas[i%len(f.replicas)].Join(context.Background(), room, key)
			if err != nil {
				t.Errorf("join: %v", err)
			}
			tickets[i] = ticket
		})
	}
	wg.Wait()
	return tickets
}

// published returns draw.json as a replica has it, verified.
func (f *drawFixture) published(t *testing.T) draw.Published {
	t.Helper()
	v := f.replicas[0].rooms.Load().views[room]
	l := v.drawing(v.known.Load().Epoch)
	if l == nil {
		t.Fatal("nothing is published")
	}
	var p draw.Published
	if err := json.Unmarshal(l.file.Body(), &p); err != nil {
		t.Fatal(err)
	}
	if err := draw.Verify(p); err != nil {
		t.Errorf("draw.json: %v\n%s", err, l.file.Body())
	}
	return p
}

// drawnRight checks that the tickets of the pre-queue have the places 1 to N, each
// one once, that all replicas say the same, and that live ones come behind.
func (f *drawFixture) drawnRight(t *testing.T, drawn, live []Ticket) draw.Published {
	t.Helper()
	p := f.published(t)
	if p.State != draw.Revealed || p.Draw.Tickets != int64(len(drawn)) {
		t.Errorf("%s with %d tickets, want %d", p.State, p.Draw.Tickets, len(drawn))
	}
	lot, _ := p.Lot()
	have := map[int64]bool{}
	for _, ticket := range append(append([]Ticket(nil), drawn...), live...) {
		var pos int64
		for i, s := range f.replicas {
			got, known := s.position(s.rooms.Load().views[room], ticket.Place)
			if !known || i > 0 && got != pos {
				t.Fatalf("ticket %+v: position %d, %v; before %d", ticket.Place, got, known, pos)
			}
			pos = got
		}
		if ticket.Cohort == CohortDrawn {
			if place, ok := lot.Place(ticket.Index); !ok || place != pos || place > p.Draw.Tickets {
				t.Errorf("ticket %d: place %d, published %d", ticket.Index, pos, place)
			}
		} else if pos <= p.Draw.LastIndex {
			t.Errorf("live ticket %d stands among the drawn ones", pos)
		}
		if have[pos] {
			t.Errorf("position %d is given twice", pos)
		}
		have[pos] = true
	}
	return p
}

func (f *drawFixture) audits(t *testing.T, action string) (n int) {
	t.Helper()
	if err := f.pool.QueryRow(context.Background(), `SELECT count(*) FROM audit.entry WHERE action = $1`, action).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDrawWithDrand(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 3)
	f.plan(t, DrandBeacon)
	before := f.published(t)
	if before.State != draw.Committed || before.Trust != draw.TrustNobody || len(before.Attempts) != 1 {
		t.Errorf("before the close: %+v", before)
	}
	drawn := f.joins(t, 90)
	f.pass(t, 9*time.Minute)
	drawn = append(drawn, f.joins(t, 30)...)
	for _, ticket := range drawn {
		if ticket.Cohort != CohortDrawn {
			t.Fatalf("%+v is not drawn", ticket.Place)
		}
	}
	f.shift.Add(int64(time.Minute))
	f.until(t, Drawing)
	closed := f.published(t)
	if closed.State != draw.Closed || closed.Attempts[0].Value != nil || closed.Attempts[0].Seed != "" || closed.Attempts[0].Commitment != before.Attempts[0].Commitment {
		t.Errorf("closed: %+v", closed)
	}
	v := f.replicas[0].rooms.Load().views[room]
	if due := v.due.Load(); due == nil || due.Before(f.now()) || due.After(f.now().Add(beaconMargin+5*time.Second)) {
		t.Errorf("due %v", due)
	}
	live := f.joins(t, 20)
	for _, ticket := range live {
		if ticket.Cohort != CohortLive {
			t.Errorf("%+v came after the close", ticket.Place)
		}
	}
	for _, ticket := range drawn {
		if _, known := f.replicas[0].position(v, ticket.Place); known {
			t.Fatal("a place is known before the reveal")
		}
	}
	for range 5 {
		f.refresh(t)
	}
	f.phase(t, Drawing)
	if n := f.drand.asked.Load(); n != 0 {
		t.Errorf("asked %d times before it is due", n)
	}
	f.shift.Add(int64(beaconMargin + 4*time.Second))
	f.until(t, Open)
	p := f.drawnRight(t, drawn, live)
	if p.Attempts[0].Proof == "" || *p.Attempts[0].Value == "" {
		t.Errorf("revealed: %+v", p.Attempts[0])
	}
	for action, want := range map[string]int{"waitingroom.draw.commit": 1, "waitingroom.draw.close": 1, "waitingroom.draw.value": 1, "waitingroom.draw.lot": 1, "waitingroom.draw.reveal": 1} {
		if n := f.audits(t, action); n != want {
			t.Errorf("%s: %d audit entries", action, n)
		}
	}
	// The first in the drawn order is the first to come in.
	f.pass(t, 5*time.Second)
	for _, ticket := range drawn {
		if pos, _ := f.replicas[0].position(v, ticket.Place); pos == 1 {
			f.enter(t, f.replicas[1], ticket, Admitted)
		}
	}
}

// People come to three replicas while the pre-queue closes. Whoever has an index
// up to the signed last one is drawn, everybody else stands behind.
func TestJoinsDuringTheClose(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 3)
	f.plan(t, LocalBeacon)
	var (
		mu      sync.Mutex
		tickets []Ticket
		stop    = make(chan struct{})
		wg      sync.WaitGroup
	)
	for i := range 24 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				key, _ := HashKey(NewKey())
				ticket, err := f.replicas[i%3].Join(context.Background(), room, key)
				if err != nil {
					t.Errorf("join: %v", err)
					return
				}
				mu.Lock()
				tickets = append(tickets, ticket)
				mu.Unlock()
			}
		})
	}
	some := func(n int) {
		t.Helper()
		mu.Lock()
		have := len(tickets)
		mu.Unlock()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			mu.Lock()
			enough := len(tickets) >= have+n
			mu.Unlock()
			if enough {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("nobody comes any more")
			}
		}
	}
	some(300)
	f.shift.Add(int64(10 * time.Minute))
	for _, s := range f.replicas {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					_ = s.Refresh(context.Background())
				}
			}
		})
	}
	some(300)
	close(stop)
	wg.Wait()
	f.until(t, Open)
	var drawn, live []Ticket
	p := f.published(t)
	for _, ticket := range tickets {
		switch {
		case ticket.Cohort == CohortDrawn && ticket.Index <= p.Draw.LastIndex:
			drawn = append(drawn, ticket)
		case ticket.Cohort == CohortLive && ticket.Index > p.Draw.LastIndex:
			live = append(live, ticket)
		default:
			t.Errorf("%+v with last index %d", ticket.Place, p.Draw.LastIndex)
		}
	}
	if len(drawn) == 0 || len(live) == 0 {
		t.Errorf("%d drawn, %d live", len(drawn), len(live))
	}
	f.drawnRight(t, drawn, live)
	for _, action := range []string{"waitingroom.draw.close", "waitingroom.draw.lot", "waitingroom.draw.reveal"} {
		if n := f.audits(t, action); n != 1 {
			t.Errorf("%s: %d audit entries", action, n)
		}
	}
}

// The replica that conducts dies after each step, with Redis or without it; the
// others finish, and what was signed stays.
func TestReplicaDiesWhileItConducts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	view := func(s *Service) *view { return s.rooms.Load().views[room] }
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		name string
		do   func(t *testing.T, f *drawFixture, s *Service)
	}{
		{"after the phase", func(t *testing.T, _ *drawFixture, s *Service) { must(t, s.followPlans(ctx)) }},
		{"after the close", func(t *testing.T, _ *drawFixture, s *Service) { must(t, s.closePreQueue(ctx, view(s))) }},
		{"after the beacon", func(t *testing.T, f *drawFixture, s *Service) {
			must(t, s.loadLots(ctx))
			f.shift.Add(int64(beaconMargin + 4*time.Second))
			d := *view(s).drawing(view(s).known.Load().Epoch).now()
			value, proof, err := s.draws.fetchRound(ctx, *d.chain, d.name)
			must(t, err)
			tx, err := f.pool.Begin(ctx)
			must(t, err)
			must(t, s.writeValue(ctx, tx, "system", "system", d, value, proof))
			must(t, tx.Commit(ctx))
		}},
		{"after the gaps, before the commit", func(t *testing.T, _ *drawFixture, s *Service) {
			must(t, s.load(ctx))
			d := view(s).drawing(view(s).known.Load().Epoch).now()
			must(t, s.setGaps(ctx, view(s), gapsAfterDraw(nil, *d.tickets, *d.last)))
		}},
	}
	for i, last := range steps {
		for _, flush := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, redis lost %v", last.name, flush), func(t *testing.T) {
				t.Parallel()
				f := setupDraw(t, 3)
				f.plan(t, DrandBeacon)
				drawn := f.joins(t, 40)
				f.refresh(t) // all are known, so that a loss of Redis makes a gap behind them only
				f.shift.Add(int64(10 * time.Minute))
				for _, step := range steps[:i+1] {
					step.do(t, f, f.replicas[0])
				}
				f.replicas = f.replicas[1:]
				if flush {
					must(t, f.rdb.FlushDB(ctx).Err())
				}
				var live []Ticket
				for _, ticket := range f.joins(t, 10) {
					if ticket.Cohort == CohortDrawn && i == 0 { // nobody has closed yet
						drawn = append(drawn, ticket)
					} else {
						live = append(live, ticket)
					}
				}
				var signed []byte
				must(t, f.pool.QueryRow(ctx, `SELECT signature FROM waitingroom.draw WHERE room_id = $1`, room).Scan(&signed))
				if i < 2 {
					f.shift.Add(int64(beaconMargin + 4*time.Second))
				}
				f.until(t, Open)
				p := f.drawnRight(t, drawn, live)
				if signed != nil && p.Attempts[0].Signature != hex.EncodeToString(signed) {
					t.Errorf("signed was %x, is %s", signed, p.Attempts[0].Signature)
				}
				// Redis and Postgres have the same gaps, and the line moves.
				s := f.replicas[0]
				fig, err := s.tick(ctx, view(s))
				must(t, err)
				var raw []byte
				must(t, f.pool.QueryRow(ctx, `SELECT gaps FROM waitingroom.line WHERE room_id = $1`, room).Scan(&raw))
				if gaps, err := unmarshalGaps(raw); err != nil || formatGaps(gaps) != formatGaps(fig.gaps) {
					t.Errorf("gaps %v in Redis, %v in Postgres", fig.gaps, gaps)
				}
				f.pass(t, 5*time.Second)
				for _, ticket := range drawn {
					if pos, _ := s.position(view(s), ticket.Place); pos == 1 {
						f.enter(t, s, ticket, Admitted)
					}
				}
			})
		}
	}
}

// Redis is lost in the middle of the pre-queue: numbers go on above the ceiling,
// nobody of those before or after loses a place.
func TestDrawOverALostRedis(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 2)
	f.plan(t, NoBeacon)
	drawn := f.joins(t, 30)
	f.refresh(t)
	if err := f.rdb.FlushDB(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	drawn = append(drawn, f.joins(t, 30)...)
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Open)
	live := f.joins(t, 10)
	p := f.drawnRight(t, drawn, live)
	if len(p.Draw.Gaps) != 1 || p.Trust != draw.TrustOperator {
		t.Errorf("gaps %v, trust %s", p.Draw.Gaps, p.Trust)
	}
	// A number from the last moment before the loss shares a place.
	s := f.replicas[0]
	v := s.rooms.Load().views[room]
	lost := Place{Room: room, Epoch: drawn[0].Epoch, Cohort: CohortDrawn, Index: p.Draw.Gaps[0][0]}
	if pos, known := s.position(v, lost); !known || pos < 1 || pos > p.Draw.Tickets {
		t.Errorf("a lost number has position %d, %v", pos, known)
	}
	// Positions go on behind the drawn ones without anybody waiting for a gap.
	fig, err := s.tick(context.Background(), v)
	if err != nil || fig.Waiting+fig.Serving < int64(len(drawn)+len(live)) && fig.Waiting != int64(len(drawn)+len(live)) {
		t.Errorf("%d wait, serving %d: %v", fig.Waiting, fig.Serving, err)
	}
}

func TestNobodyCame(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	f.plan(t, LocalBeacon)
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Open)
	live := f.joins(t, 3)
	f.drawnRight(t, nil, live)
}

// Nobody was there to close until the value had come: it does not count.
func TestLateClose(t *testing.T) {
	t.Parallel()
	for _, b := range []Beacon{DrandBeacon, LotteryBeacon} {
		f := setupDraw(t, 2)
		f.plan(t, b)
		drawn := f.joins(t, 20)
		f.shift.Add(int64(25 * time.Minute))
		f.until(t, Drawing)
		p := f.published(t)
		if len(p.Attempts) != 2 || p.Attempts[0].FailedWhy != draw.FailedKnown || p.Attempts[0].Name == p.Attempts[1].Name {
			t.Fatalf("%s: %+v", b, p.Attempts)
		}
		if b == DrandBeacon {
			f.shift.Add(int64(beaconMargin + 4*time.Second))
			f.until(t, Open)
			f.drawnRight(t, drawn, nil)
		}
	}
}

func TestMovedOpeningNamesALaterValue(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	f.plan(t, DrandBeacon)
	before := f.published(t).Attempts[0]
	later := f.replicas[0].roomNow().Add(20 * time.Minute)
	if _, err := f.replicas[0].SetPlan(context.Background(), "staff:test", "admin", room, Plan{OpensAt: &later}, Settings{}); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	after := f.published(t).Attempts[0]
	if !after.Due.After(before.Due) || after.Commitment != before.Commitment {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestPlanNeedsAWorkingBeacon(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	s := f.replicas[0]
	s.draws.drand.URLs = nil
	now := s.roomNow()
	opens := now.Add(time.Hour)
	_, err := s.SetPlan(context.Background(), "staff:test", "admin", room, Plan{PreQueueFrom: &now, OpensAt: &opens}, Settings{Draw: ptr(true), Beacon: ptr(DrandBeacon)})
	var bad Problems
	if !errors.As(err, &bad) || bad[0].Key != "waitingroom.draw.error.drand" {
		t.Errorf("without servers: %v", err)
	}
}

// The world's clock decides what a beacon is, not the demo's.
func TestShiftedClock(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	shift := -5 * 365 * 24 * time.Hour
	s := New(Config{
		Pool: f.pool, Redis: f.rdb, Now: func() time.Time { return time.Now().Add(shift) }, Shift: &shift, Keys: NewSigner(testKeys...), Log: slog.New(slog.DiscardHandler),
		Draws: DrawConfig{Drand: Drand{URLs: []string{"http://127.0.0.1:1"}}},
	})
	if err := s.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	now := s.roomNow()
	opens := now.Add(10 * time.Minute)
	if _, err := s.SetPlan(context.Background(), "staff:test", "admin", room, Plan{PreQueueFrom: &now, OpensAt: &opens}, Settings{Draw: ptr(true), Beacon: ptr(DrandBeacon)}); err != nil {
		t.Fatal(err)
	}
	v := s.rooms.Load().views[room]
	a := v.drawing(v.known.Load().Epoch).published.Attempts[0]
	round, ok := draw.Quicknet.ParseName(a.Name)
	if in := time.Until(draw.Quicknet.Time(round)); !ok || in < 10*time.Minute || in > 11*time.Minute {
		t.Errorf("round %d comes in %s", round, in)
	}
	if due := v.due.Load(); due == nil || due.Before(opens) || due.After(opens.Add(time.Minute)) {
		t.Errorf("shown as due at %v, opens %v", due, opens)
	}
}
