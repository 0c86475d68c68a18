package vaccination_test

import (
	"strings"
	"testing"

	"impfportal/internal/web"
	"impfportal/inventory"
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
