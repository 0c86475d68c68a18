package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// dosesPerSecond is the pace at which doses are recorded: three times what all
// of Saxony's centres did on their best day.
const dosesPerSecond = 50

// drillCertificates records doses over HTTP while the worker makes their
// certificates; then the same while the worker is killed at each step in turn.
// Each dose has exactly one certificate and one leaf of the log in the end.
func drillCertificates(ctx context.Context, r *Report) (err error) {
	steady, kills := 20*time.Second, len(certificateSteps)
	if full() {
		steady, kills = 10*time.Minute, 200
	}
	d, err := startDoses(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	p := d.p

	r.note("%d doses a second for %v", dosesPerSecond, steady)
	start, from := p.env.Now(), d.given
	if err := d.record(ctx, int(dosesPerSecond*steady.Seconds()), dosesPerSecond); err != nil {
		return err
	}
	if err := d.await(ctx, 2*time.Minute); err != nil {
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

	r.note("%d doses a second, the worker killed %d times: within the transaction of each step in turn", dosesUnderKills, kills)
	if err := watchSteps(ctx, p.env.Pool, certificateSteps); err != nil {
		return err
	}
	over, enough := context.WithCancel(ctx)
	defer enough()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.recordUntil(gctx, over, dosesUnderKills) })
	g.Go(func() error {
		defer enough()
		for i := range kills {
			if err := killAt(gctx, p.env.Pool, i%len(certificateSteps), d.worker, time.Minute); err != nil {
				return err
			}
			var err error
			if d.worker, err = startWorker(p.dataDir); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	again := time.Now()
	if err := d.await(ctx, 10*time.Minute); err != nil {
		return err
	}
	r.add(Figure{Name: "certificate.recovered_s", Value: time.Since(again).Seconds(), Unit: "s"})
	return d.check(ctx, r)
}

// dosesUnderKills is the pace while the worker dies again and again.
const dosesUnderKills = 5

// doses are all that were recorded.
type doses struct {
	p      *portal
	site   *site
	worker *child // nil = it could not be started again
	given  int
}

// startDoses brings up a portal with a worker beside it that has made its first
// certificate.
func startDoses(ctx context.Context) (_ *doses, err error) {
	d := &doses{}
	if d.p, err = startPortal(ctx, portalOptions{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.end())
		}
	}()
	if d.site, err = newSite(ctx, d.p); err != nil {
		return nil, err
	}
	if d.worker, err = startWorker(d.p.dataDir); err != nil {
		return nil, err
	}
	if err := d.record(ctx, 1, 1); err != nil {
		return nil, err
	}
	return d, d.await(ctx, time.Minute)
}

// end stops worker and portal.
func (d *doses) end() (err error) {
	if d.worker != nil {
		err = d.worker.stop()
	}
	return errors.Join(err, d.p.stop())
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

// recordUntil records doses until another context ends, and finishes the one
// that it is at.
func (d *doses) recordUntil(ctx, over context.Context, perSecond int) error {
	for over.Err() == nil {
		if _, err := d.site.give(ctx); err != nil {
			return err
		}
		d.given++
		if err := pause(over, time.Second/time.Duration(perSecond)); err != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (d *doses) released(ctx context.Context) (n int, err error) {
	return n, d.p.env.Pool.QueryRow(ctx, `SELECT count(*) FROM certificate.certificate WHERE state = 'released'`).Scan(&n)
}

// await waits until every dose has its certificate, or fails after a while.
func (d *doses) await(ctx context.Context, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		n, err := d.released(ctx)
		if err != nil || n >= d.given {
			return err
		}
		if time.Now().After(end) {
			return errors.New("certificates are missing; the worker is too slow or has lost them")
		}
		if err := errors.Join(d.worker.running(), pause(ctx, 50*time.Millisecond)); err != nil {
			return err
		}
	}
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

// check wants exactly one released certificate for each dose, each with an id
// and a signature of its own and with one leaf in the log, and no leaf without
// a certificate.
func (d *doses) check(ctx context.Context, r *Report) error {
	var records, without, more, unfinished, alike, leafless, orphans int
	err := d.p.env.Pool.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM vaccination.record),
		(SELECT count(*) FROM vaccination.record v WHERE NOT EXISTS (SELECT 1 FROM certificate.certificate c WHERE c.record_id = v.id)),
		(SELECT count(*) FROM (SELECT record_id FROM certificate.certificate GROUP BY record_id HAVING count(*) > 1) m),
		(SELECT count(*) FROM certificate.certificate WHERE state <> 'released'),
		(SELECT count(*) - count(DISTINCT digest) + count(*) - count(DISTINCT uvci) FROM certificate.certificate),
		(SELECT count(*) FROM certificate.certificate c WHERE (SELECT count(*) FROM certificate.log_leaf l WHERE l.digest = c.digest AND l.idx IS NOT NULL) <> 1),
		(SELECT count(*) FROM certificate.log_leaf l WHERE l.kind IN ('certificate', 'reissue') AND NOT EXISTS (SELECT 1 FROM certificate.certificate c WHERE c.digest = l.digest))`).
		Scan(&records, &without, &more, &unfinished, &alike, &leafless, &orphans)
	if err != nil {
		return err
	}
	r.add(Figure{Name: "certificate.lost", Value: float64(without + unfinished), Unit: "certificates"})
	r.add(Figure{Name: "certificate.double", Value: float64(more + alike), Unit: "certificates"})
	r.add(Figure{Name: "certificate.orphans", Value: float64(leafless + orphans), Unit: "leaves"})
	r.promise(records == d.given, "%d doses were recorded, %d stand in the record", d.given, records)
	r.promise(without+unfinished == 0, "%d doses have no certificate, %d certificates are not finished", without, unfinished)
	r.promise(more+alike == 0, "%d doses have more than one certificate, %d certificates are alike", more, alike)
	r.promise(leafless+orphans == 0, "%d certificates have not exactly one leaf in the log, %d leaves have no certificate", leafless, orphans)
	return nil
}
