package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"impfportal/internal/await"
	"impfportal/internal/leftover"
)

func TestDataIsKeptOverRestart(t *testing.T) {
	t.Parallel()
	opts := Options{DataDir: t.TempDir(), Postgres: true, Redis: true}
	s := start(t, opts)
	leaveMark(t, s.DatabaseURL, s.RedisURL)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, opts)
	findMark(t, s.DatabaseURL, s.RedisURL)
}

func TestSignalsStopTheServers(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			opts := Options{DataDir: t.TempDir(), Postgres: true, Redis: true}
			h := startHelper(t, opts)
			leaveMark(t, h.DatabaseURL, h.RedisURL)
			lock := filepath.Join(opts.DataDir, serversLock)
			holding := leftover.Holding(lock)
			if len(holding) < 3 {
				t.Fatalf("the processes with the servers' lock are %v: not the helper, PostgreSQL and Redis", holding)
			}
			for _, p := range holding {
				if group, _ := syscall.Getpgid(p.PID); p.PID != h.cmd.Process.Pid && group == h.cmd.Process.Pid {
					t.Errorf("%s is in the group of the portal: a Ctrl-C would reach it", p)
				}
			}

			// Like a terminal, to the whole group.
			if err := syscall.Kill(-h.cmd.Process.Pid, sig); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err := h.cmd.Wait()
			if sig != syscall.SIGKILL && err != nil {
				t.Errorf("the helper ended with %v: %s", err, h.stderr)
			}
			await.True(t, "no server is left", func() bool { return len(leftover.Holding(lock)) == 0 })
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("stopping took %s", took)
			}

			s := start(t, opts)
			findMark(t, s.DatabaseURL, s.RedisURL)
		})
	}
}

func TestStartRightAfterAKill(t *testing.T) {
	t.Parallel()
	opts := Options{DataDir: t.TempDir(), Postgres: true, Redis: true}
	h := startHelper(t, opts)
	leaveMark(t, h.DatabaseURL, h.RedisURL)
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Wait(); err == nil {
		t.Fatal("the helper survived")
	}
	s := start(t, opts) // while the servers are still shutting down
	findMark(t, s.DatabaseURL, s.RedisURL)
}

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	opts := Options{DataDir: t.TempDir(), Redis: true}
	s := start(t, opts)
	if err := s.Announce("http://127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), opts)
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("the second start returned %v", err)
	}
	if err := InUse(opts.DataDir); !errors.Is(err, ErrInUse) {
		t.Errorf("InUse returned %v", err)
	}
	for _, want := range []string{opts.DataDir, "http://127.0.0.1:8080", fmt.Sprint(os.Getpid()), "DATA_DIR"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message %q does not mention %s", err, want)
		}
	}
	if pong := redisClient(t, s.RedisURL).Ping(t.Context()); pong.Err() != nil {
		t.Errorf("the first one was disturbed: %v", pong.Err())
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before: %v", err)
	}
	s, err := Start(t.Context(), Options{DataDir: dir, Redis: true})
	if err != nil {
		t.Fatal(err)
	}
	s.DatabaseURL = "postgres://elsewhere/portal"
	if err := s.Announce("http://127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	got, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Address != "http://127.0.0.1:8080" || got.RedisURL != s.RedisURL || got.DatabaseURL != s.DatabaseURL || got.PID != os.Getpid() {
		t.Errorf("found %+v", got)
	}
	info, err := os.Stat(filepath.Join(dir, instanceFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the instance file has mode %v, %v", info.Mode(), err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after: %v", err)
	}
	if err := InUse(dir); err != nil {
		t.Errorf("InUse after: %v", err)
	}
}

func TestFindAfterAKill(t *testing.T) {
	t.Parallel()
	opts := Options{DataDir: t.TempDir()} // no servers
	h := startHelper(t, opts)
	if _, err := Find(opts.DataDir); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
	if _, err := Find(opts.DataDir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("the instance that was killed is found: %v", err)
	}
}

func TestLeftoversOfACrashAreOvercome(t *testing.T) {
	t.Parallel()
	opts := Options{DataDir: t.TempDir(), Postgres: true, Fast: true}
	half := filepath.Join(opts.DataDir, postgresDir+".new")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, opts)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// After a reboot the number in the file belongs to somebody: to us, say.
	pidFile := filepath.Join(opts.DataDir, postgresDir, "postmaster.pid")
	stale := fmt.Sprintf("%d\n%s\n1\n5432\n/nowhere\n\n0 0\nready\n", os.Getpid(), opts.DataDir)
	if err := os.WriteFile(pidFile, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	sockets := filepath.Join(opts.DataDir, "run")
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sockets, postgresSocket+".lock"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, opts)
	connect(t, s.DatabaseURL)
}

func TestLongDataPath(t *testing.T) {
	t.Parallel()
	opts := Options{DataDir: filepath.Join(t.TempDir(), strings.Repeat("ü long/", 15)), Postgres: true, Redis: true, Fast: true}
	s := start(t, opts)
	leaveMark(t, s.DatabaseURL, s.RedisURL)
	findMark(t, s.DatabaseURL, s.RedisURL)
	info, err := os.Stat(s.sockets)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the sockets: %v, %v", info.Mode(), err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.sockets); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the sockets is left behind: %v", err)
	}
}

func TestEphemeralDataGoWithTheProcess(t *testing.T) {
	t.Parallel()
	h := startHelper(t, Options{Ephemeral: true, Fast: true, Postgres: true, Redis: true})
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait()
	await.True(t, h.DataDir+" is removed", func() bool {
		_, err := os.Stat(h.DataDir)
		return errors.Is(err, fs.ErrNotExist)
	})
	if left := leftover.Holding(filepath.Join(h.DataDir, serversLock)); len(left) != 0 {
		t.Errorf("servers left behind: %v", left)
	}
}

func TestLostServerIsReported(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Ephemeral: true, Redis: true})
	if err := s.redis.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.Lost():
		if !strings.Contains(err.Error(), "Redis") {
			t.Errorf("the message does not name the server: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody noticed that Redis is gone")
	}
}

func TestMissingVersionIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, postgresDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, postgresDir, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{DataDir: dir, Postgres: true})
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Package != "postgresql-9" {
		t.Fatalf("got %v", err)
	}
}

func TestBadSettingIsReportedWithTheLog(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{
		Ephemeral: true, Fast: true, Postgres: true, PostgresSettings: []string{"no_such_setting=1"},
	})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("the error does not show what PostgreSQL said: %v", err)
	}
}

// The way for root where user namespaces are forbidden: the data belong to the
// user postgres, below a folder that only root may enter. An ordinary user has
// one way only, to which the option makes no difference.
func TestRootWithoutUserNamespaces(t *testing.T) {
	t.Parallel()
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	opts := Options{DataDir: filepath.Join(closed, "data"), Postgres: true, Redis: true, noUserNamespace: true}
	s := start(t, opts)
	leaveMark(t, s.DatabaseURL, s.RedisURL)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if owner, err := ownerOf(filepath.Join(opts.DataDir, postgresDir)); err != nil || owner == 0 {
		t.Errorf("the database belongs to user %d, %v", owner, err)
	}

	// Who owns the data decides from then on. And no orphan here either.
	opts.noUserNamespace = false
	h := startHelper(t, opts)
	findMark(t, h.DatabaseURL, h.RedisURL)
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
	await.True(t, "no server is left", func() bool { return len(leftover.Holding(filepath.Join(opts.DataDir, serversLock))) == 0 })
	start(t, opts)
}
