package mobileteams_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/inventory"
	"impfportal/mobileteams"
	"impfportal/vaccination"
)

var (
	leipzig = inventory.CentrePlace("leipzig")
	box     = inventory.TeamPlace(mobileteams.DemoTeam1)
)

func TestAVisitFromLoadingToLeftovers(t *testing.T) {
	b := setup(t)
	v := b.today()
	if b.holds(leipzig) != [2]int{10, 0} || b.holds(box) != [2]int{5, 0} {
		t.Fatalf("demo: centre %v, box %v", b.holds(leipzig), b.holds(box))
	}
	if err := b.s.Load(b.ctx, b.now, v.ID, b.lot, 2, "staff:d", inventory.Request{}); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Load(b.ctx, b.now, v.ID, b.lot, 9, "staff:d", inventory.Request{}); !errors.Is(err, mobileteams.ErrNotEnough) {
		t.Errorf("more than there is: %v", err)
	}
	if _, err := b.s.Give(b.ctx, b.now, b.dose(v, "Früh")); !errors.Is(err, mobileteams.ErrState) {
		t.Errorf("before the team has started: %v", err)
	}
	b.start(v)
	for _, name := range []string{"Alt", "Älter"} {
		if _, err := b.s.Give(b.ctx, b.now, b.dose(v, name)); err != nil {
			t.Fatal(err)
		}
	}
	if b.holds(leipzig) != [2]int{8, 0} || b.holds(box) != [2]int{6, 3} {
		t.Errorf("after two doses: centre %v, box %v", b.holds(leipzig), b.holds(box))
	}
	people, err := b.s.People(b.ctx, b.pool, v)
	if err != nil || len(people) != 2 || people[0].Channel != vaccination.Mobile || people[0].Place != v.Facility.ID || people[0].LoginPersonID != "" {
		t.Errorf("people: %+v, %v", people, err)
	}
	if err := b.s.Finish(b.ctx, b.now, v.ID, v.TeamID, "staff:team", "team"); err != nil {
		t.Fatal(err)
	}
	again := inventory.Request{Actor: "staff:d", Key: "k"}
	for range 2 { // the answer was lost
		if err := b.s.BringBack(b.ctx, b.now, v.ID, b.lot, 6, "staff:d", again); err != nil {
			t.Fatal(err)
		}
	}
	b.now = b.now.Add(7 * time.Hour) // longer than an opened vial lasts
	left, err := b.s.Box(b.ctx, b.pool, v.TeamID, b.now)
	if err != nil || len(left) != 1 || left[0].Due != 3 || left[0].Doses != 0 || left[0].Number == "" {
		t.Errorf("in the evening the box says %+v, %v", left, err)
	}
	if err := b.s.Discard(b.ctx, b.now, v.ID, b.lot, inventory.OpenRest{Doses: 4, OpenedAt: left[0].OpenedAt}, "staff:d", inventory.Request{}); !errors.Is(err, inventory.ErrRestChanged) {
		t.Errorf("another rest than was seen: %v", err)
	}
	if err := b.s.Discard(b.ctx, b.now, v.ID, b.lot, inventory.OpenRest{Doses: 3, OpenedAt: left[0].OpenedAt}, "staff:d", inventory.Request{}); err != nil {
		t.Fatal(err)
	}
	if b.holds(leipzig) != [2]int{14, 0} || b.holds(box) != [2]int{0, 0} {
		t.Errorf("in the evening: centre %v, box %v", b.holds(leipzig), b.holds(box))
	}
	if _, err := b.s.Give(b.ctx, b.now, b.dose(v, "Spät")); !errors.Is(err, mobileteams.ErrState) {
		t.Errorf("after the visit: %v", err)
	}
	diffs, err := inventory.Reconcile(b.ctx, b.pool)
	if err != nil || len(diffs) > 0 {
		t.Errorf("ledger: %v, %v", diffs, err)
	}
	if got := b.today(); got.Given != 2 || got.State != mobileteams.Done {
		t.Errorf("visit: %+v", got)
	}
}

func TestDoubleTapAtAVisit(t *testing.T) {
	b := setup(t)
	v := b.today()
	b.start(v)
	in := b.dose(v, "Tipp")
	ids := make([]string, 6)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			var err error
			if ids[i], err = b.s.Give(b.ctx, b.now, in); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, x := range ids {
		if x != ids[0] {
			t.Fatalf("different records: %v", ids)
		}
	}
	if b.holds(box) != [2]int{4, 4} || b.today().Given != 1 {
		t.Errorf("box %v, given %d", b.holds(box), b.today().Given)
	}
	other := b.dose(v, "Tipp")
	if _, err := b.s.Give(b.ctx, b.now, other); !errors.Is(err, vaccination.ErrAlreadyGiven) {
		t.Errorf("the same person again: %v", err)
	}
}

func TestTheTeamHasOnlyWhatIsInItsBox(t *testing.T) {
	b := setup(t)
	v := b.today()
	if err := b.s.BringBack(b.ctx, b.now, v.ID, b.lot, 5, "staff:d", inventory.Request{}); err != nil {
		t.Fatal(err)
	}
	b.start(v)
	if _, err := b.s.Give(b.ctx, b.now, b.dose(v, "Leer")); !errors.Is(err, vaccination.ErrLotEmpty) {
		t.Errorf("empty box: %v", err)
	}
	if got := b.today().Given; got != 0 {
		t.Errorf("%d doses noted", got)
	}
}

func TestStatesOfAVisit(t *testing.T) {
	b := setup(t)
	v := b.today()
	plan := func() string {
		t.Helper()
		visitID, err := b.s.Plan(b.ctx, b.now, mobileteams.NewVisit{
			FacilityID: v.Facility.ID, CentreID: "leipzig", ProductID: "comirnaty",
			StartsAt: clock.At(clock.Day(b.now), 14, 0), People: 10,
		}, "staff:d", "dispatcher")
		if err != nil {
			t.Fatal(err)
		}
		return visitID
	}
	state := func(visitID string) mobileteams.State {
		t.Helper()
		got, err := b.s.Visit(b.ctx, b.pool, visitID)
		if err != nil {
			t.Fatal(err)
		}
		return got.State
	}
	second := plan()
	if err := b.s.Start(b.ctx, b.now, second, "", "staff:d", "dispatcher"); !errors.Is(err, mobileteams.ErrState) {
		t.Errorf("start without a team: %v", err)
	}
	if err := b.s.Load(b.ctx, b.now, second, b.lot, 1, "staff:d", inventory.Request{}); !errors.Is(err, mobileteams.ErrState) {
		t.Errorf("load without a team: %v", err)
	}
	if err := b.s.Assign(b.ctx, b.now, second, id.New(), "staff:d", "dispatcher"); !errors.Is(err, mobileteams.ErrNotFound) {
		t.Errorf("unknown team: %v", err)
	}
	if err := b.s.Assign(b.ctx, b.now, second, mobileteams.DemoTeam1, "staff:d", "dispatcher"); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Start(b.ctx, b.now, second, mobileteams.DemoTeam2, "staff:team", "team"); !errors.Is(err, mobileteams.ErrOthersTeam) {
		t.Errorf("another team: %v", err)
	}
	b.start(v)
	if err := b.s.Start(b.ctx, b.now, second, mobileteams.DemoTeam1, "staff:team", "team"); !errors.Is(err, mobileteams.ErrTeamBusy) {
		t.Errorf("two at once: %v", err)
	}
	if err := b.s.Unassign(b.ctx, b.now, second, "staff:d", "dispatcher"); err != nil || state(second) != mobileteams.Planned {
		t.Errorf("unassign: %v, %s", err, state(second))
	}
	if err := b.s.Cancel(b.ctx, b.now, second, "bored", "staff:d", "dispatcher"); !errors.Is(err, mobileteams.ErrInvalid) {
		t.Errorf("unknown reason: %v", err)
	}
	if err := b.s.Cancel(b.ctx, b.now, second, "quarantine", "staff:d", "dispatcher"); err != nil || state(second) != mobileteams.Cancelled {
		t.Errorf("cancel: %v, %s", err, state(second))
	}
	for name, err := range map[string]error{
		"assign a cancelled one": b.s.Assign(b.ctx, b.now, second, mobileteams.DemoTeam2, "staff:d", "dispatcher"),
		"cancel it again":        b.s.Cancel(b.ctx, b.now, second, "other", "staff:d", "dispatcher"),
	} {
		if !errors.Is(err, mobileteams.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A visit of tomorrow is not started today, and nothing is given at it.
	if _, err := b.s.Plan(b.ctx, b.now, mobileteams.NewVisit{FacilityID: id.New(), CentreID: "leipzig", ProductID: "comirnaty", StartsAt: b.now, People: 1}, "x", "y"); !errors.Is(err, mobileteams.ErrInvalid) {
		t.Errorf("unknown facility: %v", err)
	}
	third := plan()
	if err := b.s.Assign(b.ctx, b.now, third, mobileteams.DemoTeam2, "staff:d", "dispatcher"); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Start(b.ctx, b.now.AddDate(0, 0, 1), third, mobileteams.DemoTeam2, "staff:team", "team"); !errors.Is(err, mobileteams.ErrNotToday) {
		t.Errorf("on another day: %v", err)
	}
}

func TestSeedDemoTwice(t *testing.T) {
	b := setup(t)
	b.tx(func(tx pgx.Tx) error { return b.s.SeedDemo(b.ctx, tx, b.now) })
	teams, err := b.s.Teams(b.ctx, b.pool)
	if err != nil || len(teams) != 2 {
		t.Errorf("teams: %v, %v", teams, err)
	}
	if b.holds(box) != [2]int{5, 0} {
		t.Errorf("box %v", b.holds(box))
	}
}
