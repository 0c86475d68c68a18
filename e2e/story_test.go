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

// TestStory walks the whole story with a real browser: two citizens stand in
// line, register and book, an agent books for a caller, the doses are given on
// the day, the certificates are made. One of the citizens has no JavaScript.
// story_before.mjs and story_day.mjs tell what is done and seen; between them
// the portal is stopped and started again on another day.
func TestStory(t *testing.T) {
	t.Parallel() // after those that measure
	dataDir, folder := t.TempDir(), t.TempDir()

	p := startPortal(t, dataDir, "PORTAL_CLOCK=2021-01-11T13:00")
	p.awaitDemoState(t)
	runBrowser(t, "story_before.mjs", p, folder)
	checkLetters(t, folder)
	p.signal(syscall.SIGTERM)
	if err := p.wait(t, stopLimit); err != nil {
		t.Fatal(err)
	}

	p = startPortal(t, dataDir, "PORTAL_CLOCK=2021-01-12T09:05")
	runBrowser(t, "story_day.mjs", p, folder)
	checkCertificates(t, p, folder)
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
	screenshots := filepath.Join(dir, "screenshots")
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
