package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"impfportal/internal/checkout"
)

// The tests with a browser are parallel, so that they begin when those that
// measure time have ended; the longest begins first.

// TestStory walks the whole story with a real browser: two citizens stand in
// line, register and book, an agent books for a caller, the doses are given on
// the day, the certificates are made. One of the citizens has no JavaScript.
// story_before.mjs and story_day.mjs tell what is done and seen; between them
// the portal is stopped and started again on another day.
func TestStory(t *testing.T) {
	t.Parallel()
	dataDir, folder := t.TempDir(), t.TempDir()

	p := startPortal(t, dataDir, "PORTAL_CLOCK=2021-01-11T13:00")
	p.awaitDemoState(t)
	runBrowser(t, "story_before.mjs", p, folder)
	checkLetters(t, folder)
	p.signal(syscall.SIGTERM)
	if err := p.wait(t, patience); err != nil {
		t.Fatal(err)
	}

	p = startPortal(t, dataDir, "PORTAL_CLOCK=2021-01-12T09:05")
	runBrowser(t, "story_day.mjs", p, folder)
	checkCertificates(t, p, folder)
}

// TestOpening lives through an opening at the waiting page: planned, pre-queue,
// draw by a lottery that two administrators enter, line, turn, inside; with
// JavaScript and without, without a violation of accessibility in any phase.
func TestOpening(t *testing.T) {
	t.Parallel()
	walk(t, "opening.mjs")
}

// TestVaccine follows vaccine from its delivery to the person, and what happens when
// it does not come: planned, received by lot, shared out, confirmed and opened at a
// centre, blocked; a delivery that fails, and what becomes of an appointment.
func TestVaccine(t *testing.T) {
	t.Parallel()
	walk(t, "vaccine.mjs", "PORTAL_CLOCK=2021-01-12T10:00")
}

// TestQuotas sets quotas as administrators do: without JavaScript on a phone, and
// with it at a desk, where the figures renew themselves.
func TestQuotas(t *testing.T) {
	t.Parallel()
	walk(t, "quotas.mjs")
}

// TestWaiting offers what one citizen gives back to another who waits, and moves
// them when their day closes.
func TestWaiting(t *testing.T) {
	t.Parallel()
	walk(t, "waiting.mjs", "PORTAL_CLOCK=2021-01-12T10:00")
}

// TestChange books for two, moves appointments and gives one back, on a phone with
// JavaScript and without it.
func TestChange(t *testing.T) {
	t.Parallel()
	walk(t, "change.mjs")
}

// TestChallenge takes places while machines are said to come: the proof of work
// with and without JavaScript, by keyboard, and where it fails.
func TestChallenge(t *testing.T) {
	t.Parallel()
	p := startPortal(t, t.TempDir())
	p.awaitDemoState(t)
	if _, err := p.database(t).Exec(t.Context(), `UPDATE waitingroom.room SET challenge = 'on', version = version + 1`); err != nil {
		t.Fatal(err)
	}
	runBrowser(t, "challenge.mjs", p, t.TempDir())
}

// TestKeys enrols security keys, logs in with them, and lets two people approve.
// Keys are bound to a name: the portal is opened as localhost.
func TestKeys(t *testing.T) {
	t.Parallel()
	p := startPortal(t, t.TempDir())
	p.awaitDemoState(t)
	p.URL = strings.Replace(p.URL, "127.0.0.1", "localhost", 1)
	runBrowser(t, "keys.mjs", p, t.TempDir())
}

// TestIssuer brings a pharmacy from the claim of its entry to its first certificate,
// through a stop of issuing and back, and on the first of the next month to its
// statement. The printed code is read by zbar and verified by go-cose, the statement's
// proofs by the library of Go's checksum database.
func TestIssuer(t *testing.T) {
	t.Parallel()
	dataDir, folder := t.TempDir(), t.TempDir()
	p := startPortal(t, dataDir, "PORTAL_CLOCK=2021-06-15T09:05")
	p.awaitDemoState(t)
	address := p.URL
	p.URL = strings.Replace(p.URL, "127.0.0.1", "localhost", 1)
	runBrowser(t, "issuer.mjs", p, folder)
	p.URL = address
	checkIssued(t, p, folder)
	p.signal(syscall.SIGTERM)
	if err := p.wait(t, patience); err != nil {
		t.Fatal(err)
	}

	p = startPortal(t, dataDir, "PORTAL_CLOCK=2021-07-01T00:05")
	p.URL = strings.Replace(p.URL, "127.0.0.1", "localhost", 1)
	runBrowser(t, "statement.mjs", p, folder)
	checkStatement(t, folder)
}

// walk runs a script of browser tests against a portal of its own.
func walk(t *testing.T, script string, settings ...string) {
	t.Helper()
	p := startPortal(t, t.TempDir(), settings...)
	p.awaitDemoState(t)
	runBrowser(t, script, p, t.TempDir())
}

// runBrowser runs a script of browser tests against the portal. Its lines are
// the test's log; a failing script fails the test and leaves screenshots. What
// it has to tell to the test lies in the folder.
func runBrowser(t *testing.T, script string, p *portal, folder string) {
	t.Helper()
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "e2e")
	screenshots := filepath.Join(dir, "screenshots", strings.TrimSuffix(script, ".mjs"))
	if err := os.RemoveAll(screenshots); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, script))
	cmd.Env = append(environment(), "BASE_URL="+p.URL, "STORY="+folder, "SCREENSHOTS="+screenshots, p.mark)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatalf("node does not start (scripts/setup.sh test installs it): %v", err)
	}
	done := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		t.Log(lines.Text())
		done = done || lines.Text() == "ok everything"
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s failed (%v); see %s", script, err, screenshots)
	}
	if !done {
		t.Fatalf("%s did not come to its end:\n%s", script, strings.TrimSpace(p.output.String()))
	}
}
