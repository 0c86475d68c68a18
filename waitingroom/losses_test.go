package waitingroom

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest/topology"
)

// threeOn makes a rush of three portals, each with a network of its own to the
// same server.
func threeOn(t *testing.T, s *topology.Server) (*rush, []*topology.Front) {
	t.Helper()
	var (
		fronts []*topology.Front
		urls   []string
	)
	for range 3 {
		f := topology.NewFront(t, s.Addr)
		fronts, urls = append(fronts, f), append(urls, f.URL())
	}
	return newRush(t, urls...), fronts
}

// TestFlushInARush: Redis is emptied twice while people come in.
func TestFlushInARush(t *testing.T) {
	t.Parallel()
	server := topology.New(t)
	r, _ := threeOn(t, server)
	before := r.generation()
	r.start()
	for _, n := range []int64{10, 30} {
		r.until(n)
		if err := server.Client().FlushAll(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
		r.recovers()
	}
	r.end()
	if n := r.generation() - before; n > 2+2 { // a replica may have looked before the other was done
		t.Errorf("rebuilt %d times for two losses", n)
	}
}

// TestEmptyReplicaPromoted: the address moves to a server that knows nothing.
func TestEmptyReplicaPromoted(t *testing.T) {
	t.Parallel()
	server, empty := topology.New(t), topology.New(t)
	r, fronts := threeOn(t, server)
	r.start()
	r.until(20)
	server.Kill()
	r.trouble()
	for _, f := range fronts {
		f.Point(empty.Addr)
	}
	r.recovers()
	r.end()
}

// TestStaleReplicaPromoted: the replica was cut off some time before the master
// is lost; it has an old state and no sign of it but the missing mark.
func TestStaleReplicaPromoted(t *testing.T) {
	t.Parallel()
	server, replica := topology.New(t), topology.New(t)
	wire := topology.NewFront(t, server.Addr)
	r, fronts := threeOn(t, server)
	r.start()
	r.until(10)
	replica.Follow(wire.Addr) // a full copy made in mid-rush, the mark in it
	wire.Cut()
	r.until(25)
	server.Kill()
	replica.Promote()
	for _, f := range fronts {
		f.Point(replica.Addr)
	}
	r.recovers()
	r.end()
}

// TestCopyWithMark: a full copy carries the mark of the server it was made
// from; on another server it counts for nothing, also for portals that have
// seen nothing newer.
func TestCopyWithMark(t *testing.T) {
	t.Parallel()
	server, replica := topology.New(t), topology.New(t)
	r, fronts := threeOn(t, server)
	ctx := context.Background()
	if err := r.services[1].Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	wire := topology.NewFront(t, server.Addr)
	replica.Follow(wire.Addr)
	wire.Cut()
	if n := replica.Client().Exists(ctx, r.services[0].rooms.Load().views[room].key("here")).Val(); n != 1 {
		t.Fatal("the copy has no mark: this proves nothing")
	}
	key, _ := HashKey(NewKey())
	last, err := r.services[0].Join(ctx, room, key) // and its portal dies with the master
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	replica.Promote()
	fronts[1].Point(replica.Addr)
	next, err := r.services[1].Join(ctx, room, key)
	if err != nil || next.Index <= last.Index {
		t.Errorf("number %d after %d, %v", next.Index, last.Index, err)
	}
}

// TestRestartFromDisk: Redis comes back from its append-only file, which lacks
// the last moments.
func TestRestartFromDisk(t *testing.T) {
	t.Parallel()
	server := topology.Durable(t)
	r, _ := threeOn(t, server)
	r.start()
	r.until(10)
	putBack := server.Files()
	r.until(25)
	putBack()
	r.recovers()
	r.end()
}

// TestOnePortalCutOff: the network between one portal and Redis is cut; the
// others go on, and that one says that it cannot say.
func TestOnePortalCutOff(t *testing.T) {
	t.Parallel()
	server := topology.New(t)
	r, fronts := threeOn(t, server)
	before := r.generation()
	r.start()
	r.until(10)
	fronts[0].Cut()
	r.trouble()
	fronts[0].Mend()
	r.recovers()
	r.end()
	if n := r.generation(); n != before {
		t.Errorf("rebuilt %d times, and nothing was lost", n-before)
	}
	r.seatsFree()
}

// seatsFree waits until Redis knows that everybody has left.
func (r *rush) seatsFree() {
	r.t.Helper()
	r.await("every seat is free again", func() bool {
		f, err := r.services[1].tick(r.ctx, r.services[1].rooms.Load().views[r.room])
		return err == nil && f.Inside == 0
	})
}

// TestSplitBrain: one portal still reaches the old master while the others have
// a new one. What the old one decides is not written, and its numbers are its own.
func TestSplitBrain(t *testing.T) {
	t.Parallel()
	server, replica := topology.New(t), topology.New(t)
	r, fronts := threeOn(t, server)
	replica.Follow(server.Addr)
	r.start()
	r.until(10)
	r.split.Store(true)
	replica.Promote()
	fronts[1].Point(replica.Addr)
	fronts[2].Point(replica.Addr)
	before := r.generation()
	r.await("both sides rebuilt the line", func() bool { return r.generation() >= before+2 })
	fronts[0].Point(replica.Addr)
	r.recovers()
	r.end()
}

// TestFrozenRedis: Redis stops for seconds and then does what was sent to it.
func TestFrozenRedis(t *testing.T) {
	t.Parallel()
	server := topology.New(t)
	r, _ := threeOn(t, server)
	before := r.generation()
	r.start()
	r.until(10)
	server.Freeze()
	r.trouble()
	began := time.Now()
	key, _ := HashKey(NewKey())
	if _, err := r.services[0].Join(r.ctx, room, key); err == nil {
		t.Error("a place from a frozen Redis")
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("who joins waits %v", took)
	}
	server.Thaw()
	r.recovers()
	r.end()
	if n := r.generation(); n != before {
		t.Errorf("rebuilt %d times, and nothing was lost", n-before)
	}
	r.seatsFree()
	// Nothing that was sent to the frozen server gave out numbers for nobody.
	f, err := r.services[0].tick(r.ctx, r.services[0].rooms.Load().views[room])
	if err != nil || f.Issued > rushPeople+5 {
		t.Errorf("%d numbers for %d people, %v", f.Issued, rushPeople, err)
	}
}

// TestSentinelFailover: the master dies, Sentinel promotes the replica.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	sentinel := topology.NewSentinel(t)
	r := newRush(t, sentinel.URL(), sentinel.URL(), sentinel.URL())
	r.start()
	r.until(15)
	sentinel.Master.Kill()
	r.trouble()
	sentinel.AwaitFailover()
	r.recovers()
	r.end()
}

// TestPostgresAway: without Postgres nobody takes a seat, the snapshots say so,
// and nobody comes in faster afterwards.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	server := topology.New(t)
	url := pgtest.URL(t)
	look, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(look.Close)
	portals, front := cutPool(t, url)
	r := newRushOver(t, look, portals, room, server.URL(), server.URL(), server.URL())
	r.start()
	r.until(10)
	front.Cut()
	r.trouble()
	v := r.services[0].rooms.Load().views[room]
	key, _ := HashKey(NewKey())
	ticket, err := r.services[0].Join(r.ctx, room, key) // Redis answers
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, _, err := r.services[0].Enter(r.ctx, ticket); !errors.Is(err, ErrUnavailable) {
		t.Errorf("enter: %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("who enters waits %v", took)
	}
	if n, err := r.services[0].rdb.ZCard(r.ctx, v.key("act")).Result(); err != nil || n > int64(r.bound) {
		t.Errorf("%d seats, %v", n, err)
	}
	front.Mend()
	r.recovers()
	r.end()
}

// TestPortalDiesAtTheDoor: a portal that died after the door had decided and
// before Postgres knew takes nothing from anybody: the ticket finds its seat at
// another portal, and a seat that nobody comes back for ends with its pass.
func TestPortalDiesAtTheDoor(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	ctx := context.Background()
	f.valve(t, Change{Bound: ptr(2)})
	dying, other := f.replicas[0], f.replicas[1]
	back, gone, next := f.join(t, other), f.join(t, other), f.join(t, other)
	f.refresh(t)
	for _, k := range []Ticket{back, gone} {
		v := dying.rooms.Load().views[room]
		topology.Await(t, "the door lets in", func() bool {
			verdict, _, _, err := dying.claim(ctx, v, k.Place, InLine, k.Index)
			return err == nil && verdict == Admitted
		})
	}
	f.replicas = f.replicas[1:]
	f.enter(t, other, next, Wait)
	pass := f.enter(t, other, back, Admitted)
	if again := f.enter(t, other, back, Admitted); again.ID() != pass.ID() {
		t.Errorf("two passes: %v, %v", pass, again)
	}
	if n := f.liveRows(t); n != 1 {
		t.Errorf("%d passes", n)
	}
	f.pass(t, 31*time.Minute)
	f.enter(t, other, next, Admitted)
	f.enter(t, other, gone, Admitted) // it never was inside
	f.enter(t, other, back, Used)
}

// TestStaysAreToldLater: a stay that ends or is extended while Redis does not
// answer is told to it as soon as it does.
func TestStaysAreToldLater(t *testing.T) {
	t.Parallel()
	server := topology.New(t)
	front := topology.NewFront(t, server.Addr)
	f := setup(t, 0)
	f.rdb = topology.Open(t, front.URL())
	f.replicas = append(f.replicas, f.replica())
	f.valve(t, Change{Bound: ptr(2)})
	s, ctx := f.replicas[0], context.Background()
	ends, stays := f.enter(t, s, f.join(t, s), Admitted), f.enter(t, s, f.join(t, s), Admitted)
	next := f.join(t, s)
	server.Freeze()
	if err := s.Release(ctx, ends.ID()); err != nil {
		t.Fatal(err)
	}
	over, ok, err := s.Extend(ctx, stays.ID(), stays.Expires.Add(10*time.Minute))
	if err != nil || !ok {
		t.Fatalf("extend: %v, %v", ok, err)
	}
	server.Thaw()
	f.refresh(t)
	f.refresh(t) // who left is told, and then somebody is called
	f.enter(t, s, next, Admitted)
	score, err := f.rdb.ZScore(ctx, s.rooms.Load().views[room].key("act"), stays.member()).Result()
	if err != nil || int64(score) != over.UnixMicro() {
		t.Errorf("the seat ends at %.0f, the pass at %d, %v", score, over.UnixMicro(), err)
	}
}
