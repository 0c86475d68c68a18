package wiring

import (
	"strings"
	"testing"
)

// No address is answered by an earlier route that takes anything in its place.
func TestNoRouteIsShadowed(t *testing.T) {
	t.Parallel()
	_, app := testApp(t)
	routes := app.Web().Routes()
	for i, later := range routes {
		for _, earlier := range routes[:i] {
			if earlier.Method == later.Method && earlier.Path != later.Path && takes(earlier.Path, later.Path) {
				t.Errorf("%s %s never gets a request: %s is before it", later.Method, later.Path, earlier.Path)
			}
		}
	}
}

// takes reports whether a pattern matches every address of another one.
func takes(pattern, path string) bool {
	a, b := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], ":") {
			return false
		}
	}
	return true
}
