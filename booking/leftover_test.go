package booking

import (
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
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
