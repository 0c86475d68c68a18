package booking

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
)

func TestFreePlacesAreShiftedByHand(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := day(2021, 2, 1)
	b.sell(Hotline, on, 4)
	before := b.places(on)
	free := before[Hotline][0] - 4
	move := func(from, to Channel, n int) error {
		return b.s.MoveFree(b.ctx, Shift{CentreID: leipzig, Day: on, From: from, To: to, Places: n}, admin)
	}
	var not *NotFreeError
	if err := move(Hotline, Web, free+1); !errors.As(err, &not) || not.Free != free {
		t.Fatalf("more than is free: %v", err)
	}
	b.ok(move(Hotline, Web, free))
	if got := b.places(on); got[Hotline] != [2]int{4, 4} || got[Web][0] != before[Web][0]+free {
		t.Errorf("%v, before %v", got, before)
	}
	b.ok(move(Web, Reserve, 5))
	b.sell(Web, on, 3)
	b.worker()
	if got := b.places(on); got[Reserve] != [2]int{5, 0} || got[Hotline] != [2]int{4, 4} || got.total() != before.total() {
		t.Errorf("%v, before %v", got, before)
	}
	b.ok(b.s.Undo(b.ctx, leipzig, admin))
	if got := b.places(on); got[Reserve][0] != 0 || got[Web] != [2]int{before[Web][0] + free, 3} {
		t.Errorf("after the last was undone: %v, before %v", got, before)
	}
	b.sell(Web, on, before[Web][0]) // three of the moved ones are needed
	if err := b.s.Undo(b.ctx, leipzig, admin); !errors.As(err, &not) {
		t.Errorf("undone although they are sold: %v", err)
	}
	for _, bad := range []struct {
		from, to Channel
		on       time.Time
		want     error
	}{
		{Web, Web, on, ErrInvalid}, {Web, "nobody", on, ErrInvalid}, {Web, Hotline, b.now().AddDate(0, 0, 2), ErrReceiver}, {Web, Hotline, b.now().AddDate(0, 0, -2), ErrInvalid},
	} {
		if err := b.s.MoveFree(b.ctx, Shift{CentreID: leipzig, Day: bad.on, From: bad.from, To: bad.to, Places: 1}, admin); !errors.Is(err, bad.want) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.shift' AND after IS NOT NULL`); n != 2 {
		t.Errorf("%d shifts in the audit", n)
	}
	b.sound()
}

func TestAGroupHasItsContingentUntilTheHour(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 20) // 100 doses
	b.replan(leipzig, comirnaty)
	first := clock.Day(b.choices(leipzig, pair(comirnaty))[0].Times[0].Start)
	total := b.places(first).total()
	until := clock.At(clock.Day(b.now()).AddDate(0, 0, 1), 12, 0)
	cid, err := b.s.AddContingent(b.ctx, Contingent{
		CentreID: leipzig, Channel: Web, ProgrammeID: "covid-19", Group: "s2-age", FromDay: first, ToDay: first, Places: 2, Until: until,
	}, admin)
	b.ok(err)
	b.exec(`UPDATE booking.setting SET horizon_days = 1`) // one day only
	b.worker()
	if got := b.places(first); got["web:s2-age"] != [2]int{2, 0} || got[Web][0] != total-2 || total < 4 {
		t.Fatalf("%v of %d", got, total)
	}
	member := func() citizen.Person { return b.person() }
	other := func() citizen.Person {
		return b.person(func(r *citizen.Registration) { r.GroupCode = "s2-work" })
	}
	hold := func(p citizen.Person) error {
		days, err := b.s.Offers(b.ctx, b.pool, OfferQuery{Person: p, CentreID: leipzig, Channel: Web, From: first, To: first})
		if err != nil || len(days) == 0 {
			return errors.Join(err, ErrSlotTaken)
		}
		c, _ := days[0].Choice(days[0].First[0].SlotID)
		_, err = b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: c.SlotIDs(), Key: id.New()})
		return err
	}
	for range total - 2 {
		b.ok(hold(other()))
	}
	if err := hold(other()); !errors.Is(err, ErrSlotTaken) {
		t.Errorf("somebody else has a place of the contingent: %v", err)
	}
	b.ok(hold(member()))
	if got := b.places(first); got["web:s2-age"] != [2]int{2, 1} {
		t.Errorf("%v", got)
	}
	if n := b.count(`SELECT count(*) FROM booking.series s JOIN booking.appointment a ON a.series_id = s.id WHERE s.channel = 'web' AND a.channel = 'web:s2-age'`); n != 2 {
		t.Errorf("%d appointments of the contingent", n)
	}
	b.sound()
	a, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	ents, err := b.s.entitlements(b.ctx, b.pool, member())
	b.ok(err)
	free, err := b.s.freeDays(b.ctx, b.pool, a, leipzig, Web, ents)
	b.ok(err)
	if a.Free() != 0 || len(free[leipzig]) != 1 || free[leipzig][0].Free != 1 {
		t.Errorf("public %d, a member sees %+v", a.Free(), free)
	}
	// At noon of the next day what is left is everybody's: of the same day, if it were not past.
	b.exec(`UPDATE booking.contingent SET until_at = $1`, b.now().Add(time.Minute))
	b.at(b.now().Add(59 * time.Second))
	b.worker()
	if err := hold(other()); !errors.Is(err, ErrSlotTaken) {
		t.Errorf("before the hour: %v", err)
	}
	b.at(b.now().Add(time.Second))
	b.worker()
	if got := b.places(first); got["web:s2-age"] != [2]int{1, 1} || got[Web][0] != total-1 {
		t.Errorf("after the hour: %v", got)
	}
	b.ok(hold(other()))
	b.ok(b.s.EndContingent(b.ctx, cid, admin))
	if err := b.s.EndContingent(b.ctx, cid, admin); !errors.Is(err, ErrNotFound) {
		t.Errorf("ended twice: %v", err)
	}
	b.sound()
}

func TestAMemberTakesTheContingentFirstThenWhatIsEverybodys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 20)
	b.exec(`UPDATE booking.setting SET horizon_days = 1`)
	today := clock.Day(b.now())
	_, err := b.s.AddContingent(b.ctx, Contingent{Channel: Web, ProgrammeID: "covid-19", Group: "s2-age", FromDay: today, ToDay: today, Percent: 10, Until: b.now().Add(time.Hour)}, admin)
	b.ok(err)
	b.replan(leipzig, comirnaty)
	total := b.places(today).total()
	for range total {
		p := b.person()
		days, err := b.s.Offers(b.ctx, b.pool, OfferQuery{Person: p, CentreID: leipzig, Channel: Web, From: today, To: today})
		b.ok(err)
		c, _ := days[0].Choice(days[0].First[0].SlotID)
		_, err = b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: c.SlotIDs(), Key: id.New()})
		b.ok(err)
	}
	if got := b.places(today); got["web:s2-age"][1] != total/10 || got[Web][1] != total-total/10 {
		t.Errorf("%v of %d", got, total)
	}
	b.sound()
}

func TestContingentsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ok := Contingent{CentreID: leipzig, Channel: Web, ProgrammeID: "covid-19", Group: "s2-age", FromDay: b.now(), ToDay: b.now(), Places: 1, Until: b.now().Add(time.Hour)}
	for name, change := range map[string]func(*Contingent){
		"channel":   func(c *Contingent) { c.Channel = Reserve },
		"over":      func(c *Contingent) { c.Until = b.now() },
		"past":      func(c *Contingent) { c.ToDay = b.now().AddDate(0, 0, -1) },
		"backwards": func(c *Contingent) { c.FromDay = b.now().AddDate(0, 0, 1) },
		"both":      func(c *Contingent) { c.Percent = 5 },
		"neither":   func(c *Contingent) { c.Places = 0 },
		"group":     func(c *Contingent) { c.Group = "nobody" },
		"centre":    func(c *Contingent) { c.CentreID = "nowhere" },
	} {
		c := ok
		change(&c)
		if _, err := b.s.AddContingent(b.ctx, c, admin); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	_, err := b.s.AddContingent(b.ctx, ok, admin)
	b.ok(err)
}

// TestQuotasOnARealDatabase changes quotas at random while people book and give
// back: nothing is oversold, no place is lost, and a refused change changes nothing.
func TestQuotasOnARealDatabase(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := day(2021, 1, 18)
	b.exec(`UPDATE booking.setting SET horizon_days = 8`)
	b.exec(`UPDATE booking.setting SET slot_minutes = 60`)
	b.replan(leipzig, janssen)
	total := b.places(on).total()
	channels := []Channel{Web, Hotline, Mobile, Reserve}
	histories := 0
	rapid.Check(t, func(rt *rapid.T) {
		if histories++; histories > 2 && !t.Failed() {
			return // each takes more than a second
		}
		for _, table := range []string{"series", "idempotency", "share", "share_day", "shift", "contingent", "quota_change", "release_rule"} {
			b.exec(`DELETE FROM booking.` + table)
		}
		b.exec(`UPDATE booking.place SET taken = 0`)
		b.exec(`UPDATE booking.plan SET wanted = wanted + 1`)
		b.worker()
		quotas := func(rt *rapid.T) Quotas {
			q, left := Quotas{}, 100
			for i, ch := range channels {
				p := left
				if i < len(channels)-1 {
					p = rapid.IntRange(0, left).Draw(rt, "percent")
				}
				left -= p
				q[ch] = Quota{p, rapid.SampledFrom([]int{0, 0, 3, 10}).Draw(rt, "places")}
			}
			return q
		}
		refusable := func(rt *rapid.T, what string, err error) {
			var below *BelowTakenError
			var not *NotFreeError
			if err != nil && !errors.As(err, &below) && !errors.As(err, &not) && !errors.Is(err, ErrReceiver) && !errors.Is(err, ErrNotFound) {
				rt.Fatalf("%s: %v", what, err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"sell": func(rt *rapid.T) {
				ch := rapid.SampledFrom(channels[:2]).Draw(rt, "channel")
				if p := b.places(on); p[ch][0] > p[ch][1]+3 {
					b.sell(ch, on, 3)
				}
			},
			"day": func(rt *rapid.T) {
				refusable(rt, "day", b.s.SetDays(b.ctx, leipzig, []DayQuota{{Day: on, Quotas: quotas(rt)}}, admin))
			},
			"standing": func(rt *rapid.T) { refusable(rt, "standing", b.s.SetQuotas(b.ctx, leipzig, quotas(rt), admin)) },
			"shift": func(rt *rapid.T) {
				from, to := rapid.SampledFrom(channels).Draw(rt, "from"), rapid.SampledFrom(channels).Draw(rt, "to")
				if from != to {
					refusable(rt, "shift", b.s.MoveFree(b.ctx, Shift{CentreID: leipzig, Day: on, From: from, To: to, Places: rapid.IntRange(1, 10).Draw(rt, "n")}, admin))
				}
			},
			"release": func(rt *rapid.T) {
				b.ok(b.s.SetRelease(b.ctx, ReleaseRule{From: Hotline, FromDay: on, To: Web, DaysBefore: rapid.SampledFrom([]int{5, 20}).Draw(rt, "before")}, admin))
			},
			"contingent": func(rt *rapid.T) {
				_, err := b.s.AddContingent(b.ctx, Contingent{CentreID: leipzig, Channel: Web, ProgrammeID: "covid-19", Group: "s2-age", FromDay: on, ToDay: on, Places: 3, Until: b.now().Add(time.Hour)}, admin)
				b.ok(err)
			},
			"undo": func(rt *rapid.T) { refusable(rt, "undo", b.s.Undo(b.ctx, leipzig, admin)) },
			"": func(rt *rapid.T) {
				b.worker()
				b.sound()
				if got := b.places(on); got.total() != total {
					rt.Fatalf("%d places, %v; the day has %d", got.total(), got, total)
				}
			},
		})
	})
}
