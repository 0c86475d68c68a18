package booking

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
)

// At night nobody is asked; what somebody would take waits for the morning.
func TestNobodyIsAskedAtNight(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	b.waits(nil)
	night := clock.At(day(2021, 1, 11), 22, 30)
	b.at(night)
	b.cancel(all[9])
	for range 4 {
		if n := b.offer(); n != 0 {
			t.Errorf("%d asked at night", n)
		}
	}
	var due time.Time
	b.ok(b.pool.QueryRow(b.ctx, `SELECT due_at FROM booking.returning`).Scan(&due))
	if open := clock.At(day(2021, 1, 12), askFrom, 0); due.Before(open.Add(backDelay)) || due.After(open.Add(backDelay+backSpread)) {
		t.Errorf("free for everybody at %v", due)
	}
	b.at(night.Add(backDelay + backSpread))
	if n := b.giveBack(); n != 0 {
		t.Error("free for everybody before the list was asked")
	}
	b.at(clock.At(day(2021, 1, 12), 8, 0))
	if n := b.offer(); n != 1 {
		t.Errorf("%d asked in the morning", n)
	}
	b.sound()
}

// New vaccine: who waits is asked before the places are free for everybody.
func TestNewPlacesAreOfferedToTheListFirst(t *testing.T) {
	t.Parallel()
	b, _ := full(t)
	for range 3 {
		b.waits(nil)
	}
	b.waits(func(w *Wishes) { w.Centres = []string{"dresden"} })
	b.stock(leipzig, comirnaty, 2) // five new pairs
	b.replan(leipzig, comirnaty)
	if n := b.pairs(leipzig, comirnaty); n != 2 {
		t.Errorf("%d pairs are free for everybody, three wait for the list", n)
	}
	b.sound()
	b.replan(leipzig, comirnaty)
	if n := b.count(`SELECT count(*) FROM booking.returning`); n != 3 {
		t.Errorf("%d wait for the list", n)
	}
	if n := b.offer(); n != 3 {
		t.Errorf("%d offers", n)
	}
	for _, o := range b.openOffers() {
		if got := b.answer(o, AnswerAccept); got.Answer != OfferAccepted {
			t.Errorf("%+v", got)
		}
	}
	b.replan(leipzig, comirnaty)
	if n := b.pairs(leipzig, comirnaty); n != 2 {
		t.Errorf("%d pairs in the end", n)
	}
	b.sound()
}

func TestTheListKnowsItsLimits(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, _ := b.waits(nil)
	by := By{"citizen:" + p.ID, "citizen"}
	for name, w := range map[string]Wishes{
		"no centre":      {Weekdays: []int{1}, Parts: dayParts},
		"unknown centre": {Centres: []string{"nowhere"}, Weekdays: []int{1}, Parts: dayParts},
		"no weekday":     {Centres: []string{leipzig}, Parts: dayParts},
		"eighth weekday": {Centres: []string{leipzig}, Weekdays: []int{8}, Parts: dayParts},
		"no time":        {Centres: []string{leipzig}, Weekdays: []int{1}},
		"at night":       {Centres: []string{leipzig}, Weekdays: []int{1}, Parts: []string{"night"}},
	} {
		if _, err := b.s.PutOnList(b.ctx, p.ID, w, Web, by); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting`); n != 1 {
		t.Errorf("%d entries", n)
	}
	// Whose registration ends is forgotten, with the offer that is open.
	b.cancel(all[0])
	b.offer()
	b.tx(func(tx pgx.Tx) error {
		if err := CancelStanding(b.ctx, tx, b.now(), p.ID, agent, "agent"); err != nil {
			return err
		}
		return b.s.Forget(b.ctx, tx, []string{p.ID})
	})
	if n := b.count(`SELECT count(*) FROM booking.waiting`) + b.count(`SELECT count(*) FROM booking.waiting_offer`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if n := b.offer(); n != 0 {
		t.Errorf("%d offers", n)
	}
	b.sound()
}

// Everything at once: several workers offer, people answer in all ways, others
// try to catch the places. Nothing is oversold, nobody has two, no half pair.
func TestOffersUnderRacers(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	var people []citizen.Person
	for range 12 {
		p, _ := b.waits(nil)
		people = append(people, p)
	}
	for _, s := range all {
		b.cancel(s)
	}
	var g errgroup.Group
	for i := range 3 {
		g.Go(func() error {
			for range 3 {
				if _, err := b.s.OfferPlaces(b.ctx); err != nil {
					return err
				}
				if _, err := b.s.SettleOffers(b.ctx); err != nil {
					return err
				}
			}
			return nil
		})
		g.Go(func() error { return b.s.Replan(b.ctx, leipzig, comirnaty) })
		g.Go(func() error {
			for range 10 {
				offers, err := offersWhere(b.ctx, b.pool, `true`)
				if err != nil {
					return err
				}
				for n, o := range offers {
					what := []string{AnswerAccept, AnswerDecline, AnswerAccept}[(n+i)%3]
					if _, err := b.s.answerOffer(b.ctx, o.ID, what, viaLink, By{"citizen:x", "citizen"}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		g.Go(func() error {
			for range 10 {
				_, err := b.take(id.New(), "catch", pair(comirnaty), all[i].Appointments[0].SlotID, all[i].Appointments[1].SlotID)
				if !errors.Is(err, ErrSlotTaken) {
					return fmt.Errorf("caught: %w", err)
				}
			}
			return nil
		})
	}
	b.ok(g.Wait())
	b.sound()
	if n := b.count(`SELECT count(*) FROM (SELECT series_id FROM booking.appointment WHERE state IN ('held', 'confirmed') GROUP BY 1 HAVING count(*) <> 2) h`); n != 0 {
		t.Errorf("%d half pairs", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.series WHERE state IN ('held', 'confirmed')`) + b.count(`SELECT count(*) FROM booking.returning`); n != 10 {
		t.Errorf("%d of 10 pairs are there", n)
	}
	for _, p := range people {
		if n := b.alive(p); n > 1 {
			t.Errorf("%d series of one person", n)
		}
	}
}

func TestAnswerBySMS(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	const number = "+4915112345678"
	p, w := b.waits(nil, func(r *citizen.Registration) { r.Phone = number })
	say := func(from, text, want string) {
		t.Helper()
		got, err := b.s.AnswerSMS(b.ctx, from, text)
		b.ok(err)
		if (want == "") != (got == "") || !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	say(number, "JA", "") // nothing was offered
	b.cancel(all[0])
	b.offer()
	say("+4915199999999", "JA", "")
	say(number, "Wer sind Sie?", "JA oder NEIN")
	say(number, " nein. ", "bleiben auf der Warteliste")
	say(number, "Nein", "bleiben auf der Warteliste")
	b.cancel(all[1])
	b.offer()
	say(number, "AUSTRAGEN", "JA oder NEIN") // whoever can forge a number takes nobody off the list
	if b.waitState(w) != WaitingOpen || len(b.openOffers()) != 1 {
		t.Error(b.waitState(w))
	}
	say(number, "Ja, gerne!", "Gebucht")
	say(number, "JA", "Gebucht")
	if b.waitState(w) != WaitingDone || b.count(`SELECT count(*) FROM booking.waiting_offer WHERE via = 'sms' AND person_id = $1`, p.ID) != 2 {
		t.Error(b.waitState(w))
	}
	// Two of one household.
	for range 2 {
		b.waits(nil, func(r *citizen.Registration) { r.Phone = number })
	}
	b.cancel(all[2])
	b.cancel(all[3])
	if n := b.offer(); n != 2 {
		t.Fatalf("%d offers", n)
	}
	say(number, "JA", "mehrere Angebote")
	b.at(b.openOffers()[0].Until)
	_, err := b.s.ExpireHolds(b.ctx)
	b.ok(err)
	say(number, "JA", "Zeit zum Antworten ist leider um")
	b.sound()
}

// Any time and any appointment: the time to answer ends by day, with enough time
// before the appointment and after now.
func TestAnswerUntil(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		now := monday.Add(time.Duration(rapid.IntRange(0, 400*24*60).Draw(rt, "now")) * time.Minute)
		start := now.Add(time.Duration(rapid.IntRange(0, 20*24*60).Draw(rt, "start")) * time.Minute)
		hours := rapid.IntRange(1, 72).Draw(rt, "hours")
		means := rapid.SampledFrom([]string{MeansMessage, MeansCall, MeansLetter}).Draw(rt, "means")
		until, ok := answerUntil(now, start, hours, means)
		if !ok {
			if means != MeansLetter && asking(now) && start.Sub(now) > 26*time.Hour {
				rt.Fatalf("no time to answer from %v for %v", now, start)
			}
			return
		}
		at := until.In(clock.Berlin)
		if minutes := at.Hour()*60 + at.Minute(); minutes < askFrom*60 || minutes > askTo*60 {
			rt.Errorf("ends at %v", at)
		}
		if until.Sub(now) < answerAtLeast || start.Sub(until) < arriveWithin {
			rt.Errorf("from %v until %v for %v", now, until, start)
		}
		if most := time.Duration(hours)*time.Hour + 14*time.Hour + time.Minute; means != MeansLetter && until.Sub(now) > most {
			rt.Errorf("%v to answer", until.Sub(now))
		}
	})
}

func TestWhoIsReachedHow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		mail, phone, want string
		address           bool
	}{
		{"a@example.org", "", MeansMessage, true},
		{"", "+4915112345678", MeansMessage, true},
		{"", "+493411234567", MeansCall, true},
		{"", "", MeansLetter, true},
		{"", "", "", false},
	} {
		p := citizen.Person{Email: c.mail, Phone: c.phone, FamilyName: "Muster"}
		if c.address {
			p.Address.Street, p.Address.Postcode, p.Address.City = "Weg 1", "04109", "Leipzig"
		}
		if got := meansOf(p, b.citizens.Recipient(p)); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// Places of a group's contingent go to somebody of the group, however many others
// wait.
func TestContingentsStayWithTheirGroup(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	b.exec(`UPDATE programme.priority_group SET open = true WHERE code = 's3-age'`)
	b.waits(nil) // of the higher rank
	p, _ := b.waits(nil, func(r *citizen.Registration) {
		r.GroupCode, r.Birth = "s3-age", citizen.PartialDate{Year: 1945, Month: 5, Day: 3}
	})
	b.cancel(all[0])
	b.exec(`UPDATE booking.returning_place SET channel = 'web:s3-age'`)
	b.exec(`INSERT INTO booking.place (slot_id, channel, leg, first_day, places, taken) SELECT slot_id, channel, leg, first_day, 1, 1 FROM booking.returning_place`)
	b.exec(`UPDATE booking.place p SET taken = taken - 1, places = places - 1 FROM booking.returning_place r WHERE p.slot_id = r.slot_id AND p.leg = r.leg AND p.first_day = r.first_day AND p.channel = 'web'`)
	if n := b.offer(); n != 1 || b.openOffers()[0].PersonID != p.ID {
		t.Fatalf("%d offers: %+v", n, b.openOffers())
	}
	if got := b.answer(b.openOffers()[0], AnswerAccept); got.Answer != OfferAccepted {
		t.Errorf("%+v", got)
	}
	if n := b.count(`SELECT count(*) FROM booking.series WHERE person_id = $1 AND channel = 'web'`, p.ID); n != 1 {
		t.Error("the series is not of the channel")
	}
	b.sound()
}

// Who changes their number answers from the new one; whoever has the old one now
// answers nothing, and hears nothing of what was answered.
func TestOffersFollowTheNumber(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	const before, after = "+4915112345678", "+4915187654321"
	p, w := b.waits(nil, func(r *citizen.Registration) { r.Phone = before })
	say := func(from, want string) {
		t.Helper()
		got, err := b.s.AnswerSMS(b.ctx, from, "JA")
		b.ok(err)
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", from, got, want)
		}
	}
	moves := func(phone string) {
		t.Helper()
		_, err := b.citizens.ChangeContact(b.ctx, p.ID, citizen.Contact{Address: p.Address, Phone: phone, Email: p.Email, Lang: p.Lang}, "citizen:"+p.ID, "citizen")
		b.ok(err)
	}
	b.cancel(all[0])
	b.offer()
	moves(after)
	say(before, "")
	if b.waitState(w) != WaitingOpen || len(b.openOffers()) != 1 {
		t.Fatal("answered from the old number")
	}
	// An offer that was made at the same moment still has the old number.
	b.exec(`UPDATE booking.waiting_offer SET phone = $1`, b.s.phoneIndex(before))
	say(before, "")
	moves("")
	say(after, "")
	moves(after)
	say(after, "Gebucht")
	say(before, "")
	b.sound()
}
