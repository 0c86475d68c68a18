package booking

import (
	"strings"
	"testing"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// Who was moved sees it on the own pages, with the time before, the time now and why,
// until they say so; whoever chooses another time, or was not moved, sees nothing.
func TestTheOwnPageTellsOfAMove(t *testing.T) {
	t.Parallel()
	b, people, all := short(t)
	closed := clock.Day(all[0].Appointments[0].Start)
	b.closeDay(leipzig, closed)
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	const heading = "wurde verlegt"
	var moved []int
	for i, p := range people {
		app := b.app()
		app.LoginAs(citizenUser(p))
		if a := b.see(app.Get("/appointments"), 200); strings.Contains(a.Body, `id="moved"`) {
			t.Error("told before it was confirmed")
		}
		if clock.Day(all[i].Appointments[0].Start).Equal(closed) {
			moved = append(moved, i)
		}
	}
	if len(moved) < 3 {
		t.Fatalf("%d on the day", len(moved))
	}
	_, err := b.s.ConfirmProposals(b.ctx, leipzig, comirnaty, boss, nil)
	b.ok(err)
	one, two := people[moved[0]], people[moved[1]]
	now, err := b.s.SeriesOf(b.ctx, b.pool, one.ID)
	b.ok(err)
	app := b.app()
	app.LoginAs(citizenUser(one))
	a := b.see(app.Get("/appointments"), 200, "verlegt", "Vorher:", "Jetzt:", web.FormatDateTime("de", all[moved[0]].Appointments[0].Start), web.FormatDateTime("de", now.Appointments[0].Start),
		"nicht alle impfen kann", `href="/appointments/change"`, `href="/appointments/cancel"`)
	proposal := b.proposals()[0].ID
	for _, p := range b.proposals() {
		if p.PersonID == one.ID {
			proposal = p.ID
		}
	}
	if !strings.Contains(a.Body, proposal) {
		t.Fatal("it cannot be acknowledged")
	}
	var mine MineOut
	if app.JSON("GET", "/api/v1/appointments", nil, &mine); len(mine.Moved) != 1 || mine.Moved[0].ID != proposal || !mine.Moved[0].Times[0].New.Equal(now.Appointments[0].Start) || mine.Moved[0].Times[0].Old == nil {
		t.Errorf("%+v", mine.Moved)
	}
	// Nobody acknowledges for somebody else.
	other := b.app()
	other.LoginAs(citizenUser(two))
	b.goTo(other.PostForm("/appointments/moved", "proposal", proposal), "/appointments")
	b.see(app.Get("/appointments"), 200, `id="moved"`)
	for range 2 {
		b.goTo(app.PostForm("/appointments/moved", "proposal", proposal), "/appointments")
	}
	var after MineOut
	if a := app.JSON("POST", "/api/v1/appointments/moved/"+proposal+"/seen", nil, &after); a.Status != 200 || after.Series == nil || len(after.Moved) != 0 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := app.JSON("POST", "/api/v1/appointments/moved/x/seen", nil, nil); a.Status != 404 {
		t.Errorf("no move: %d", a.Status)
	}
	if a := b.see(app.Get("/appointments"), 200, "panel--yours"); strings.Contains(a.Body, heading) || strings.Contains(a.Body, `id="moved"`) {
		t.Error("still told after it was seen")
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.move-seen' AND role = 'citizen'`); n != 1 {
		t.Errorf("%d entries", n)
	}
	// Who chooses otherwise knows.
	b.stock(leipzig, comirnaty, 100)
	b.replan(leipzig, comirnaty)
	s, err := b.s.SeriesOf(b.ctx, b.pool, two.ID)
	b.ok(err)
	_, err = b.rebook(*s, "other", b.moveTo(*s, 1, 0))
	b.ok(err)
	if a := b.see(other.Get("/appointments"), 200); strings.Contains(a.Body, `id="moved"`) {
		t.Error("told of a move that holds no more")
	}
	// When the appointment is over there is nothing to tell.
	three := people[moved[2]]
	s, err = b.s.SeriesOf(b.ctx, b.pool, three.ID)
	b.ok(err)
	last := b.app()
	b.at(s.Appointments[len(s.Appointments)-1].Start.AddDate(0, 0, 1))
	last.LoginAs(citizenUser(three))
	if a := last.Get("/appointments"); strings.Contains(a.Body, `id="moved"`) {
		t.Error("told of an appointment that is over")
	}
}
