package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

const (
	postgresDir = "postgres"
	// databaseUser owns the database; nobody else can enter the socket's folder.
	databaseUser = "impf"
	databaseName = "portal"
	// startTimeout covers a recovery after a crash.
	startTimeout = 60 * time.Second
)

// durable are the settings of a real database on a machine that it shares.
var durable = []string{
	"max_connections=200",
	"shared_buffers=256MB",
	"max_wal_size=2GB",
	"wal_compression=on",
	"log_min_messages=warning",
	"log_line_prefix=%m [%p] ",
}

// fast are the settings for tests: the data need not survive a crash.
var fast = []string{
	"max_connections=500",
	"shared_buffers=256MB",
	"max_wal_size=4GB",
	"checkpoint_timeout=1h",
	"fsync=off",
	"synchronous_commit=off",
	"full_page_writes=off",
	"wal_level=minimal",
	"max_wal_senders=0",
	"log_checkpoints=off",
	// The tests provoke errors on purpose, and find them where they arise.
	"log_min_messages=fatal",
	"log_min_error_statement=panic",
}

// startPostgres makes the database when there is none, starts the server and
// waits until it answers.
func (s *Servers) startPostgres(ctx context.Context, opts Options, found programs) error {
	dir := filepath.Join(s.DataDir, postgresDir)
	logPath := filepath.Join(s.DataDir, "postgres.log")

	var id identity
	switch _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); {
	case err == nil:
		if id, err = findIdentity(opts, found.postgres, dir); err != nil {
			return err
		}
	case errors.Is(err, os.ErrNotExist):
		if id, err = s.initPostgres(ctx, opts, found, dir, logPath); err != nil {
			return err
		}
	default:
		return fmt.Errorf("local: %w", err)
	}
	if id.chown {
		if err := os.Chown(s.sockets, id.uid, id.gid); err != nil {
			return fmt.Errorf("local: %w", err)
		}
	}

	// The servers' lock says that no server runs here. A pid file that a crash
	// left behind may name a process that has nothing to do with it.
	if err := os.Remove(filepath.Join(dir, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("local: %w", err)
	}
	settings := durable
	if opts.Fast {
		settings = fast
	}
	args := []string{
		"-D", dir,
		"-c", "listen_addresses=",
		"-c", "unix_socket_directories=" + s.sockets,
		"-c", "unix_socket_permissions=0700",
		"-c", "timezone=UTC", "-c", "log_timezone=UTC",
	}
	for _, setting := range append(settings[:len(settings):len(settings)], opts.PostgresSettings...) {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(found.postgres, args...)
	cmd.Dir = "/" // PostgreSQL enters its folder itself
	id.apply(cmd)
	p, err := spawn("PostgreSQL", logPath, cmd, syscall.SIGINT, s.inherited()...)
	if err != nil {
		return err
	}
	s.postgres = p
	return s.awaitPostgres(ctx)
}

// initPostgres makes a new database cluster, whole or not at all.
func (s *Servers) initPostgres(ctx context.Context, opts Options, found programs, dir, logPath string) (identity, error) {
	fresh := dir + ".new" // of a start that was cut off, when it exists
	if err := os.RemoveAll(fresh); err != nil {
		return identity{}, fmt.Errorf("local: %w", err)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return identity{}, fmt.Errorf("local: %w", err)
	}
	id, err := findIdentity(opts, found.postgres, fresh)
	if err != nil {
		return id, err
	}
	cmd := exec.Command(found.initdb, "-D", fresh, "-U", databaseUser, "--auth=trust",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	id.apply(cmd)
	p, err := spawn("initdb", logPath, cmd, syscall.SIGKILL, s.inherited()...)
	if err != nil {
		return id, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return id, errors.Join(ctx.Err(), p.stop(0))
	}
	if p.err != nil {
		return id, p.ended()
	}
	if !opts.Ephemeral {
		if err := syncFS(fresh); err != nil {
			return id, err
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		return id, fmt.Errorf("local: %w", err)
	}
	return id, nil
}

// syncFS does in one call what initdb would do file by file.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	return nil
}

// awaitPostgres waits until the server answers and the database exists.
func (s *Servers) awaitPostgres(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := pingDatabase(ctx, s.databaseURL(databaseName))
		if err == nil {
			s.DatabaseURL = s.databaseURL(databaseName)
			return nil
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "3D000" { // invalid_catalog_name: a new cluster
			if err := s.createDatabase(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-s.postgres.done:
			return s.postgres.ended()
		default:
		}
		if waitErr := pause(ctx, 5*time.Millisecond); waitErr != nil {
			return fmt.Errorf("PostgreSQL does not answer (%w); its log is %s", err, s.postgres.logPath)
		}
	}
}

func (s *Servers) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.databaseURL("postgres"))
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+databaseName); err != nil {
		return fmt.Errorf("local: creating the database: %w", err)
	}
	return nil
}

func (s *Servers) databaseURL(name string) string {
	u := url.URL{Scheme: "postgres", User: url.User(databaseUser), Path: "/" + name}
	u.RawQuery = url.Values{"host": {s.sockets}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

func pingDatabase(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
