// Package await is how tests wait: for a condition, never for a time.
package await

import (
	"testing"
	"time"
)

// Limit is how long a test waits for what must come at once; it is long because
// the machines are shared.
const Limit = 30 * time.Second

// True asks until ok, and fails the test with what after Limit.
func True(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Within(Limit, ok) {
		t.Fatalf("not within %v: %s", Limit, what)
	}
}

// Within asks until ok, and returns whether it was so within the limit.
func Within(limit time.Duration, ok func() bool) bool {
	deadline := time.After(limit)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-deadline:
			return false
		case <-again.C:
		}
	}
	return true
}
