package booking

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/await"
	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/redistest"
	"impfportal/inventory"
)

// A rule with a date changes the places of every day from then on, without
// anybody asking for a plan: the change tells, the worker plans.
func TestRuleChangesReplanEveryDay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 40_000) // the stations are what is short
	mux := jobs.NewMux()
	b.s.Jobs(mux)
	worker := jobs.NewWorker(b.pool, redistest.New(t), mux, nil, clock.Shifted(0), slog.New(slog.DiscardHandler), 2)
	ctx, stop := context.WithCancel(b.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = worker.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
	told := func(what string) {
		t.Helper()
		await.True(t, what, func() bool {
			return b.count(`SELECT count(*) FROM booking.plan WHERE centre_id = $1 AND product_id = $2 AND wanted > made`, leipzig, comirnaty) > 0 &&
				b.count(`SELECT count(*) FROM jobs.outbox WHERE done_at IS NULL`) == 0
		})
		b.ok(b.s.ReplanWanted(b.ctx))
	}
	places := func() map[time.Time]int {
		t.Helper()
		rows, err := b.pool.Query(b.ctx, `
			SELECT s.day, sum(p.places)::int FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
			WHERE s.centre_id = $1 AND s.product_id = $2 GROUP BY s.day`, leipzig, comirnaty)
		b.ok(err)
		out := map[time.Time]int{}
		var (
			d time.Time
			n int
		)
		_, err = pgx.ForEachRow(rows, []any{&d, &n}, func() error { out[d] = n; return nil })
		b.ok(err)
		return out
	}
	told("stock")
	before := places()
	from := day(2021, 1, 25)
	b.tx(func(tx pgx.Tx) error {
		return centre.SetMinutes(b.ctx, tx, b.now(), leipzig, from, 20, centre.By{Actor: "staff:test", Role: "admin"})
	})
	told("minutes per person")
	after, later := places(), 0
	for d, n := range before {
		if d.Before(from) || !d.Before(day(2021, 3, 1)) { // in March only the spill of the second appointments
			continue
		}
		if m := after[d]; m*2 > n+20 || m == 0 { // half as many, but for rounding
			t.Errorf("%s: %d places, before %d", d.Format(time.DateOnly), m, n)
		}
		later++
	}
	if later < 20 || after[day(2021, 1, 13)] == 0 {
		t.Errorf("%d days from %s on, %d places on 13 January", later, from.Format(time.DateOnly), after[day(2021, 1, 13)])
	}
	// Now vaccine is what is short: thawed too early for second doses.
	b.waste(leipzig, comirnaty, 39_900)
	told("waste")
	full := b.pairs(leipzig, comirnaty)
	lots, err := b.inventory.Lots(b.ctx, b.pool, inventory.CentrePlace(leipzig), comirnaty, b.now())
	b.ok(err)
	b.tx(func(tx pgx.Tx) error {
		return b.inventory.Thaw(b.ctx, tx, inventory.Thaw{Place: inventory.CentrePlace(leipzig), LotID: lots[0].ID, Vials: 60, Day: b.now(), Actor: "staff:test", At: b.now()})
	})
	told("thaw")
	if n := b.pairs(leipzig, comirnaty); full != 250 || n != 200 {
		t.Errorf("%d pairs of 100 vials, %d when 60 last five days (300 doses now and 200 later); want 250 and 200", full, n)
	}
	by := inventory.By{Actor: "staff:test", Role: "admin"}
	b.tx(func(tx pgx.Tx) error {
		return b.inventory.SetShelfLife(b.ctx, tx, inventory.ShelfRule{ProductID: comirnaty, Kind: inventory.AfterThaw, ValidFrom: b.now(), Amount: 60}, by)
	})
	told("shelf life")
	if n := b.pairs(leipzig, comirnaty); n != 250 {
		t.Errorf("%d pairs when thawed vials last sixty days, want 250", n)
	}
	b.tx(func(tx pgx.Tx) error { return b.inventory.SetDosesPerVial(b.ctx, tx, comirnaty, b.now(), 6, by) })
	told("doses per vial")
	if n := b.pairs(leipzig, comirnaty); n != 300 {
		t.Errorf("%d pairs at six doses a vial, want 300", n)
	}
	// A rule that is known to come and takes doses away is respected today.
	b.tx(func(tx pgx.Tx) error {
		return b.inventory.SetDosesPerVial(b.ctx, tx, comirnaty, day(2021, 2, 1), 4, by)
	})
	told("fewer doses to come")
	if n := b.pairs(leipzig, comirnaty); n != 200 {
		t.Errorf("%d pairs when four doses a vial are known to come, want 200", n)
	}
	b.sound()
}
