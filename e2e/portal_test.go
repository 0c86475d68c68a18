// Package e2e tests the real programs from the outside: the set-up as a person
// at a terminal meets it, and the pages as people in a browser meet them.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/await"
	"impfportal/internal/checkout"
	"impfportal/internal/leftover"
	"impfportal/internal/local"
)

// stopLimit is the contract: everything stops within it.
const stopLimit = 10 * time.Second

// patience is for what is not measured, beside browsers that take the processor.
const patience = time.Minute

var programs = struct {
	sync.Once
	dir string
	err error
}{}

func TestMain(m *testing.M) {
	code := m.Run()
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// program returns the path of the built cmd/NAME.
func program(t testing.TB, name string) string {
	t.Helper()
	programs.Do(func() {
		root, err := checkout.Root()
		if err != nil {
			programs.err = err
			return
		}
		if programs.dir, programs.err = os.MkdirTemp("", "impfportal-e2e-"); programs.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-ldflags=-w", "-o", programs.dir, "./cmd/portal", "./cmd/worker")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// portal is a running portal process.
type portal struct {
	URL     string
	DataDir string
	Port    int

	// refused says that another portal owns DataDir: its servers are not ours.
	refused bool

	cmd    *exec.Cmd
	mark   string // in the environment of all its processes
	output *output
	ended  chan struct{} // closed when the process has ended
	err    error         // how; read after ended
}

// startPortal starts the portal in local mode on dataDir and waits until it is
// ready. Further settings are "NAME=value".
func startPortal(t testing.TB, dataDir string, settings ...string) *portal {
	t.Helper()
	p := launchPortal(t, dataDir, freePort(t), settings...)
	p.awaitReady(t)
	return p
}

// awaitReady waits until the portal says that it is ready.
func (p *portal) awaitReady(t testing.TB) {
	t.Helper()
	ready := await.Within(90*time.Second, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("the portal ended (%v):\n%s", p.err, p.output)
		default:
		}
		status, err := get(p.URL + "/readyz")
		return err == nil && status == http.StatusOK
	})
	if !ready {
		t.Fatalf("the portal is not ready after 90 s:\n%s", p.output)
	}
}

// launched counts the portals of this run.
var launched atomic.Int64

// launchPortal starts the portal and does not wait.
func launchPortal(t testing.TB, dataDir string, port int, settings ...string) *portal {
	t.Helper()
	cmd := exec.Command(program(t, "portal"))
	cmd.Dir = t.TempDir()
	return launch(t, cmd, dataDir, port, append([]string{"PORTAL_MODE=local"}, settings...)...)
}

// launch starts a command that becomes a portal, and sees to its end.
func launch(t testing.TB, cmd *exec.Cmd, dataDir string, port int, settings ...string) *portal {
	t.Helper()
	p := &portal{
		URL: fmt.Sprintf("http://127.0.0.1:%d", port), DataDir: dataDir, Port: port,
		mark: fmt.Sprintf("IMPFPORTAL_E2E=%d-%d", os.Getpid(), launched.Add(1)), output: &output{}, ended: make(chan struct{}),
	}
	p.cmd = cmd
	p.cmd.Env = append(environment(), "DATA_DIR="+dataDir, fmt.Sprintf("PORT=%d", port), p.mark)
	p.cmd.Env = append(p.cmd.Env, settings...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(stopLimit):
			p.signal(syscall.SIGKILL)
			<-p.ended
			t.Errorf("the portal did not stop within %s:\n%s", stopLimit, p.output)
		}
		if left := p.leftover(); len(left) > 0 {
			t.Errorf("processes are left behind: %v", left)
		}
		if t.Failed() {
			t.Logf("what the portal said:\n%s", p.output)
		}
	})
	return p
}

// environment is that of a person at a terminal: nothing of the test's own.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DATABASE_URL", "REDIS_URL", "TEST_DATABASE_URL", "TEST_REDIS_URL", "PORTAL_MODE", "PORTAL_CLOCK", "PORT", "DATA_DIR":
		default:
			env = append(env, kv)
		}
	}
	return env
}

// signal sends to the whole process group, as a terminal does.
func (p *portal) signal(sig syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, sig) }

// wait returns how the process ended; it must do so within the limit.
func (p *portal) wait(t testing.TB, limit time.Duration) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(limit):
		t.Fatalf("the portal did not end within %s:\n%s", limit, p.output)
		return nil
	}
}

// processes are the portal and its servers, as far as they run. (PostgreSQL's
// children write over their environment; they are known by the servers' lock.)
func (p *portal) processes() []leftover.Process {
	marked := leftover.Marked(p.mark)
	if p.refused {
		return marked
	}
	return append(marked, leftover.Holding(filepath.Join(p.DataDir, "servers.lock"))...)
}

// leftover waits until no process of the portal is left and returns those that
// stay all the same, after it has killed them.
func (p *portal) leftover() []leftover.Process {
	var left []leftover.Process
	gone := await.Within(stopLimit, func() bool {
		left = p.processes()
		return len(left) == 0
	})
	if !gone {
		for _, process := range left {
			process.Kill()
		}
	}
	return left
}

// run runs another command of the portal program beside the running one, as a
// person would: with DATA_DIR and nothing else.
func (p *portal) run(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(program(t, "portal"), args...)
	cmd.Env = append(environment(), "DATA_DIR="+p.DataDir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// database connects to the portal's own database.
func (p *portal) database(t testing.TB) *pgx.Conn {
	t.Helper()
	instance, err := local.Find(p.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), instance.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func get(url string) (status int, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// output collects what a process says.
type output struct {
	mu  sync.Mutex
	raw []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.raw = append(o.raw, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.raw)
}
