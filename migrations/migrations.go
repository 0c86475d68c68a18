// Package migrations holds the one global order of schema changes. Every file
// must be safe while the program before it still runs.
package migrations

import "embed"

// FS holds the .sql files in goose's format.
//
//go:embed *.sql
var FS embed.FS
