package booking

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/await"
	"impfportal/internal/pg"
)

// locked waits until n connections wait for somebody else's lock.
func (b *bundle) locked(n int) {
	b.t.Helper()
	await.True(b.t, "somebody waits for a lock", func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == n
	})
}

// came is somebody who has come after a call.
func (b *bundle) came() (citizen.Person, LeftoverVisit) {
	b.t.Helper()
	p := b.ready()
	call, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site)
	b.ok(err)
	b.ok(b.s.CallEnded(b.ctx, call.ID, leipzig, CallCame, site))
	b.at(b.now().Add(time.Minute))
	v, err := b.s.LeftoverVisit(b.ctx, b.pool, call.ID, leipzig, b.now())
	b.ok(err)
	return p, v
}

// The person looks for times in another tab while the dose is noted: what the hold
// had read before is not true any more.
func TestNobodyHoldsADoseThatIsBeingNoted(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p, v := b.came()
	slots := b.choices(leipzig, pair(comirnaty))[3].SlotIDs()
	tx, err := b.pool.Begin(b.ctx)
	b.ok(err)
	b.ok(b.s.LeftoverGiven(b.ctx, tx, v, leipzig, b.now(), site))
	var wg sync.WaitGroup
	var held error
	wg.Go(func() {
		_, held = b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: slots, Key: "tab"})
	})
	b.locked(1)
	b.ok(tx.Commit(b.ctx))
	wg.Wait()
	if held == nil {
		t.Error("the dose that was given is held again")
	}
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE person_id = $1 AND dose_number = 1 AND state IN ('held', 'confirmed', 'done')`, p.ID); n != 1 {
		t.Errorf("%d appointments for the first dose", n)
	}
	b.sound()
}

// The other way round: a hold that is under way is waited for, and given back.
func TestAHoldUnderWayIsGivenBackWhenTheDoseIsNoted(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p, v := b.came()
	slots := b.choices(leipzig, pair(comirnaty))[3].SlotIDs()
	gate, err := b.pool.Begin(b.ctx)
	b.ok(err)
	_, err = gate.Exec(b.ctx, `SELECT FROM booking.place WHERE slot_id = $1 FOR UPDATE`, slots[0])
	b.ok(err)
	var wg sync.WaitGroup
	var held, given error
	wg.Go(func() {
		_, held = b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: slots, Key: "tab"})
	})
	b.locked(1)
	wg.Go(func() {
		given = pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return b.s.LeftoverGiven(b.ctx, tx, v, leipzig, b.now(), site) })
	})
	b.locked(2)
	b.ok(gate.Rollback(b.ctx))
	wg.Wait()
	b.ok(held)
	b.ok(given)
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE person_id = $1 AND state IN ('held', 'confirmed')`, p.ID); n != 0 {
		t.Errorf("%d appointments are still held", n)
	}
	b.sound()
}

// Who has checked in with an appointment of their own gets the dose by that one.
func TestNoDoseByCallForWhoIsCheckedIn(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p, v := b.came()
	s, err := b.take(p.ID, "meanwhile", pair(comirnaty), b.choices(leipzig, pair(comirnaty))[0].SlotIDs()...)
	b.ok(err)
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	b.tx(func(tx pgx.Tx) error { return b.s.MarkHere(b.ctx, tx, s.Appointments[0].ID, b.now()) })
	err = pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return b.s.LeftoverGiven(b.ctx, tx, v, leipzig, b.now(), site) })
	if err != citizen.ErrHere { //nolint:errorlint // nothing is wrapped
		t.Errorf("by the call: %v", err)
	}
	b.tx(func(tx pgx.Tx) error { return b.s.MarkDone(b.ctx, tx, s.Appointments[0].ID, b.now()) })
	calls, err := LeftoverCalls(b.ctx, b.pool, leipzig, comirnaty, b.now())
	b.ok(err)
	if len(calls) != 1 || !calls[0].Given {
		t.Errorf("the call still waits for its dose: %+v", calls)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = $1`, cancelled.Name()); n != 0 {
		t.Errorf("%d times told that something is cancelled", n)
	}
}

// What staff take from somebody, that person has not declined.
func TestAnOfferThatStaffTakeAwayIsNotDeclined(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p := b.ready()
	call, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site)
	b.ok(err)
	b.cancel(all[0])
	if n := b.offer(); n != 1 {
		t.Fatalf("%d offers", n)
	}
	b.ok(b.s.CallEnded(b.ctx, call.ID, leipzig, CallCame, site))
	v, err := b.s.LeftoverVisit(b.ctx, b.pool, call.ID, leipzig, b.now())
	b.ok(err)
	b.tx(func(tx pgx.Tx) error { return b.s.LeftoverGiven(b.ctx, tx, v, leipzig, b.now(), site) })
	_, err = b.s.SettleOffers(b.ctx)
	b.ok(err)
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.offer-answer' AND actor = $1`, "citizen:"+p.ID); n != 0 {
		t.Errorf("the record has %d answers of the citizen", n)
	}
	if n := b.count(`SELECT coalesce(max(declined) + max(unanswered), 0) FROM booking.waiting WHERE person_id = $1`, p.ID); n != 0 {
		t.Errorf("%d are counted against them", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting_offer WHERE answer IS NULL`); n != 0 {
		t.Errorf("%d offers are open", n)
	}
}

// A change of contact and an answer lock registration and offer in one order.
func TestContactAndAnswerAtTheSameMoment(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, _ := b.waits(nil, func(r *citizen.Registration) { r.Phone = "+4915112345678" })
	b.cancel(all[0])
	b.offer()
	o := b.openOffers()[0]
	b.at(b.now().Add(time.Minute))
	gate, err := b.pool.Begin(b.ctx)
	b.ok(err)
	_, err = gate.Exec(b.ctx, `LOCK TABLE booking.appointment IN SHARE MODE`) // holds the answer up half way
	b.ok(err)
	var wg sync.WaitGroup
	var answer, contact error
	wg.Go(func() {
		_, answer = b.s.answerOffer(b.ctx, o.ID, AnswerDecline, viaSMS, By{"citizen:" + p.ID, "citizen"})
	})
	b.locked(1)
	wg.Go(func() {
		_, contact = b.citizens.ChangeContact(b.ctx, p.ID, citizen.Contact{Address: p.Address, Phone: "+4915187654321", Email: p.Email, Lang: p.Lang}, "citizen:"+p.ID, "citizen")
	})
	b.locked(2)
	b.ok(gate.Rollback(b.ctx))
	wg.Wait()
	if answer != nil || contact != nil {
		t.Errorf("answer: %v, contact: %v", answer, contact)
	}
}
