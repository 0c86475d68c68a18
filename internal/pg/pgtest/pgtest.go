// Package pgtest gives each test a Postgres database of its own: a clone of a
// migrated template, made in some ten milliseconds and dropped at the end.
package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/id"
	"impfportal/internal/local/localtest"
	"impfportal/internal/pg"
	"impfportal/migrations"
)

var template struct {
	sync.Once
	from string // what makes a database a copy of it
	err  error
}

// New returns a pool on a fresh, migrated and otherwise empty database.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return open(t, URL(t))
}

// URL is New for tests that hand the database to another process.
func URL(t testing.TB) string {
	t.Helper()
	admin := localtest.DatabaseURL(t)
	ctx := context.Background()
	template.Do(func() { template.from, template.err = makeTemplate(ctx, admin) })
	if template.err != nil {
		t.Fatalf("template database: %v", template.err)
	}
	return create(t, admin, template.from)
}

// EmptyURL gives a database without any migration.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return create(t, localtest.DatabaseURL(t), "")
}

func create(t testing.TB, admin, from string) string {
	t.Helper()
	name := "t_" + strings.ReplaceAll(id.New(), "-", "")
	if err := execAdmin(context.Background(), admin, fmt.Sprintf("CREATE DATABASE %s %s", name, from)); err != nil {
		t.Fatalf("make test database: %v", err)
	}
	t.Cleanup(func() {
		if err := execAdmin(context.Background(), admin, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", name)); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return withDatabase(admin, name)
}

func open(t testing.TB, dbURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Open(context.Background(), dbURL, 12)
	if err != nil {
		t.Fatalf("open test database: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// makeTemplate builds the template once per state of the migrations; test
// binaries that run at the same time share it through an advisory lock.
func makeTemplate(ctx context.Context, admin string) (from string, err error) {
	h := sha256.New()
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		b, err := fs.ReadFile(migrations.FS, f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", f, len(b), b)
	}
	name := "tpl_" + hex.EncodeToString(h.Sum(nil)[:10])

	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('impfportal-template'))"); err != nil {
		return "", err
	}
	var ready bool
	var version int
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate), current_setting('server_version_num')::int", name).Scan(&ready, &version)
	if err != nil {
		return "", err
	}
	from = "TEMPLATE " + name
	if version >= 150_000 {
		from += " STRATEGY FILE_COPY" // not page by page through the log: half the time
	}
	if ready {
		return from, nil
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", name)); err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	pool, err := pg.Open(ctx, withDatabase(admin, name), 2)
	if err != nil {
		return "", err
	}
	_, err = pg.Migrate(ctx, pool)
	pool.Close()
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+name+" WITH is_template true allow_connections false")
	return from, err
}

func execAdmin(ctx context.Context, admin, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

func withDatabase(raw, name string) string {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err) // pgx parsed it already
	}
	u.Path = "/" + name
	return u.String()
}
