package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// killStep is a moment at which the worker dies, within the transaction that makes
// it: what a trigger watches, and when.
type killStep struct{ name, table, event, when string }

// certificateSteps are the moments of a certificate's life.
var certificateSteps = []killStep{
	{"intent", "certificate.certificate", "BEFORE INSERT", "NEW.state = 'intent'"},
	{"signature", "certificate.certificate", "BEFORE UPDATE", "OLD.state = 'intent' AND NEW.state = 'signed'"},
	{"leaf", "certificate.log_leaf", "AFTER INSERT", ""},
	{"hashes of the log", "certificate.log_hash", "BEFORE INSERT", ""},
	{"checkpoint", "certificate.log_checkpoint", "AFTER INSERT", ""},
	{"log tells the owners", "certificate.log_told", "BEFORE UPDATE", ""},
	{"logged", "certificate.certificate", "BEFORE UPDATE", "OLD.state = 'signed' AND NEW.state = 'logged'"},
	{"release", "certificate.certificate", "BEFORE UPDATE", "OLD.state = 'logged' AND NEW.state = 'released'"},
	{"end of the task", "jobs.outbox", "BEFORE UPDATE", "OLD.done_at IS NULL AND NEW.done_at IS NOT NULL AND NEW.kind LIKE 'certificate.%'"},
}

// killLock is the first half of the advisory locks on which the steps wait; the
// second is the step's number.
const killLock = 0x6b696c6c

// watchSteps puts a trigger at each step, in the drill's own database.
func watchSteps(ctx context.Context, pool *pgxpool.Pool, steps []killStep) error {
	if _, err := pool.Exec(ctx, `
		CREATE SCHEMA drill;
		CREATE FUNCTION drill.hold() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::int, TG_ARGV[1]::int);
			RETURN NEW;
		END $$`); err != nil {
		return err
	}
	for i, s := range steps {
		when := ""
		if s.when != "" {
			when = "WHEN (" + s.when + ")"
		}
		if _, err := pool.Exec(ctx, fmt.Sprintf(`CREATE TRIGGER zz_drill_%d %s ON %s FOR EACH ROW %s EXECUTE FUNCTION drill.hold(%d, %d)`, i, s.event, s.table, when, killLock, i)); err != nil {
			return fmt.Errorf("watch %s: %w", s.name, err)
		}
	}
	return nil
}

// holdStep lets nobody pass a step until free is called, which may be called again.
func holdStep(ctx context.Context, pool *pgxpool.Pool, step int) (free func() error, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1, $2)`, killLock, step); err != nil {
		conn.Release()
		return nil, err
	}
	return sync.OnceValue(func() error {
		defer conn.Release()
		_, err := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1, $2)`, killLock, step)
		return err
	}), nil
}

// killAt waits until the worker is in the middle of a step and kills it there.
func killAt(ctx context.Context, pool *pgxpool.Pool, step int, w *child, patience time.Duration) (err error) {
	free, err := holdStep(ctx, pool, step)
	if err != nil {
		return err
	}
	// What the dead worker's connection was at goes on and is rolled back: there
	// is nobody to commit it.
	defer func() { err = errors.Join(err, free()) }()
	for end := time.Now().Add(patience); ; {
		var there bool
		if err := pool.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2 AND NOT granted)`,
			killLock, step).Scan(&there); err != nil {
			return err
		}
		if there {
			return w.kill()
		}
		if time.Now().After(end) {
			return fmt.Errorf("nothing came to step %d within %v", step, patience)
		}
		if err := errors.Join(w.running(), pause(ctx, 2*time.Millisecond)); err != nil {
			return err
		}
	}
}
