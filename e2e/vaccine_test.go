package e2e

import "testing"

// TestVaccine follows vaccine from its delivery to the person, and what happens when
// it does not come: planned, received by lot, shared out, confirmed and opened at a
// centre, blocked; a delivery that fails, and what becomes of an appointment.
func TestVaccine(t *testing.T) {
	t.Parallel() // after those that measure
	p := startPortal(t, t.TempDir(), "PORTAL_CLOCK=2021-01-12T10:00")
	p.awaitDemoState(t)
	runBrowser(t, "vaccine.mjs", p, t.TempDir())
}
