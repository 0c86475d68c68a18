package booking

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"impfportal/internal/id"
)

// TestAUsedKeyFreesNothing: whoever gave a place back has it again while it
// returns, but nobody can use that to set it free at a second of their choice.
func TestAUsedKeyFreesNothing(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	list := b.choices(leipzig, pair(comirnaty))
	wanted, other := list[0].SlotIDs(), list[9].SlotIDs()
	p, friend := b.person(), b.person()
	hold := func(slots []int64, key string) (Series, error) {
		return b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: slots, Key: key})
	}
	s, err := hold(wanted, "first")
	b.ok(err)
	b.exec(`UPDATE booking.place SET places = taken WHERE slot_id = ANY ($1)`, wanted)
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	s, err = hold(other, "used")
	b.ok(err)
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	in := takeRequest{HoldRequest: HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: wanted, Key: "used", Actor: "x", Role: "x"}, ProgrammeID: "covid-19", Entitlements: pair(comirnaty), reclaim: true}
	if _, err := b.s.tryTake(b.ctx, in); !errors.Is(err, ErrSlotTaken) {
		t.Errorf("a used key: %v", err)
	}
	if _, err := b.s.Hold(b.ctx, HoldRequest{PersonID: friend.ID, Channel: Web, SlotIDs: wanted, Key: "k"}); !errors.Is(err, ErrSlotTaken) {
		t.Errorf("the friend at once: %v", err)
	}
	b.sound()
	if _, err := hold(wanted, "again"); err != nil { // who gave it back has it again
		t.Error(err)
	}
	b.sound()
}

func TestWhoHoldsTooOften(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	p := b.person()
	list := b.choices(leipzig, pair(comirnaty))
	for n := range 9 {
		s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[n].SlotIDs(), Key: fmt.Sprint(n)})
		if n == 8 {
			if !errors.Is(err, ErrTooOften) {
				t.Errorf("the ninth: %v", err)
			}
			break
		}
		b.ok(err)
		b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	}
	b.at(b.now().Add(61 * time.Minute))
	if _, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[14].SlotIDs(), Key: "later"}); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

// TestNoHalfCouples: neither a key that was used alone nor a part that is given
// back leaves one of two behind.
func TestNoHalfCouples(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	list := b.choices(leipzig, pair(comirnaty))
	p, q := b.person(), b.person()
	slots := list[0].SlotIDs()
	_, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: slots, Key: "k"})
	b.ok(err)
	if _, err := b.holdTogether(p, q, "k", slots); !errors.Is(err, ErrAlreadyBooked) {
		t.Errorf("a key that was used alone: %v", err)
	}
	if found, err := b.s.SeriesOf(b.ctx, b.pool, q.ID); err != nil || found != nil {
		t.Errorf("half a couple: %+v, %v", found, err)
	}
	r, s := b.person(), b.person()
	held, err := b.holdTogether(r, s, "rs", list[1].SlotIDs())
	b.ok(err)
	b.ok(b.s.CancelFrom(b.ctx, held.ID, r.ID, 2, By{Actor: "citizen:" + r.ID}))
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE person_id = ANY ($1) AND state = 'held'`, []string{r.ID, s.ID}); n != 0 {
		t.Errorf("%d appointments of a hold that was given back", n)
	}
	b.sound()
}

// TestChangesThatAreNone: another product only for all doses; the same time is no
// change; numbers that no dose has are refused.
func TestChangesThatAreNone(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.stock(leipzig, "janssen", 40)
	b.replan(leipzig, "janssen")
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	same, err := b.rebook(s, id.New(), Move{2, s.Visits()[1].SlotID})
	if err != nil || same.Revision != 0 || b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.changed'`) != 0 {
		t.Errorf("the same time: revision %d, %v", same.Revision, err)
	}
	b.ok(b.s.CancelFrom(b.ctx, s.ID, s.PersonID, 2, By{Actor: "citizen:" + s.PersonID}))
	var slot int64
	b.ok(b.pool.QueryRow(b.ctx, `SELECT id FROM booking.slot WHERE product_id = 'janssen' ORDER BY start_at DESC LIMIT 1`).Scan(&slot))
	found, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, s.PersonID)
	b.ok(err)
	if _, err := b.rebook(*found, "janssen", Move{1, slot}); !errors.Is(err, ErrNotEligible) {
		t.Errorf("one dose of another product: %v", err)
	}
	for _, dose := range []int{0, -1, 21, 1 << 40} {
		if _, err := b.rebook(*found, id.New(), Move{dose, slot}); !errors.Is(err, ErrInvalid) {
			t.Errorf("dose %d: %v", dose, err)
		}
		if err := b.s.CancelFrom(b.ctx, s.ID, s.PersonID, dose, By{Actor: "x"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("cancel from %d: %v", dose, err)
		}
	}
}
