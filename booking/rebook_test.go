package booking

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// books books the nth choice for a registered person.
func (b *bundle) books(p citizen.Person, c Choice) Series {
	b.t.Helper()
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: c.SlotIDs(), Key: id.New()})
	b.ok(err)
	s, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	return s
}

func (b *bundle) rebook(s Series, key string, moves ...Move) (Series, error) {
	return b.s.Rebook(b.ctx, RebookRequest{PersonID: s.PersonID, SeriesID: s.ID, Channel: Web, Moves: moves, Key: key})
}

// plenty is a centre with vaccine for two hundred pairs.
func plenty(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 80)
	b.replan(leipzig, comirnaty)
	return b
}

func (b *bundle) moveTo(s Series, dose, nth int) Move {
	b.t.Helper()
	list, err := b.s.MoveOffers(b.ctx, b.pool, s, dose, s.CentreID, Web, time.Time{})
	b.ok(err)
	if len(list) <= nth {
		b.t.Fatalf("%d times for dose %d", len(list), dose)
	}
	return Move{dose, list[nth].SlotID}
}

func TestRebookEitherAppointment(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[5])
	for _, dose := range []int{1, 2} {
		move := b.moveTo(s, dose, 3)
		after, err := b.rebook(s, fmt.Sprint("k", dose), move)
		b.ok(err)
		for i, a := range after.Visits() {
			if moved := a.DoseNumber == dose; moved != (a.SlotID == move.SlotID) || !moved && a.SlotID != s.Visits()[i].SlotID {
				t.Errorf("dose %d moved: %+v", dose, a)
			}
			if a.ID != s.Visits()[i].ID || a.Reference != s.Reference {
				t.Errorf("another appointment or number: %+v", a)
			}
		}
		if after.Revision != s.Revision+1 {
			t.Errorf("revision %d after %d", after.Revision, s.Revision)
		}
		again, err := b.rebook(s, fmt.Sprint("k", dose), move) // the answer was lost
		if err != nil || again.Revision != after.Revision {
			t.Errorf("the same key: revision %d, %v", again.Revision, err)
		}
		s = after
		b.sound()
	}
	// Both at once, to another day.
	list := b.choices(leipzig, pair(comirnaty))
	far := list[len(list)-1]
	after, err := b.rebook(s, "both", Move{1, far.Times[0].SlotID}, Move{2, far.Times[1].SlotID})
	b.ok(err)
	if v := after.Visits(); v[0].SlotID != far.Times[0].SlotID || v[1].SlotID != far.Times[1].SlotID {
		t.Errorf("%+v", v)
	}
	b.sound()
	b.replan(leipzig, comirnaty)
	if n := b.pairs(leipzig, comirnaty); n != 199 {
		t.Errorf("%d pairs after one is booked and moved, want 199", n)
	}
}

// TestRebookKeepsTheDistance: nobody gets a second dose too early or too late,
// whatever slots are sent.
func TestRebookKeepsTheDistance(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	rows, err := b.pool.Query(b.ctx, `SELECT s.id, s.day FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
		WHERE p.channel = 'web' AND p.taken < p.places GROUP BY 1 ORDER BY s.start_at`)
	b.ok(err)
	type slot struct {
		ID  int64
		Day time.Time
	}
	slots, err := pgx.CollectRows(rows, pgx.RowToStructByPos[slot])
	b.ok(err)
	rule := pair(comirnaty)[0]
	tried := map[bool]int{}
	seen := map[time.Time]bool{}
	for i, to := range slots {
		if seen[to.Day] {
			continue
		}
		seen[to.Day] = true
		first := clock.Day(s.Visits()[0].Start)
		n := daysBetween(first, to.Day)
		good := n >= rule.MinDays && n <= rule.MaxDays
		after, err := b.rebook(s, fmt.Sprint(i), Move{2, to.ID})
		if good != (err == nil) || err != nil && !errors.Is(err, ErrNotEligible) {
			t.Errorf("second dose after %d days: %v", n, err)
		}
		tried[good]++
		if err == nil {
			s = after
		}
	}
	if tried[true] == 0 || tried[false] == 0 {
		t.Fatalf("tried %v: this proves nothing", tried)
	}
	b.sound()
}

// TestSecondDoseAfterTheFirst: the second stays bound to vaccine and distance,
// can be moved, given back and booked again.
func TestSecondDoseAfterTheFirst(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	b.at(s.Visits()[0].Start)
	b.tx(func(tx pgx.Tx) error { return b.s.MarkDone(b.ctx, tx, s.Visits()[0].ID, b.now()) })
	b.replan(leipzig, comirnaty)
	found, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, s.PersonID)
	b.ok(err)
	s = *found
	if doses := b.s.Movable(s); !slices.Equal(doses, []int{2}) {
		t.Fatalf("movable: %v", doses)
	}
	if _, err := b.rebook(s, "first", Move{1, s.Visits()[1].SlotID}); !errors.Is(err, ErrState) {
		t.Errorf("a dose that was given is moved: %v", err)
	}
	s, err = b.rebook(s, "second", b.moveTo(s, 2, 0))
	b.ok(err)
	b.sound()
	b.ok(b.s.CancelFrom(b.ctx, s.ID, s.PersonID, 2, By{Actor: "citizen:" + s.PersonID}))
	b.sound()
	// Now it is booked like any other series of one appointment.
	b.replan(leipzig, comirnaty)
	p, err := b.citizens.Person(b.ctx, b.pool, s.PersonID)
	b.ok(err)
	ents, err := b.s.entitlements(b.ctx, b.pool, p)
	b.ok(err)
	again := b.books(p, b.choices(leipzig, ents)[0])
	v := again.Visits()
	if n := daysBetween(clock.Day(found.Visits()[0].Start), clock.Day(v[0].Start)); len(v) != 1 || v[0].DoseNumber != 2 || v[0].ProductID != comirnaty || n < 21 || n > 42 {
		t.Errorf("%+v, %d days after the first", v, n)
	}
	b.sound()
}

// TestSecondGivenBackAndBookedAgain: before the first dose, too.
func TestSecondGivenBackAndBookedAgain(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	b.ok(b.s.CancelFrom(b.ctx, s.ID, s.PersonID, 2, By{Actor: "citizen:" + s.PersonID}))
	found, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, s.PersonID)
	b.ok(err)
	if found.State != StateConfirmed || len(found.Visits()) != 1 || !slices.Equal(b.s.Movable(*found), []int{1, 2}) {
		t.Fatalf("%s, %+v, movable %v", found.State, found.Visits(), b.s.Movable(*found))
	}
	after, err := b.rebook(*found, "again", b.moveTo(*found, 2, 1))
	b.ok(err)
	if len(after.Visits()) != 2 {
		t.Errorf("%+v", after.Appointments)
	}
	b.sound()
	// Giving back the first one gives back both.
	b.ok(b.s.CancelFrom(b.ctx, s.ID, s.PersonID, 1, By{Actor: "citizen:" + s.PersonID}))
	found, err = b.s.SeriesByID(b.ctx, b.pool, s.ID, s.PersonID)
	b.ok(err)
	if found.State != StateCancelled {
		t.Errorf("state %s", found.State)
	}
	if _, err := b.rebook(*found, "dead", b.moveTo(s, 2, 0)); !errors.Is(err, ErrState) {
		t.Errorf("a cancelled series is moved: %v", err)
	}
	b.sound()
}

// TestRebookWhatIsTaken: who is too late keeps what they have and is shown what
// is near.
func TestRebookWhatIsTaken(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	move := b.moveTo(s, 2, 4)
	b.exec(`UPDATE booking.place SET places = taken WHERE slot_id = $1`, move.SlotID)
	_, err := b.rebook(s, "late", move)
	var taken *TakenError
	if !errors.As(err, &taken) || len(taken.Alternatives) != 3 {
		t.Fatalf("%v", err)
	}
	found, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, s.PersonID)
	b.ok(err)
	if found.Visits()[1].SlotID != s.Visits()[1].SlotID || found.Revision != 0 {
		t.Errorf("%+v", found)
	}
	// The key was not used up by the failure.
	b.exec(`UPDATE booking.place SET places = taken + 1 WHERE slot_id = $1`, move.SlotID)
	_, err = b.rebook(s, "late", move)
	b.ok(err)
}

func TestRebookSomebodyElse(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	list := b.choices(leipzig, pair(comirnaty))
	mine, yours := b.books(b.person(), list[0]), b.books(b.person(), list[1])
	yours.PersonID = mine.PersonID
	if _, err := b.rebook(yours, "steal", b.moveTo(yours, 2, 0)); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestEverybodyMoves: thirty people move at once to and fro, some cancel, others
// hold and never confirm, an administrator shifts the quotas and the plan is made
// again and again; no place is sold twice, no series is left without its pair, and in
// the end every dose is offered again.
func TestEverybodyMoves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 14) // 70 doses: 35 pairs
	b.replan(leipzig, comirnaty)
	var all []Series
	for range 30 {
		all = append(all, b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0]))
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		moved int
	)
	for i, s := range all {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for try := range 6 {
				found, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, s.PersonID)
				if err != nil {
					t.Error(err)
					return
				}
				if rnd.IntN(12) == 0 {
					if err := b.s.Cancel(b.ctx, s.ID, s.PersonID, "citizen:"+s.PersonID); err != nil {
						t.Error(err)
					}
					return
				}
				dose := 1 + rnd.IntN(2)
				list, err := b.s.MoveOffers(b.ctx, b.pool, *found, dose, leipzig, Web, time.Time{})
				if err != nil {
					t.Error(err)
					return
				}
				if len(list) == 0 {
					continue
				}
				_, err = b.rebook(*found, fmt.Sprint(try), Move{dose, list[rnd.IntN(len(list))].SlotID})
				if err != nil && !errors.Is(err, ErrSlotTaken) && !errors.Is(err, ErrNotEligible) {
					t.Errorf("move: %v", err)
				}
				if err == nil {
					mu.Lock()
					moved++
					mu.Unlock()
				}
			}
		})
	}
	for i := range 4 { // dreamers
		wg.Go(func() {
			for try := range 3 {
				list, err := b.s.offers(b.ctx, b.pool, leipzig, Web, b.now(), b.now().AddDate(0, 0, 60), pair(comirnaty))
				if err != nil || len(list) == 0 {
					continue
				}
				if c, ok := list[0].Choice(list[0].First[0].SlotID); ok {
					_, err := b.take(id.New(), fmt.Sprint("dream ", i, try), pair(comirnaty), c.SlotIDs()...)
					if err != nil && !errors.Is(err, ErrSlotTaken) {
						t.Errorf("hold: %v", err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for n := range 8 {
			shares := Shares{Web: 100}
			if n%2 == 0 {
				shares = Shares{Web: 70, Hotline: 30}
			}
			var below *BelowTakenError
			if err := b.s.SetShares(b.ctx, leipzig, shares, By{"staff:test", "admin"}); err != nil && !errors.As(err, &below) {
				t.Errorf("quotas: %v", err)
			}
		}
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for planning := true; planning; {
		select {
		case <-done:
			planning = false
		default:
			if err := b.s.Replan(b.ctx, leipzig, comirnaty); err != nil && !pg.IsLockTimeout(err) {
				t.Error(err)
			}
		}
	}
	if moved == 0 {
		t.Error("nobody moved: this proves nothing")
	}
	b.sound()
	if n := b.count(`SELECT count(*) FROM booking.series s WHERE state = 'confirmed'
		AND (SELECT count(*) FROM booking.appointment a WHERE a.series_id = s.id AND a.state = 'confirmed') <> 2`); n > 0 {
		t.Errorf("%d half pairs", n)
	}
	b.at(b.now().Add(11 * time.Minute))
	if _, err := b.s.ExpireHolds(b.ctx); err != nil {
		t.Error(err)
	}
	b.sound()
	b.replan(leipzig, comirnaty)
	stand := b.count(`SELECT count(*) FROM booking.series WHERE state = 'confirmed'`)
	if n := b.pairs(leipzig, comirnaty); n != 35-stand {
		t.Errorf("%d pairs are free beside %d booked, of 35", n, stand)
	}
}

// TestChangeIsTold: once, with the times as they are now.
func TestChangeIsTold(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	b.ok(b.s.tellConfirmed(b.ctx, s.ID))
	_, err := b.rebook(s, "1", b.moveTo(s, 2, 2))
	b.ok(err)
	_, err = b.rebook(s, "2", b.moveTo(s, 2, 0))
	b.ok(err)
	for range 2 {
		b.ok(b.s.tellChanged(b.ctx, s.ID))
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.changed'`); n != 2 {
		t.Errorf("%d tasks", n)
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.changed'`); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestWhatIsMovedReturnsLater: nobody can be waiting for the place that somebody
// leaves at an agreed second, but who left it may have it again.
func TestWhatIsMovedReturnsLater(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	b.returns(backDelay, backSpread)
	s := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	was := Move{2, s.Visits()[1].SlotID}
	b.exec(`UPDATE booking.place SET places = taken WHERE slot_id = $1`, was.SlotID)
	_, err := b.rebook(s, "away", b.moveTo(s, 2, 3))
	b.ok(err)
	b.sound()
	other := b.books(b.person(), b.choices(leipzig, pair(comirnaty))[0])
	if _, err := b.rebook(other, "catch", was); !errors.Is(err, ErrSlotTaken) {
		t.Errorf("caught at once: %v", err)
	}
	_, err = b.rebook(s, "back", was)
	b.ok(err)
	b.sound()
	_, err = b.rebook(s, "away again", b.moveTo(s, 2, 3))
	b.ok(err)
	b.at(b.now().Add(backDelay + backSpread))
	_, err = b.rebook(other, "later", was)
	b.ok(err)
	b.sound()
}
