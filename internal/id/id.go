// Package id makes identifiers.
package id

import "github.com/google/uuid"

// New returns a UUIDv7 (RFC 9562): unique, and ordered by time, so that index
// pages stay warm. It is an identifier and not a secret.
func New() string { return uuid.Must(uuid.NewV7()).String() }

// Valid reports whether s has the form of a UUID.
func Valid(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }
