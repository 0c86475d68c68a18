package booking

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// A login that changes again and again leaves places on their way back behind it: after
// eight within an hour that is over, whichever way it did so.
func TestChangesCountInTheLimit(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	p := b.person()
	list := b.choices(leipzig, pair(comirnaty))
	for i := range 3 { // given back before: held, and booked
		s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[i].SlotIDs(), Key: fmt.Sprint("hold", i)})
		b.ok(err)
		if i == 2 {
			_, err := b.s.Confirm(b.ctx, s.ID, p.ID, "")
			b.ok(err)
		}
		b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	}
	s := b.books(p, list[5])
	for i := range 5 {
		if _, err := b.rebook(s, fmt.Sprint("k", i), b.moveTo(s, 2, i)); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	before := b.count(`SELECT count(*) FROM booking.returning_place`)
	last := b.moveTo(s, 2, 9)
	if _, err := b.rebook(s, "one more", last); !errors.Is(err, ErrTooOften) {
		t.Errorf("the ninth: %v", err)
	}
	if n := b.count(`SELECT count(*) FROM booking.returning_place`); n != before {
		t.Errorf("%d places return, %d before", n, before)
	}
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	if _, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[7].SlotIDs(), Key: "after"}); !errors.Is(err, ErrTooOften) {
		t.Errorf("a hold after that: %v", err)
	}
	b.sound()
	b.at(b.now().Add(time.Hour + time.Second))
	if _, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[7].SlotIDs(), Key: "after"}); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	b.sound()
}

// The same key again gives what it gave, also for who may not change any more.
func TestARetryIsNoTry(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	var move Move
	for i := range 8 {
		move = b.moveTo(s, 2, i)
		_, err := b.rebook(s, fmt.Sprint("k", i), move)
		b.ok(err)
	}
	for range 3 {
		if _, err := b.rebook(s, "k7", move); err != nil {
			t.Errorf("retry: %v", err)
		}
	}
	if _, err := b.rebook(s, "k8", b.moveTo(s, 2, 9)); !errors.Is(err, ErrTooOften) {
		t.Errorf("the ninth: %v", err)
	}
	in := RebookRequest{PersonID: s.PersonID, SeriesID: s.ID, Channel: Hotline, Moves: []Move{b.moveTo(s, 2, 9)}, Key: "agent", Actor: "staff:agent", Role: "agent"}
	if _, err := b.s.Rebook(b.ctx, in); errors.Is(err, ErrTooOften) {
		t.Error("an agent is limited")
	}
	b.sound()
}

// The hold that reaches the limit is what its key gives, however often it is sent.
func TestARepeatedHoldIsNoTry(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	p, q := b.person(), b.person()
	list := b.choices(leipzig, pair(comirnaty))
	hold := func(i int) (Series, error) {
		return b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[i].SlotIDs(), Key: fmt.Sprint("hold", i)})
	}
	for i := range 7 {
		s, err := hold(i)
		b.ok(err)
		b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	}
	both, err := b.holdTogether(p, q, "both", list[8].SlotIDs())
	b.ok(err)
	if again, err := b.holdTogether(p, q, "both", list[8].SlotIDs()); err != nil || again.ID != both.ID {
		t.Errorf("%s for %s, %v", again.ID, both.ID, err)
	}
	b.exec(`DELETE FROM booking.series WHERE couple_id IS NOT NULL`)
	s, err := hold(7)
	b.ok(err)
	if again, err := hold(7); err != nil || again.ID != s.ID {
		t.Errorf("%s for %s, %v", again.ID, s.ID, err)
	}
	if _, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[8].SlotIDs(), Key: "hold7"}); !errors.Is(err, ErrKeyReused) {
		t.Errorf("other slots: %v", err)
	}
	if _, err := hold(8); !errors.Is(err, ErrTooOften) {
		t.Errorf("another one: %v", err)
	}
}

// A booking of yesterday that is changed and cancelled today counts like one of today.
func TestOldBookingsCountInTheLimit(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	p := b.person()
	s := b.books(p, b.choices(leipzig, pair(comirnaty))[5])
	b.at(b.now().Add(2 * time.Hour))
	for i := range 7 {
		_, err := b.rebook(s, fmt.Sprint("k", i), b.moveTo(s, 2, i))
		b.ok(err)
	}
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	if _, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: b.choices(leipzig, pair(comirnaty))[0].SlotIDs(), Key: "after"}); !errors.Is(err, ErrTooOften) {
		t.Errorf("%v", err)
	}
}

// What an agent changes and gives back for somebody is no try of that person's: they
// have all of theirs afterwards.
func TestAnAgentsChangesAreNoTries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock(leipzig, comirnaty, 300)
	b.returns(backDelay, backSpread)
	b.exec(`UPDATE booking.channel SET lead_days = 0 WHERE id = 'hotline'`)
	b.replan(leipzig, comirnaty)
	p := b.person()
	agent := By{"staff:agent", "agent"}
	for i := range 4 { // booked over the web or by the agent, given back by the agent; held and let go
		choice := b.choices(leipzig, pair(comirnaty))[i]
		s := b.books(p, choice)
		b.ok(b.s.CancelFrom(b.ctx, s.ID, p.ID, 1, agent))
		held, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Hotline, SlotIDs: b.choicesOver(Hotline, leipzig, pair(comirnaty))[i].SlotIDs(), Key: fmt.Sprint("desk", i), Actor: agent.Actor, Role: agent.Role})
		b.ok(err)
		b.ok(b.s.CancelFrom(b.ctx, held.ID, p.ID, 1, agent))
	}
	s := b.books(p, b.choices(leipzig, pair(comirnaty))[5])
	for i := range 5 {
		to := s.Appointments[1].SlotID
		list, err := b.s.MoveOffers(b.ctx, b.pool, s, 2, leipzig, Hotline, time.Time{})
		b.ok(err)
		for _, o := range list {
			if o.SlotID != to {
				to = o.SlotID
				break
			}
		}
		s, err = b.s.Rebook(b.ctx, RebookRequest{PersonID: p.ID, SeriesID: s.ID, Channel: Hotline, Moves: []Move{{2, to}}, Key: fmt.Sprint("desk", i), Actor: agent.Actor, Role: agent.Role})
		b.ok(err)
	}
	if n := b.count(`SELECT booking.tries($1, $2, true)`, b.now(), p.ID); n != 0 {
		t.Errorf("%d tries of the person", n)
	}
	for i := range 8 {
		if _, err := b.rebook(s, fmt.Sprint("own", i), b.moveTo(s, 2, i)); err != nil {
			t.Fatalf("own change %d: %v", i, err)
		}
	}
	if _, err := b.rebook(s, "ninth", b.moveTo(s, 2, 9)); !errors.Is(err, ErrTooOften) {
		t.Errorf("the ninth: %v", err)
	}
	b.sound()
}
