package booking

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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

// Both halves of a hold end at one moment, and when one of them has ended before,
// nothing is confirmed: neither is told that they have what the other lost.
func TestNoHalfOfACoupleIsConfirmed(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	list := b.choices(leipzig, pair(comirnaty))
	slots := list[0].SlotIDs()
	tick := b.s.Now
	n := 0
	b.s.Now = func() time.Time { n++; return tick().Add(time.Duration(n) * time.Millisecond) }
	p, q := b.person(), b.person()
	s, err := b.holdTogether(p, q, "k", slots)
	b.ok(err)
	b.s.Now = tick
	if n := b.count(`SELECT count(DISTINCT (hold_until, created_at)) FROM booking.series`); n != 1 {
		t.Errorf("the two are held until %d moments", n)
	}
	b.tx(func(tx pgx.Tx) error { return CancelStanding(b.ctx, tx, b.now(), q.ID, agent, "agent") })
	if _, err := b.s.Confirm(b.ctx, s.ID, p.ID, ""); !errors.Is(err, ErrHoldExpired) {
		t.Errorf("%v", err)
	}
	if b.alive(p)+b.alive(q) != 0 || b.taken() != 0 || b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.confirmed'`) != 0 {
		t.Errorf("%d and %d series, %d taken", b.alive(p), b.alive(q), b.taken())
	}
	// Where the clock ends one half only, it is the same.
	s, err = b.holdTogether(p, q, "k2", slots)
	b.ok(err)
	b.exec(`UPDATE booking.series SET hold_until = $2 WHERE person_id = $1 AND state = 'held'`, q.ID, b.now())
	if _, err := b.s.Confirm(b.ctx, s.ID, p.ID, ""); !errors.Is(err, ErrHoldExpired) {
		t.Errorf("%v", err)
	}
	// And it can be begun anew at once.
	s, err = b.holdTogether(p, q, "k3", slots)
	b.ok(err)
	_, err = b.s.Confirm(b.ctx, s.ID, q.ID, "")
	if !errors.Is(err, ErrHoldExpired) {
		t.Errorf("somebody else's series: %v", err)
	}
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	if b.alive(p) != 1 || b.alive(q) != 1 {
		t.Error("not both")
	}
	b.sound()
}

// Who showed somebody's login data books for them until these change.
func TestNewLoginDataEndsBookingForTwo(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p, q := b.person(), b.registered()
	b.ok(b.s.SetCompanion(b.ctx, p.ID, q.Person.ID))
	second, err := b.s.Companion(b.ctx, p.ID)
	if err != nil || second == nil {
		t.Fatalf("%v %v", second, err)
	}
	var secret string
	b.tx(func(tx pgx.Tx) (err error) {
		secret, err = b.citizens.NewLogin(b.ctx, tx, q.Person.ID)
		return err
	})
	if second, err = b.s.Companion(b.ctx, p.ID); err != nil || second == nil { // nobody has used the new one
		t.Errorf("%v %v", second, err)
	}
	_, err = b.citizens.Login(b.ctx, q.CaseNumber, secret)
	b.ok(err)
	if second, err = b.s.Companion(b.ctx, p.ID); err != nil || second != nil {
		t.Errorf("%v %v", second, err)
	}
}

// The second person books alone at the moment at which the first one books for both:
// neither waits for the other in a circle.
func TestACoupleAndOneOfItAtOnce(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	slots := b.choices(leipzig, pair(comirnaty))[0].SlotIDs()
	for range 10 {
		p, q := b.person(), b.person()
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				_, err := b.s.Hold(b.ctx, HoldRequest{PersonID: q.ID, Channel: Web, SlotIDs: slots, Key: []string{"a", "b"}[i]})
				if err != nil && !errors.Is(err, ErrAlreadyBooked) && !errors.Is(err, ErrSlotTaken) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			_, err := b.holdTogether(p, q, "c", slots)
			if err != nil && !errors.Is(err, ErrAlreadyBooked) && !errors.Is(err, ErrSlotTaken) {
				t.Error(err)
			}
		})
		wg.Wait()
	}
	b.sound()
}
