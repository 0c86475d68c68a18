package e2e

import "testing"

// TestChange books for two, moves appointments and gives one back, on a phone with
// JavaScript and without it.
func TestChange(t *testing.T) {
	t.Parallel() // after those that measure
	p := startPortal(t, t.TempDir())
	p.awaitDemoState(t)
	runBrowser(t, "change.mjs", p, t.TempDir())
}
