package vaccination_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"impfportal/booking"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/inventory"
)

// hidden returns the value of a hidden field of a page.
func hidden(t *testing.T, page, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no field %q on the page", name)
	}
	return m[1]
}

func want(t *testing.T, what string, a webtest.Answer, status int, texts ...string) {
	t.Helper()
	if a.Status != status {
		t.Fatalf("%s: status %d, want %d\n%s", what, a.Status, status, a.Body)
	}
	for _, s := range texts {
		if !strings.Contains(a.Body, s) {
			t.Errorf("%s: %q is not there\n%s", what, s, a.Body)
		}
	}
}

func TestSiteFromCheckInToConfirmation(t *testing.T) {
	b := setup(t)
	early := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EARLY", day(2021, 2, 28), 2)
	b.receive(inventory.CentrePlace(leipzig), "comirnaty", "LATE", day(2021, 5, 31), 2)
	p := b.pair("Ankunft", leipzig, 21)
	b.pair("Fremd", dresden, 21)
	a := b.app(web.RoleSite, leipzig)

	list := a.Get("/site")
	want(t, "list", list, 200, "Heute im Impfzentrum Leipzig", "Ankunft, Erika", "erwartet", "Comirnaty")
	if strings.Contains(list.Body, "Fremd") {
		t.Error("somebody of another centre is on the list")
	}

	card := a.PostForm("/site/check-in", "code", booking.QRText(p.reference))
	want(t, "check-in", card, 303)
	page := a.Get(card.Location)
	want(t, "card", page, 200, "Ankunft, Erika", "1. von 2", "EARLY", "Stand: Mo., 11.01.2021")
	if strings.Index(page.Body, "EARLY") > strings.Index(page.Body, "LATE") {
		t.Error("the lot that expires first is not the first")
	}
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE state = 'here'`); n != 1 {
		t.Errorf("%d people here, want 1", n)
	}

	key := hidden(t, page.Body, "key")
	dose := card.Location + "/dose"
	want(t, "without consent", a.PostForm(dose, "key", key, "lot", early, "forms", "2021-01-11"), 422, "Ohne unterschriebene Einwilligung", key)
	done := a.PostForm(dose, "key", key, "lot", early, "forms", "2021-01-11", "consent", "1")
	want(t, "dose", done, 303)
	again := a.PostForm(dose, "key", key, "lot", early, "forms", "2021-01-11", "consent", "1")
	want(t, "double click", again, 303)
	if again.Location != done.Location {
		t.Errorf("double click leads to %s, want %s", again.Location, done.Location)
	}
	want(t, "confirmation", a.Get(done.Location), 200, "Impfung dokumentiert", "EARLY", "Nächster Termin", "Montag, 8. Februar 2021")
	want(t, "second station", a.PostForm(dose, "key", id.New(), "lot", early, "forms", "2021-01-11", "consent", "1"), 422, "schon dokumentiert")
	want(t, "list afterwards", a.Get("/site"), 200, "geimpft")
	b.consistent(1)

	// Another centre sees none of it.
	other := b.app(web.RoleSite, dresden)
	want(t, "card elsewhere", other.Get(card.Location), 404)
	want(t, "record elsewhere", other.Get(done.Location), 404)
	want(t, "check-in elsewhere", other.PostForm("/site/check-in", "code", p.reference), 422, "heute hier keinen Termin")
	// Nor does tomorrow.
	b.now = b.now.AddDate(0, 0, 1)
	want(t, "record tomorrow", b.app(web.RoleSite, leipzig).Get(done.Location), 404)
}

func TestCheckInByName(t *testing.T) {
	b := setup(t)
	p := b.pair("Müller-Lüdenscheidt", leipzig, 21)
	a := b.app(web.RoleSite, leipzig)
	birth := p.person.Birth
	form := func(family string, year string) webtest.Answer {
		return a.PostForm("/site/check-in", "family_name", family, "birth_day", "", "birth_month", "", "birth_year", year)
	}
	want(t, "another spelling", form("MUELLER LUEDENSCHEIDT", birth.String()[:4]), 303)
	want(t, "another year", form("Müller-Lüdenscheidt", "1936"), 422, "heute hier keinen Termin")
	want(t, "no birth date", form("Müller-Lüdenscheidt", ""), 422, "Buchungsnummer", "Müller-Lüdenscheidt")
	mistyped := "2" + p.reference[1:]
	want(t, "mistyped code", a.PostForm("/site/check-in", "code", mistyped), 422, "keine Buchungsnummer", mistyped)
}

func TestMissedAndBack(t *testing.T) {
	b := setup(t)
	b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Spät", leipzig, 21)
	a := b.app(web.RoleSite, leipzig)
	path := "/site/appointments/" + p.appointments[0]
	want(t, "missed", a.PostForm(path+"/missed"), 303)
	want(t, "card", a.Get(path), 200, "Nicht gekommen", "Person ist da")
	want(t, "comes after all", a.PostForm(path+"/here"), 303)
	want(t, "card", a.Get(path), 200, "Impfung dokumentieren")
}

func TestWalkInPage(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	a := b.app(web.RoleSite, leipzig)
	page := a.Get("/site/walk-in")
	want(t, "form", page, 200, "Impfung ohne Termin", "EX1")
	key := hidden(t, page.Body, "key")
	fields := func(kv ...string) []string {
		return append(kv, "key", key, "lot", lot, "forms", "2021-01-11", "consent", "1", "dose_number", "1", "sex", "male", "given_name", "Ole",
			"birth_day", "3", "birth_month", "2", "birth_year", "1938")
	}
	bad := a.PostForm("/site/walk-in", fields("family_name", "<script>x</script>", "email", "nonsense")...)
	want(t, "bad input", bad, 422, "&lt;script&gt;", "keine E-Mail-Adresse", `value="Ole"`)
	b.consistent(0)
	done := a.PostForm("/site/walk-in", fields("family_name", "Øster", "phone", "0341 123456")...)
	want(t, "recorded", done, 303)
	want(t, "confirmation", a.Get(done.Location), 200, "Øster, Ole", "noch keinen Termin")
	want(t, "list", a.Get("/site"), 200, "Øster, Ole", "ohne Termin", "03.02.1938")
	b.consistent(1)
	if b.doses(leipzig) != 9 {
		t.Errorf("%d doses are left, want 9", b.doses(leipzig))
	}

	// The same person at another station: told, and nothing is recorded.
	key = id.New()
	refused := a.PostForm("/site/walk-in", fields("family_name", "Oester")...)
	want(t, "again", refused, 422, "schon dokumentiert", `name="accept" value="namesake"`)
	b.consistent(1)
	namesake := a.PostForm("/site/walk-in", fields("family_name", "Oester", "accept", "namesake", "override", "1", "reason", "andere Person")...)
	want(t, "namesake", namesake, 303)
	b.consistent(2)
}

func TestAdminChoosesTheCentre(t *testing.T) {
	b := setup(t)
	b.pair("Leipziger", leipzig, 21)
	a := b.app(web.RoleAdmin, "")
	want(t, "choice", a.Get("/site"), 200, "Welches Impfzentrum?", "Impfzentrum Dresden")
	want(t, "chosen", a.PostForm("/site/centre", "centre", leipzig), 303)
	want(t, "list", a.Get("/site"), 200, "Leipziger, Erika", "Anderes Impfzentrum")

	site := b.app(web.RoleSite, dresden)
	want(t, "fixed centre", site.PostForm("/site/centre", "centre", leipzig), 403)
	site.Lang = "en"
	want(t, "English", site.Get("/site"), 200, "Today at Impfzentrum Dresden")
	want(t, "scope of a team", b.app(web.RoleSite, id.New()).Get("/site"), 403)
}

func TestSiteAPI(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	p := b.pair("Api", leipzig, 21)
	a := b.app(web.RoleAdmin, "")
	get := func(path string, status int) webtest.Answer {
		t.Helper()
		ans := a.JSON("GET", path, nil, nil)
		want(t, path, ans, status)
		return ans
	}
	get("/api/v1/site/day", 422)
	want(t, "day", get("/api/v1/site/day?centre="+leipzig, 200), 200, `"state":"expected"`, `"family_name":"Api"`)
	want(t, "find", a.JSON("POST", "/api/v1/site/find", map[string]any{"centre": leipzig, "code": booking.PrintReference(p.reference)}, nil), 200, p.appointments[0])
	path := "/api/v1/site/appointments/" + p.appointments[0]
	want(t, "here", a.JSON("POST", path+"/here?centre="+leipzig, nil, nil), 204)
	want(t, "card", get(path+"?centre="+leipzig, 200), 200, `"EX1"`, `"2021-01-11"`, `"state":"here"`)
	body := map[string]any{"centre": leipzig, "key": id.New(), "lot_id": lot, "consent": true, "forms": "2021-01-11"}
	first, second := a.JSON("POST", path+"/dose", body, nil), a.JSON("POST", path+"/dose", body, nil)
	want(t, "dose", first, 201)
	want(t, "same key", second, 201)
	if first.Body != second.Body {
		t.Errorf("one key, two records: %s %s", first.Body, second.Body)
	}
	var out struct {
		RecordID string `json:"record_id"`
	}
	if err := json.Unmarshal([]byte(first.Body), &out); err != nil {
		t.Fatal(err)
	}
	get("/api/v1/site/records/"+out.RecordID+"?centre="+leipzig, 200)
	get("/api/v1/site/records/"+out.RecordID+"?centre="+dresden, 404)
	body["key"] = id.New()
	want(t, "another key", a.JSON("POST", path+"/dose", body, nil), 409, out.RecordID)

	walkIn := map[string]any{
		"centre": leipzig, "key": id.New(), "lot_id": lot, "consent": true, "forms": "2021-01-11",
		"person": map[string]any{"family_name": "Lauf", "birth": "1938-05", "sex": "unknown", "dose_number": 2},
	}
	want(t, "nothing known of the first dose", a.JSON("POST", "/api/v1/site/walk-ins", walkIn, nil), 409, `"prior.unknown"`)
	walkIn["override"] = map[string]any{"rules": []string{"prior.unknown"}, "reason": "Impfausweis gesehen"}
	want(t, "overridden", a.JSON("POST", "/api/v1/site/walk-ins", walkIn, nil), 201)
	walkIn["person"] = map[string]any{"family_name": "", "birth": "1938-13", "sex": "x", "dose_number": 0}
	want(t, "bad person", a.JSON("POST", "/api/v1/site/walk-ins", walkIn, nil), 422, "family_name", "birth", "sex", "dose_number")
	b.consistent(2)
}
