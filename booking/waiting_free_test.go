package booking

import (
	"strings"
	"testing"

	"impfportal/internal/web"
)

// Who waits, or is about to, is told when they need not: what would do is free now.
func TestTheWaitingListSaysWhatIsFreeNow(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p := b.person()
	app := b.app()
	app.LoginAs(citizenUser(p))
	const path = "/appointments/waiting"
	first := b.choices(leipzig, pair(comirnaty))[0].Times[0].Start
	day := first.Format("2006-01-02")
	now, link := "Gerade sind Termine frei", "/appointments/at/leipzig?day="+day
	b.see(app.Get(path), 200, now, "Impfzentrum Leipzig", link, web.FormatDate("de", first))
	wish := func(centre string, more ...string) {
		t.Helper()
		form := append([]string{"centres", centre, "notice", "0"}, more...)
		for _, d := range "1234567" {
			form = append(form, "weekdays", string(d))
		}
		b.goTo(app.PostForm(path, form...), path)
	}
	all := []string{"parts", PartMorning, "parts", PartNoon, "parts", PartAfternoon}
	wish("dresden", all...)
	if a := b.see(app.Get(path), 200, "ist gerade nicht frei", `href="/appointments"`); strings.Contains(a.Body, now) {
		t.Error("what is not wished for is praised")
	}
	wish(leipzig, all...)
	b.see(app.Get(path), 200, now, link, "können Sie sofort buchen")
	wish(leipzig, "parts", PartAfternoon)
	b.see(app.Get(path), 200, now, link, "ob auch die Uhrzeit passt")
	wish(leipzig, append(all, "earliest", "2021-12-24")...)
	b.see(app.Get(path), 200, "ist gerade nicht frei")
	// An agent is led to the hotline's places, of which there are none.
	desk := b.app()
	desk.LoginAs(agentUser())
	if a := b.see(desk.Get("/hotline/persons/"+p.ID+"/waiting"), 200); strings.Contains(a.Body, "free-now") {
		t.Error("the web's places are shown to an agent")
	}
	// Who has an appointment, or may have none, is led nowhere.
	b.books(p, b.choices(leipzig, pair(comirnaty))[0])
	if a := b.see(app.Get(path), 200); strings.Contains(a.Body, "free-now") {
		t.Error("shown to somebody with appointments")
	}
}
