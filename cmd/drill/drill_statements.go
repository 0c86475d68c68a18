package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"impfportal/internal/clock"
)

// statementsWithin is the promise for statementsMost issuers: the month is begun five
// minutes after its end, and the statements are ready when the first of them opens.
const (
	statementsWithin = 5*time.Hour + 55*time.Minute
	statementsMost   = 20_000
	// statementsMemory bounds the worker, in bytes.
	statementsMemory = 512 << 20
)

// The moments at which the worker dies while it makes statements, and the one at
// which certificates are kept from being handed out.
const (
	stepRead = iota
	stepMake
	stepDone
	stepRelease
)

var statementSteps = []killStep{
	stepRead:    {"lines of a batch", "certificate.statement_month", "BEFORE UPDATE", "NEW.read_upto > OLD.read_upto"},
	stepMake:    {"statements of a batch", "certificate.statement_month", "BEFORE UPDATE", "NEW.statements > OLD.statements AND NEW.state = 'making'"},
	stepDone:    {"end of the month", "certificate.statement_month", "BEFORE UPDATE", "NEW.state = 'done'"},
	stepRelease: {"release", "certificate.certificate", "BEFORE UPDATE", "OLD.state = 'logged' AND NEW.state = 'released'"},
}

// steered is a clock that the drill sets.
type steered struct{ shift atomic.Int64 }

func (c *steered) now() time.Time { return clock.Shifted(time.Duration(c.shift.Load()))() }

// set lets the clock go on from a moment.
func (c *steered) set(at time.Time) { c.shift.Store(int64(time.Until(at))) }

// drillStatements fills two months of the log and lets the real worker make all
// their statements: July, in which the tariff changes; August, with corrections of
// July, while the worker is killed at each step. The sums are held against sums
// that SQL of the drill's own takes from the leaves.
func drillStatements(ctx context.Context, r *Report) (err error) {
	issuers := 500
	if full() {
		issuers = statementsMost
	}
	d := &statements{clock: &steered{}}
	d.clock.set(clock.At(july, 8, 0))
	if d.p, err = startPortal(ctx, portalOptions{Now: d.clock.now}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := watchSteps(ctx, d.p.env.Pool, statementSteps); err != nil {
		return err
	}
	if err := d.settle(ctx, issuers); err != nil {
		return fmt.Errorf("issuers: %w", err)
	}

	d.clock.set(clock.At(august.AddDate(0, 0, -1), 20, 0))
	if err := d.fillJuly(ctx, r); err != nil {
		return fmt.Errorf("July: %w", err)
	}
	// What is signed and not handed out when the month ends.
	free, err := holdStep(ctx, d.p.env.Pool, stepRelease)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, free()) }()
	if err := d.hold(ctx); err != nil {
		return fmt.Errorf("held certificates: %w", err)
	}
	if err := d.measure(ctx, r); err != nil {
		return fmt.Errorf("statements of July: %w", err)
	}
	if err := errors.Join(free(), d.handedOut(ctx), d.stopWorker()); err != nil {
		return err
	}
	d.clock.set(clock.At(august, 12, 0))
	if err := d.check(ctx, r, july); err != nil {
		return err
	}

	d.clock.set(clock.At(september.AddDate(0, 0, -1), 20, 0))
	if err := d.fillAugust(ctx, r); err != nil {
		return fmt.Errorf("August: %w", err)
	}
	if err := d.kills(ctx, r); err != nil {
		return fmt.Errorf("statements of August: %w", err)
	}
	d.clock.set(clock.At(september, 12, 0))
	return d.check(ctx, r, august)
}

var (
	july      = time.Date(2021, 7, 1, 0, 0, 0, 0, time.UTC)
	august    = july.AddDate(0, 1, 0)
	september = july.AddDate(0, 2, 0)
)

// statements are two months of them.
type statements struct {
	p       *portal
	clock   *steered
	worker  *child // nil = none runs
	issuers []billed
	again   []loggedLeaf // leaves of July that August corrects
}

// end stops worker and portal.
func (d *statements) end() error { return errors.Join(d.stopWorker(), d.p.stop()) }

func (d *statements) stopWorker() (err error) {
	if d.worker != nil {
		err, d.worker = d.worker.stop(), nil
	}
	return err
}

// begin starts a worker at a turn of the job. Its clock is set to whole seconds, so it
// starts a little after it, not a little before.
func (d *statements) begin(turn time.Time, settings ...string) (err error) {
	d.worker, err = startWorker(d.p.dataDir, append(settings, clockAt(turn.Add(5*time.Second)))...)
	return err
}

// measure lets an undisturbed worker make the statements of July.
func (d *statements) measure(ctx context.Context, r *Report) error {
	began := time.Now()
	// That it cannot hand out what is held is no news.
	if err := d.begin(clock.At(august, 0, 5), fmt.Sprintf("LOG_LEVEL=INFO+%d", quiet)); err != nil {
		return err
	}
	if err := d.await(ctx, july); err != nil {
		return err
	}
	took := time.Since(began)
	peak, err := d.worker.peak()
	if err != nil {
		return err
	}
	var made int
	if err := d.p.env.Pool.QueryRow(ctx, `SELECT statements FROM certificate.statement_month WHERE month = $1`, july).Scan(&made); err != nil {
		return err
	}
	r.add(Figure{Name: "certificate.statements", Value: float64(made) / took.Seconds(), Unit: "statements/s"})
	r.add(Figure{Name: "certificate.statements_s", Value: took.Seconds(), Unit: "s"})
	r.add(Figure{Name: "certificate.statements_memory", Value: float64(peak) / (1 << 20), Unit: "MB"})
	need := max(time.Minute, time.Duration(float64(statementsWithin)*float64(len(d.issuers))/statementsMost))
	r.promise(took < need, "%d statements took %v", made, took)
	r.promise(peak < statementsMemory, "the worker took %d MB", peak>>20)
	return nil
}

// kills lets workers make the statements of August of which one after the other dies.
// The clock of the next one shows the next turn of the job, for which it would
// otherwise wait five minutes.
func (d *statements) kills(ctx context.Context, r *Report) error {
	for i, step := range []int{stepRead, stepMake, stepDone} {
		if err := d.begin(clock.At(september, 0, 5+5*i)); err != nil {
			return err
		}
		if step == stepMake { // in the midst of it
			err := until(ctx, d.worker, time.Hour, func() (half bool, err error) {
				err = d.p.env.Pool.QueryRow(ctx, `SELECT coalesce((SELECT statements FROM certificate.statement_month WHERE month = $1), 0) >= $2`, august, len(d.issuers)/3).Scan(&half)
				return half, err
			})
			if err != nil {
				return err
			}
		}
		if err := killAt(ctx, d.p.env.Pool, step, d.worker, time.Hour); err != nil {
			return fmt.Errorf("killed at the step %q: %w", statementSteps[step].name, err)
		}
		d.worker = nil
		var state string
		var made int
		if err := d.p.env.Pool.QueryRow(ctx, `SELECT state, statements FROM certificate.statement_month WHERE month = $1`, august).Scan(&state, &made); err != nil {
			return err
		}
		r.note("the worker was killed at the step %q with %d statements made (%s)", statementSteps[step].name, made, state)
	}
	if err := d.begin(clock.At(september, 0, 20)); err != nil {
		return err
	}
	if err := d.await(ctx, august); err != nil {
		return err
	}
	return d.stopWorker()
}

// await waits until a month's statements are ready.
func (d *statements) await(ctx context.Context, month time.Time) error {
	return until(ctx, d.worker, statementsWithin, func() (done bool, err error) {
		err = d.p.env.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM certificate.statement_month WHERE month = $1 AND state = 'done')`, month).Scan(&done)
		return done, err
	})
}

// handedOut waits until the certificates that were held are released.
func (d *statements) handedOut(ctx context.Context) error {
	return until(ctx, d.worker, 5*time.Minute, func() (done bool, err error) {
		err = d.p.env.Pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM certificate.certificate WHERE state <> 'released')`).Scan(&done)
		return done, err
	})
}
