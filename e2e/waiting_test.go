package e2e

import "testing"

// TestWaiting offers what one citizen gives back to another who waits, and moves
// them when their day closes.
func TestWaiting(t *testing.T) {
	t.Parallel() // after those that measure
	p := startPortal(t, t.TempDir(), "PORTAL_CLOCK=2021-01-12T10:00")
	p.awaitDemoState(t)
	runBrowser(t, "waiting.mjs", p, t.TempDir())
}
