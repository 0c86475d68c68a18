package e2e

import "testing"

// TestQuotas sets quotas as administrators do: without JavaScript on a phone, and
// with it at a desk, where the figures renew themselves.
func TestQuotas(t *testing.T) {
	t.Parallel() // after those that measure
	p := startPortal(t, t.TempDir())
	p.awaitDemoState(t)
	runBrowser(t, "quotas.mjs", p, t.TempDir())
}
