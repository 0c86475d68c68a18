// Package localtest gives tests the address of a real PostgreSQL and a real
// Redis.
//
// `make test` starts both once for the whole run and names them in
// TEST_DATABASE_URL and TEST_REDIS_URL. Where a variable is absent, as with a
// plain `go test ./booking`, the test binary starts a server of its own on first
// use; it ends with the binary and its data goes with it.
package localtest

import (
	"context"
	"os"
	"sync"
	"testing"

	"impfportal/internal/local"
)

var (
	ownPostgres = sync.OnceValues(func() (*local.Servers, error) {
		return local.Start(context.Background(), local.Options{Postgres: true, Ephemeral: true, Fast: true})
	})
	ownRedis = sync.OnceValues(func() (*local.Servers, error) {
		return local.Start(context.Background(), local.Options{Redis: true, Ephemeral: true, Fast: true})
	})
)

// DatabaseURL returns the URL of a PostgreSQL whose user may create databases.
// All tests share the server; internal/pg/pgtest gives each a database.
func DatabaseURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("TEST_DATABASE_URL"); url != "" {
		return url
	}
	s, err := ownPostgres()
	if err != nil {
		t.Fatalf("no PostgreSQL for the test: %v", err)
	}
	return s.DatabaseURL
}

// RedisURL returns the URL of database 0 of a Redis with many databases. All
// tests share the server; internal/redistest gives each a database.
func RedisURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("TEST_REDIS_URL"); url != "" {
		return url
	}
	s, err := ownRedis()
	if err != nil {
		t.Fatalf("no Redis for the test: %v", err)
	}
	return s.RedisURL
}
