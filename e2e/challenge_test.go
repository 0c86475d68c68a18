package e2e

import "testing"

// TestChallenge takes places while machines are said to come: the proof of work
// with and without JavaScript, by keyboard, and where it fails.
func TestChallenge(t *testing.T) {
	t.Parallel() // after those that measure
	p := startPortal(t, t.TempDir())
	p.awaitDemoState(t)
	if _, err := p.database(t).Exec(t.Context(), `UPDATE waitingroom.room SET challenge = 'on', version = version + 1`); err != nil {
		t.Fatal(err)
	}
	runBrowser(t, "challenge.mjs", p, t.TempDir())
}
