package booking

import (
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/pg"
)

// ready is somebody on the list who could come on the same day to either centre.
func (b *bundle) ready(reg ...func(*citizen.Registration)) citizen.Person {
	b.t.Helper()
	reg = append(reg, func(r *citizen.Registration) { r.Phone = "+4915112345678" })
	p, _ := b.waits(func(w *Wishes) { w.Centres, w.NoticeDays = []string{"dresden", leipzig}, 0 }, reg...)
	return p
}

var site = By{"staff:site", "site"}

// Somebody who was called deletes the registration: the next ones are called as before.
func TestCallsGoOnWhenSomebodyIsForgotten(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	for range 4 {
		b.ready()
	}
	first, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site)
	b.ok(err)
	_, err = b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site)
	b.ok(err)
	b.tx(func(tx pgx.Tx) error { return b.s.Forget(b.ctx, tx, []string{first.PersonID}) })
	third, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site)
	if err != nil || third.Number != 3 {
		t.Errorf("call %d, %v", third.Number, err)
	}
}

// Two centres call at the same moment: nobody is called by both, and neither fails.
func TestTwoCentresCallAtOnce(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	for range 8 {
		b.ready()
	}
	var wg sync.WaitGroup
	for _, centreID := range []string{leipzig, "dresden"} {
		for range 4 {
			wg.Go(func() {
				if _, err := b.s.CallNext(b.ctx, centreID, comirnaty, 9, 0, site); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := b.count(`SELECT count(DISTINCT person_id) FROM booking.leftover_call`); n != 8 {
		t.Errorf("%d people were called", n)
	}
}

// Somebody comes after the doses were counted and before the next call: theirs is
// for nobody else.
func TestADoseOfWhoHasComeIsForNobodyElse(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.ready()
	b.ready()
	call, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 1, 0, site)
	b.ok(err)
	b.ok(b.s.CallEnded(b.ctx, call.ID, leipzig, CallCame, site))
	if _, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 1, 0, site); !errors.Is(err, ErrEnoughCalled) {
		t.Errorf("%v", err)
	}
	if _, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 1, 1, site); err != nil {
		t.Errorf("a dose beside theirs: %v", err)
	}
}

// Registering again makes nobody likelier to be asked: while it is being clarified
// whether two registrations are one person, they have one lot.
func TestSeveralRegistrationsHaveOneLot(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	same := func(r *citizen.Registration) {
		r.FamilyName, r.Birth = "Doppelt", citizen.PartialDate{Year: 1931, Month: 2, Day: 3}
	}
	first := b.ready(same)
	for range 4 {
		b.ready(same)
	}
	b.ready()
	for _, s := range all[:6] {
		b.cancel(s)
	}
	if n := b.offer(); n != 2 {
		t.Errorf("%d offers for two people", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting_offer WHERE person_id = $1`, first.ID); n != 1 {
		t.Errorf("%d offers for the first registration", n)
	}
	if n := b.count(`SELECT max(cardinality(people)) FROM booking.waiting_asked`); n != 2 {
		t.Errorf("%d lots", n)
	}
	if _, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site); !errors.Is(err, ErrNobodyToCall) {
		t.Errorf("called once more: %v", err)
	}
	// When the first one leaves the list, the next registration waits in its place.
	b.ok(b.s.Withdraw(b.ctx, first.ID, viaAccount, By{"citizen:" + first.ID, "citizen"}))
	if n := b.offer(); n != 1 {
		t.Errorf("%d offers", n)
	}
}

// TestADoseAfterACallIsHad: once, by this centre, only by who has come; what they had
// booked meanwhile goes back, and their pages lead to the second dose.
func TestADoseAfterACallIsHad(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p := b.ready()
	call, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site)
	b.ok(err)
	if _, err := b.s.LeftoverVisit(b.ctx, b.pool, call.ID, leipzig, b.now()); !errors.Is(err, ErrState) {
		t.Errorf("while they are called: %v", err)
	}
	b.ok(b.s.CallEnded(b.ctx, call.ID, leipzig, CallCame, site))
	if _, err := b.s.LeftoverVisit(b.ctx, b.pool, call.ID, "dresden", b.now()); !errors.Is(err, ErrNotFound) {
		t.Errorf("at another centre: %v", err)
	}
	choice := b.choices(leipzig, pair(comirnaty))[0]
	s, err := b.take(p.ID, "meanwhile", pair(comirnaty), choice.SlotIDs()...)
	b.ok(err)
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "confirm")
	b.ok(err)
	v, err := b.s.LeftoverVisit(b.ctx, b.pool, call.ID, leipzig, b.now())
	if err != nil || v.PersonID != p.ID || v.ProductID != comirnaty || v.DoseNumber != 1 || v.SeriesID != "" {
		t.Fatalf("%+v, %v", v, err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			errs[i] = pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return b.s.LeftoverGiven(b.ctx, tx, v, leipzig, b.now(), site) })
		})
	}
	wg.Wait()
	noted := 0
	for _, err := range errs {
		if err == nil {
			noted++
		} else if !errors.Is(err, ErrState) {
			t.Error(err)
		}
	}
	if noted != 1 || b.count(`SELECT count(*) FROM booking.appointment WHERE state = 'done'`) != 1 {
		t.Errorf("noted %d times: %v", noted, errs)
	}
	if again, err := b.s.LeftoverVisit(b.ctx, b.pool, call.ID, leipzig, b.now()); err != nil || again.SeriesID == "" || again.DoseNumber != 1 {
		t.Errorf("after it: %+v, %v", again, err)
	}
	old, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, p.ID)
	if err != nil || old.State != StateCancelled {
		t.Errorf("what was booked meanwhile: %+v, %v", old, err)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = $1`, cancelled.Name()); n != 1 {
		t.Errorf("they are told %d times", n)
	}
	if bad, err := b.s.Verify(b.ctx); err != nil || len(bad) != 0 {
		t.Errorf("places: %+v, %v", bad, err)
	}
	if list, err := b.s.Day(b.ctx, b.pool, leipzig, b.now()); err != nil || len(list) != 0 {
		t.Errorf("expected at the centre: %+v, %v", list, err)
	}
	app := b.app()
	app.LoginAs(citizenUser(p))
	for _, path := range []string{"/appointments", "/appointments/at/leipzig", "/my-data"} {
		if r := app.Get(path); r.Status != 200 && r.Status != 404 {
			t.Errorf("%s: %d %s", path, r.Status, r.Location)
		}
	}
	ents, err := b.s.entitlements(b.ctx, b.pool, p)
	if err != nil || len(ents) != 1 || !ents[0].Last() || ents[0].FirstDose != 2 || !ents[0].NotBefore.After(b.now()) {
		t.Errorf("what they may have: %+v, %v", ents, err)
	}
}
