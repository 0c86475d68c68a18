package topology_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"impfportal/internal/redistest/topology"
)

func TestClusterReplacesALostMaster(t *testing.T) {
	t.Parallel()
	c := topology.NewCluster(t)
	rdb, ctx := c.Client(), context.Background()
	for _, key := range []string{"a", "b", "c", "d"} {
		if err := rdb.Set(ctx, key, key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	i := c.Master("a")
	if n, err := c.Masters[i].Client().Exists(ctx, "a").Result(); err != nil || n != 1 {
		t.Fatalf("the key is not where it should be: %d, %v", n, err)
	}
	topology.Await(t, "the replica has the key", func() bool {
		return c.Replicas[i].Client().DBSize(ctx).Val() == c.Masters[i].Client().DBSize(ctx).Val()
	})
	c.Masters[i].Kill()
	c.AwaitFailover(i)
	topology.Await(t, "the key is served again", func() bool { return rdb.Get(ctx, "a").Val() == "a" })
}

func TestSentinelReplacesALostMaster(t *testing.T) {
	t.Parallel()
	s := topology.NewSentinel(t)
	s.Master.Kill()
	s.AwaitFailover()
}

func TestFrontCutsAndMends(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := topology.New(t), topology.New(t)
	f := topology.NewFront(t, a.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: f.Addr, MaxRetries: -1, ReadTimeout: 200 * time.Millisecond})
	t.Cleanup(func() { _ = rdb.Close() })
	if err := rdb.Incr(ctx, "n").Err(); err != nil {
		t.Fatal(err)
	}
	f.Cut()
	if err := rdb.Incr(ctx, "n").Err(); err == nil {
		t.Error("a cut network answers")
	}
	if n := a.Client().Get(ctx, "n").Val(); n != "1" {
		t.Errorf("n = %s", n)
	}
	f.Mend()
	topology.Await(t, "what was sent arrives", func() bool { return a.Client().Get(ctx, "n").Val() == "2" })
	f.Point(b.Addr)
	topology.Await(t, "the other server answers", func() bool { return rdb.Incr(ctx, "other").Val() == 1 && b.Client().Exists(ctx, "other").Val() == 1 })
}

func TestServerGoesBackToItsFiles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := topology.Durable(t)
	s.Client().Set(ctx, "kept", 1, 0)
	putBack := s.Files()
	s.Client().Set(ctx, "lost", 1, 0)
	putBack()
	topology.Await(t, "it has the old state", func() bool { return s.Client().Exists(ctx, "kept").Val() == 1 })
	if s.Client().Exists(ctx, "lost").Val() != 0 {
		t.Error("it remembers what was lost")
	}
	s.Freeze()
	if err := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: 100 * time.Millisecond}).Ping(ctx).Err(); err == nil {
		t.Error("a frozen server answers")
	}
	s.Thaw()
	topology.Await(t, "it goes on", func() bool { return s.Client().Ping(ctx).Err() == nil })
}
