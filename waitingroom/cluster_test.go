package waitingroom

import (
	"context"
	"fmt"
	"testing"
	"time"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest/topology"
)

// clusterRooms makes a room on each master of the cluster; rooms[i] is on
// Masters[i]. The first one on its master is the room that stands by default.
func clusterRooms(t *testing.T, s *Service, c *topology.Cluster) (rooms [3]string) {
	t.Helper()
	rooms[c.Master((&view{id: room}).key("s"))] = room
	for i, missing := 0, 2; missing > 0; i++ {
		id := fmt.Sprintf("room%d", i)
		at := c.Master((&view{id: id}).key("s"))
		if rooms[at] != "" {
			continue
		}
		rooms[at] = id
		missing--
		if _, err := s.CreateRoom(context.Background(), "staff:test", "admin", id, Settings{Name: Text{"de": "Raum", "en": "Room"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SetValve(context.Background(), "staff:test", "admin", id, Change{Phase: ptr(Open)}); err != nil {
			t.Fatal(err)
		}
	}
	return rooms
}

// TestEverythingOnACluster: all that is done with Redis, in rooms on different
// nodes of a cluster.
func TestEverythingOnACluster(t *testing.T) {
	t.Parallel()
	c := topology.NewCluster(t)
	f := &fixture{pool: pgtest.New(t), rdb: c.Client()}
	f.replicas = append(f.replicas, f.replica(), f.replica())
	f.refresh(t)
	ctx := context.Background()
	s, other := f.replicas[0], f.replicas[1]
	for _, id := range clusterRooms(t, s, c) {
		if _, err := s.SetValve(ctx, "staff:test", "admin", id, Change{Bound: ptr(2), Rate: ptr(6000)}); err != nil {
			t.Fatal(err)
		}
		f.refresh(t)
		join := func(s *Service, behind bool) Ticket {
			t.Helper()
			key, _ := HashKey(NewKey())
			take := s.Join
			if behind {
				take = s.JoinBehind
			}
			ticket, err := take(ctx, id, key)
			if err != nil {
				t.Fatalf("room %s: %v", id, err)
			}
			return ticket
		}
		first, second, third, behind := join(s, false), join(other, false), join(s, false), join(s, true)
		pass := f.enter(t, other, first, Admitted)
		f.enter(t, s, second, Admitted)
		f.enter(t, s, third, Wait)
		f.enter(t, s, behind, Wait)
		if over, ok, err := s.Extend(ctx, pass.ID(), pass.Expires.Add(time.Minute)); err != nil || !ok || !over.After(pass.Expires) {
			t.Fatalf("extend: %v, %v, %v", over, ok, err)
		}
		if err := s.setGaps(ctx, s.rooms.Load().views[id], nil); err != nil {
			t.Fatal(err)
		}
		if err := other.raise(ctx, other.rooms.Load().views[id], InLine, 200_000); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(ctx, pass.ID()); err != nil {
			t.Fatal(err)
		}
		if in, err := other.Inside(ctx, pass); err != nil || in {
			t.Fatalf("inside after the release: %v, %v", in, err)
		}
		f.enter(t, other, third, Admitted)
		f.enter(t, other, first, Used)

		// The room's node is emptied: only this room is rebuilt.
		before := other.rooms.Load().views[id].known.Load().Generation
		if err := c.Masters[c.Master((&view{id: id}).key("s"))].Client().FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		f.refresh(t)
		if got := other.rooms.Load().views[id].known.Load().Generation; got != before+1 {
			t.Errorf("generation %d after %d", got, before)
		}
		if _, verdict, err := s.Enter(ctx, first); err != nil || verdict == Admitted {
			t.Errorf("a used ticket: %s, %v", verdict, err)
		}
		if last := join(other, false); last.Index <= third.Index {
			t.Errorf("number %d after %d", last.Index, third.Index)
		}
		if again := join(other, true); again.Index <= behind.Index {
			t.Errorf("number %d behind after %d", again.Index, behind.Index)
		}
	}
}

// TestClusterLosesAMaster: the room on the lost node goes on when its replica has
// taken over; the rooms on the other nodes do not notice.
func TestClusterLosesAMaster(t *testing.T) {
	t.Parallel()
	c := topology.NewCluster(t)
	pool := pgtest.New(t)
	lost := newRushOn(t, pool, room, c.URL(), c.URL(), c.URL())
	at := c.Master((&view{id: room}).key("s"))
	spared := newRushOn(t, pool, clusterRooms(t, lost.services[0], c)[(at+1)%3], c.URL())
	lost.start()
	spared.start()
	lost.until(15)
	c.Masters[at].Kill()
	lost.trouble()
	c.AwaitFailover(at)
	lost.recovers()
	lost.end()
	spared.end()
	if spared.troubled.Load() {
		t.Error("a room on another node had trouble")
	}
}

// TestClusterNodeFreezes: a frozen master is replaced, wakes up and is a replica
// then; nothing that it had counts any more.
func TestClusterNodeFreezes(t *testing.T) {
	t.Parallel()
	c := topology.NewCluster(t)
	r := newRush(t, c.URL(), c.URL(), c.URL())
	at := c.Master((&view{id: room}).key("s"))
	r.start()
	r.until(15)
	c.Masters[at].Freeze()
	r.trouble()
	c.AwaitFailover(at)
	r.recovers()
	c.Masters[at].Thaw()
	r.end()
}
