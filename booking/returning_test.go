package booking

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
)

const (
	backDelay  = 10 * time.Minute
	backSpread = 20 * time.Minute
)

// slow is small, with given-back places that return late.
func slow(t *testing.T) (*bundle, []Choice) {
	t.Helper()
	b, list := small(t)
	b.returns(backDelay, backSpread)
	return b, list
}

// booked holds and confirms for somebody who is no registered person.
func (b *bundle) booked(c Choice) (Series, string) {
	b.t.Helper()
	person := id.New()
	s, err := b.take(person, "k", pair(comirnaty), c.SlotIDs()...)
	b.ok(err)
	s, err = b.s.Confirm(b.ctx, s.ID, person, "")
	b.ok(err)
	return s, person
}

// giveBack lets return what is due and says how many series' places that were.
func (b *bundle) giveBack() int {
	b.t.Helper()
	n, err := b.s.giveBackDue(b.ctx, b.now(), nil)
	b.ok(err)
	return n
}

func TestWhatIsCancelledReturnsLater(t *testing.T) {
	t.Parallel()
	b, list := slow(t)
	s, person := b.booked(list[0])
	b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:x"))
	var due time.Time
	b.ok(b.pool.QueryRow(b.ctx, `SELECT due_at FROM booking.returning`).Scan(&due))
	if due.Before(monday.Add(backDelay)) || due.After(monday.Add(backDelay+backSpread)) {
		t.Errorf("due at %v", due)
	}
	if n := b.count(`SELECT count(*) FROM booking.returning_place`); n != 2 {
		t.Errorf("%d places return together", n)
	}
	none := func(when string) {
		t.Helper()
		if n := b.pairs(leipzig, comirnaty); n != 9 {
			t.Errorf("%s: %d pairs are offered", when, n)
		}
		b.sound()
	}
	none("at once")
	b.replan(leipzig, comirnaty)
	none("after a new plan")
	if _, err := b.take(id.New(), "friend", pair(comirnaty), list[0].SlotIDs()...); err != nil && !errors.Is(err, ErrSlotTaken) {
		t.Fatal(err)
	}
	b.at(due.Add(-time.Second))
	if n := b.giveBack(); n != 0 {
		t.Errorf("%d returned too early", n)
	}
	b.at(due)
	if n := b.giveBack() + b.giveBack(); n != 1 {
		t.Errorf("%d returned", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.plan WHERE wanted > made`); n != 1 {
		t.Error("no new plan is made")
	}
	b.ok(b.s.ReplanWanted(b.ctx))
	if n, taken := b.pairs(leipzig, comirnaty), b.taken(); n != 10-taken/2 {
		t.Errorf("%d pairs with %d places taken", n, taken)
	}
	b.sound()
}

// The last place: nobody gets it before its time, whoever comes after gets it
// although no job has run.
func TestTheDuePlaceIsFreedBeforeAnybodyIsToldFull(t *testing.T) {
	t.Parallel()
	b, list := slow(t)
	s, person := b.booked(list[0])
	for i := range 9 {
		_, err := b.take(id.New(), fmt.Sprint(i), pair(comirnaty), b.choices(leipzig, pair(comirnaty))[0].SlotIDs()...)
		b.ok(err)
	}
	b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:x"))
	if _, err := b.take(id.New(), "early", pair(comirnaty), list[0].SlotIDs()...); !errors.Is(err, ErrSlotTaken) {
		t.Errorf("caught at once: %v", err)
	}
	b.at(monday.Add(backDelay + backSpread))
	if _, err := b.take(id.New(), "later", pair(comirnaty), list[0].SlotIDs()...); err != nil {
		t.Errorf("the place is due: %v", err)
	}
	b.sound()
}

// A hold that ends or is given back cannot be traded either; its person may have
// the same places again at once, and nobody slips in between.
func TestAnEndedHoldReturnsLaterButNotForItsPerson(t *testing.T) {
	t.Parallel()
	b, list := slow(t)
	person := id.New()
	for round := range 3 {
		s, err := b.take(person, fmt.Sprint("k", round), pair(comirnaty), list[0].SlotIDs()...)
		b.ok(err)
		if round == 0 {
			b.at(b.now().Add(11 * time.Minute))
			n, err := b.s.ExpireHolds(b.ctx)
			b.ok(err)
			if n != 1 {
				t.Fatalf("%d holds ended", n)
			}
		} else {
			b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:x"))
		}
		b.exec(`UPDATE booking.place SET places = taken WHERE slot_id = $1`, list[0].SlotIDs()[0]) // nothing else is free then
		if _, err := b.take(id.New(), "stranger", pair(comirnaty), list[0].SlotIDs()...); !errors.Is(err, ErrSlotTaken) {
			t.Fatalf("round %d: somebody else: %v", round, err)
		}
		if n := b.count(`SELECT count(*) FROM booking.returning`); n != 1 {
			t.Fatalf("round %d: %d returning", round, n)
		}
		b.sound()
	}
	// The accomplice tries while the person takes it again, all the time.
	var g errgroup.Group
	stop := make(chan struct{})
	for range 4 {
		g.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if _, err := b.take(id.New(), "friend", pair(comirnaty), list[0].SlotIDs()...); !errors.Is(err, ErrSlotTaken) {
					return fmt.Errorf("the friend has it: %w", err)
				}
			}
		})
	}
	for round := range 5 {
		s, err := b.take(person, fmt.Sprint("again", round), pair(comirnaty), list[0].SlotIDs()...)
		b.ok(err)
		b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:x"))
	}
	close(stop)
	b.ok(g.Wait())
	b.sound()
}

// What returns to a day that is closed meanwhile, or for which there is no
// vaccine any more, is gone; it is nobody's shortfall.
func TestReturningPlacesFollowThePlan(t *testing.T) {
	t.Parallel()
	b, list := slow(t)
	s, person := b.booked(list[0])
	b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:x"))
	closed := clock.Day(s.Appointments[0].Start)
	b.tx(func(tx pgx.Tx) error {
		return centre.SetException(b.ctx, tx, b.now(), leipzig, centre.Exception{Day: closed, Reason: "Sturm"}, centre.By{Actor: "staff:test", Role: "admin"})
	})
	b.replan(leipzig, comirnaty)
	if n := b.count(`SELECT count(*) FROM booking.shortfall`) + b.count(`SELECT count(*) FROM booking.returning`) + b.taken(); n != 0 {
		t.Errorf("%d rows or places are left", n)
	}
	b.ok(b.s.ReplanWanted(b.ctx))
	if n := b.pairs(leipzig, comirnaty); n != 10 {
		t.Errorf("%d pairs on the other days", n)
	}
	b.sound()

	list = b.choices(leipzig, pair(comirnaty))
	stays, _ := b.booked(list[0])
	s, person = b.booked(list[1])
	b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:x"))
	b.waste(leipzig, comirnaty, 3) // 5 doses left, 2 are promised: two pairs fit, then one
	b.replan(leipzig, comirnaty)
	if n := b.count(`SELECT count(*) FROM booking.returning`); n != 1 {
		t.Errorf("%d return although there is vaccine", n)
	}
	if n := b.pairs(leipzig, comirnaty); n != 0 {
		t.Errorf("%d pairs are offered with 5 doses, 2 promised and 2 returning", n)
	}
	b.waste(leipzig, comirnaty, 1)
	b.replan(leipzig, comirnaty)
	if n := b.count(`SELECT count(*) FROM booking.returning`); n != 0 {
		t.Errorf("%d return without vaccine", n)
	}
	if n := b.count(`SELECT coalesce(sum(missing), 0)::int FROM booking.shortfall WHERE resolved_at IS NULL`); n != 2 {
		t.Errorf("%d doses missing, two are promised", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE series_id = $1 AND state = 'confirmed'`, stays.ID); n != 2 {
		t.Error("somebody lost an appointment")
	}
	b.sound()
}

// While something is missing, what becomes due covers it instead of being sold.
func TestDuePlacesCoverAShortfall(t *testing.T) {
	t.Parallel()
	b, list := slow(t)
	s, person := b.booked(list[0])
	b.booked(list[1])
	b.exec(`INSERT INTO booking.shortfall (centre_id, product_id, day, cause, missing, since) VALUES ($1, $2, $3, 'doses', 1, $4)`,
		leipzig, comirnaty, clock.Day(list[1].Times[0].Start), b.now())
	free := b.pairs(leipzig, comirnaty)
	b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:x"))
	b.at(monday.Add(backDelay + backSpread))
	if n := b.giveBack(); n != 1 {
		t.Fatalf("%d returned", n)
	}
	if n := b.pairs(leipzig, comirnaty); n != free {
		t.Errorf("%d pairs, %d before", n, free)
	}
	b.sound()
}

// Several workers and everybody who books, at the same time.
func TestManyGiveBackAtOnce(t *testing.T) {
	t.Parallel()
	b, _ := slow(t)
	for round := range 4 {
		var all []Series
		for {
			list := b.choices(leipzig, pair(comirnaty))
			if len(list) == 0 {
				break
			}
			s, _ := b.booked(list[rand.IntN(len(list))])
			all = append(all, s)
		}
		if len(all) != 10 {
			t.Fatalf("round %d: %d pairs were there", round, len(all))
		}
		var g errgroup.Group
		for _, s := range all {
			g.Go(func() error { return b.s.Cancel(b.ctx, s.ID, s.PersonID, "citizen:x") })
		}
		b.ok(g.Wait())
		b.sound()
		b.at(b.now().Add(backDelay + backSpread))
		for range 6 {
			g.Go(func() error { _, err := b.s.giveBackDue(b.ctx, b.now(), nil); return err })
			g.Go(func() error { return b.s.Replan(b.ctx, leipzig, comirnaty) })
		}
		b.ok(g.Wait())
		if n := b.giveBack(); n != 0 {
			t.Errorf("round %d: %d were left over", round, n)
		}
		b.replan(leipzig, comirnaty)
		if n := b.pairs(leipzig, comirnaty); n != 10 || b.taken() != 0 {
			t.Errorf("round %d: %d pairs, %d places taken", round, n, b.taken())
		}
		b.sound()
	}
}

func TestReturnSettingsHaveLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, r := range []ReturnSettings{{-time.Second, 0}, {0, 25 * time.Hour}} {
		if err := b.s.SetReturns(b.ctx, r, By{"staff:x", "admin"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	b.returns(time.Minute, time.Hour)
	if r, err := readReturns(b.ctx, b.pool); err != nil || r != (ReturnSettings{time.Minute, time.Hour}) {
		t.Errorf("%+v, %v", r, err)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.returns' AND role = 'admin'`); n != 2 {
		t.Errorf("%d entries", n)
	}
}

// Who moves away from places frees them like anybody else: late, and together.
func TestSwappedPlacesReturnTogether(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	list := b.choices(leipzig, pair(comirnaty))
	s := b.books(b.person(), list[0])
	to := list[len(list)-1]
	_, err := b.rebook(s, "both", Move{1, to.Times[0].SlotID}, Move{2, to.Times[1].SlotID})
	b.ok(err)
	if n, places := b.count(`SELECT count(*) FROM booking.returning`), b.count(`SELECT count(*) FROM booking.returning_place`); n != 1 || places != 2 {
		t.Errorf("%d returning with %d places", n, places)
	}
	b.sound()
	b.at(monday.Add(backDelay + backSpread))
	if n := b.giveBack(); n != 1 || b.taken() != 2 {
		t.Errorf("%d returned, %d taken", n, b.taken())
	}
	b.sound()
}
