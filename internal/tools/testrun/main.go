// Command testrun runs the whole suite as `make test` does: with a PostgreSQL
// and a Redis of its own, the race detector, and a report that hides nothing.
//
//	testrun [packages and flags of go test]
//
// Without arguments it tests everything, the browser tests last and alone, for
// they measure time. It fails when a test fails, when one is left out (except
// for absent shared data, unless REQUIRE_SHARED_DATA=1), and when a process is
// left behind. Its last line reads "N passed, N failed, N skipped in T".
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"impfportal/internal/checkout"
	"impfportal/internal/leftover"
	"impfportal/internal/local"
	"impfportal/internal/shareddata"
)

// lastPackage holds the browser tests.
const lastPackage = "impfportal/e2e"

// firstPackages take longest: begun last, one of them would run alone at the end.
var firstPackages = []string{"impfportal/waitingroom", "impfportal/booking", "impfportal/cmd/wiring"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ok, err := realMain(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
	}
	if err != nil || !ok {
		stop()
		os.Exit(1)
	}
}

// realMain returns whether everything passed.
func realMain(ctx context.Context, args []string) (ok bool, err error) {
	began := time.Now()
	root, err := checkout.Root()
	if err != nil {
		return false, err
	}
	if err := os.Chdir(root); err != nil {
		return false, err
	}
	if os.Getenv("TMPDIR") == "" && roomy(memoryFolder) {
		if err := os.Setenv("TMPDIR", memoryFolder); err != nil {
			return false, err
		}
	}
	servers, err := local.Start(ctx, local.Options{Postgres: true, Redis: true, Ephemeral: true, Fast: true})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	scratch, err := os.MkdirTemp("", "impfportal-test-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	env := environment(root, scratch, servers)
	report := newReport(os.Stdout, os.Getenv("REQUIRE_SHARED_DATA") == "1")
	runs, err := plan(ctx, args)
	if err != nil {
		return false, err
	}
	for _, run := range runs {
		if err := goTest(ctx, run, env, report); err != nil {
			return false, err
		}
	}
	report.leftBehind = sweepProcesses(scratch)
	return report.finish(time.Since(began)), nil
}

// Hundreds of databases are made and dropped: in memory that takes less time than on
// a disk, where there is memory enough for them, their log and what is being built.
const (
	memoryFolder = "/dev/shm"
	memoryNeeded = 10 << 30 // bytes
)

// roomy reports whether folder lies in memory, of which there is plenty, and
// programs in it may be run.
func roomy(folder string) bool {
	var fs unix.Statfs_t
	var sys unix.Sysinfo_t
	return unix.Statfs(folder, &fs) == nil && unix.Sysinfo(&sys) == nil &&
		fs.Type == unix.TMPFS_MAGIC && fs.Flags&unix.ST_NOEXEC == 0 &&
		fs.Bavail*uint64(fs.Bsize) >= memoryNeeded && sys.Freeram*uint64(sys.Unit) >= memoryNeeded //nolint:gosec // a block's size is positive
}

// environment tells the tests where the servers and the shared data are. Tests
// run in the folders of their packages, so paths are absolute.
func environment(root, scratch string, servers *local.Servers) []string {
	shared := os.Getenv("SHARED_DATA")
	if shared == "" {
		shared = shareddata.Default(root)
	}
	if abs, err := filepath.Abs(shared); err == nil {
		shared = abs
	}
	return append(os.Environ(),
		"TEST_DATABASE_URL="+servers.DatabaseURL,
		"TEST_REDIS_URL="+servers.RedisURL,
		"SHARED_DATA="+shared,
		"TMPDIR="+scratch,
		"CGO_ENABLED=1", // the race detector needs it
		"GOGC=400",      // it makes collecting garbage dear; the memory is there
		marker(scratch),
	)
}

// plan returns the arguments of one go test after the other.
func plan(ctx context.Context, args []string) ([][]string, error) {
	if len(args) > 0 {
		return [][]string{args}, nil
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var first, last []string
	for pkg := range strings.FieldsSeq(string(out)) {
		if pkg == lastPackage {
			last = append(last, "-parallel=4", pkg) // browsers wait more than others
		} else {
			first = append(first, pkg)
		}
	}
	slices.SortStableFunc(first, func(a, b string) int {
		return cmp.Compare(turn(a), turn(b))
	})
	runs := [][]string{first}
	if len(last) > 0 {
		runs = append(runs, last)
	}
	return runs, nil
}

// turn is when a package begins: 0 is first.
func turn(pkg string) int {
	if i := slices.Index(firstPackages, pkg); i >= 0 {
		return i
	}
	return len(firstPackages)
}

// goTest runs the tests and hands their events to the report. Failing tests are
// no error here.
func goTest(ctx context.Context, args, env []string, report *report) error {
	// Tests wait for servers and browsers a good part of their time: one more than the two
	// cores. Without the tables of a debugger (-w) forty programs are linked in two thirds of the time.
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-race", "-vet=off", "-json", "-count=1", "-timeout=20m", "-parallel=3", "-ldflags=-w"}, args...)...)
	cmd.Env = env
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := report.read(out)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if exit != nil && report.clean() {
		// Nothing in the events explains it.
		return fmt.Errorf("go test: %w", err)
	}
	return readErr
}

// marker is the variable by which processes of this run are known.
func marker(scratch string) string { return "IMPFPORTAL_TESTRUN=" + scratch }

// sweepProcesses kills what the tests left running and returns what it was.
func sweepProcesses(scratch string) []string {
	var left []string
	for _, p := range leftover.Marked(marker(scratch)) {
		left = append(left, p.String())
		p.Kill()
	}
	return left
}
