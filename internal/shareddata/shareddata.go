// Package shareddata finds the public data that tests may read but the
// repository does not contain: real deliveries, official test certificates.
package shareddata

import (
	"os"
	"path/filepath"
	"testing"

	"impfportal/internal/checkout"
)

// Absent begins the message of a test that is left out because the folder is
// absent. The test runner lets no other test be left out.
const Absent = "shared data absent"

// Path returns the absolute path of a file or folder of the shared data, for
// example Path(t, "dcc/valuesets"). They lie in SHARED_DATA, by default in
// ../shared/data beside the checkout. Where that folder does not exist the test
// is left out, or fails with REQUIRE_SHARED_DATA=1. A file that is missing from
// the folder always fails.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("SHARED_DATA")
	if dir == "" {
		root, err := checkout.Root()
		if err != nil {
			t.Fatal(err)
		}
		dir = Default(root)
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("REQUIRE_SHARED_DATA") == "1" {
			t.Fatalf("%s, and REQUIRE_SHARED_DATA=1 demands it: %v", Absent, err)
		}
		t.Skipf("%s: %s does not exist; set SHARED_DATA to the folder", Absent, dir)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("shared data: %v", err)
	}
	return path
}

// Default returns where the shared data lie when SHARED_DATA does not say.
func Default(root string) string {
	return filepath.Join(root, "..", "shared", "data")
}
