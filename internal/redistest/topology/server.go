// Package topology gives tests Redis as it runs for real: servers of their own
// that can be killed, frozen, emptied and put back to an older state, a server
// that is reached through a network that can be cut, a cluster, and a pair
// watched by Sentinel.
//
// Every server is a child process that the kernel kills with the test binary.
package topology

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"impfportal/internal/redisurl"
)

// patience bounds every wait for a server.
const patience = 30 * time.Second

// Server is one redis-server process on a port of its own. Its methods fail the
// test when the server does not do as told; call them from the test's goroutine.
type Server struct {
	Addr string // host:port, the same after every start

	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	rdb  *redis.Client
}

// New starts a server without persistence; args are further settings of
// redis-server.
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	return launch(t, func(port int) []string {
		return append([]string{
			"--port", strconv.Itoa(port), "--save", "", "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0",
		}, args...)
	})
}

// Durable starts a server with an append-only file that is synced every second.
func Durable(t testing.TB) *Server {
	t.Helper()
	return New(t, "--appendonly", "yes", "--appendfsync", "everysec")
}

// launch starts a server on a free port; another program may take the port in
// the moment before, so it tries again.
func launch(t testing.TB, args func(port int) []string) *Server {
	t.Helper()
	dir := t.TempDir()
	for range 20 {
		port := freePort(t)
		s := &Server{
			Addr: "127.0.0.1:" + strconv.Itoa(port), t: t, dir: dir,
			args: append(args(port), "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no", "--logfile", filepath.Join(dir, "log")),
		}
		s.rdb = redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1, ReadTimeout: 5 * time.Second})
		if err := s.start(); err != nil {
			t.Logf("another port: %v", err)
			_ = s.rdb.Close()
			continue
		}
		t.Cleanup(func() {
			s.kill()
			_ = s.rdb.Close()
			if t.Failed() {
				t.Logf("the end of the log of %s:\n%s", s.Addr, tail(filepath.Join(dir, "log")))
			}
		})
		return s
	}
	t.Fatal("no redis-server starts")
	return nil
}

// freePort finds a port that nobody listens on, below those that the kernel
// gives to outgoing connections, so that it stays free while a server is down.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 12000 + rand.IntN(20000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatal("no free port")
	return 0
}

func (s *Server) start() error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		program = "/usr/bin/redis-server" // a service's PATH may lack it
	}
	cmd := exec.Command(program, s.args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s.cmd, s.done = cmd, make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// The kernel sends the signal when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(s.done)
	}()
	if err := <-started; err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.Addr); err == nil { // the client would log every attempt
			_ = c.Close()
			if err := s.rdb.Ping(context.Background()).Err(); err == nil {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("it ended at once: %s", tail(filepath.Join(s.dir, "log")))
		default:
		}
	}
	s.kill()
	return errors.New("it does not answer")
}

func (s *Server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// URL is the address as the portal takes it.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Client reaches this server and no other.
func (s *Server) Client() *redis.Client { return s.rdb }

// Kill ends the server at once, as a power cut does.
func (s *Server) Kill() { s.kill() }

// Start starts a server again that was killed, on its port and with its files.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("redis-server %s does not start again: %v", s.Addr, err)
	}
}

// Freeze stops the server without closing its connections (SIGSTOP).
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on; it first does what was sent to it meanwhile.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("redis-server %s: %v", s.Addr, err)
	}
}

// Files copies the append-only file as it stands on the disk; putBack kills the
// server and starts it with that copy, so that it has lost what came after.
func (s *Server) Files() (putBack func()) {
	s.t.Helper()
	kept, live := s.t.TempDir(), filepath.Join(s.dir, "appendonlydir")
	if err := os.CopyFS(kept, os.DirFS(live)); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		s.t.Helper()
		s.kill()
		if err := os.RemoveAll(live); err != nil {
			s.t.Fatal(err)
		}
		if err := os.CopyFS(live, os.DirFS(kept)); err != nil {
			s.t.Fatal(err)
		}
		s.Start()
	}
}

// Follow makes s a replica of master, reached at addr, and waits until it has a
// full copy.
func (s *Server) Follow(addr string) {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	if err := s.rdb.ReplicaOf(context.Background(), host, port).Err(); err != nil {
		s.t.Fatal(err)
	}
	s.awaitCopy()
}

func (s *Server) awaitCopy() {
	s.t.Helper()
	Await(s.t, s.Addr+" follows its master", func() bool {
		info, _ := s.rdb.Info(context.Background(), "replication").Result()
		return strings.Contains(info, "master_link_status:up")
	})
}

// Promote makes a replica the master of what it has.
func (s *Server) Promote() {
	s.t.Helper()
	if err := s.rdb.ReplicaOf(context.Background(), "NO", "ONE").Err(); err != nil {
		s.t.Fatal(err)
	}
}

// Open is the client that a portal with this REDIS_URL has.
func Open(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisurl.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Await waits until a condition holds.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// tail returns the last lines of a log.
func tail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
