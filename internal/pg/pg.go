// Package pg opens Postgres, migrates it, and names the few things that every
// slice does with it.
package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Querier is what a pool and a transaction have in common. A function that
// only reads takes a Querier and leaves the choice to its caller.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Open connects and waits until Postgres answers or ctx ends. maxConns 0 takes
// the driver's default.
func Open(ctx context.Context, url string, maxConns int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	if maxConns > 0 {
		cfg.MaxConns = int32(maxConns) //nolint:gosec // a configuration value of a few hundred
	}
	// Nothing waits for a lock for ever: a request that cannot have its row
	// fails clearly and can be tried again.
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = "3s"
	cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "30s"
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["application_name"] = "impfportal"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	if err := waitReady(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// waitReady pings until Postgres answers; a starting server refuses for a while.
func waitReady(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("Postgres does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// InTx runs fn in one Read Committed transaction. It commits when fn returns
// nil and rolls back otherwise, also when fn panics.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, fn)
}

// Violates reports whether err comes from the constraint (or unique index)
// with that name. Names are part of the schema; message texts are not.
func Violates(err error, constraint string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.ConstraintName == constraint
}

// IsUnique reports whether err is a unique violation (SQLSTATE 23505).
func IsUnique(err error) bool { return hasCode(err, "23505") }

// IsForeignKey reports whether err is a foreign key violation (SQLSTATE 23503).
func IsForeignKey(err error) bool { return hasCode(err, "23503") }

// IsTimeout reports whether the time that was given to a request ran out while
// Postgres, or a connection to it, was waited for.
func IsTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err)
}

// IsLockTimeout reports whether err says that a lock could not be had in time
// (SQLSTATE 55P03) or that a deadlock was broken (40P01): trying again is right.
func IsLockTimeout(err error) bool { return hasCode(err, "55P03") || hasCode(err, "40P01") }

// IsDeadlock reports whether err says that two transactions waited for each other, and
// that this one was ended: it may be tried again at once.
func IsDeadlock(err error) bool { return hasCode(err, "40P01") }

func hasCode(err error, code string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == code
}

// NoRows reports whether a query for one row found none.
func NoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
