// Package checkout finds the source tree, for tests and tools that need files
// or programs of it.
package checkout

import (
	"errors"
	"os"
	"path/filepath"
)

// Root returns the absolute path of the source tree that the working directory
// lies in: the nearest folder with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("checkout: not inside the source tree")
		}
		dir = parent
	}
}
