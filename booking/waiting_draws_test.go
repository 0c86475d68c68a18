package booking

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/booking/listdraw"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

// Leaving and entering again makes a new entry with the old count and the old lot.
func TestEnteringAgainIsNoNewBeginning(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, w := b.waits(nil)
	for i := range 3 {
		b.cancel(all[i])
		b.offer()
		b.answer(b.openOffers()[0], AnswerDecline)
	}
	by := By{"citizen:" + p.ID, "citizen"}
	b.ok(b.s.Withdraw(b.ctx, p.ID, viaAccount, by))
	again, err := b.s.PutOnList(b.ctx, p.ID, anywhere(), Web, by)
	b.ok(err)
	if again.ID == w.ID || again.Declined != 3 {
		t.Errorf("%+v", again)
	}
	ranks, key := map[string]int{"s2-age": 1}, []byte("a key")
	_, other := b.waits(nil)
	one, _ := candidates([]Waiting{w, other}, ranks, key)
	two, _ := candidates([]Waiting{other, again}, ranks, key)
	if one[0].PersonID != two[0].PersonID {
		t.Error("another lot for the same person")
	}
}

// What is kept for somebody whose registration ends is free for others: the places
// of an offer, and those of a proposal.
func TestForgettingFreesWhatIsKept(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, _ := b.waits(nil)
	b.cancel(all[0])
	b.offer()
	forget := func(personID string) {
		t.Helper()
		b.tx(func(tx pgx.Tx) error { return b.s.Forget(b.ctx, tx, []string{personID}) })
	}
	forget(p.ID)
	if n := b.count(`SELECT count(*) FROM booking.series WHERE state = 'held'`) + b.alive(p); n != 0 {
		t.Errorf("%d are held still", n)
	}
	b.at(b.now().Add(backDelay + backSpread))
	b.giveBack()
	if n := b.pairs(leipzig, comirnaty); n != 1 {
		t.Errorf("%d pairs are free", n)
	}
	b.sound()

	b, people, booked := short(t)
	b.closeDay(leipzig, clock.Day(booked[0].Appointments[0].Start))
	b.replan(leipzig, comirnaty)
	b.ok(b.s.Propose(b.ctx, leipzig, comirnaty, boss, nil))
	kept := b.count(`SELECT count(*) FROM booking.returning WHERE kept`)
	forget(people[4].ID)
	if n := b.count(`SELECT count(*) FROM booking.returning WHERE kept`); n != kept-1 {
		t.Errorf("%d of %d proposals are kept", n, kept)
	}
	b.sound()
}

// An auditor recomputes a day: not before it is over, and a file in which somebody
// was asked out of turn does not hold.
func TestTheDrawCanBeRecomputed(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	for range 5 {
		b.waits(nil)
	}
	for _, s := range all[:3] {
		b.cancel(s)
	}
	if n := b.offer(); n != 3 {
		t.Fatalf("%d offers", n)
	}
	b.answer(b.openOffers()[0], AnswerDecline)
	if n := b.offer(); n != 1 {
		t.Fatalf("%d offers", n)
	}
	app := b.app()
	auditor := web.User{Kind: "staff", ID: id.New(), Name: "Prüfung", Roles: []web.Role{web.RoleAuditor}}
	app.LoginAs(auditor)
	const path = "/api/v1/admin/waiting/draws/2021-01-11"
	read := func() (p listdraw.Published) {
		t.Helper()
		if a := app.JSON(http.MethodGet, path, nil, &p); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return p
	}
	b.see(app.Get("/admin/waiting/draws"), 200, "erst nach dem Ende des Tages")
	if p := read(); p.Key != "" || len(p.Rounds) != 4 {
		t.Errorf("%+v", p)
	}
	b.at(monday.AddDate(0, 0, 1))
	b.ok(b.s.revealDraws(b.ctx, b.now()))
	app.LoginAs(auditor) // a session does not last the night
	p := read()
	for _, f := range listdraw.Findings(p) {
		if f.Err != nil {
			t.Errorf("%s: %v", f.What, f.Err)
		}
	}
	if len(p.Rounds[0].Candidates) != 5 || p.Rounds[3].Number != 2 {
		t.Errorf("%+v", p)
	}
	b.see(app.Get("/admin/waiting/draws"), 200, "stimmt")
	b.see(app.Get("/admin/waiting/draws/2021-01-11/draw.json"), 200, p.Commitment)
	b.see(app.Get("/admin/waiting/draws/2021-01-10/draw.json"), http.StatusNotFound)
	b.exec(`UPDATE booking.waiting_asked SET person_id = (SELECT x FROM unnest(people) x WHERE x <> person_id LIMIT 1), passed = '[]' WHERE round = 1 AND cardinality(people) = 5`)
	b.see(app.Get("/admin/waiting/draws"), 200, "Abweichung")
}
