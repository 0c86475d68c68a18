package vaccination_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
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
	"impfportal/programme"
	"impfportal/vaccination"
)

const (
	leipzig = "leipzig"
	dresden = "dresden"
)

// bundle is a site on a database of its own with a clock that the test sets.
type bundle struct {
	t       *testing.T
	ctx     context.Context
	pool    *pgxpool.Pool
	now     time.Time
	stock   *inventory.Service
	citizen *citizen.Service
	s       *vaccination.Service
	booking *booking.Service
	people  int
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{t: t, ctx: context.Background(), pool: pgtest.New(t), now: clock.At(day(2021, 1, 18), 10, 0)}
	now := func() time.Time { return b.now }
	v := vault.ForTest()
	b.stock = inventory.New(b.pool, now, slog.New(slog.DiscardHandler))
	b.citizen = citizen.New(citizen.Config{Pool: b.pool, Redis: redistest.New(t), Vault: v, Now: now})
	bk := booking.New(booking.Deps{Pool: b.pool, Now: now, Citizens: b.citizen, Inventory: b.stock})
	b.s, b.booking = vaccination.New(b.pool, v, b.stock, bk, b.citizen), bk
	b.tx(func(tx pgx.Tx) error {
		if err := programme.SeedDemo(b.ctx, tx, b.now); err != nil {
			return err
		}
		return centre.SeedDemo(b.ctx, tx, b.now)
	})
	return b
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func (b *bundle) tx(fn func(tx pgx.Tx) error) {
	b.t.Helper()
	if err := pg.InTx(b.ctx, b.pool, fn); err != nil {
		b.t.Fatal(err)
	}
}

// receive puts vials of a new lot into a place and returns the lot's id.
func (b *bundle) receive(place inventory.Place, productID, number string, expiry time.Time, vials int) string {
	b.t.Helper()
	by := inventory.By{Actor: "staff:test", Role: "admin"}
	b.tx(func(tx pgx.Tx) error {
		did, err := b.stock.PlanDelivery(b.ctx, tx, inventory.NewDelivery{ProductID: productID, Place: place, Day: b.now, Vials: vials}, by)
		if err != nil {
			return err
		}
		return b.stock.ReceiveDelivery(b.ctx, tx, did, []inventory.ReceivedLot{{Number: number, Expiry: expiry, Vials: vials}}, by)
	})
	lot, err := inventory.LotByNumber(b.ctx, b.pool, productID, number)
	if err != nil {
		b.t.Fatal(err)
	}
	return lot.ID
}

// doses counts what a centre can give of Comirnaty.
func (b *bundle) doses(centreID string) int {
	b.t.Helper()
	st, err := b.stock.Doses(b.ctx, b.pool, inventory.CentrePlace(centreID), "comirnaty", b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return st.Doses
}

// booked is a person with confirmed appointments.
type booked struct {
	person       citizen.Person
	reference    string // as stored
	appointments []string
}

// book registers somebody new and confirms appointments at the given times.
func (b *bundle) book(family, centreID string, starts ...time.Time) booked {
	b.t.Helper()
	b.people++
	r, err := b.citizen.Register(b.ctx, citizen.Registration{
		ProgrammeID: programme.CovidID, GroupCode: "s2-age", ProofReady: true, FamilyName: family, GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1935, Month: 1 + b.people%12, Day: 1 + b.people%28}, Sex: citizen.SexFemale,
		Email: fmt.Sprintf("p%d@example.org", b.people), Lang: "de",
	}, "citizen")
	if err != nil {
		b.t.Fatalf("register: %v", err)
	}
	out := b.appoint(r.Person.ID, centreID, starts...)
	out.person = r.Person
	return out
}

// appoint confirms appointments at the given times for somebody registered.
func (b *bundle) appoint(personID, centreID string, starts ...time.Time) booked {
	b.t.Helper()
	out := booked{reference: reference(b.t, b.people)}
	series := id.New()
	b.tx(func(tx pgx.Tx) error {
		_, err := tx.Exec(b.ctx, `
			INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at, confirmed_at)
			VALUES ($1, $2, 'covid-19', 'comirnaty', $3, 'web', $4, 'test', 'citizen', 'confirmed', $5, $5, $5)`,
			series, personID, centreID, out.reference, b.now)
		for i, at := range starts {
			if err != nil {
				return err
			}
			aid := id.New()
			out.appointments = append(out.appointments, aid)
			_, err = tx.Exec(b.ctx, `
				INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel, leg, first_day, dose_number, day, start_at, state, changed_at)
				VALUES ($1, $2, $3, 'covid-19', $4, 'comirnaty', 1, 'web', 1, $6, $5, $7, $8, 'confirmed', $9)`,
				aid, series, personID, centreID, i+1, clock.Day(starts[0]), clock.Day(at), at, b.now)
		}
		return err
	})
	return out
}

// reference makes the n-th valid reference.
func reference(t *testing.T, n int) string {
	const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	base := []byte("AAAAAAA")
	base = append(base, alphabet[n/32%32], alphabet[n%32])
	for i := range alphabet {
		if r, err := booking.ParseReference(string(base) + alphabet[i:i+1]); err == nil {
			return r
		}
	}
	t.Fatal("no check character fits")
	return ""
}

// pair books two appointments, today and in so many days.
func (b *bundle) pair(family, centreID string, days int) booked {
	return b.book(family, centreID, b.now.Add(time.Hour), b.now.Add(time.Hour).AddDate(0, 0, days))
}

func (b *bundle) dose(appointmentID, lotID string) vaccination.RecordDose {
	return vaccination.RecordDose{
		Key: id.New(), Now: b.now, AppointmentID: appointmentID, Channel: vaccination.ByAppointment,
		Place: leipzig, StockPlace: inventory.CentrePlace(leipzig), LotID: lotID,
		Consent: true, Forms: day(2021, 1, 11), Actor: "staff:test", Role: "site",
	}
}

func patient(family string) vaccination.Patient {
	return vaccination.Patient{
		FamilyName: family, GivenName: "Karl", Birth: vaccination.PartialDate{Year: 1938}, Sex: citizen.SexMale, Postcode: "04109",
		Contact: vaccination.Contact{Email: "karl@example.org"},
	}
}

func (b *bundle) walkIn(family, lotID string) vaccination.RecordDose {
	in := b.dose("", lotID)
	in.Channel, in.Patient, in.ProductID, in.DoseNumber = vaccination.WalkIn, patient(family), "comirnaty", 1
	return in
}

// count runs a query for one number.
func (b *bundle) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.ctx, sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// consistent holds records, ledger, events and keys against each other.
func (b *bundle) consistent(records int) {
	b.t.Helper()
	for what, sql := range map[string]string{
		"records": `SELECT count(*) FROM vaccination.record`,
		"given":   `SELECT count(*) FROM inventory.movement m JOIN vaccination.record r ON m.ref = r.id::text WHERE m.kind = 'give'`,
		"events":  `SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.recorded'`,
		"audit":   `SELECT count(*) FROM audit.entry WHERE action = 'vaccination.recorded'`,
		"keys":    `SELECT count(*) FROM vault.key k WHERE NOT EXISTS (SELECT FROM citizen.person p WHERE p.key_id = k.id)`,
	} {
		if got := b.count(sql); got != records {
			b.t.Errorf("%s: %d, want %d", what, got, records)
		}
	}
	diffs, err := inventory.Reconcile(b.ctx, b.pool)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(diffs) > 0 {
		b.t.Errorf("balances differ from the ledger: %+v", diffs)
	}
}

// all runs n functions at the same moment and returns their errors.
func all(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// app is the portal with the site's routes and somebody of a role logged in.
func (b *bundle) app(role web.Role, scope string) *webtest.App {
	b.t.Helper()
	a := webtest.New(b.t, webtest.Config{
		Pool: b.pool, Now: func() time.Time { return b.now }, Routes: b.s.Routes(),
		Bundles: []web.Bundle{vaccination.Assets, citizen.Assets},
	})
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{role}, Scope: scope})
	return a
}
