package topology

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const slots = 16384

// Cluster is a Redis Cluster of three masters with one replica each, which
// replaces a lost master within about three seconds. The slots of the other
// masters are served meanwhile.
type Cluster struct {
	Masters  []*Server // as they were at the start
	Replicas []*Server // Replicas[i] began as the replica of Masters[i]

	t testing.TB
}

// NewCluster starts a cluster and waits until every node knows it as complete.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	ctx := context.Background()
	c := &Cluster{t: t}
	node := func() *Server {
		bus := strconv.Itoa(freePort(t))
		return launch(t, func(port int) []string {
			return []string{
				"--port", strconv.Itoa(port), "--cluster-port", bus, "--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
				"--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
				"--maxmemory-policy", "noeviction",
			}
		})
	}
	for range 3 {
		c.Masters = append(c.Masters, node())
		c.Replicas = append(c.Replicas, node())
	}
	for i, s := range c.all() {
		must(t, s.rdb.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		if i > 0 {
			must(t, c.meet(s, c.Masters[0]))
		}
	}
	for i, s := range c.Masters {
		must(t, s.rdb.ClusterAddSlotsRange(ctx, i*slots/3, (i+1)*slots/3-1).Err())
	}
	for i, s := range c.Replicas {
		master := c.Masters[i].id()
		Await(t, "the nodes know each other", func() bool { return s.rdb.ClusterReplicate(ctx, master).Err() == nil })
		s.awaitCopy()
	}
	for _, s := range c.all() {
		Await(t, "the cluster is complete for "+s.Addr, func() bool {
			info, _ := s.rdb.ClusterInfo(ctx).Result()
			nodes, _ := s.rdb.ClusterNodes(ctx).Result()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_slots_assigned:%d", slots)) &&
				strings.Count(nodes, "slave") == 3
		})
	}
	return c
}

func (c *Cluster) all() []*Server { return slices.Concat(c.Masters, c.Replicas) }

func (c *Cluster) meet(s, other *Server) error {
	host, port, _ := net.SplitHostPort(other.Addr)
	// CLUSTER MEET takes the port of the bus where it is not 10,000 above.
	bus := ""
	for i, a := range other.args {
		if a == "--cluster-port" {
			bus = other.args[i+1]
		}
	}
	return s.rdb.Do(context.Background(), "CLUSTER", "MEET", host, port, bus).Err()
}

// id is the name of a node in the cluster.
func (s *Server) id() string {
	s.t.Helper()
	id, err := s.rdb.Do(context.Background(), "CLUSTER", "MYID").Text()
	must(s.t, err)
	return id
}

// URL is the address as the portal takes it.
func (c *Cluster) URL() string {
	url := "redis+cluster://" + c.Masters[0].Addr
	for i, s := range c.all()[1:] {
		sep := "&"
		if i == 0 {
			sep = "?"
		}
		url += sep + "addr=" + s.Addr
	}
	return url
}

// Client reaches the whole cluster as the portal does.
func (c *Cluster) Client() redis.UniversalClient { return Open(c.t, c.URL()) }

// Master returns the node that holds the slot of a key at the start.
func (c *Cluster) Master(key string) int {
	c.t.Helper()
	slot, err := c.Masters[0].rdb.ClusterKeySlot(context.Background(), key).Result()
	must(c.t, err)
	for i := range c.Masters {
		if int(slot) < (i+1)*slots/3 {
			return i
		}
	}
	return len(c.Masters) - 1
}

// AwaitFailover waits until the replica of a lost master has taken over.
func (c *Cluster) AwaitFailover(i int) {
	c.t.Helper()
	Await(c.t, "the replica takes over", func() bool {
		info, _ := c.Replicas[i].rdb.Info(context.Background(), "replication").Result()
		return strings.Contains(info, "role:master")
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
