package booking

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/shareddata"
	"impfportal/inventory"
)

// TestSaxonysVialsBecomePairs is the proof with the real report: what had come
// by 8 January 2021, in equal shares, at five and at six doses a vial.
func TestSaxonysVialsBecomePairs(t *testing.T) {
	t.Parallel()
	path := shareddata.Path(t, "saxony-deliveries.csv")
	b := setup(t)
	f, err := os.Open(path)
	b.ok(err)
	defer func() { _ = f.Close() }()
	_, err = b.inventory.ImportDeliveries(b.ctx, f, "system", nil)
	b.ok(err)
	by := inventory.By{Actor: "staff:test", Role: "admin"}
	b.tx(func(tx pgx.Tx) error {
		shares, err := b.inventory.EqualShares(b.ctx, tx, comirnaty, "test", by)
		if err == nil && (shares.Each != 1575 || shares.Left != 0) {
			t.Errorf("shares %+v", shares)
		}
		return err
	})
	centres, err := centre.List(b.ctx, b.pool)
	b.ok(err)
	for _, c := range centres {
		b.tx(func(tx pgx.Tx) error {
			c.Stations = 40
			return centre.Update(b.ctx, tx, b.now(), c, centre.By{Actor: "staff:test", Role: "admin"})
		})
		b.webOnly(c.ID)
	}
	offered := func() (total int) {
		t.Helper()
		b.ok(b.s.ReplanAll(b.ctx, "system", nil))
		for _, c := range centres {
			n := b.pairs(c.ID, comirnaty)
			total += n
		}
		return total
	}
	if n := offered(); n != 51_181 || b.pairs(leipzig, comirnaty) != 3_937 {
		t.Errorf("at five doses a vial %d pairs, %d in Leipzig; want 51,181 and 3,937", n, b.pairs(leipzig, comirnaty))
	}
	if n := b.count(`SELECT sum(doses_left) FROM booking.plan WHERE product_id = $1`, comirnaty); n != 13 {
		t.Errorf("%d single doses left, want 13", n)
	}
	b.at(clock.At(day(2021, 1, 15), 8, 0))
	b.tx(func(tx pgx.Tx) error { return b.inventory.SetDosesPerVial(b.ctx, tx, comirnaty, b.now(), 6, by) })
	if n := offered(); n != 61_425 || b.pairs(leipzig, comirnaty) != 4_725 {
		t.Errorf("at six doses a vial %d pairs, %d in Leipzig; want 61,425 and 4,725", n, b.pairs(leipzig, comirnaty))
	}
	b.sound()
}

func TestReplanChangesNothingWhenNothingChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock(leipzig, comirnaty, 300)
	b.replan(leipzig, comirnaty)
	before := b.count(`SELECT count(*) FROM booking.place`)
	look, err := b.s.view(b.ctx, b.pool, leipzig, comirnaty, b.now(), false)
	b.ok(err)
	if changes, _ := look.decide(); len(changes) != 0 {
		t.Errorf("%d changes of %d places, first %+v", len(changes), before, changes[0])
	}
}

func TestNewVaccineKeepsWhatIsOffered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 20)
	b.replan(leipzig, comirnaty)
	list := b.choices(leipzig, pair(comirnaty))
	b.stock(leipzig, comirnaty, 20)
	b.replan(leipzig, comirnaty)
	if n := b.pairs(leipzig, comirnaty); n != 100 {
		t.Errorf("%d pairs, want 100", n)
	}
	for i, c := range list {
		_, err := b.take(id.New(), fmt.Sprint(i), pair(comirnaty), c.SlotIDs()...)
		if err != nil && !errors.Is(err, ErrSlotTaken) {
			t.Error(err)
		}
		if i == 0 && err != nil {
			t.Errorf("what was shown before the delivery: %v", err)
		}
	}
	b.sound()
}

func TestShortfallIsNamedAndNothingIsCancelled(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	for i := range 10 {
		person := id.New()
		left := b.choices(leipzig, pair(comirnaty))
		s, err := b.take(person, fmt.Sprint(i), pair(comirnaty), left[0].SlotIDs()...)
		b.ok(err)
		_, err = b.s.Confirm(b.ctx, s.ID, person, "")
		b.ok(err)
	}
	b.waste(leipzig, comirnaty, 1) // five doses are gone
	b.replan(leipzig, comirnaty)
	found, err := Shortfalls(b.ctx, b.pool)
	b.ok(err)
	missing := 0
	for _, f := range found {
		if f.Cause != CauseDoses || f.CentreID != leipzig {
			t.Errorf("%+v", f)
		}
		missing += f.Missing
	}
	if missing != 5 {
		t.Errorf("%d doses missing, want 5: %+v", missing, found)
	}
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE state = 'confirmed'`); n != 20 {
		t.Errorf("%d appointments left", n)
	}
	if n := b.pairs(leipzig, comirnaty); n != 0 {
		t.Errorf("%d pairs offered", n)
	}
	// The centre closes on the first day: stations are missing, too.
	day := clock.Day(list[0].Times[0].Start)
	b.tx(func(tx pgx.Tx) error {
		return centre.SetException(b.ctx, tx, b.now(), leipzig, centre.Exception{Day: day, Reason: "Sturm"}, centre.By{Actor: "staff:test", Role: "admin"})
	})
	b.replan(leipzig, comirnaty)
	found, err = Shortfalls(b.ctx, b.pool)
	b.ok(err)
	stations := 0
	for _, f := range found {
		if f.Cause == CauseStations && f.Day.Equal(day) {
			stations += f.Missing
		}
	}
	if stations == 0 {
		t.Errorf("a closed day is no shortfall: %+v", found)
	}
	b.stock(leipzig, comirnaty, 1)
	b.tx(func(tx pgx.Tx) error {
		return centre.RemoveException(b.ctx, tx, b.now(), leipzig, day, centre.By{Actor: "staff:test", Role: "admin"})
	})
	b.replan(leipzig, comirnaty)
	if found, err = Shortfalls(b.ctx, b.pool); err != nil || len(found) != 0 {
		t.Errorf("not resolved: %+v, %v", found, err)
	}
	b.sound()
}

func TestSupplyFallsUnderRacers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 24) // 120 doses
	b.replan(leipzig, comirnaty)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			person := id.New()
			for try := range 20 {
				list := b.choices(leipzig, pair(comirnaty))
				if len(list) == 0 {
					return
				}
				s, err := b.take(person, fmt.Sprint(try), pair(comirnaty), list[(i*7)%len(list)].SlotIDs()...)
				if errors.Is(err, ErrSlotTaken) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if i%3 == 0 {
					err = b.s.Cancel(b.ctx, s.ID, person, "citizen:"+person)
				} else {
					_, err = b.s.Confirm(b.ctx, s.ID, person, "")
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
		}()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for range 6 {
			b.waste(leipzig, comirnaty, 1)
			b.replan(leipzig, comirnaty)
		}
	}()
	wg.Wait()
	b.replan(leipzig, comirnaty)
	booked := b.count(`SELECT count(*) FROM booking.appointment WHERE state IN ('held', 'confirmed')`)
	missing := b.count(`SELECT coalesce(sum(missing), 0) FROM booking.shortfall WHERE resolved_at IS NULL AND cause = 'doses'`)
	offered := 2 * b.pairs(leipzig, comirnaty)
	left := b.count(`SELECT doses_left FROM booking.plan WHERE centre_id = 'leipzig'`)
	if booked+offered+left-missing != 90 {
		t.Errorf("%d booked, %d offered, %d left, %d missing of 90 doses", booked, offered, left, missing)
	}
	b.sound()
}

func TestHotlineHasItsOwnShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock(leipzig, comirnaty, 200) // 500 pairs, 70 and 30 percent
	b.replan(leipzig, comirnaty)
	free := func(ch Channel) (n int, first time.Time) {
		rows, err := b.s.freeSeries(b.ctx, b.pool, leipzig, comirnaty)
		b.ok(err)
		for _, r := range rows {
			if r.Channel == ch {
				if n += r.Free; first.IsZero() || r.Day.Before(first) {
					first = r.Day
				}
			}
		}
		return n, first
	}
	web, _ := free(Web)
	hotline, first := free(Hotline)
	if web+hotline != 500 || hotline < 140 || hotline > 160 {
		t.Errorf("web %d, hotline %d", web, hotline)
	}
	if want := clock.Day(b.now()).AddDate(0, 0, 5); first.Before(want) {
		t.Errorf("hotline from %v, want %v", first, want)
	}
	days, err := b.s.offers(b.ctx, b.pool, leipzig, Hotline, b.now(), b.now().AddDate(0, 0, 60), pair(comirnaty))
	b.ok(err)
	c, ok := days[0].Choice(days[0].First[0].SlotID)
	if !ok {
		t.Fatal("no choice")
	}
	person := id.New()
	if _, err := b.s.take(b.ctx, takeRequest{
		ProgrammeID: "covid-19", Entitlements: pair(comirnaty),
		HoldRequest: HoldRequest{PersonID: person, Channel: Hotline, SlotIDs: c.SlotIDs(), Key: "k", Actor: "staff:agent", Role: "agent"},
	}); err != nil {
		t.Error(err)
	}
	// A day that belongs to the hotline alone.
	only := clock.Day(b.now()).AddDate(0, 0, 8)
	b.ok(b.s.SetDayShares(b.ctx, leipzig, "", only, Shares{Hotline: 100}, By{"staff:test", "admin"}))
	b.stock(leipzig, comirnaty, 2000)
	b.ok(b.s.ReplanWanted(b.ctx))
	b.replan(leipzig, comirnaty)
	rows, err := b.s.freeSeries(b.ctx, b.pool, leipzig, comirnaty)
	b.ok(err)
	seen := false
	for _, r := range rows {
		if r.Day.Equal(only) {
			seen = true
			if r.Channel != Hotline {
				t.Errorf("%s has places on the hotline's day", r.Channel)
			}
		}
	}
	if !seen {
		t.Error("nothing on the hotline's day")
	}
	if err := b.s.SetShares(b.ctx, leipzig, Shares{Web: 70, Hotline: 20}, By{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("90 percent: %v", err)
	}
}

func TestLanesShareTheStations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock(leipzig, comirnaty, 10)
	b.exec(`INSERT INTO inventory.doses_per_vial (product_id, valid_from, doses, set_by, set_at) VALUES ('influvac', '2020-09-01', 1, 'test', now())`)
	b.stock(leipzig, "influvac", 10)
	busy, err := b.s.busyProducts(b.ctx, b.pool, leipzig, clock.Day(b.now()))
	b.ok(err)
	if got := fmt.Sprint(busy); got != "[comirnaty influvac]" {
		t.Errorf("busy %s", got)
	}
	today := clock.Day(b.now())
	if n := stationsFor(nil, today, comirnaty, busy, 9); n != 5 {
		t.Errorf("%d stations by default", n)
	}
	by := By{"staff:test", "admin"}
	b.ok(b.s.SetLane(b.ctx, Lane{leipzig, comirnaty, today, 8}, by))
	b.ok(b.s.SetLane(b.ctx, Lane{leipzig, "influvac", today.AddDate(0, 0, 5), 2}, by))
	if err := b.s.SetLane(b.ctx, Lane{leipzig, "influvac", today.AddDate(0, 0, 7), 3}, by); !errors.Is(err, ErrInvalid) {
		t.Errorf("eleven of ten stations: %v", err)
	}
	b.ok(b.s.ReplanCentre(b.ctx, leipzig))
	if n := b.pairs(leipzig, "influvac"); n != 10 {
		t.Errorf("%d single appointments for influenza", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.slot WHERE product_id = 'influvac' AND day < $1`, today.AddDate(0, 0, 5)); n != 0 {
		t.Errorf("%d slots before the lane begins", n)
	}
}

func TestEntitlements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	legs := func(p citizen.Person) map[string]Entitlement {
		t.Helper()
		list, err := b.s.entitlements(b.ctx, b.pool, p)
		b.ok(err)
		out := map[string]Entitlement{}
		for _, e := range list {
			out[e.ProductID] = e
		}
		return out
	}
	got := legs(b.person())
	if got[comirnaty].Legs != 2 || got["spikevax"].Legs != 2 || got["vaxzevria"].Legs != 0 || len(got) != 2 {
		t.Errorf("January 2021: %+v", got)
	}
	dose := day(2021, 1, 4)
	p := b.person(func(r *citizen.Registration) {
		r.Prior = &citizen.Prior{Kind: citizen.PriorDose, ProductID: comirnaty, Date: dose, Proof: "pass"}
	})
	got = legs(p)
	if e := got[comirnaty]; len(got) != 1 || e.Legs != 1 || e.FirstDose != 2 || !e.NotBefore.Equal(day(2021, 1, 25)) {
		t.Errorf("second dose only: %+v", got)
	}
	p = b.person(func(r *citizen.Registration) {
		r.Prior = &citizen.Prior{Kind: citizen.PriorRecovery, Date: day(2020, 10, 1), Proof: "laboratory"}
	})
	if e := legs(p)[comirnaty]; e.Legs != 1 || e.FirstDose != 1 {
		t.Errorf("recovered: %+v", e)
	}
	young := b.person()
	young.Birth = citizen.PartialDate{Year: 2006} // perhaps fourteen
	var not *IneligibleError
	if _, err := b.s.entitlements(b.ctx, b.pool, young); !errors.As(err, &not) || not.Reason != ReasonAge {
		t.Errorf("too young: %v", err)
	}
	closed := b.person()
	closed.GroupCode = "s3-age"
	if _, err := b.s.entitlements(b.ctx, b.pool, closed); !errors.As(err, &not) || not.Reason != ReasonGroup {
		t.Errorf("group not open: %v", err)
	}
	// Whether a registration is being clarified changes nothing.
	checking := b.person()
	before := legs(checking)
	checking.State = citizen.StateCheck
	if after := legs(checking); len(before) == 0 || !maps.Equal(before, after) {
		t.Errorf("being checked: %+v, before %+v", after, before)
	}
}

func TestOneDoseIsEnoughForSome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 4)
	b.replan(leipzig, comirnaty)
	p := b.person(func(r *citizen.Registration) {
		r.Prior = &citizen.Prior{Kind: citizen.PriorRecovery, Date: day(2020, 10, 1), Proof: "laboratory"}
	})
	days, err := b.s.Offers(b.ctx, b.pool, OfferQuery{Person: p, CentreID: leipzig, Channel: Web, From: b.now(), To: b.now().AddDate(0, 0, 30)})
	b.ok(err)
	if len(days) == 0 || len(days[0].Later) != 0 {
		t.Fatalf("offers %+v", days)
	}
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: []int64{days[0].First[0].SlotID}, Key: "k"})
	b.ok(err)
	if len(s.Appointments) != 1 {
		t.Errorf("%+v", s)
	}
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	b.ok(b.s.ReplanWanted(b.ctx))
	// 20 doses, one is promised: nine pairs and one dose.
	if n := b.pairs(leipzig, comirnaty); n != 9 {
		t.Errorf("%d pairs", n)
	}
	if n := b.count(`SELECT sum(places - taken) FROM booking.place WHERE leg = 2`); n != 9 {
		t.Errorf("%d second places are kept for nobody", n)
	}
	b.sound()
}
