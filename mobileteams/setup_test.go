package mobileteams_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/inventory"
	"impfportal/mobileteams"
	"impfportal/programme"
	"impfportal/vaccination"
)

// bundle is a dispatch on a database of its own: the demo's teams, facilities
// and visit, and ten vials of Comirnaty in Leipzig.
type bundle struct {
	t     *testing.T
	ctx   context.Context
	pool  *pgxpool.Pool
	now   time.Time
	stock *inventory.Service
	s     *mobileteams.Service
	lot   string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{t: t, ctx: context.Background(), pool: pgtest.New(t), now: clock.At(day(2021, 1, 18), 9, 0)}
	now := func() time.Time { return b.now }
	v := vault.ForTest()
	b.stock = inventory.New(b.pool, now, slog.New(slog.DiscardHandler))
	c := citizen.New(citizen.Config{Pool: b.pool, Redis: redistest.New(t), Vault: v, Now: now})
	bk := booking.New(booking.Deps{Pool: b.pool, Now: now, Citizens: c, Inventory: b.stock})
	b.s = mobileteams.New(b.pool, b.stock, vaccination.New(b.pool, v, b.stock, bk, c))
	by := inventory.By{Actor: "staff:test", Role: "admin"}
	b.tx(func(tx pgx.Tx) error {
		if err := programme.SeedDemo(b.ctx, tx, b.now); err != nil {
			return err
		}
		if err := centre.SeedDemo(b.ctx, tx, b.now); err != nil {
			return err
		}
		did, err := b.stock.PlanDelivery(b.ctx, tx, inventory.NewDelivery{ProductID: "comirnaty", Place: inventory.CentrePlace("leipzig"), Day: b.now, Vials: 15}, by)
		if err != nil {
			return err
		}
		if err := b.stock.ReceiveDelivery(b.ctx, tx, did, []inventory.ReceivedLot{{Number: "EX1", Expiry: day(2021, 5, 31), Vials: 15}}, by); err != nil {
			return err
		}
		return b.s.SeedDemo(b.ctx, tx, b.now)
	})
	lot, err := inventory.LotByNumber(b.ctx, b.pool, "comirnaty", "EX1")
	if err != nil {
		t.Fatal(err)
	}
	b.lot = lot.ID
	return b
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func (b *bundle) tx(fn func(tx pgx.Tx) error) {
	b.t.Helper()
	if err := pg.InTx(b.ctx, b.pool, fn); err != nil {
		b.t.Fatal(err)
	}
}

// today is the demo's visit.
func (b *bundle) today() mobileteams.Visit {
	b.t.Helper()
	vs, err := b.s.TeamDay(b.ctx, b.pool, mobileteams.DemoTeam1, clock.Day(b.now))
	if err != nil || len(vs) != 1 {
		b.t.Fatalf("visits of today: %v, %v", vs, err)
	}
	return vs[0]
}

// holds returns vials and open doses of a place.
func (b *bundle) holds(p inventory.Place) [2]int {
	b.t.Helper()
	st, err := b.stock.Doses(b.ctx, b.pool, p, "comirnaty", b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return [2]int{st.Vials, st.OpenDoses}
}

func (b *bundle) start(v mobileteams.Visit) {
	b.t.Helper()
	if err := b.s.Start(b.ctx, b.now, v.ID, v.TeamID, "staff:team", "team"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) dose(v mobileteams.Visit, family string) mobileteams.Dose {
	return mobileteams.Dose{
		Key: id.New(), VisitID: v.ID, TeamID: v.TeamID, DoseNumber: 1, LotID: b.lot, Consent: true, Forms: day(2021, 1, 11),
		Patient: vaccination.Patient{FamilyName: family, GivenName: "Ida", Birth: vaccination.PartialDate{Year: 1931}, Sex: citizen.SexFemale},
		Actor:   "staff:team", Role: "team",
	}
}

func (b *bundle) app(role web.Role, scope string) *webtest.App {
	b.t.Helper()
	a := webtest.New(b.t, webtest.Config{
		Pool: b.pool, Now: func() time.Time { return b.now }, Routes: b.s.Routes(),
		Bundles: []web.Bundle{mobileteams.Assets, vaccination.Assets, citizen.Assets},
	})
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{role}, Scope: scope})
	return a
}
