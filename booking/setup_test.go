package booking

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/inventory"
	"impfportal/notify"
	"impfportal/programme"
)

// bundle is booking with everything below it on a database of its own: the
// demo's programmes and centres, no stock, and a clock that the test sets.
type bundle struct {
	t         testing.TB
	ctx       context.Context
	pool      *pgxpool.Pool
	citizens  *citizen.Service
	inventory *inventory.Service
	s         *Service
	clock     atomic.Pointer[time.Time]
	people    int
}

// monday is the opening day: Monday, 11 January 2021, 14:00 in Berlin.
var monday = time.Date(2021, 1, 11, 13, 0, 0, 0, time.UTC)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func setup(t testing.TB) *bundle {
	t.Helper()
	b := &bundle{t: t, ctx: context.Background(), pool: pgtest.New(t)}
	b.at(monday)
	log := slog.New(slog.DiscardHandler)
	v := vault.ForTest()
	messages := notify.New(notify.Config{Pool: b.pool, Vault: v, Now: b.now, Local: true, Sender: []string{"Impfportal", "Weg 1", "01067 Dresden"}, From: "Impfportal <termin@example.org>"})
	b.inventory = inventory.New(b.pool, b.now, log)
	b.citizens = citizen.New(citizen.Config{
		Pool: b.pool, Redis: redistest.New(t), Vault: v, Notify: messages, Now: b.now, Bookings: Standing, CancelBookings: CancelStanding,
		Changed: func(ctx context.Context, tx pgx.Tx, p citizen.Person) error { return b.s.ContactChanged(ctx, tx, p) },
		Sender:  messages.Sender(), Hotline: "0800 0899 089", BaseURL: "https://impfportal.example",
	})
	b.s = New(Deps{
		Pool: b.pool, Now: b.now, Log: log, Citizens: b.citizens, Inventory: b.inventory, Notify: messages,
		BaseURL: "https://impfportal.example", Hotline: "0800 0899 089",
	})
	b.returns(0, 0) // what is given back is free at once
	b.tx(func(tx pgx.Tx) error {
		if err := programme.SeedDemo(b.ctx, tx, b.now()); err != nil {
			return err
		}
		return centre.SeedDemo(b.ctx, tx, b.now())
	})
	return b
}

// returns sets when given-back places are free again.
func (b *bundle) returns(delay, spread time.Duration) {
	b.t.Helper()
	b.ok(b.s.SetReturns(b.ctx, ReturnSettings{delay, spread}, By{"staff:test", "admin"}))
}

func (b *bundle) at(t time.Time) { b.clock.Store(&t) }

func (b *bundle) now() time.Time { return *b.clock.Load() }

func (b *bundle) tx(fn func(tx pgx.Tx) error) {
	b.t.Helper()
	b.ok(pg.InTx(b.ctx, b.pool, fn))
}

func (b *bundle) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.ctx, sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.ctx, sql, args...).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// stock puts vials of a new lot into a centre.
func (b *bundle) stock(centreID, productID string, vials int) {
	b.t.Helper()
	by := inventory.By{Actor: "staff:test", Role: "admin"}
	b.tx(func(tx pgx.Tx) error {
		did, err := b.inventory.PlanDelivery(b.ctx, tx, inventory.NewDelivery{ProductID: productID, Place: inventory.CentrePlace(centreID), Day: b.now(), Vials: vials}, by)
		if err != nil {
			return err
		}
		return b.inventory.ReceiveDelivery(b.ctx, tx, did, []inventory.ReceivedLot{{Number: "T" + id.New()[24:], Expiry: clock.Day(b.now()).AddDate(0, 0, 180), Vials: vials}}, by)
	})
}

// waste takes vials out of a centre.
func (b *bundle) waste(centreID, productID string, vials int) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) error {
		lots, err := b.inventory.Lots(b.ctx, tx, inventory.CentrePlace(centreID), productID, b.now())
		if err != nil {
			return err
		}
		return b.inventory.Waste(b.ctx, tx, inventory.Waste{
			Place: inventory.CentrePlace(centreID), LotID: lots[0].ID, Vials: vials,
			Reason: inventory.Reasons()[1], Actor: "staff:test", At: b.now(),
		})
	})
}

// webOnly gives all places of a centre to the web.
func (b *bundle) webOnly(centreID string) {
	b.t.Helper()
	b.ok(b.s.SetShares(b.ctx, centreID, Shares{Web: 100}, By{"staff:test", "admin"}))
}

func (b *bundle) replan(centreID, productID string) {
	b.t.Helper()
	b.ok(b.s.Replan(b.ctx, centreID, productID))
}

func (b *bundle) pairs(centreID, productID string) int {
	b.t.Helper()
	n, err := b.s.OfferedPairs(b.ctx, b.pool, centreID, productID)
	b.ok(err)
	return n
}

// person registers somebody of 80 years and more.
func (b *bundle) person(change ...func(*citizen.Registration)) citizen.Person {
	b.t.Helper()
	b.people++
	in := citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true,
		FamilyName: "Muster" + string(rune('a'+b.people%26)) + string(rune('a'+b.people/26%26)), GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1930, Month: 1 + b.people%12, Day: 1 + b.people%28}, Sex: "female",
		Email: fmt.Sprintf("erika%d@example.org", b.people), Lang: "de",
	}
	in.Address.Street, in.Address.Postcode, in.Address.City = "Weg 1", "04109", "Leipzig"
	for _, fn := range change {
		fn(&in)
	}
	r, err := b.citizens.Register(b.ctx, in, "citizen")
	b.ok(err)
	return r.Person
}

// pair is what anybody may have of a product of two doses.
func pair(productID string) []Entitlement {
	return []Entitlement{{ProductID: productID, Legs: 2, FirstDose: 1, MinDays: 21, MaxDays: 42}}
}

// take books for somebody who is no registered person.
func (b *bundle) take(personID, key string, ents []Entitlement, slots ...int64) (Series, error) {
	return b.s.take(b.ctx, takeRequest{
		ProgrammeID: "covid-19", Entitlements: ents,
		HoldRequest: HoldRequest{PersonID: personID, Channel: Web, SlotIDs: slots, Key: key, Actor: "citizen:" + personID, Role: "citizen"},
	})
}

// choices lists all series of the next days that somebody could hold over the web.
func (b *bundle) choices(centreID string, ents []Entitlement) []Choice {
	b.t.Helper()
	return b.choicesOver(Web, centreID, ents)
}

func (b *bundle) choicesOver(ch Channel, centreID string, ents []Entitlement) []Choice {
	b.t.Helper()
	days, err := b.s.offers(b.ctx, b.pool, centreID, ch, b.now(), b.now().AddDate(0, 0, 60), ents)
	b.ok(err)
	var out []Choice
	for _, d := range days {
		for _, t := range d.First {
			if c, ok := d.Choice(t.SlotID); ok {
				out = append(out, c)
			}
		}
	}
	return out
}

// sound fails the test when a count does not fit its appointments, or when half a
// series stands.
func (b *bundle) sound() {
	b.t.Helper()
	wrong, err := b.s.Verify(b.ctx)
	b.ok(err)
	if len(wrong) > 0 {
		b.t.Fatalf("places and appointments differ: %+v", wrong)
	}
	if n := b.count(`SELECT count(*) FROM booking.place WHERE taken > places OR taken < 0`); n > 0 {
		b.t.Fatalf("%d places oversold", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.series s WHERE state IN ('held', 'confirmed') AND NOT EXISTS (SELECT 1 FROM booking.appointment a WHERE a.series_id = s.id)`); n > 0 {
		b.t.Fatalf("%d series without appointments", n)
	}
}
