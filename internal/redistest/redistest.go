// Package redistest gives each test an empty database of a real Redis.
package redistest

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"impfportal/internal/local/localtest"
)

// counter is the key in database 0 from which the numbers of the tests'
// databases are drawn, by all test binaries that share the server.
const counter = "redistest:databases"

// New returns a client of a database that no other running test uses. It is
// empty, and emptied again when the test ends. Channels of publish and subscribe
// are not part of a database: all tests share them.
func New(t testing.TB) redis.UniversalClient {
	t.Helper()
	client := redis.NewClient(options(t))
	t.Cleanup(func() {
		if err := client.FlushDB(context.Background()).Err(); err != nil {
			t.Errorf("redistest: emptying the database: %v", err)
		}
		if err := client.Close(); err != nil {
			t.Errorf("redistest: %v", err)
		}
	})
	if err := client.FlushDB(context.Background()).Err(); err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return client
}

// URL returns the address of a database like New's, for programs that the test
// starts.
func URL(t testing.TB) string {
	t.Helper()
	db := New(t).(*redis.Client).Options().DB
	u, err := url.Parse(localtest.RedisURL(t))
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	if u.Scheme == "unix" {
		query := u.Query()
		query.Set("db", strconv.Itoa(db))
		u.RawQuery = query.Encode()
	} else {
		u.Path = "/" + strconv.Itoa(db)
	}
	return u.String()
}

func options(t testing.TB) *redis.Options {
	opts, err := redis.ParseURL(localtest.RedisURL(t))
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	opts.DB = 0
	databases, err := countDatabases(*opts)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	root := redis.NewClient(opts)
	defer root.Close()
	n, err := root.Incr(context.Background(), counter).Result()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	// Database 0 holds the counter. Numbers come round again long after the
	// test that had them before has ended.
	own := *opts
	own.DB = 1 + int((n-1)%int64(databases-1))
	return &own
}

var known sync.Map // of the server's address: its number of databases

func countDatabases(opts redis.Options) (int, error) {
	if n, ok := known.Load(opts.Addr); ok {
		return n.(int), nil
	}
	client := redis.NewClient(&opts)
	defer client.Close()
	answer, err := client.ConfigGet(context.Background(), "databases").Result()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(answer["databases"])
	if err != nil {
		return 0, err
	}
	known.Store(opts.Addr, n)
	return n, nil
}
