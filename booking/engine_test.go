package booking

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"impfportal/internal/id"
	"impfportal/internal/pg"

	"github.com/jackc/pgx/v5"
)

const (
	leipzig   = "leipzig"
	comirnaty = "comirnaty"
)

func TestTwoHundredRacersForTenPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 4) // 20 doses: 10 pairs
	b.replan(leipzig, comirnaty)
	if n := b.pairs(leipzig, comirnaty); n != 10 {
		t.Fatalf("%d pairs are offered, want 10", n)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		won  = map[string]string{}
		full int
	)
	for i := range 200 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			person := id.New()
			for try := 0; ; try++ {
				days, err := b.s.offers(b.ctx, b.pool, leipzig, Web, b.now(), b.now().AddDate(0, 0, 60), pair(comirnaty))
				if err != nil {
					t.Error(err)
					return
				}
				if len(days) == 0 {
					mu.Lock()
					full++
					mu.Unlock()
					return
				}
				d := days[i%len(days)]
				c, ok := d.Choice(d.First[i%len(d.First)].SlotID)
				if !ok {
					continue
				}
				series, err := b.take(person, fmt.Sprint("race-", try), pair(comirnaty), c.SlotIDs()...)
				if errors.Is(err, ErrSlotTaken) {
					continue
				}
				if err == nil {
					series, err = b.s.Confirm(b.ctx, series.ID, person, "")
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				won[person] = series.ID
				mu.Unlock()
				return
			}
		}()
	}
	wg.Wait()
	if len(won) != 10 || full != 190 {
		t.Errorf("%d have a pair, %d were told full", len(won), full)
	}
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE state = 'confirmed'`); n != 20 {
		t.Errorf("%d appointments, want 20", n)
	}
	if n := b.count(`SELECT count(*) FROM (SELECT series_id FROM booking.appointment WHERE state = 'confirmed' GROUP BY 1 HAVING count(*) <> 2) half`); n != 0 {
		t.Errorf("%d half pairs", n)
	}
	if n := b.pairs(leipzig, comirnaty); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
	b.sound()
}

func TestOnePairIsBookedAfterTheOtherUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock(leipzig, comirnaty, 41) // 205 doses: 102 pairs and one dose
	b.webOnly(leipzig)
	b.replan(leipzig, comirnaty)
	booked := 0
	for {
		list := b.choices(leipzig, pair(comirnaty))
		if len(list) == 0 {
			break
		}
		person := id.New()
		series, err := b.take(person, "one", pair(comirnaty), list[booked%len(list)].SlotIDs()...)
		b.ok(err)
		_, err = b.s.Confirm(b.ctx, series.ID, person, "")
		b.ok(err)
		if booked++; booked%20 == 0 { // a new plan in the middle neither adds nor loses one
			b.replan(leipzig, comirnaty)
		}
	}
	if booked != 102 {
		t.Errorf("%d pairs booked, want 102", booked)
	}
	b.replan(leipzig, comirnaty)
	if n := b.pairs(leipzig, comirnaty); n != 0 {
		t.Errorf("%d pairs offered after all are gone", n)
	}
	if n := b.count(`SELECT doses_left FROM booking.plan`); n != 1 {
		t.Errorf("%d doses left, want 1", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.shortfall`); n != 0 {
		t.Errorf("%d shortfalls", n)
	}
	b.sound()
}

// small makes a centre with ten pairs and returns the series that could be held.
func small(t *testing.T) (*bundle, []Choice) {
	t.Helper()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 4)
	b.replan(leipzig, comirnaty)
	return b, b.choices(leipzig, pair(comirnaty))
}

func TestHoldEndsAndGivesThePlacesBack(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	person := id.New()
	series, err := b.take(person, "k", pair(comirnaty), list[0].SlotIDs()...)
	b.ok(err)
	if got := series.HoldUntil.Sub(b.now()); got != 10*time.Minute {
		t.Errorf("held for %v", got)
	}
	if n := b.pairs(leipzig, comirnaty); n != 9 {
		t.Errorf("%d pairs while one is held", n)
	}
	b.at(monday.Add(10*time.Minute - time.Second))
	if n, err := b.s.ExpireHolds(b.ctx); err != nil || n != 0 {
		t.Errorf("ended too early: %d, %v", n, err)
	}
	b.at(monday.Add(10 * time.Minute))
	if _, err := b.s.Confirm(b.ctx, series.ID, person, ""); !errors.Is(err, ErrHoldExpired) {
		t.Errorf("confirm after the end, before the sweep: %v", err)
	}
	if n, err := b.s.ExpireHolds(b.ctx); err != nil || n != 1 {
		t.Errorf("%d holds ended, %v", n, err)
	}
	if _, err := b.s.Confirm(b.ctx, series.ID, person, ""); !errors.Is(err, ErrHoldExpired) {
		t.Errorf("confirm after the sweep: %v", err)
	}
	if n := b.pairs(leipzig, comirnaty); n != 10 {
		t.Errorf("%d pairs after the hold ended", n)
	}
	b.sound()
}

func TestAnEndedHoldIsFreedBeforeAnybodyIsToldFull(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	for i := range 10 {
		left := b.choices(leipzig, pair(comirnaty))
		_, err := b.take(id.New(), fmt.Sprint(i), pair(comirnaty), left[0].SlotIDs()...)
		b.ok(err)
	}
	b.at(monday.Add(11 * time.Minute)) // nobody has swept
	if _, err := b.take(id.New(), "late", pair(comirnaty), list[0].SlotIDs()...); err != nil {
		t.Errorf("the place of an ended hold: %v", err)
	}
	b.sound()
}

func TestTheSameKeyGivesTheSameSeries(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	person := id.New()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		ids = map[string]int{}
	)
	for range 20 { // pressed twenty times at once
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := b.take(person, "same", pair(comirnaty), list[0].SlotIDs()...)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			ids[s.ID]++
			mu.Unlock()
			if len(s.Appointments) != 2 || s.Reference == "" || s.CentreID != leipzig {
				t.Errorf("incomplete answer %+v", s)
			}
		}()
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("%d series", len(ids))
	}
	for seriesID := range ids {
		for range 2 { // confirmed twice
			if s, err := b.s.Confirm(b.ctx, seriesID, person, ""); err != nil || s.State != StateConfirmed {
				t.Errorf("%s, %v", s.State, err)
			}
		}
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.confirmed'`); n != 1 {
		t.Errorf("%d messages", n)
	}
	b.sound()
}

func TestDifferentKeysGiveOneSeries(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	person := id.New()
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 20 { // in many windows
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := b.take(person, fmt.Sprint(i), pair(comirnaty), list[i%len(list)].SlotIDs()...)
			switch {
			case err == nil:
				mu.Lock()
				won++
				mu.Unlock()
			case !errors.Is(err, ErrAlreadyBooked) && !errors.Is(err, ErrSlotTaken):
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d series of one person", won)
	}
	if n := b.pairs(leipzig, comirnaty); n != 9 {
		t.Errorf("%d pairs left", n)
	}
	b.sound()
}

func TestCancelGivesBothBackAndOneMayBookAgain(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	person := id.New()
	for round := range 3 {
		s, err := b.take(person, fmt.Sprint(round), pair(comirnaty), list[round].SlotIDs()...)
		b.ok(err)
		_, err = b.s.Confirm(b.ctx, s.ID, person, "")
		b.ok(err)
		if err := b.s.Cancel(b.ctx, s.ID, id.New(), "citizen:x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("somebody else's series: %v", err)
		}
		for range 2 { // twice
			b.ok(b.s.Cancel(b.ctx, s.ID, person, "citizen:"+person))
		}
		if n := b.pairs(leipzig, comirnaty); n != 10 {
			t.Errorf("%d pairs after cancelling", n)
		}
		if _, err := b.s.Confirm(b.ctx, s.ID, person, ""); !errors.Is(err, ErrHoldExpired) {
			t.Errorf("confirm after cancelling: %v", err)
		}
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.cancelled'`); n != 3 {
		t.Errorf("%d messages", n)
	}
	b.sound()
}

func TestSlotsThatMakeNoSeriesAreRefused(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	first, later := list[0].SlotIDs()[0], list[0].SlotIDs()[1]
	for name, slots := range map[string][]int64{
		"only the first":      {first},
		"only the second":     {later},
		"the wrong way round": {later, first},
		"twice the same":      {first, first},
		"unknown":             {first, 999999},
		"three":               {first, later, later},
	} {
		if _, err := b.take(id.New(), "k", pair(comirnaty), slots...); !errors.Is(err, ErrNotEligible) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.take(id.New(), "k", pair("spikevax"), first, later); !errors.Is(err, ErrNotEligible) {
		t.Errorf("a product that is not allowed: %v", err)
	}
	for ch, want := range map[Channel]error{Hotline: ErrNotEligible /* less than five days */, Mobile: ErrNotEligible, "fax": ErrNotEligible} {
		_, err := b.s.take(b.ctx, takeRequest{
			ProgrammeID: "covid-19", Entitlements: pair(comirnaty),
			HoldRequest: HoldRequest{PersonID: id.New(), Channel: ch, SlotIDs: []int64{first, later}, Key: "k", Actor: "staff:x"},
		})
		if !errors.Is(err, want) {
			t.Errorf("channel %s: %v", ch, err)
		}
	}
	if n := b.count(`SELECT count(*) FROM booking.series`); n != 0 {
		t.Errorf("%d series stored", n)
	}
	b.sound()
}

func TestVisitStates(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	person := id.New()
	s, err := b.take(person, "k", pair(comirnaty), list[0].SlotIDs()...)
	b.ok(err)
	first, second := s.Appointments[0].ID, s.Appointments[1].ID
	mark := func(fn func(tx pgx.Tx) error) error { return pg.InTx(b.ctx, b.pool, fn) }
	here := func(a string) error {
		return mark(func(tx pgx.Tx) error { return b.s.MarkHere(b.ctx, tx, a, b.now()) })
	}
	done := func(a string) error {
		return mark(func(tx pgx.Tx) error { return b.s.MarkDone(b.ctx, tx, a, b.now()) })
	}
	missed := func(a string) error {
		return mark(func(tx pgx.Tx) error { return b.s.MarkMissed(b.ctx, tx, a, b.now()) })
	}
	if err := here(first); !errors.Is(err, ErrState) {
		t.Errorf("a held appointment: %v", err)
	}
	_, err = b.s.Confirm(b.ctx, s.ID, person, "")
	b.ok(err)
	b.ok(here(first))
	b.ok(here(first))
	b.ok(done(first))
	if err := missed(first); !errors.Is(err, ErrState) {
		t.Errorf("missed after done: %v", err)
	}
	got, err := b.s.SeriesOf(b.ctx, b.pool, person)
	b.ok(err)
	if got.State != StateConfirmed || got.Next() == nil || got.Next().ID != second {
		t.Errorf("after the first dose: %+v", got)
	}
	b.ok(missed(second))
	got, err = b.s.SeriesOf(b.ctx, b.pool, person)
	b.ok(err)
	if got.State != StateEnded {
		t.Errorf("after missing the second: %s", got.State)
	}
	b.ok(here(second)) // came late after all
	b.ok(done(second))
	got, err = b.s.SeriesOf(b.ctx, b.pool, person)
	b.ok(err)
	if got.State != StateEnded || got.Appointments[0].State != StateDone || got.Appointments[1].State != StateDone {
		t.Errorf("after both: %+v", got)
	}
	if err := here(id.New()); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if err := b.s.Cancel(b.ctx, s.ID, person, "citizen:x"); err != nil {
		t.Errorf("cancelling what is over: %v", err)
	}
	b.sound()
}

func TestNobodySeesSomebodyElsesSeries(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	mine, other := id.New(), id.New()
	s, err := b.take(mine, "k", pair(comirnaty), list[0].SlotIDs()...)
	b.ok(err)
	if got, err := b.s.SeriesOf(b.ctx, b.pool, other); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, other); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := b.s.Confirm(b.ctx, s.ID, other, ""); !errors.Is(err, ErrHoldExpired) {
		t.Error(err)
	}
	if _, err := b.s.Confirm(b.ctx, "not an id", other, ""); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	// The same key of another person is another key.
	if got, err := b.take(other, "k", pair(comirnaty), b.choices(leipzig, pair(comirnaty))[0].SlotIDs()...); err != nil || got.ID == s.ID {
		t.Errorf("%+v, %v", got, err)
	}
}
