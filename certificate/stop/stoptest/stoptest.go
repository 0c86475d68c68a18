// Package stoptest has a switch that nobody uses, for tests of something else.
package stoptest

import (
	"context"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/stop"
)

// Never stops nothing.
type Never struct{}

// Check lets everybody pass.
func (Never) Check(context.Context, pgx.Tx, stop.Subject) error { return nil }

// Fail counts nothing.
func (Never) Fail(context.Context, pgx.Tx, string, string) error { return nil }
