package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// dosesPerSecond is the pace at which doses are recorded: three times what all
// of Saxony's centres did on their best day.
const dosesPerSecond = 50

// drillCertificates records doses over HTTP while the worker makes their
// certificates; then the same while the worker is killed again and again. Each
// dose has exactly one certificate in the end.
func drillCertificates(ctx context.Context, r *Report) (err error) {
	steady, shaky, kills := 20*time.Second, 8*time.Second, 6
	if full() {
		steady, shaky, kills = 10*time.Minute, 5*time.Minute, 200
	}
	p, err := startPortal(ctx, portalOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	site, err := newSite(ctx, p)
	if err != nil {
		return err
	}
	w, err := startWorker(p.dataDir)
	if err != nil {
		return err
	}
	stop := func() error { return w.stop() }
	defer func() { err = errors.Join(err, stop()) }()
	d := &doses{p: p, site: site}
	// The first dose waits for the worker to be up.
	if err := d.record(ctx, 1, 1); err != nil {
		return err
	}
	if err := d.await(ctx, w, time.Minute); err != nil {
		return err
	}

	r.note("%d doses a second for %v", dosesPerSecond, steady)
	start, from := p.env.Now(), d.given
	if err := d.record(ctx, int(dosesPerSecond*steady.Seconds()), dosesPerSecond); err != nil {
		return err
	}
	if err := d.await(ctx, w, 2*time.Minute); err != nil {
		return err
	}
	ready, last, err := d.waits(ctx, start)
	if err != nil {
		return err
	}
	p99 := percentile(ready, 0.99)
	r.add(Figure{Name: "certificate.ready_p99_ms", Value: millis(p99), Unit: "ms"})
	r.add(Figure{Name: "certificate.hourly", Value: float64(d.given-from) / last.Sub(start).Hours(), Unit: "certificates/h"})
	r.note("over %v; half were ready after %v, the slowest after %v", last.Sub(start).Round(time.Second), percentile(ready, 0.5), percentile(ready, 1))
	r.promise(p99 < 2*time.Second, "certificates were ready after %v (p99), more than 2 s", p99)

	r.note("%d doses a second for %v, the worker killed %d times", dosesPerSecond, shaky, kills)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.record(gctx, int(dosesPerSecond*shaky.Seconds()), dosesPerSecond) })
	g.Go(func() error {
		for range kills {
			if err := d.progress(gctx); err != nil {
				return err
			}
			if err := pause(gctx, rand.N(150*time.Millisecond)); err != nil {
				return err
			}
			if err := w.kill(); err != nil {
				return err
			}
			var err error
			if w, err = startWorker(p.dataDir); err != nil {
				stop = func() error { return nil }
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	again := time.Now()
	if err := d.await(ctx, w, 10*time.Minute); err != nil {
		return err
	}
	r.add(Figure{Name: "certificate.recovered_s", Value: time.Since(again).Seconds(), Unit: "s"})
	return d.check(ctx, r)
}

// doses are all that were recorded.
type doses struct {
	p     *portal
	site  *site
	given int
}

// record records n doses, perSecond a second, whatever time each takes.
func (d *doses) record(ctx context.Context, n int, perSecond float64) error {
	start := time.Now()
	err := together(ctx, n, 64, func(ctx context.Context, i int) error {
		if err := pause(ctx, time.Until(start.Add(time.Duration(float64(i)/perSecond*float64(time.Second))))); err != nil {
			return err
		}
		_, err := d.site.give(ctx)
		return err
	})
	d.given += n
	return err
}

func (d *doses) released(ctx context.Context) (n int, err error) {
	return n, d.p.env.Pool.QueryRow(ctx, `SELECT count(*) FROM certificate.certificate WHERE state = 'released'`).Scan(&n)
}

// await waits until every dose has its certificate, or fails after a while.
func (d *doses) await(ctx context.Context, w *child, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		n, err := d.released(ctx)
		if err != nil || n >= d.given {
			return err
		}
		if time.Now().After(end) {
			return errors.New("certificates are missing; the worker is too slow or has lost them")
		}
		if err := errors.Join(w.running(), pause(ctx, 50*time.Millisecond)); err != nil {
			return err
		}
	}
}

// progress waits for a few more certificates, or until there is none to come.
func (d *doses) progress(ctx context.Context) error {
	from, err := d.released(ctx)
	if err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if n, err := d.released(ctx); err != nil || n >= from+3 {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// waits returns how long each dose since start waited for its certificate, from
// the beginning of the request that recorded it, and when the last was ready.
func (d *doses) waits(ctx context.Context, start time.Time) (out []time.Duration, last time.Time, err error) {
	rows, err := d.p.env.Pool.Query(ctx, `
		SELECT r.given_at, c.released_at FROM vaccination.record r JOIN certificate.certificate c ON c.record_id = r.id WHERE r.given_at >= $1`, start)
	if err != nil {
		return nil, last, err
	}
	defer rows.Close()
	for rows.Next() {
		var given, released time.Time
		if err := rows.Scan(&given, &released); err != nil {
			return nil, last, err
		}
		out = append(out, released.Sub(given))
		if released.After(last) {
			last = released
		}
	}
	return out, last, rows.Err()
}

// check wants exactly one released certificate for each dose, and each with an
// id and a signature of its own.
func (d *doses) check(ctx context.Context, r *Report) error {
	var records, without, more, unfinished, alike int
	err := d.p.env.Pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM vaccination.record),
		(SELECT count(*) FROM vaccination.record v WHERE NOT EXISTS (SELECT 1 FROM certificate.certificate c WHERE c.record_id = v.id)),
		(SELECT count(*) FROM (SELECT record_id FROM certificate.certificate GROUP BY record_id HAVING count(*) > 1) m),
		(SELECT count(*) FROM certificate.certificate WHERE state <> 'released'),
		(SELECT count(*) - count(DISTINCT digest) + count(*) - count(DISTINCT uvci) FROM certificate.certificate)`).
		Scan(&records, &without, &more, &unfinished, &alike)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "certificate.lost", Value: float64(without + unfinished), Unit: "certificates"})
	r.add(Figure{Name: "certificate.double", Value: float64(more + alike), Unit: "certificates"})
	r.promise(records == d.given, "%d doses were recorded, %d stand in the record", d.given, records)
	r.promise(without+unfinished == 0, "%d doses have no certificate, %d certificates are not finished", without, unfinished)
	r.promise(more+alike == 0, "%d doses have more than one certificate, %d certificates are alike", more, alike)
	return nil
}
