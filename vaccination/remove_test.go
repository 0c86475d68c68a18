package vaccination_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/redistest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/inventory"
	"impfportal/staff/dualcontrol/dualcontroltest"
	"impfportal/vaccination"
)

// deciders are two administrators with keys, and somebody at a site who asks them.
type deciders struct {
	*dualcontroltest.Desk
	asks string
}

func (b *bundle) deciders() deciders {
	b.t.Helper()
	now := func() time.Time { return b.now }
	d := deciders{Desk: dualcontroltest.New(b.t, b.pool, redistest.New(b.t), now)}
	d.asks = d.Account("site", leipzig)
	b.s.DecideBy(d.Service, now)
	return d
}

func (b *bundle) propose(d deciders, r vaccination.Record, why string) (string, error) {
	return b.s.ProposeRemoval(b.ctx, vaccination.Desk{CentreID: leipzig, Actor: "staff:" + d.asks, Role: "site", Now: b.now},
		vaccination.Removal{RecordID: r.ID, Version: r.Version, Why: why, Reason: "falsche Karte", Account: d.asks})
}

func (b *bundle) removed(d deciders, r vaccination.Record, why string) {
	b.t.Helper()
	p, err := b.propose(d, r, why)
	if err == nil {
		err = d.ApproveByTwo(p)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestRemovalTakesTwo(t *testing.T) {
	b := setup(t)
	d := b.deciders()
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	r := b.walkedIn("Doppelt", lot)

	if _, err := b.s.ProposeRemoval(b.ctx, vaccination.Desk{CentreID: dresden, Now: b.now}, vaccination.Removal{RecordID: r.ID, Version: 1, Why: vaccination.Twice, Reason: "x", Account: d.asks}); !errors.Is(err, vaccination.ErrNotFound) {
		t.Errorf("by another centre: %v", err)
	}
	first, err := b.propose(d, r, vaccination.Twice)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.propose(d, r, vaccination.Twice); !errors.Is(err, vaccination.ErrProposed) {
		t.Errorf("twice: %v", err)
	}
	if err := d.ApproveBy(d.Approvers[0], first); err != nil {
		t.Fatal(err)
	}
	if b.get(r.ID).Removed() {
		t.Fatal("one person was enough")
	}
	for _, sql := range []string{
		`UPDATE vaccination.record SET voided_at = now(), void_why = 'twice', void_proposal = '` + first + `'`,
		`UPDATE vaccination.record SET voided_at = now(), void_why = 'twice', void_proposal = gen_random_uuid(), version = 2, corrected_at = now()`,
	} {
		if _, err := b.pool.Exec(b.ctx, sql); !pg.Violates(err, "record_two") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// What is decided is about what was seen: after a correction it applies to nothing.
	if r, err = b.s.Correct(b.ctx, b.correction(r, func(c *vaccination.Content) { c.GivenName = "Carl" })); err != nil {
		t.Fatal(err)
	}
	var problem *web.Problem
	if err := d.ApproveBy(d.Approvers[1], first); !errors.As(err, &problem) || problem.Status != 409 || b.get(r.ID).Removed() {
		t.Errorf("removed after a correction: %v", err)
	}
	b.now = b.now.Add(time.Minute)
	b.removed(d, r, vaccination.Twice)

	got := b.get(r.ID)
	if !got.Removed() || !got.RemovedAt.Equal(b.now) || got.RemovedWhy != vaccination.Twice || got.Version != 3 {
		t.Errorf("%+v", got)
	}
	revisions, err := b.s.Revisions(b.ctx, b.pool, got)
	if err != nil || len(revisions) != 2 || revisions[1].Content != r.Content() || revisions[1].Reason != "falsche Karte" {
		t.Errorf("%+v, %v", revisions, err)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.corrected'`); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if _, err := b.s.Correct(b.ctx, b.correction(got, func(c *vaccination.Content) { c.GivenName = "X" })); !errors.Is(err, vaccination.ErrRemoved) {
		t.Errorf("corrected afterwards: %v", err)
	}
	if _, err := b.pool.Exec(b.ctx, `UPDATE vaccination.record SET voided_at = NULL, void_why = NULL, void_proposal = NULL`); !pg.Violates(err, "record_removed") {
		t.Errorf("brought back: %v", err)
	}
	if b.open(leipzig, lot) != 10 {
		t.Errorf("%d doses, want all back", b.open(leipzig, lot))
	}
	b.reconciled()
}

// Whatever reads records takes a removed one as not given.
func TestRemovedIsNotGiven(t *testing.T) {
	b := setup(t)
	d := b.deciders()
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	in := b.walkIn("Niemals", lot)
	recordID, err := b.s.Record(b.ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := b.recordIssued(b.seen("Niemals"))
	if err != nil {
		t.Fatal(err)
	}
	issued := b.seen("Niemals")
	issued.DoseNumber = 2
	second, err := b.recordIssued(issued)
	if err != nil {
		t.Fatal(err)
	}
	b.removed(d, b.get(recordID), vaccination.OtherPerson)
	admin := vaccination.Desk{Actor: "staff:" + d.asks, Role: "admin", Now: b.now}
	p, err := b.s.ProposeRemoval(b.ctx, admin, vaccination.Removal{RecordID: seen, Version: 1, Why: vaccination.Twice, Reason: "x", Account: d.asks})
	if err == nil {
		err = d.ApproveByTwo(p)
	}
	if err != nil {
		t.Fatal(err)
	}

	list, err := b.s.Today(b.ctx, b.pool, leipzig, b.now)
	if err != nil || len(list.Visitors) != 0 {
		t.Errorf("the list of the day has %d people: %v", len(list.Visitors), err)
	}
	if _, n, err := vaccination.OfLot(b.ctx, b.pool, lot, 0); err != nil || n != 0 {
		t.Errorf("a recall names %d: %v", n, err)
	}
	if h, err := b.s.History(b.ctx, b.pool, second); err != nil || len(h) != 0 {
		t.Errorf("history: %+v, %v", h, err)
	}
	if _, _, err := b.s.Given(b.ctx, b.pool, leipzig, recordID, b.now); !errors.Is(err, vaccination.ErrNotFound) {
		t.Errorf("the confirmation: %v", err)
	}
	// The same request again is none of the removed record; the dose can be given.
	if _, err := b.s.Record(b.ctx, in); !errors.Is(err, vaccination.ErrKeyReused) {
		t.Errorf("same key: %v", err)
	}
	if _, err := b.s.Record(b.ctx, b.walkIn("Niemals", lot)); err != nil {
		t.Errorf("the dose: %v", err)
	}
	if again, err := b.recordIssued(b.seen("Niemals")); err != nil || again == seen {
		t.Errorf("seen again: %v", err)
	}
	b.reconciled()
}

// Who was recorded in somebody's place gives that one the appointment back.
func TestRemovalOfAnotherPersonsDose(t *testing.T) {
	b := setup(t)
	d := b.deciders()
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Verwechselt", leipzig, 21)
	recordID, err := b.s.Record(b.ctx, b.dose(p.appointments[0], lot))
	if err != nil {
		t.Fatal(err)
	}
	b.removed(d, b.get(recordID), vaccination.OtherPerson)
	card, err := b.s.Card(b.ctx, b.pool, leipzig, p.appointments[0], b.now)
	if err != nil || card.State != vaccination.Missed || card.RecordID != "" {
		t.Errorf("%+v, %v", card, err)
	}
	if n := b.count(`SELECT count(*) FROM citizen.person WHERE vaccinated_at IS NOT NULL`); n != 0 {
		t.Error("the registration counts as vaccinated")
	}
	if err := b.s.Here(b.ctx, leipzig, p.appointments[0], b.now, "staff:test", "site"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Record(b.ctx, b.dose(p.appointments[0], lot)); err != nil {
		t.Errorf("the right person has come: %v", err)
	}
	b.reconciled()
}

// A registration that was called for a leftover dose has it not had either.
func TestRemovalOfALeftoverDose(t *testing.T) {
	b := setup(t)
	d := b.deciders()
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.book("Rest", leipzig)
	in := b.walkIn("Rest", lot)
	in.Patient.GivenName, in.Patient.Birth = "Erika", p.person.Birth
	recordID, err := b.s.Record(b.ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	b.tx(func(tx pgx.Tx) error { // as booking.LeftoverGiven leaves it
		for _, sql := range []string{
			`UPDATE vaccination.record SET login_person_id = '` + p.person.ID + `'`,
			`UPDATE booking.series SET state = 'ended', ended_at = now()`,
			`INSERT INTO booking.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel, leg, first_day, dose_number, day, start_at, state, changed_at)
			 SELECT gen_random_uuid(), id, person_id, programme_id, centre_id, product_id, 0, 'web', 1, '2021-01-18', 1, '2021-01-18', now(), 'done', now() FROM booking.series`,
			`UPDATE citizen.person SET vaccinated_at = now()`,
		} {
			if _, err := tx.Exec(b.ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	b.removed(d, b.get(recordID), vaccination.OtherPerson)
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE state = 'done'`) + b.count(`SELECT count(*) FROM citizen.person WHERE vaccinated_at IS NOT NULL`); n != 0 {
		t.Error("they cannot book the dose")
	}
}

func TestRemovalAtTheDesk(t *testing.T) {
	b := setup(t)
	d := b.deciders()
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	r := b.walkedIn("Tisch", lot)
	a := webtest.New(t, webtest.Config{
		Pool: b.pool, Now: func() time.Time { return b.now }, Routes: b.s.Routes(), Bundles: []web.Bundle{vaccination.Assets},
	})
	a.LoginAs(web.User{Kind: "staff", ID: d.asks, Name: "Test", Roles: []web.Role{web.RoleSite}, Scope: leipzig})
	page := "/site/corrections/" + r.ID
	want(t, "page", a.Get(page), 200, "Diese Impfung entfernen")
	want(t, "why", a.PostForm(page+"/remove", "version", "1", "why", "", "why_text", "doppelt"), 422, "wählen Sie, warum")
	want(t, "reason", a.PostForm(page+"/remove", "version", "1", "why", "twice", "why_text", ""), 422, "nennen Sie den Grund")
	want(t, "older", a.PostForm(page+"/remove", "version", "0", "why", "twice", "why_text", "doppelt"), 422, "inzwischen")
	want(t, "ask", a.PostForm(page+"/remove", "version", "1", "why", "twice", "why_text", "doppelt"), 303)
	want(t, "waits", a.Get(page), 200, "Die Entfernung ist beantragt")
	want(t, "again", a.JSON("POST", "/api/v1"+page+"/remove", map[string]any{"version": 1, "why": "twice", "reason": "doppelt"}, nil), 409)
	var proposal string
	if err := b.pool.QueryRow(b.ctx, `SELECT id::text FROM staff.proposal WHERE kind = 'record.remove'`).Scan(&proposal); err != nil {
		t.Fatal(err)
	}
	if err := d.ApproveByTwo(proposal); err != nil {
		t.Fatal(err)
	}
	want(t, "removed", a.Get(page), 200, "gilt als nicht gegeben", "doppelt dokumentiert", "Die Impfung wurde entfernt")
	want(t, "found", a.PostForm("/site/corrections", "family_name", "Tisch", "given_name", "Karl", "birth_year", "1938"), 200, "entfernt")
	want(t, "API", a.JSON("GET", "/api/v1"+page, nil, nil), 200, `"removed_at"`)
}
