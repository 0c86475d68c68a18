package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"impfportal/internal/checkout"
)

// TestStory walks through the portal with a real browser; story.mjs tells what
// is done and seen.
func TestStory(t *testing.T) {
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	p := startPortal(t, t.TempDir(), "PORTAL_CLOCK=2021-01-11T13:00")
	p.awaitDemoState(t)
	runBrowser(t, filepath.Join(root, "e2e", "story.mjs"), p)
}

// runBrowser runs a script of browser tests against the portal. Its lines are
// the test's log; a failing script fails the test and leaves screenshots.
func runBrowser(t *testing.T, script string, p *portal) {
	t.Helper()
	screenshots := filepath.Join(filepath.Dir(script), "screenshots")
	if err := os.RemoveAll(screenshots); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Env = append(environment(), "BASE_URL="+p.URL, "DATA_DIR="+p.DataDir, "SCREENSHOTS="+screenshots, p.mark)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatalf("node does not start (scripts/setup.sh test installs it): %v", err)
	}
	seen := 0
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		t.Log(lines.Text())
		if strings.HasPrefix(lines.Text(), "ok ") {
			seen++
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the browser tests failed (%v); see %s", err, screenshots)
	}
	if seen == 0 {
		t.Error("the browser tests saw nothing")
	}
}
