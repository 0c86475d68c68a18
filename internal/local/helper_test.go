package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// helperOptions names the variable that makes the test binary a small portal:
// it starts servers, says so on its output, and stops them on a signal.
const helperOptions = "LOCAL_TEST_HELPER"

func TestMain(m *testing.M) {
	if raw := os.Getenv(helperOptions); raw != "" {
		if err := helperMain(raw); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func helperMain(raw string) error {
	var opts Options
	if err := json.Unmarshal([]byte(raw), &opts); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := Start(ctx, opts)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Stop()
}

// helper is a running helper process.
type helper struct {
	Servers // what it said
	cmd     *exec.Cmd
	stderr  *tailBuffer
}

func startHelper(t *testing.T, opts Options) *helper {
	t.Helper()
	raw, err := json.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	h := &helper{cmd: exec.Command(os.Args[0]), stderr: &tailBuffer{}}
	h.cmd.Env = append(os.Environ(), helperOptions+"="+string(raw))
	h.cmd.Stderr = h.stderr
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill()
		_, _ = h.cmd.Process.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		_ = h.cmd.Wait()
		t.Fatalf("the helper did not start: %s", h.stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &h.Servers); err != nil {
		t.Fatal(err)
	}
	return h
}

// tailBuffer collects what a process says.
type tailBuffer struct{ raw []byte }

func (b *tailBuffer) Write(p []byte) (int, error) { b.raw = append(b.raw, p...); return len(p), nil }
func (b *tailBuffer) String() string              { return string(b.raw) }

// start starts servers in this process; they are stopped with the test.
func start(t *testing.T, opts Options) *Servers {
	t.Helper()
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// leaveMark and findMark write and read one row and one key, as a booking would.
func leaveMark(t *testing.T, databaseURL, redisURL string) {
	t.Helper()
	conn := connect(t, databaseURL)
	if _, err := conn.Exec(t.Context(), "CREATE TABLE mark AS SELECT 'kept' AS word"); err != nil {
		t.Fatal(err)
	}
	if err := redisClient(t, redisURL).Set(t.Context(), "mark", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func findMark(t *testing.T, databaseURL, redisURL string) {
	t.Helper()
	var word string
	if err := connect(t, databaseURL).QueryRow(t.Context(), "SELECT word FROM mark").Scan(&word); err != nil || word != "kept" {
		t.Errorf("the row in PostgreSQL is %q, %v", word, err)
	}
	if word, err := redisClient(t, redisURL).Get(t.Context(), "mark").Result(); err != nil || word != "kept" {
		t.Errorf("the key in Redis is %q, %v", word, err)
	}
}

func connect(t *testing.T, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func redisClient(t *testing.T, redisURL string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
