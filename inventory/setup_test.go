package inventory

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/programme"
)

// bundle is a ledger on a database of its own, with the demo's programmes and
// centres and a clock that the test sets.
type bundle struct {
	t    *testing.T
	ctx  context.Context
	pool *pgxpool.Pool
	s    *Service
	now  time.Time
	by   By
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, ctx: context.Background(), pool: pgtest.New(t), now: clock.At(day(2021, 1, 11), 14, 0), by: By{Actor: "staff:test", Role: "admin"}}
	b.s = New(b.pool, func() time.Time { return b.now }, slog.New(slog.DiscardHandler))
	b.tx(func(tx pgx.Tx) error {
		if err := programme.SeedDemo(b.ctx, tx, b.now); err != nil {
			return err
		}
		return centre.SeedDemo(b.ctx, tx, b.now)
	})
	return b
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// tx runs fn in a transaction that must succeed.
func (b *bundle) tx(fn func(tx pgx.Tx) error) {
	b.t.Helper()
	if err := b.try(fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) try(fn func(tx pgx.Tx) error) error { return pg.InTx(b.ctx, b.pool, fn) }

// receive puts vials of a new lot into a place and returns the lot's id.
func (b *bundle) receive(place Place, productID, number string, expiry time.Time, vials int) string {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) error {
		did, err := b.s.PlanDelivery(b.ctx, tx, NewDelivery{ProductID: productID, Place: place, Day: b.now, Vials: vials}, b.by)
		if err != nil {
			return err
		}
		return b.s.ReceiveDelivery(b.ctx, tx, did, []ReceivedLot{{Number: number, Expiry: expiry, Vials: vials}}, b.by)
	})
	lot, err := LotByNumber(b.ctx, b.pool, productID, number)
	if err != nil {
		b.t.Fatal(err)
	}
	return lot.ID
}

func (b *bundle) give(place Place, lotID string) error {
	return b.try(func(tx pgx.Tx) error {
		return b.s.GiveDose(b.ctx, tx, Give{Place: place, LotID: lotID, Ref: id.New(), Actor: "staff:test", At: b.now})
	})
}

func (b *bundle) stock(place Place, productID string, on time.Time) Stock {
	b.t.Helper()
	st, err := b.s.Doses(b.ctx, b.pool, place, productID, on)
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

// reconciled fails the test when balances and ledger differ.
func (b *bundle) reconciled() {
	b.t.Helper()
	diffs, err := Reconcile(b.ctx, b.pool)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(diffs) > 0 {
		b.t.Errorf("balances differ from the ledger: %+v", diffs)
	}
}

// events counts the StockChanged rows since the last call, by place.
func (b *bundle) events() map[Place]int {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, `DELETE FROM jobs.outbox WHERE kind = $1 RETURNING payload->>'place'`, StockChanged.Name())
	if err != nil {
		b.t.Fatal(err)
	}
	places, err := pgx.CollectRows(rows, pgx.RowTo[Place])
	if err != nil {
		b.t.Fatal(err)
	}
	n := map[Place]int{}
	for _, p := range places {
		n[p]++
	}
	return n
}
