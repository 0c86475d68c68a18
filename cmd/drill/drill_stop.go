package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/certificate/stop"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/vaccination"
)

// drainWithin is how soon everything that waited must be there after an hour's
// stop.
const drainWithin = 10 * time.Minute

// drillStop stops issuing, lets an hour's certificates queue, ends the stop and
// measures how soon they are made while new doses go on being recorded.
func drillStop(ctx context.Context, r *Report) (err error) {
	queued, newcomers := 600, 5
	if full() {
		queued = 60_000
	}
	d, err := startDoses(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	p, w := d.p, d.worker
	stopID, err := p.Stop.Order(ctx, stop.Order{ReasonDE: "Übung", ReasonEN: "Drill", Internal: "drill", Actor: "system", Role: "system"})
	if err != nil {
		return err
	}
	ordered := p.env.Now()
	r.note("everything stopped; %d certificates are asked for", queued)
	if err := askFor(ctx, p, queued); err != nil {
		return err
	}
	waiting := func() (n int, err error) {
		return n, p.env.Pool.QueryRow(ctx, `SELECT count(*) FROM certificate.certificate WHERE waiting_since IS NOT NULL`).Scan(&n)
	}
	if err := until(ctx, w, 30*time.Minute, func() (bool, error) { n, err := waiting(); return n == queued, err }); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	var signed int
	if err := p.env.Pool.QueryRow(ctx, `SELECT count(*) FROM certificate.certificate WHERE signed_at > $1`, ordered).Scan(&signed); err != nil {
		return err
	}
	r.promise(signed == 0, "%d certificates were signed during the stop", signed)

	// Two people with keys approve the end; here the database is told so.
	err = pg.InTx(ctx, p.env.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL session_replication_role = replica`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE certificate.stop SET state = 'lifted', lifted_at = $2, lifted_by = $3, changed_at = $2 WHERE id = $1`, stopID, p.env.Now(), id.New())
		return err
	})
	if err != nil {
		return err
	}
	start, began := p.env.Now(), time.Now()
	over, drained := context.WithCancel(ctx)
	defer drained()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.recordUntil(gctx, over, newcomers) })
	var took time.Duration
	g.Go(func() error {
		defer drained()
		err := until(gctx, w, 2*drainWithin, func() (bool, error) {
			var open int
			err := p.env.Pool.QueryRow(gctx, `SELECT count(*) FROM certificate.certificate WHERE created_at < $1 AND state <> 'released'`, start).Scan(&open)
			return open == 0, err
		})
		took = time.Since(began)
		return err
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	d.given += queued
	if err := d.await(ctx, 2*time.Minute); err != nil {
		return err
	}
	var fresh []time.Duration
	rows, err := p.env.Pool.Query(ctx, `
		SELECT r.recorded_at, c.released_at FROM vaccination.record r JOIN certificate.certificate c ON c.record_id = r.id WHERE r.recorded_at >= $1`, start)
	if err != nil {
		return err
	}
	var from, to time.Time
	if _, err := pgx.ForEachRow(rows, []any{&from, &to}, func() error { fresh = append(fresh, to.Sub(from)); return nil }); err != nil {
		return err
	}
	p99 := percentile(fresh, 0.99)
	r.add(Figure{Name: "certificate.drain_s", Value: took.Seconds(), Unit: "s"})
	r.add(Figure{Name: "certificate.drained", Value: float64(queued) / took.Seconds(), Unit: "certificates/s"})
	r.add(Figure{Name: "certificate.new_p99_ms", Value: millis(p99), Unit: "ms"})
	r.note("%d new doses meanwhile: half were ready after %v, the slowest after %v", len(fresh), percentile(fresh, 0.5), percentile(fresh, 1))
	need := time.Duration(float64(drainWithin) * float64(queued) / 60_000)
	r.promise(took < max(need, 30*time.Second), "the queue of %d took %v", queued, took)
	r.promise(p99 < 5*time.Second, "new certificates waited %v (p99) behind the queue", p99)
	return d.check(ctx, r)
}

// until asks again and again, and watches the worker meanwhile.
func until(ctx context.Context, w *child, patience time.Duration, ask func() (bool, error)) error {
	for end := time.Now().Add(patience); ; {
		ok, err := ask()
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			return errors.New("it takes too long")
		}
		if err := errors.Join(w.running(), pause(ctx, 200*time.Millisecond)); err != nil {
			return err
		}
	}
}

// askFor records doses as practices' software does.
func askFor(ctx context.Context, p *portal, n int) error {
	return together(ctx, n, 8, func(ctx context.Context, i int) error {
		return pg.InTx(ctx, p.env.Pool, func(tx pgx.Tx) error {
			now := p.env.Now()
			_, err := p.Vaccination.RecordIssued(ctx, tx, vaccination.IssuedDose{
				Key: "drill-" + id.New(), Now: now, IssuerRef: fmt.Sprintf("issuer:drill-%d", i%500), IssuerKind: vaccination.IssuerPractice, Operator: "drill",
				Path: vaccination.PathMTLS, Region: "04", Basis: vaccination.Given, ProductID: siteProduct, LotNumber: "DRILL", DoseNumber: 1, DosesTotal: 2, Day: clock.Day(now),
				Patient: vaccination.Patient{
					FamilyName: "Drill " + letters(i), GivenName: "Karla", Birth: vaccination.PartialDate{Year: 1940 + i%60, Month: 1 + i%12, Day: 1 + i%28}, Postcode: "04109",
				},
				Actor: "system", Role: "system",
			})
			return err
		})
	})
}

// letters writes a number without digits, for a name of its own.
func letters(n int) string {
	out := []byte{byte('A' + n%26)}
	for n /= 26; n > 0; n /= 26 {
		out = append(out, byte('a'+n%26))
	}
	return string(out)
}
