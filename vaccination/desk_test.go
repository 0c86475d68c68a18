package vaccination_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/inventory"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey"
	"impfportal/vaccination"
)

// correctionForm is the form of a record, with some of its fields changed.
func correctionForm(r vaccination.Record, change ...string) []string {
	c := r.Content()
	form := []string{
		"version", "1", "reason", "Etikett verglichen", "family_name", c.FamilyName, "given_name", c.GivenName, "passport_family", "", "passport_given", "",
		"birth_day", "", "birth_month", "", "birth_year", "1938", "product", c.ProductID, "lot", c.LotNumber, "dose_number", "1", "doses_total", "2",
		"day", "2021-01-18", "place", c.Place,
	}
	for i := 0; i < len(change); i += 2 {
		for j := 0; j < len(form); j += 2 {
			if form[j] == change[i] {
				form[j+1] = change[i+1]
			}
		}
	}
	return form
}

func TestCorrectionDesk(t *testing.T) {
	b := setup(t)
	place := inventory.CentrePlace(leipzig)
	lot := b.receive(place, "comirnaty", "EX1", day(2021, 5, 31), 2)
	right := b.receive(place, "comirnaty", "EX7", day(2021, 5, 31), 2)
	r := b.walkedIn("Schreiber", lot)
	b.now = b.now.AddDate(0, 0, 5)
	a := b.app(web.RoleSite, leipzig)
	page := "/site/corrections/" + r.ID

	want(t, "search", a.Get("/site/corrections"), 200, "Impfung berichtigen", "Impfungen Ihres Impfzentrums")
	want(t, "too little", a.PostForm("/site/corrections", "family_name", ""), 422)
	want(t, "unknown", a.PostForm("/site/corrections", "family_name", "Niemand", "birth_year", "1938"), 200, "keine Impfung dokumentiert")
	want(t, "found", a.PostForm("/site/corrections", "family_name", "schreiber", "given_name", "Karl", "birth_year", "1938"), 200, "Eine Impfung gefunden", page)
	want(t, "form", a.Get(page), 200, `value="Schreiber"`, `value="EX1"`, `value="2021-01-18"`, `name="version" value="1"`)

	want(t, "no reason", a.PostForm(page+"/check", correctionForm(r, "reason", "")...), 422, "nennen Sie den Grund")
	want(t, "nothing", a.PostForm(page+"/check", correctionForm(r)...), 422, "nichts geändert")
	want(t, "unknown lot", a.PostForm(page+"/check", correctionForm(r, "lot", "EX77")...), 422, "Diese Charge gibt es bei diesem Impfstoff nicht")
	want(t, "other centre", a.PostForm(page+"/check", correctionForm(r, "place", dresden)...), 422, "Ort dieser Impfung")
	want(t, "day to come", a.PostForm(page+"/check", correctionForm(r, "day", "2021-01-20")...), 422, "An diesem Tag")
	form := correctionForm(r, "lot", "ex7", "family_name", "Schraiber")
	check := a.PostForm(page+"/check", form...)
	want(t, "check", check, 200, "Noch ist nichts geändert", "Comirnaty, EX1", "<strong>Comirnaty, EX7</strong>", "<strong>Schraiber, Karl</strong>", "Etikett verglichen")
	if b.get(r.ID).Version != 1 || b.open(leipzig, right) != 10 {
		t.Error("checking has changed something")
	}
	want(t, "change it again", a.PostForm(page+"/edit", form...), 200, `value="Schraiber"`, `value="ex7"`)
	want(t, "correct", a.PostForm(page, form...), 303)
	want(t, "done", a.Get(page), 200, "Die Impfung ist berichtigt", "Frühere Berichtigungen", "Etikett verglichen", "Schreiber, Karl", `name="version" value="2"`)
	want(t, "again", a.PostForm(page, form...), 422, "inzwischen von jemand anderem berichtigt", `name="version" value="2"`)
	if got := b.get(r.ID); got.LotID != right || got.Patient.FamilyName != "Schraiber" || b.open(leipzig, right) != 9 || b.open(leipzig, lot) != 10 {
		t.Errorf("%+v", got)
	}

	// Another centre sees nothing of it; an administrator does.
	other := b.app(web.RoleSite, dresden)
	want(t, "elsewhere", other.Get(page), 404)
	want(t, "elsewhere", other.PostForm(page, form...), 404)
	want(t, "elsewhere", other.PostForm("/site/corrections", "family_name", "Schraiber", "given_name", "Karl", "birth_year", "1938"), 200, "keine Impfung dokumentiert")
	admin := b.app(web.RoleAdmin, "")
	want(t, "administrator", admin.Get(page), 200, "Dresden", "Schraiber")
	want(t, "administrator", admin.Get("/site/corrections"), 200, "Impfungen aller Stellen")
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action IN ('vaccination.search', 'vaccination.read') AND NOT after::text ~* 'schr' `); n == 0 {
		t.Error("nobody knows who has looked")
	}
}

func TestCorrectionByReference(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Termin", leipzig, 21)
	recordID, err := b.s.Record(b.ctx, b.dose(p.appointments[0], lot))
	if err != nil {
		t.Fatal(err)
	}
	a := b.app(web.RoleSite, leipzig)
	want(t, "by reference", a.PostForm("/site/corrections", "code", p.reference), 200, "Termin, Erika", recordID)
	want(t, "no reference", a.PostForm("/site/corrections", "code", "XX"), 422)
	want(t, "from the record", a.Get("/site/records/"+recordID), 200, "/site/corrections/"+recordID)
	if strings.Contains(a.Get("/site/appointments/"+p.appointments[0]).Body, "wurde berichtigt") {
		t.Error("nothing was corrected yet")
	}
	if _, err := b.s.Correct(b.ctx, b.correction(b.get(recordID), func(c *vaccination.Content) { c.PassportFamily = "Tärmin" })); err != nil {
		t.Fatal(err)
	}
	want(t, "card", a.Get("/site/appointments/"+p.appointments[0]), 200, "wurde berichtigt")
	want(t, "record", a.Get("/site/records/"+recordID), 200, "wurde berichtigt")
}

func TestCorrectionByAPI(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	r := b.walkedIn("Schnittstelle", lot)
	a := b.app(web.RoleSite, leipzig)
	path := "/api/v1/site/corrections/" + r.ID
	want(t, "find", a.JSON("POST", "/api/v1/site/corrections/find", map[string]any{"family_name": "Schnittstelle", "given_name": "Karl", "birth": "1938"}, nil), 200, r.ID)
	want(t, "open", a.JSON("GET", path, nil, nil), 200, `"version":1`, `"lot_number":"EX1"`)
	content := map[string]any{
		"family_name": "Schnittstelle", "given_name": "Karl", "passport_family": "", "passport_given": "", "birth": "1938-05", "day": "2021-01-17",
		"dose_number": 1, "doses_total": 2, "product_id": "comirnaty", "lot_number": "EX1", "place": leipzig,
	}
	in := map[string]any{"version": 1, "reason": "Ausweis gesehen", "content": content}
	want(t, "correct", a.JSON("POST", path, in, nil), 200, `"version":2`, `"birth":"1938-05"`)
	want(t, "again", a.JSON("POST", path, in, nil), 409)
	want(t, "former", a.JSON("GET", path, nil, nil), 200, `"changed":["birth","day"]`, `"reason":"Ausweis gesehen"`)
	content["day"] = "2021-02-01"
	want(t, "day to come", a.JSON("POST", path, map[string]any{"version": 2, "reason": "x", "content": content}, nil), 422, `"day"`)
	want(t, "elsewhere", b.app(web.RoleSite, dresden).JSON("GET", path, nil, nil), 404)
}

// A correction ends at the same dose of somebody of the same name and birth date: the
// desk asks two people, who let it be made, and nobody else does.
func TestNamesakeTakesTwo(t *testing.T) {
	b := setup(t)
	d := b.deciders()
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	taken, r := b.walkedIn("Müller", lot), b.walkedIn("Mühler", lot)
	a := webtest.New(t, webtest.Config{
		Pool: b.pool, Now: func() time.Time { return b.now }, Routes: b.s.Routes(), Bundles: []web.Bundle{vaccination.Assets},
	})
	a.LoginAs(web.User{Kind: "staff", ID: d.asks, Name: "Test", Roles: []web.Role{web.RoleSite}, Scope: leipzig})
	page := "/site/corrections/" + r.ID
	form := correctionForm(r, "family_name", "Müller", "reason", "Ausweis gesehen")
	two := append(slices.Clone(form), "why_two", "verschiedene Anschriften")

	want(t, "no collision", a.PostForm(page+"/namesake", append(correctionForm(r, "family_name", "Möller"), "why_two", "x")...), 422, "keine Zustimmung mehr")
	want(t, "check", a.PostForm(page+"/check", form...), 200, "ist diese Impfung schon dokumentiert", "Comirnaty, EX1; 1. von 2", "/site/corrections/"+taken.ID, page+"/namesake", "Ausweis gesehen")
	want(t, "not alone", a.PostForm(page, form...), 422, "schon dokumentiert")
	want(t, "no reason", a.PostForm(page+"/namesake", append(slices.Clone(form), "why_two", "")...), 422, "woran Sie die zwei Personen", "<strong>Müller, Karl</strong>")
	want(t, "ask", a.PostForm(page+"/namesake", two...), 303)
	want(t, "waits", a.Get(page), 200, "Eine Berichtigung ist beantragt")
	want(t, "again", a.PostForm(page+"/namesake", two...), 422, "schon etwas beantragt")
	want(t, "nor a removal", a.PostForm(page+"/remove", "version", "1", "why", "twice", "why_text", "doppelt"), 422, "schon etwas beantragt")
	proposal := func() (proposalID string) {
		t.Helper()
		if err := b.pool.QueryRow(b.ctx, `SELECT id::text FROM staff.proposal WHERE kind = 'record.namesake' AND state = 'open' ORDER BY created_at DESC`).Scan(&proposalID); err != nil {
			t.Fatal(err)
		}
		return proposalID
	}
	if n := b.count(`SELECT count(*) FROM staff.proposal p WHERE p::text ~* 'm[uü]h?ller'`) + b.count(`SELECT count(*) FROM audit.entry e WHERE e::text ~* 'm[uü]h?ller'`); n != 0 {
		t.Error("names stand in the proposal or in the audit")
	}
	first := proposal()
	if err := d.ApproveBy(d.Approvers[0], first); err != nil || b.get(r.ID).Version != 1 {
		t.Fatalf("one person was enough: %v", err)
	}
	for _, sql := range []string{
		`UPDATE vaccination.record SET overrides = '{namesake}'`,
		`UPDATE vaccination.record SET overrides = '{namesake}', namesake_proposal = '` + first + `'`,
	} {
		if _, err := b.pool.Exec(b.ctx, sql); !pg.Violates(err, "record_namesake_two") {
			t.Errorf("%s: %v", sql, err)
		}
	}

	// What is decided is about what was seen: after a correction it applies to nothing.
	r, err := b.s.Correct(b.ctx, b.correction(r, func(c *vaccination.Content) { c.GivenName = "Carl" }))
	if err != nil {
		t.Fatal(err)
	}
	var problem *web.Problem
	if err := d.ApproveBy(d.Approvers[1], first); !errors.As(err, &problem) || problem.Status != 409 || b.get(r.ID).Version != 2 {
		t.Errorf("made after a correction: %v", err)
	}
	content := map[string]any{
		"family_name": "Müller", "given_name": "Karl", "passport_family": "", "passport_given": "", "birth": "1938", "day": "2021-01-18",
		"dose_number": 1, "doses_total": 2, "product_id": "comirnaty", "lot_number": "EX1", "place": leipzig,
	}
	in := map[string]any{"version": 2, "reason": "Ausweis gesehen", "content": content, "why": "verschiedene Anschriften"}
	want(t, "by API", a.JSON("POST", "/api/v1"+page+"/namesake", in, nil), 202, `"proposal_id"`)
	admin := webtest.New(t, webtest.Config{
		Pool: b.pool, Now: func() time.Time { return b.now }, Routes: d.Routes(), Bundles: []web.Bundle{vaccination.Assets, dualcontrol.Assets, passkey.Assets},
	})
	admin.LoginAs(d.Approvers[0].User())
	second := proposal()
	shown := admin.Get("/admin/approvals/" + second)
	want(t, "those who decide", shown, 200, "obwohl eine andere Person gleich heißt", "Comirnaty, EX1; 1. von 2", "wird berichtigt", "verschiedene Anschriften")
	if strings.Contains(shown.Body, "Müller") || strings.Contains(shown.Body, "Mühler") {
		t.Error("those who decide are told the name")
	}
	if err := d.ApproveByTwo(second); err != nil {
		t.Fatal(err)
	}

	got := b.get(r.ID)
	if got.Patient.FamilyName != "Müller" || got.Patient.GivenName != "Karl" || got.Version != 3 || b.get(taken.ID).Version != 1 {
		t.Errorf("%+v", got)
	}
	revisions, err := b.s.Revisions(b.ctx, b.pool, got)
	if err != nil || len(revisions) != 2 || revisions[1].Reason != "Ausweis gesehen" || revisions[1].By != "staff:"+d.asks {
		t.Errorf("%+v, %v", revisions, err)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.corrected' AND payload::text LIKE '%' || $1 || '%'`, r.ID); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	want(t, "done", a.Get(page), 200, `value="Müller"`, "Ausweis gesehen")
	want(t, "decided", admin.Get("/admin/approvals"), 200, "obwohl eine andere Person gleich heißt")
	// Neither is the history of the other, and the dose is still given once to each.
	next := b.seen("Müller")
	next.DoseNumber, next.DosesTotal = 2, 2
	if recordID, err := b.recordIssued(next); err != nil {
		t.Error(err)
	} else if h, err := b.s.History(b.ctx, b.pool, recordID); err != nil || len(h) != 1 {
		t.Errorf("history: %+v, %v", h, err)
	}
	if _, err := b.s.Record(b.ctx, b.walkIn("Müller", lot)); !errors.Is(err, vaccination.ErrAlreadyGiven) {
		t.Errorf("the dose again: %v", err)
	}
	b.reconciled()
}

// The other record goes before two people have decided: what they decide is then a
// correction like any other.
func TestNamesakeThatWentMeanwhile(t *testing.T) {
	b := setup(t)
	d := b.deciders()
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	taken, r := b.walkedIn("Müller", lot), b.walkedIn("Mühler", lot)
	proposal, err := b.s.ProposeNamesake(b.ctx, vaccination.Desk{CentreID: leipzig, Actor: "staff:" + d.asks, Role: "site", Now: b.now}, vaccination.NamesakeCorrection{
		Correction: b.correction(r, func(c *vaccination.Content) { c.FamilyName = "Müller" }), Why: "zwei Ausweise", Account: d.asks,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.removed(d, taken, vaccination.Twice)
	if err := d.ApproveByTwo(proposal); err != nil || b.get(r.ID).Patient.FamilyName != "Müller" {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record WHERE 'namesake' = ANY (overrides)`); n != 0 {
		t.Error("it counts as a namesake's although there is none")
	}
}

func TestCorrectionByCertificate(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	r := b.walkedIn("Kennung", lot)
	if a := b.app(web.RoleSite, leipzig).Get("/site/corrections"); strings.Contains(a.Body, "Kennung des Zertifikats</label>") {
		t.Error("a way is offered that there is not")
	}
	b.s.Certified = func(_ context.Context, _ pg.Querier, typed string) (string, error) {
		switch typed {
		case "the one":
			return r.ID, nil
		case "another":
			return "", nil
		}
		return "", vaccination.ErrCertificate
	}
	a := b.app(web.RoleSite, leipzig)
	want(t, "form", a.Get("/site/corrections"), 200, "Kennung des Zertifikats")
	want(t, "found", a.PostForm("/site/corrections", "certificate", "the one"), 200, "Kennung, Karl", r.ID)
	want(t, "none", a.PostForm("/site/corrections", "certificate", "another"), 200, "keine Impfung dokumentiert")
	want(t, "no id", a.PostForm("/site/corrections", "certificate", "x"), 422, "Diese Kennung stimmt nicht")
	want(t, "elsewhere", b.app(web.RoleSite, dresden).PostForm("/site/corrections", "certificate", "the one"), 200, "keine Impfung dokumentiert")
	api := "/api/v1/site/corrections/find"
	want(t, "API", a.JSON("POST", api, map[string]any{"certificate": "the one"}, nil), 200, r.ID)
	want(t, "API, no id", a.JSON("POST", api, map[string]any{"certificate": "x"}, nil), 422, `"certificate"`)
}
