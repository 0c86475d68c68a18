package booking

import (
	"errors"
	"sync"
	"testing"

	"impfportal/citizen"
	"impfportal/internal/id"
)

func (b *bundle) holdTogether(p, q citizen.Person, key string, slots []int64) (Series, error) {
	return b.s.HoldTogether(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: slots, Key: key}, q.ID)
}

func TestCouplesBookTogether(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p, q := b.person(), b.person()
	slots := b.choices(leipzig, pair(comirnaty))[0].SlotIDs()
	s, err := b.holdTogether(p, q, "k", slots)
	b.ok(err)
	again, err := b.holdTogether(p, q, "k", slots)
	if err != nil || again.ID != s.ID {
		t.Errorf("the same key: %s, %v", again.ID, err)
	}
	s, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	for _, person := range []citizen.Person{p, q} {
		found, err := b.s.SeriesOf(b.ctx, b.pool, person.ID)
		b.ok(err)
		if found == nil || found.State != StateConfirmed || found.PersonID != person.ID || found.Reference == s.Reference && person.ID != p.ID ||
			found.Visits()[0].SlotID != slots[0] || found.Visits()[1].SlotID != slots[1] || found.BookedBy != "citizen:"+p.ID {
			t.Errorf("%+v", found)
		}
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.confirmed'`); n != 2 {
		t.Errorf("%d are told", n)
	}
	b.sound()
	// From now on each is their own.
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	found, err := b.s.SeriesOf(b.ctx, b.pool, q.ID)
	b.ok(err)
	if found.State != StateConfirmed {
		t.Errorf("the other one: %s", found.State)
	}
}

func TestCouplesHaveBothOrNothing(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p, q, r := b.person(), b.person(), b.person()
	list := b.choices(leipzig, pair(comirnaty))
	slots := list[0].SlotIDs()
	b.exec(`UPDATE booking.place SET places = taken + 1 WHERE slot_id = $1`, slots[1])
	_, err := b.holdTogether(p, q, "one", slots)
	var taken *TakenError
	if !errors.As(err, &taken) || len(taken.Alternatives) != 3 {
		t.Fatalf("one place for two: %v", err)
	}
	for _, c := range taken.Alternatives {
		for _, x := range c.Times {
			if x.Free < 2 {
				t.Errorf("offered to two: %+v", x)
			}
		}
	}
	if n := b.count(`SELECT count(*) FROM booking.series`); n != 0 {
		t.Errorf("%d series of nobody", n)
	}
	b.books(r, list[3])
	var second *CompanionError
	if _, err := b.holdTogether(p, r, "booked", list[4].SlotIDs()); !errors.As(err, &second) || !errors.Is(err, ErrAlreadyBooked) {
		t.Errorf("the second person has a series: %v", err)
	}
	if _, err := b.holdTogether(r, p, "mine", list[4].SlotIDs()); errors.As(err, &second) || !errors.Is(err, ErrAlreadyBooked) {
		t.Errorf("the first person has a series: %v", err)
	}
	if _, err := b.holdTogether(p, p, "self", slots); !errors.Is(err, ErrInvalid) {
		t.Errorf("with oneself: %v", err)
	}
	// What is held together is given back together.
	s, err := b.holdTogether(p, q, "both", list[5].SlotIDs())
	b.ok(err)
	b.ok(b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:"+p.ID))
	if n := b.count(`SELECT count(*) FROM booking.series WHERE state = 'held'`); n != 0 {
		t.Errorf("%d are still held", n)
	}
	b.sound()
}

// TestCouplesMeetEachOther: both begin at the same moment, for each other, and
// confirm at the same moment.
func TestCouplesMeetEachOther(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	list := b.choices(leipzig, pair(comirnaty))
	for round := range 5 {
		p, q := b.person(), b.person()
		var wg sync.WaitGroup
		for _, x := range [][2]citizen.Person{{p, q}, {q, p}} {
			wg.Go(func() {
				_, err := b.holdTogether(x[0], x[1], id.New(), list[round].SlotIDs())
				if err != nil && !errors.Is(err, ErrAlreadyBooked) {
					t.Errorf("hold: %v", err)
				}
			})
		}
		wg.Wait()
		if n := b.count(`SELECT count(*) FROM booking.series WHERE state = 'held'`); n != 2 {
			t.Fatalf("%d held", n)
		}
		for _, x := range []citizen.Person{p, q} {
			wg.Go(func() {
				s, err := b.s.SeriesOf(b.ctx, b.pool, x.ID)
				if err == nil {
					_, err = b.s.Confirm(b.ctx, s.ID, x.ID, "")
				}
				if err != nil {
					t.Errorf("confirm: %v", err)
				}
			})
		}
		wg.Wait()
		if n := b.count(`SELECT count(*) FROM booking.series WHERE state = 'confirmed'`); n != 2*(round+1) {
			t.Fatalf("%d confirmed", n)
		}
		if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.confirmed'`); n != 2*(round+1) {
			t.Fatalf("%d are told", n)
		}
	}
	b.sound()
}
