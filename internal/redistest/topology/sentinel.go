package topology

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const masterName = "portal"

// Sentinel is a master and a replica, watched by three Sentinels that promote
// the replica when the master has been silent for about a second.
type Sentinel struct {
	Master, Replica *Server // as they were at the start
	Watchers        []*Server

	t testing.TB
}

// NewSentinel starts it and waits until the Sentinels know each other and the
// replica.
func NewSentinel(t testing.TB) *Sentinel {
	t.Helper()
	ctx := context.Background()
	s := &Sentinel{t: t, Master: New(t), Replica: New(t)}
	s.Replica.Follow(s.Master.Addr)
	host, port, _ := net.SplitHostPort(s.Master.Addr)
	for range 3 {
		file := filepath.Join(t.TempDir(), "sentinel.conf") // Sentinel writes into it what it learns
		text := strings.Join([]string{
			"sentinel monitor " + masterName + " " + host + " " + port + " 2",
			"sentinel down-after-milliseconds " + masterName + " 1000",
			"sentinel failover-timeout " + masterName + " 3000",
			"",
		}, "\n")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		s.Watchers = append(s.Watchers, launch(t, func(port int) []string {
			return []string{file, "--sentinel", "--port", strconv.Itoa(port)}
		}))
	}
	for _, w := range s.Watchers {
		Await(t, "the Sentinels know each other", func() bool {
			c := redis.NewSentinelClient(w.rdb.Options())
			defer c.Close()
			known, err := c.Master(ctx, masterName).Result()
			return err == nil && known["num-other-sentinels"] == "2" && known["num-slaves"] == "1"
		})
	}
	return s
}

// URL is the address as the portal takes it.
func (s *Sentinel) URL() string {
	return "redis+sentinel://" + s.Watchers[0].Addr + "/0?master_name=" + masterName + "&addr=" + s.Watchers[1].Addr + "&addr=" + s.Watchers[2].Addr
}

// AwaitFailover waits until the Sentinels name the replica as master.
func (s *Sentinel) AwaitFailover() {
	s.t.Helper()
	for _, w := range s.Watchers {
		Await(s.t, "the replica takes over", func() bool {
			c := redis.NewSentinelClient(w.rdb.Options())
			defer c.Close()
			addr, err := c.GetMasterAddrByName(context.Background(), masterName).Result()
			return err == nil && net.JoinHostPort(addr[0], addr[1]) == s.Replica.Addr
		})
	}
}
