package booking

import (
	"errors"
	"slices"
	"testing"
	"time"

	"impfportal/citizen"
	"impfportal/internal/clock"
)

// proposedAtTheLead books a series over the hotline for the second day that its lead
// allows, closes that day, and has a proposal made.
func proposedAtTheLead(t *testing.T) (b *bundle, s Series, list []Proposal, days []OfferDay) {
	b = setup(t)
	b.ok(b.s.SetShares(b.ctx, leipzig, Shares{Hotline: 100}, By{"staff:test", "admin"}))
	b.exec(`UPDATE centre.centre SET stations = 1`)
	b.stock(leipzig, comirnaty, 80)
	b.replan(leipzig, comirnaty)
	p := b.person()
	days, err := b.s.Offers(b.ctx, b.pool, OfferQuery{Person: p, CentreID: leipzig, Channel: Hotline, From: b.now(), To: b.now().AddDate(0, 0, 30)})
	b.ok(err)
	choice, _ := days[1].Choice(days[1].First[0].SlotID)
	s, err = b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Hotline, SlotIDs: choice.SlotIDs(), Key: "k"})
	b.ok(err)
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	b.closeDay(leipzig, days[1].Day)
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	return b, s, b.proposals(), days
}

// What was found for somebody whom the hotline booked lies at its lead; the day
// after that would be too near for a new booking, and is still theirs.
func TestAProposalOutlivesTheLead(t *testing.T) {
	t.Parallel()
	b, s, list, days := proposedAtTheLead(t)
	if len(list) != 1 || len(list[0].Starts) == 0 || daysBetween(clock.Day(b.now()), clock.Day(list[0].Starts[0])) != 5 {
		t.Fatalf("%+v", list)
	}
	b.at(monday.Add(20 * time.Hour)) // Tuesday, 10 o'clock
	if n, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); n != 1 || err != nil {
		t.Errorf("%d moved, %v", n, err)
	}
	got, err := b.s.SeriesOf(b.ctx, b.pool, s.PersonID)
	b.ok(err)
	if got.Appointments[0].SlotID != list[0].Slots[0] {
		t.Errorf("%+v", got)
	}
	// Who looks anew is bound by the lead.
	if _, err := b.s.Rebook(b.ctx, RebookRequest{PersonID: s.PersonID, SeriesID: s.ID, Channel: Hotline, Key: "x", Moves: []Move{{1, days[0].First[1].SlotID}}}); !errors.Is(err, ErrNotEligible) {
		t.Errorf("%v", err)
	}
	b.sound()
}

// What was kept and has lapsed is found anew: then the lead counts.
func TestALapsedProposalIsBoundByTheLead(t *testing.T) {
	t.Parallel()
	b, s, list, _ := proposedAtTheLead(t)
	b.at(monday.Add(48 * time.Hour))
	b.giveBack()
	if err := b.s.TakeProposal(b.ctx, list[0].ID, s.PersonID, By{agent, "agent"}); !errors.Is(err, ErrState) {
		t.Errorf("%v", err)
	}
	got, err := b.s.SeriesOf(b.ctx, b.pool, s.PersonID)
	b.ok(err)
	if got.Appointments[0].SlotID != s.Appointments[0].SlotID {
		t.Error("moved to within the lead")
	}
	b.sound()
}

// Whom only a letter reaches is moved to no day that it would not make, over
// whatever channel they booked; whom an e-mail or an SMS reaches is moved next to
// what is lost.
func TestALetterTakesItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.exec(`UPDATE centre.centre SET stations = 1`) // so that the vaccine is for many days
	b.stock(leipzig, comirnaty, 300)
	b.replan(leipzig, comirnaty)
	lead := b.count(`SELECT lead_days::int FROM booking.channel WHERE id = 'hotline'`)
	if n := b.count(`SELECT lead_days::int FROM booking.channel WHERE id = 'web'`); lead < 3 || n != 0 {
		t.Fatalf("%d and %d days", lead, n)
	}
	today := clock.Day(b.now())
	first := slices.DeleteFunc(b.choices(leipzig, pair(comirnaty)), func(c Choice) bool { return daysBetween(today, clock.Day(c.Times[0].Start)) < 2 })
	near := map[string]bool{}
	var all []Series
	for i, reg := range []func(*citizen.Registration){
		func(r *citizen.Registration) { r.Email = "" },
		func(r *citizen.Registration) { r.Email, r.Phone = "", "+49341123456" },
		func(r *citizen.Registration) { r.Email, r.Phone = "", "+4915112345678" },
		func(*citizen.Registration) {},
	} {
		s := b.books(b.person(reg), first[i])
		near[s.ID], all = i > 1, append(all, s)
		for _, doses := range [][]int{{1}, {1, 2}} {
			options, err := b.s.moveOptions(b.ctx, s, doses)
			b.ok(err)
			if len(options) == 0 || len(options[0].slots) < len(doses) {
				t.Fatalf("%d: %+v", i, options)
			}
			for _, o := range options {
				if soon := daysBetween(today, o.firstDay[0]) < lead; soon != near[s.ID] {
					t.Errorf("%d: doses %v on %v", i, doses, o.firstDay)
				}
			}
		}
	}
	b.closeDay(leipzig, clock.Day(first[0].Times[0].Start))
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	list := b.proposals()
	if len(list) != len(all) {
		t.Fatalf("%d are concerned", len(list))
	}
	for _, p := range list {
		if len(p.Slots) == 0 || daysBetween(today, clock.Day(p.Starts[0])) < lead != near[p.SeriesID] {
			t.Errorf("%+v", p)
		}
	}
	// What has lapsed is looked at anew: for the letter it is too late by now, for the
	// others it is not.
	b.at(b.now().Add(proposalTime + time.Hour))
	b.giveBack()
	b.replan(leipzig, comirnaty)
	if n, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); n != 2 || err != nil {
		t.Errorf("%d moved, %v", n, err)
	}
	for _, s := range all {
		got, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, s.PersonID)
		b.ok(err)
		if moved := got.Appointments[0].SlotID != s.Appointments[0].SlotID; moved != near[s.ID] {
			t.Errorf("moved: %v, near: %v", moved, near[s.ID])
		}
	}
	b.sound()
}
