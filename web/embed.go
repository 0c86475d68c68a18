// Package web holds what every page shares: the layout's templates and texts,
// the portal's own styles and scripts, and the third-party assets of the browser.
//
// Third-party files are not part of the repository: scripts/setup.sh fetches
// them with npm and puts what is needed into dist/ (see build.mjs). A program
// built without them compiles and answers, but its pages have no style;
// [CheckDist] says so.
package web

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// Files are the shared templates/, i18n/ and static/.
//
//go:embed all:templates all:i18n all:static
var Files embed.FS

//go:embed all:dist
var dist embed.FS

// ErrNoDist says that the program was built without third-party assets.
var ErrNoDist = errors.New("the browser assets (KERN) are missing from this program: " +
	"run scripts/setup.sh and build it again, as `make run` does")

// Dist are the third-party assets: "kern.css", which names "fonts/..." relatively,
// so that the whole tree must be served in one folder, and ALTCHA's "altcha.js",
// "altcha.css" and "altcha-worker.js".
func Dist() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // only for a malformed path
	}
	return sub
}

// CheckDist returns ErrNoDist when the program was built without third-party
// assets.
func CheckDist() error {
	switch _, err := fs.Stat(dist, "dist/kern.css"); {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNoDist
	case err != nil:
		return fmt.Errorf("web: %w", err)
	}
	return nil
}
