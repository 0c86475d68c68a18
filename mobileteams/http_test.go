package mobileteams_test

import (
	"regexp"
	"strings"
	"testing"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/mobileteams"
)

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

func TestDispatcherPages(t *testing.T) {
	b := setup(t)
	a := b.app(web.RoleDispatcher, "")
	want(t, "board", a.Get("/teams"), 200, "Pflegeheim Am Auwald", "Team 1", "zugeteilt", "0 von 24 Personen")
	want(t, "facility form", a.Get("/teams/facilities/new"), 200, "Einrichtung anlegen")
	want(t, "bad facility", a.PostForm("/teams/facilities", "name", "Heim", "postcode", "x"), 422, "fünf Ziffern", `value="Heim"`)
	want(t, "facility", a.PostForm("/teams/facilities", "name", "Heim", "street", "Weg 1", "postcode", "04109", "city", "Leipzig"), 303)
	want(t, "facility twice", a.PostForm("/teams/facilities", "name", "Heim", "street", "Weg 1", "postcode", "04109", "city", "Leipzig"), 422, "gibt es schon")
	page := a.Get("/teams/visits/new")
	want(t, "visit form", page, 200, "Heim, Leipzig", "Impfzentrum Dresden", "Comirnaty")
	facility := regexp.MustCompile(`value="([0-9a-f-]{36})">Heim, Leipzig`).FindStringSubmatch(page.Body)[1]
	visit := []string{"facility", facility, "time", "14:00", "people", "12", "product", "comirnaty", "centre", "leipzig"}
	want(t, "yesterday", a.PostForm("/teams/visits", append(visit, "day", "2021-01-17")...), 422, "ab heute")
	made := a.PostForm("/teams/visits", append(visit, "day", "2021-01-18")...)
	want(t, "visit", made, 303)
	want(t, "visit page", a.Get(made.Location), 200, "geplant, ohne Team", "Team zuteilen", "Montag, 18. Januar 2021")
	want(t, "assign", a.PostForm(made.Location+"/assign", "team", mobileteams.DemoTeam2), 303)
	want(t, "load nothing", a.PostForm(made.Location+"/load", "lot", b.lot, "vials", "0"), 422, "Zahl der Flaschen")
	want(t, "load too much", a.PostForm(made.Location+"/load", "lot", b.lot, "vials", "11"), 422, "So viele Flaschen")
	want(t, "load", a.PostForm(made.Location+"/load", "lot", b.lot, "vials", "3"), 303)
	want(t, "loaded", a.Get(made.Location), 200, "Kühlbox von Team 2", "3 Flaschen", "in der Kühlbox")
	want(t, "back", a.PostForm(made.Location+"/back", "lot", b.lot, "vials", "3"), 303)
	want(t, "cancel", a.PostForm(made.Location+"/cancel", "cancel_reason", "quarantine"), 303)
	want(t, "cancelled", a.Get(made.Location), 200, "abgesagt", "Quarantäne der Einrichtung")
	want(t, "unknown visit", a.Get("/teams/visits/"+id.New()), 404)
	for _, step := range []string{"assign", "load", "back", "discard", "cancel"} {
		fields := []string{"team", mobileteams.DemoTeam1, "lot", b.lot, "vials", "1", "cancel_reason", "other"}
		want(t, step+" of no visit", a.PostForm("/teams/visits/x/"+step, fields...), 404)
	}
	want(t, "no such facility", a.PostForm("/teams/visits", append(visit, "day", "2021-01-18", "facility", "x")[2:]...), 422)
	want(t, "no such team", a.PostForm("/teams/visits/"+b.today().ID+"/assign", "team", "x"), 404)
	a.Lang = "en"
	want(t, "English", a.Get("/teams"), 200, "Mobile teams: visits")
}

func TestTeamPages(t *testing.T) {
	b := setup(t)
	v := b.today()
	a := b.app(web.RoleTeam, mobileteams.DemoTeam1)
	want(t, "today", a.Get("/teams/today"), 200, "Nächster Einsatz", "Pflegeheim Am Auwald", "25")
	stop := "/teams/today/" + v.ID
	want(t, "stop", a.Get(stop), 200, "Wir sind unterwegs")
	want(t, "start", a.PostForm(stop+"/start"), 303)
	page := a.Get(stop)
	want(t, "under way", page, 200, "Person impfen: Comirnaty", "Noch niemand")
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindStringSubmatch(page.Body)[1]
	fields := []string{
		"key", key, "family_name", "Sorge", "given_name", "Wanda", "birth_year", "1929", "sex", "female", "dose_number", "1",
		"lot", b.lot, "forms", "2021-01-11",
	}
	want(t, "without consent", a.PostForm(stop+"/dose", fields...), 422, "Ohne unterschriebene Einwilligung", `value="Sorge"`, key)
	fields = append(fields, "consent", "1")
	want(t, "dose", a.PostForm(stop+"/dose", fields...), 303)
	want(t, "dose twice", a.PostForm(stop+"/dose", fields...), 303)
	want(t, "people", a.Get(stop), 200, "Sorge, Wanda", "1. von 2", "24")
	want(t, "finish", a.PostForm(stop+"/finish"), 303)
	want(t, "done", a.Get("/teams/today"), 200, "Heute ist kein Einsatz offen", "erledigt")

	other := b.app(web.RoleTeam, mobileteams.DemoTeam2)
	want(t, "another team's stop", other.Get(stop), 404)
	want(t, "another team's dose", other.PostForm(stop+"/dose", fields...), 404)
	want(t, "no team", b.app(web.RoleTeam, "").Get("/teams/today"), 403)
	want(t, "a team is no dispatcher", a.Get("/teams"), 403)
}

func TestTeamsAPI(t *testing.T) {
	b := setup(t)
	v := b.today()
	d := b.app(web.RoleDispatcher, "")
	get := func(a *webtest.App, path string, texts ...string) {
		t.Helper()
		want(t, path, a.JSON("GET", path, nil, nil), 200, texts...)
	}
	post := func(a *webtest.App, path string, status int, in any, texts ...string) {
		t.Helper()
		want(t, path, a.JSON("POST", path, in, nil), status, texts...)
	}
	get(d, "/api/v1/teams", mobileteams.DemoTeam2)
	get(d, "/api/v1/teams/board?days=3", v.ID, `"assigned"`)
	get(d, "/api/v1/teams/facilities", "Lindenhof")
	post(d, "/api/v1/teams/facilities", 201, map[string]any{"name": "Neu", "street": "Weg 2", "postcode": "04109", "city": "Leipzig"}, `"id"`)
	post(d, "/api/v1/teams/visits", 201, map[string]any{"facility_id": v.Facility.ID, "centre_id": "leipzig", "product_id": "comirnaty", "starts_at": "2021-01-19T09:00:00Z", "people": 5})
	post(d, "/api/v1/teams/visits", 422, map[string]any{"facility_id": v.Facility.ID, "centre_id": "nowhere", "product_id": "comirnaty", "starts_at": "2021-01-19T09:00:00Z", "people": 5})
	path := "/api/v1/teams/visits/" + v.ID
	get(d, path, `"vials":5`)
	post(d, path+"/load", 204, map[string]any{"lot_id": b.lot, "vials": 1})
	post(d, path+"/load", 422, map[string]any{"lot_id": b.lot, "vials": 100}, "vials")
	post(d, path+"/back", 204, map[string]any{"lot_id": b.lot, "vials": 1})
	post(d, path+"/discard", 422, map[string]any{"lot_id": b.lot})
	post(d, path+"/assign", 204, map[string]any{"team_id": mobileteams.DemoTeam1})

	a := b.app(web.RoleTeam, mobileteams.DemoTeam1)
	stop := "/api/v1/teams/today/" + v.ID
	get(a, "/api/v1/teams/today", v.ID, `"doses":25`)
	dose := map[string]any{
		"key": id.New(), "lot_id": b.lot, "consent": true, "forms": "2021-01-11",
		"person": map[string]any{"family_name": "Heim", "given_name": "Bruno", "birth": "1930-07", "sex": "male", "dose_number": 1},
	}
	post(a, stop+"/doses", 409, dose)
	post(a, stop+"/start", 204, nil)
	post(a, stop+"/doses", 201, dose, `"record_id"`)
	get(a, stop+"/people", `"1930-07"`, "Bruno")
	post(a, stop+"/finish", 204, nil)
	post(d, path+"/cancel", 409, map[string]any{"reason": "other"})
}
