package vaccination_test

import (
	"strings"
	"testing"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/inventory"
)

// Who is perhaps registered twice is checked in and vaccinated like anybody;
// the site is told to look at the identity card.
func TestPerhapsRegisteredTwice(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EARLY", day(2021, 2, 28), 2)
	twice, once := b.pair("Doppelt", leipzig, 21), b.pair("Einfach", leipzig, 21)
	if _, err := b.pool.Exec(b.ctx, `UPDATE citizen.person SET state = 'check' WHERE id = $1`, twice.person.ID); err != nil {
		t.Fatal(err)
	}
	a := b.app(web.RoleSite, leipzig)
	const notice = "Vielleicht doppelt angemeldet"
	for p, told := range map[string]bool{twice.appointments[0]: true, once.appointments[0]: false} {
		page := a.Get("/site/appointments/" + p)
		want(t, "card", page, 200)
		if strings.Contains(page.Body, notice) != told {
			t.Errorf("the notice is there: %v, want %v", !told, told)
		}
		var card struct {
			CheckIdentity bool  `json:"check_identity"`
			Warnings      []any `json:"warnings"`
		}
		if ans := a.JSON("GET", "/api/v1/site/appointments/"+p, nil, &card); ans.Status != 200 || card.CheckIdentity != told || len(card.Warnings) != 0 {
			t.Errorf("JSON: %s", ans.Body)
		}
	}
	path := "/site/appointments/" + twice.appointments[0]
	want(t, "check-in", a.PostForm(path+"/here"), 303)
	want(t, "here", a.Get(path), 200, notice)
	want(t, "dose", a.PostForm(path+"/dose", "key", id.New(), "lot", lot, "forms", "2021-01-11", "consent", "1"), 303)
	if page := a.Get(path); strings.Contains(page.Body, notice) {
		t.Error("the notice is still there when the dose was given")
	}
	b.consistent(1)
}
