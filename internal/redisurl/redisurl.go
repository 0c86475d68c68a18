// Package redisurl opens the Redis that REDIS_URL names, with limits that suit
// requests of people: a Redis that stops is noticed within seconds, one that
// moves is found again.
package redisurl

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// What holds where the URL does not say otherwise (dial_timeout, read_timeout,
// max_retries, pool_size, pool_timeout and so on).
const (
	dialTimeout = time.Second
	// readTimeout is far above what a command takes, and low enough that a
	// request can be told within about three seconds, one retry included.
	readTimeout = 1500 * time.Millisecond
	poolTimeout = 2 * time.Second // for a free connection
	retries     = 1               // every command of the portal may arrive twice
	redirects   = 4               // on a cluster: a failover is one or two
	// reloadEvery is how often the nodes of a cluster are asked for its map. A
	// master that dies redirects nobody; with the client's own setting of a
	// minute its replacement would be found a minute later.
	reloadEvery = time.Second
)

// poolSize is how many connections one program opens to one server at most. A
// command takes well below a millisecond of Redis; the rest is waiting.
func poolSize() int { return max(100, 20*runtime.GOMAXPROCS(0)) }

// Open understands
//
//	redis://user:password@host:port/0, rediss://..., unix:///path?db=0       one server
//	redis+sentinel://user:password@host:port/0?master_name=portal&addr=host2:port2&addr=host3:port3
//	redis+cluster://user:password@host:port?addr=host2:port2&addr=host3:port3
//
// with the parameters of go-redis. With TLS the latter are rediss+sentinel:// and
// rediss+cluster://. It connects at the first command.
func Open(url string) (redis.UniversalClient, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	plain, kind, _ := strings.Cut(scheme, "+")
	switch kind {
	case "sentinel":
		o, err := redis.ParseFailoverURL(plain + "://" + rest)
		if err != nil {
			return nil, bad(err)
		}
		set(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, &o.PoolSize, &o.DialerRetries)
		o.MaxRetries = cmp.Or(o.MaxRetries, redirects) // one that was demoted says READONLY
		o.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(o), nil
	case "cluster":
		o, err := redis.ParseClusterURL(plain + "://" + rest)
		if err != nil {
			return nil, bad(err)
		}
		set(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, &o.PoolSize, &o.DialerRetries)
		o.MaxRedirects = cmp.Or(o.MaxRedirects, redirects)
		o.ClusterStateReloadInterval = reloadEvery
		o.ContextTimeoutEnabled = true
		return redis.NewClusterClient(o), nil
	case "":
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, bad(err)
		}
		set(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, &o.PoolSize, &o.DialerRetries)
		o.MaxRetries = cmp.Or(o.MaxRetries, retries)
		o.ContextTimeoutEnabled = true
		return redis.NewClient(o), nil
	}
	return nil, bad(fmt.Errorf("unknown kind %q: it is sentinel, cluster, or nothing", kind))
}

func bad(err error) error { return fmt.Errorf("REDIS_URL: %w", err) }

// set fills what the URL left open.
func set(dial, read, write, pool *time.Duration, size, dials *int) {
	*dial, *read = cmp.Or(*dial, dialTimeout), cmp.Or(*read, readTimeout)
	*write, *pool = cmp.Or(*write, *read), cmp.Or(*pool, poolTimeout)
	*size, *dials = cmp.Or(*size, poolSize()), cmp.Or(*dials, 1)
}

// LogTo sends what the client says by itself, a line for every connection that
// fails, to log at level debug. Call it once, before anything is opened.
func LogTo(log *slog.Logger) { redis.SetLogger(clientLog{log}) }

type clientLog struct{ log *slog.Logger }

func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, v...), "from", "redis client")
}
