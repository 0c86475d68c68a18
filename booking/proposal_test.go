package booking

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
)

var boss = By{"staff:boss", "admin"}

func (b *bundle) closeDay(centreID string, d time.Time) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) error {
		return centre.SetException(b.ctx, tx, b.now(), centreID, centre.Exception{Day: d, Reason: "Sturm"}, centre.By{Actor: "staff:test", Role: "admin"})
	})
}

func (b *bundle) proposals() []Proposal {
	b.t.Helper()
	list, err := b.s.Proposals(b.ctx, leipzig, comirnaty)
	b.ok(err)
	return list
}

func (b *bundle) missing() int {
	b.t.Helper()
	return b.count(`SELECT coalesce(sum(missing), 0)::int FROM booking.shortfall WHERE resolved_at IS NULL AND centre_id = $1`, leipzig)
}

// short is Leipzig with five booked pairs of registered people, the last booked
// last, and five pairs free.
func short(t *testing.T) (*bundle, []citizen.Person, []Series) {
	t.Helper()
	b, _ := slow(t)
	b.closeDay(leipzig, day(2021, 1, 11))
	b.replan(leipzig, comirnaty)
	list := b.choices(leipzig, pair(comirnaty))
	var people []citizen.Person
	var all []Series
	for i := range 5 {
		b.at(monday.Add(time.Duration(i) * time.Second))
		p := b.person()
		people, all = append(people, p), append(all, b.book(p, list[i]))
	}
	return b, people, all
}

// A day closes: everybody of it gets another time that keeps the distance, held
// until the administrator confirms; then they are moved and told, once.
func TestAClosedDayIsMoved(t *testing.T) {
	t.Parallel()
	b, people, all := short(t)
	closed := clock.Day(all[0].Appointments[0].Start)
	onDay := b.count(`SELECT count(*) FROM booking.appointment WHERE day = $1 AND state = 'confirmed'`, closed)
	b.closeDay(leipzig, closed)
	b.replan(leipzig, comirnaty)
	if b.missing() != onDay || onDay == 0 {
		t.Fatalf("%d missing, %d booked", b.missing(), onDay)
	}
	free := b.pairs(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	list := b.proposals()
	if len(list) != onDay {
		t.Fatalf("%d proposals for %d people", len(list), onDay)
	}
	for i, p := range list {
		if len(p.Slots) == 0 || p.NewCentre != leipzig || p.Until == nil || p.State != ProposalOpen {
			t.Errorf("%+v", p)
		}
		if i == 0 && p.PersonID != people[4].ID {
			t.Error("the one who booked last is not the first")
		}
	}
	b.sound()
	kept := b.count(`SELECT count(*) FROM booking.returning WHERE kept`)
	for range 2 { // plans leave them alone, asking again too
		b.replan(leipzig, comirnaty)
		b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
		b.giveBack()
	}
	if n := b.count(`SELECT count(*) FROM booking.returning WHERE kept`); n != kept || n != onDay {
		t.Errorf("%d places are kept, %d before", n, kept)
	}
	if n := b.pairs(leipzig, comirnaty); n > free {
		t.Errorf("%d free, %d before", n, free)
	}
	for i, s := range all { // nothing has happened to anybody
		if got, err := b.s.SeriesOf(b.ctx, b.pool, people[i].ID); err != nil || got.Appointments[0].SlotID != s.Appointments[0].SlotID {
			t.Errorf("%+v %v", got, err)
		}
	}
	// Two administrators press at once, and once more.
	var g errgroup.Group
	for range 2 {
		g.Go(func() error { _, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); return err })
	}
	b.ok(g.Wait())
	if n, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); n != 0 || err != nil {
		t.Errorf("%d moved again, %v", n, err)
	}
	for _, p := range people {
		got, err := b.s.SeriesOf(b.ctx, b.pool, p.ID)
		b.ok(err)
		one, two := clock.Day(got.Appointments[0].Start), clock.Day(got.Appointments[1].Start)
		if one.Equal(closed) || daysBetween(one, two) < 21 || daysBetween(one, two) > 42 || got.State != StateConfirmed {
			t.Errorf("%v and %v", one, two)
		}
		b.ok(b.s.tellMoved(b.ctx, got.ID))
		b.ok(b.s.tellMoved(b.ctx, got.ID))
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.moved'`); n != onDay {
		t.Errorf("%d were told", n)
	}
	// One dose alone moves: then the distance need not be what it was.
	if text := b.message("booking.moved", people[4]); !strings.Contains(text, "Der Impfstoff bleibt gleich, der Abstand zwischen den Impfungen bleibt im erlaubten Rahmen.") {
		t.Errorf("%s", text)
	}
	b.replan(leipzig, comirnaty)
	if n := b.missing(); n != 0 {
		t.Errorf("%d still missing", n)
	}
	b.sound()
}

// Without vaccine at the own centre the nearest one helps; where nobody can, the
// appointments stay and the list says so.
func TestMissingVaccine(t *testing.T) {
	t.Parallel()
	b, people, all := short(t)
	b.waste(leipzig, comirnaty, 3) // 5 doses for 10 appointments
	b.replan(leipzig, comirnaty)
	if n := b.missing(); n != 5 {
		t.Fatalf("%d doses missing", n)
	}
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	list := b.proposals()
	if len(list) != 3 { // three series free six doses
		t.Fatalf("%d are concerned", len(list))
	}
	for i, p := range list {
		if len(p.Slots) != 0 || p.PersonID != people[4-i].ID {
			t.Errorf("%+v", p)
		}
	}
	if n, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); n != 0 || err != nil {
		t.Errorf("%d moved to nowhere, %v", n, err)
	}
	for _, s := range all {
		if n := b.count(`SELECT count(*) FROM booking.appointment WHERE series_id = $1 AND state = 'confirmed'`, s.ID); n != 2 {
			t.Error("somebody lost an appointment")
		}
	}
	// Two pairs at a centre near by.
	const near = "borna"
	other := b.nearCentre(near)
	b.webOnly(other)
	b.stock(other, comirnaty, 1)
	b.replan(other, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	found := 0
	for _, p := range b.proposals() {
		if len(p.Slots) > 0 {
			found++
			if p.NewCentre != other || len(p.Slots) != 2 {
				t.Errorf("%+v", p)
			}
		}
	}
	if found != 2 || b.pairs(other, comirnaty) != 0 {
		t.Errorf("%d proposals, %d pairs left there", found, b.pairs(other, comirnaty))
	}
	b.sound()
	if n, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); n != 2 || err != nil {
		t.Errorf("%d moved, %v", n, err)
	}
	b.replan(leipzig, comirnaty)
	if n := b.missing(); n != 1 {
		t.Errorf("%d doses missing after four are free", n)
	}
	b.sound()
}

// nearCentre returns the centre with that id, or any other than Leipzig.
func (b *bundle) nearCentre(wanted string) (id string) {
	b.t.Helper()
	all, err := centre.List(b.ctx, b.pool)
	b.ok(err)
	for _, c := range all {
		if c.ID != leipzig && (id == "" || c.ID == wanted) {
			id = c.ID
		}
	}
	return id
}

// Who changes or cancels meanwhile is left alone; who waits too long with the
// confirmation finds the places gone and nobody harmed; discarding frees them.
func TestProposalsThatEndOtherwise(t *testing.T) {
	t.Parallel()
	b, people, all := short(t)
	closed := clock.Day(all[0].Appointments[0].Start)
	b.closeDay(leipzig, closed)
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	n := len(b.proposals())
	b.ok(b.s.Cancel(b.ctx, all[4].ID, people[4].ID, "citizen:x"))
	moved, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil)
	b.ok(err)
	if moved != n-1 || b.alive(people[4]) != 0 {
		t.Errorf("%d of %d moved", moved, n)
	}
	if b.count(`SELECT count(*) FROM booking.proposal WHERE state = 'changed'`) != 1 || b.count(`SELECT count(*) FROM booking.returning WHERE kept`) != 0 {
		t.Error("the places of the one who cancelled are still kept")
	}
	b.sound()

	// The next day, and too late.
	next, err := b.s.SeriesOf(b.ctx, b.pool, people[0].ID)
	b.ok(err)
	b.closeDay(leipzig, clock.Day(next.Appointments[0].Start))
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	b.ok(b.s.WithdrawProposals(b.ctx, leipzig, comirnaty, boss))
	b.ok(b.s.WithdrawProposals(b.ctx, leipzig, comirnaty, boss))
	if n := b.count(`SELECT count(*) FROM booking.returning WHERE kept`); n != 0 {
		t.Errorf("%d are kept after discarding", n)
	}
	b.sound()
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	before, err := b.s.SeriesOf(b.ctx, b.pool, people[0].ID)
	b.ok(err)
	b.exec(`SELECT booking.give_back(ARRAY[id], ARRAY[id]) FROM booking.returning WHERE kept`) // as when their time is over
	b.exec(`UPDATE booking.place SET places = taken`)
	if n, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); n != 0 || err != nil {
		t.Errorf("%d moved, %v", n, err)
	}
	after, err := b.s.SeriesOf(b.ctx, b.pool, people[0].ID)
	b.ok(err)
	if fmt.Sprint(before.Appointments) != fmt.Sprint(after.Appointments) || b.count(`SELECT count(*) FROM booking.proposal WHERE state = 'lost'`) == 0 {
		t.Errorf("%+v, %+v", before, after)
	}
	b.sound()
}

// Whoever is at the centre already is never concerned.
func TestNobodyWhoIsThereIsConcerned(t *testing.T) {
	t.Parallel()
	b, _, all := short(t)
	b.at(all[0].Appointments[0].Start.Add(-time.Minute))
	b.tx(func(tx pgx.Tx) error { return b.s.MarkHere(b.ctx, tx, all[4].Appointments[0].ID, b.now()) })
	b.closeDay(leipzig, clock.Day(b.now()))
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	for _, p := range b.proposals() {
		if p.SeriesID == all[4].ID {
			t.Errorf("%+v", p)
		}
	}
	b.sound()
}

func TestShortfallPages(t *testing.T) {
	t.Parallel()
	b, people, all := short(t)
	b.closeDay(leipzig, clock.Day(all[0].Appointments[0].Start))
	b.replan(leipzig, comirnaty)
	app := b.app()
	app.LoginAs(adminUser())
	const path = "/admin/shortfall/leipzig/comirnaty"
	b.see(app.Get("/admin/shortfall"), 200, "Betroffene und Ersatztermine")
	b.see(app.Get(path), 200, "Wer ist betroffen?", "Betroffene bestimmen und Ersatz suchen")
	b.see(app.Get("/admin/shortfall/nowhere/comirnaty"), 404)
	b.see(app.Get("/admin/shortfall/leipzig/nothing"), 404)
	if a := app.PostForm(path + "/propose"); a.Status != http.StatusSeeOther || !strings.HasSuffix(a.Location, "?back="+url.QueryEscape(path)) {
		t.Fatalf("%d %s", a.Status, a.Location)
	}
	b.s.Wait()
	b.see(app.Get(path), 200, "umbuchen und benachrichtigen", citizen.PrintCode(people[4].CaseNumber), "Die alten Termine gelten")
	var out ProposalsOut
	if a := app.JSON(http.MethodGet, "/api/v1/admin/shortfalls/leipzig/comirnaty", nil, &out); a.Status != 200 || len(out.Proposals) == 0 || len(out.Shortfalls) == 0 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := app.PostForm(path + "/confirm"); a.Status != http.StatusSeeOther {
		t.Errorf("%d", a.Status)
	}
	b.s.Wait()
	b.see(app.Get(path), 200, citizen.PrintCode(people[4].CaseNumber)+`</th><td class="kern-table__cell">umgebucht, benachrichtigt</td>`) // beside the case: seen on a telephone, too
	for _, x := range []string{"/propose", "/confirm"} {
		if a := app.JSON(http.MethodPost, "/api/v1/admin/shortfalls/leipzig/comirnaty"+x, nil, nil); a.Status != http.StatusAccepted {
			t.Errorf("%s: %d %s", x, a.Status, a.Body)
		}
	}
	b.s.Wait()
	b.goTo(app.PostForm(path+"/withdraw"), path)
	b.sound()
}

// A second dose stays with its centre, vaccine and distance.
func TestASecondDoseIsMovedWithinItsDistance(t *testing.T) {
	t.Parallel()
	b, people, all := short(t)
	first := all[0].Appointments[0]
	b.at(first.Start)
	b.tx(func(tx pgx.Tx) error { return b.s.MarkDone(b.ctx, tx, first.ID, b.now()) })
	b.stock(leipzig, comirnaty, 10)
	b.closeDay(leipzig, clock.Day(all[0].Appointments[1].Start))
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	list := b.proposals()
	mine := list[len(list)-1] // protected: the last in the order
	if mine.SeriesID != all[0].ID || len(mine.Doses) != 1 || mine.Doses[0] != 2 || mine.NewCentre != leipzig {
		t.Fatalf("%+v", mine)
	}
	if _, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); err != nil {
		t.Fatal(err)
	}
	got, err := b.s.SeriesOf(b.ctx, b.pool, people[0].ID)
	b.ok(err)
	if n := daysBetween(clock.Day(first.Start), clock.Day(got.Appointments[1].Start)); got.Appointments[0].State != StateDone || n < 21 || n > 42 {
		t.Errorf("%d days: %+v", n, got)
	}
	b.replan(leipzig, comirnaty)
	if n := b.missing(); n != 0 {
		t.Errorf("%d missing", n)
	}
	b.sound()
}

// Administrators propose, confirm and discard while the people cancel and plans
// are made: nothing is oversold, no half pair, nobody loses what they did not
// give back.
func TestProposalsUnderRacers(t *testing.T) {
	t.Parallel()
	b, people, all := short(t)
	b.closeDay(leipzig, clock.Day(all[0].Appointments[0].Start))
	b.replan(leipzig, comirnaty)
	var g errgroup.Group
	for i := range 3 {
		g.Go(func() error {
			for range 3 {
				if err := b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil); err != nil {
					return err
				}
				if _, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil); err != nil {
					return err
				}
				if err := b.s.WithdrawProposals(b.ctx, leipzig, comirnaty, boss); err != nil {
					return err
				}
			}
			return nil
		})
		g.Go(func() error { return b.s.Replan(b.ctx, leipzig, comirnaty) })
		g.Go(func() error {
			if i == 2 {
				return nil
			}
			return b.s.Cancel(b.ctx, all[i].ID, people[i].ID, "citizen:x")
		})
	}
	b.ok(g.Wait())
	b.replan(leipzig, comirnaty)
	b.sound()
	for i, p := range people {
		if want := min(i/2, 1); b.alive(p) != want {
			t.Errorf("person %d has %d series", i, b.alive(p))
		}
	}
	if n := b.count(`SELECT count(*) FROM (SELECT series_id FROM booking.appointment WHERE state = 'confirmed' GROUP BY 1 HAVING count(*) <> 2) h`); n != 0 {
		t.Errorf("%d half pairs", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.returning WHERE kept`); n != 0 {
		t.Errorf("%d places are kept for nobody", n)
	}
}
