package e2e

import "testing"

// TestOpening lives through an opening at the waiting page: planned, pre-queue,
// draw by a lottery that two administrators enter, line, turn, inside; with
// JavaScript and without, without a violation of accessibility in any phase.
func TestOpening(t *testing.T) {
	t.Parallel() // after those that measure
	p := startPortal(t, t.TempDir())
	p.awaitDemoState(t)
	runBrowser(t, "opening.mjs", p, t.TempDir())
}
