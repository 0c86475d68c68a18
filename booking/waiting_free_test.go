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

// Who accepts where they are logged in has booked: no page asks once more.
func TestAcceptingInTheOwnCaseBooks(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, w := b.waits(nil)
	other, _ := b.waits(nil)
	b.cancel(all[0])
	b.offer()
	o := b.openOffers()[0]
	if o.PersonID != p.ID {
		p, other = other, p
		w = Waiting{ID: o.WaitingID}
	}
	app := b.app()
	app.LoginAs(citizenUser(p))
	until := web.FormatDateTime("de", o.Until)
	const answer = "/appointments/offer"
	for _, path := range []string{"/appointments/held", "/appointments/waiting"} {
		a := b.see(app.Get(path), 200, "Bis "+until+" sind sie für Sie zurückgelegt", `action="`+answer+`"`, "Ja, ich nehme die Termine", o.ID)
		if strings.Contains(a.Body, "verbindlich buchen") || strings.Contains(a.Body, "vorgemerkt") {
			t.Errorf("%s looks like a hold", path)
		}
	}
	b.goTo(app.Get("/appointments"), "/appointments/held")
	theirs := b.app()
	theirs.LoginAs(citizenUser(other))
	b.see(theirs.PostForm(answer, "offer", o.ID, "answer", "accept"), 404)
	b.see(app.PostForm(answer, "offer", o.ID, "answer", "decline"), 200, "Abgelehnt: Sie bleiben auf der Warteliste")
	b.see(app.PostForm(answer, "offer", o.ID, "answer", "accept"), 200, "Abgelehnt: Sie bleiben auf der Warteliste")

	// The other one accepts, and then looks.
	b.offer()
	o = b.openOffers()[0]
	if o.PersonID != other.ID {
		t.Fatalf("%+v", o)
	}
	b.goTo(theirs.PostForm(answer, "offer", o.ID, "answer", "accept"), "/appointments")
	b.goTo(theirs.PostForm(answer, "offer", o.ID, "answer", "accept"), "/appointments")
	b.see(theirs.Get("/appointments"), 200, "panel--yours", "Es ist nichts weiter zu tun")
	if b.waitState(Waiting{ID: o.WaitingID}) != WaitingDone || b.waitState(w) != WaitingOpen {
		t.Error("the entries are wrong")
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting_offer WHERE via = 'account'`); n != 2 {
		t.Errorf("%d answers by the own case", n)
	}
	b.sound()
}
