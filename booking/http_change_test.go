package booking

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"impfportal/citizen"
	"impfportal/notify"
)

var (
	slotChoice = regexp.MustCompile(`name="slots" id="slot-\d+-\d+" value="([\d,]+)"`)
	pageKeyIn  = regexp.MustCompile(`name="key" value="([^"]+)"`)
)

func found(t *testing.T, re *regexp.Regexp, body string) string {
	t.Helper()
	m := re.FindAllStringSubmatch(body, -1)
	if m == nil {
		t.Fatalf("no %s in %s", re, main(strings.Join(strings.Fields(body), " ")))
	}
	return m[len(m)-1][1]
}

func TestCitizenChangesOnThePages(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p := b.person()
	s := b.books(p, b.choices(leipzig, pair(comirnaty))[0])
	app := b.app()
	app.LoginAs(citizenUser(p))
	b.see(app.Get("/appointments"), 200, "Termine ändern")
	b.see(app.Get("/appointments/change"), 200, "Was möchten Sie ändern?", "2. Impfung", "Alle Termine zusammen")
	for _, what := range []string{"2", "all", "1"} {
		times := b.see(app.Get("/appointments/change/"+what), 200, "Das haben Sie jetzt")
		slots := found(t, slotChoice, times.Body)
		form := []string{"what", what, "slots", slots, "key", found(t, pageKeyIn, times.Body), "centre", leipzig}
		b.see(app.PostForm("/appointments/change/check", form...), 200, "So würde es aussehen", "noch nicht fest", "Jetzt tauschen")
		for range 2 { // pressed twice
			b.goTo(app.PostForm("/appointments/change", form...), "/appointments")
		}
		now, err := b.s.SeriesByID(b.ctx, b.pool, s.ID, p.ID)
		b.ok(err)
		var have []int64
		for _, a := range now.Visits() {
			if what == ChangeAll || what == string(rune('0'+a.DoseNumber)) {
				have = append(have, a.SlotID)
			}
		}
		if joinIDs(have) != slots {
			t.Errorf("%s: %v, wanted %s", what, have, slots)
		}
		b.see(app.Get("/appointments"), 200)
		b.sound()
	}
	// Without a choice nothing is lost and it is said what is missing.
	b.see(app.PostForm("/appointments/change/check", "what", "2", "centre", leipzig), http.StatusUnprocessableEntity, "Das haben Sie jetzt")
	// The later one alone is given back and booked again.
	b.see(app.Get("/appointments/cancel"), 200, "Nur die 2. Impfung absagen", "Ja, alle 2 Termine absagen")
	b.goTo(app.PostForm("/appointments/cancel", "series", s.ID, "from", "2"), "/appointments")
	b.see(app.Get("/appointments"), 200, "Der andere bleibt Ihnen", "Für die 2. Impfung haben Sie keinen Termin")
	b.see(app.Get("/appointments/change"), 200, "Wieder buchen: 2. Impfung")
	b.see(app.Get("/appointments/change/2"), 200, "name=\"slots\"")
	b.goTo(app.Get("/appointments/change/all"), "/appointments") // there are not two
}

func TestTooLateForAChangeOnThePage(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p := b.person()
	s := b.books(p, b.choices(leipzig, pair(comirnaty))[0])
	app := b.app()
	app.LoginAs(citizenUser(p))
	move := b.moveTo(s, 2, 2)
	b.exec(`UPDATE booking.place SET places = taken WHERE slot_id = $1`, move.SlotID)
	b.see(app.PostForm("/appointments/change", "what", "2", "slots", joinIDs([]int64{move.SlotID}), "key", "k"), http.StatusConflict,
		"Jemand war schneller. Ihre bisherigen Termine gehören Ihnen weiter.", "Diesen Termin nehmen")
}

func TestChangeAPI(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p := b.person()
	s := b.books(p, b.choices(leipzig, pair(comirnaty))[0])
	app := b.app()
	app.LoginAs(citizenUser(p))
	var moves MovesOut
	app.JSON(http.MethodGet, "/api/v1/appointments/"+s.ID+"/moves?dose=2", nil, &moves)
	if len(moves.Times) < 3 {
		t.Fatalf("%d times", len(moves.Times))
	}
	in := ChangeIn{Moves: []MoveIn{{2, moves.Times[1].SlotID}}, Key: "k"}
	for range 2 {
		var out SeriesOut
		if a := app.JSON(http.MethodPost, "/api/v1/appointments/"+s.ID+"/change", in, &out); a.Status != 200 || !out.Appointments[1].Start.Equal(moves.Times[1].Start) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	// Somebody else's series is nobody's.
	other := b.app()
	other.LoginAs(citizenUser(b.person()))
	for _, a := range []int{
		other.JSON(http.MethodGet, "/api/v1/appointments/"+s.ID+"/moves?dose=2", nil, nil).Status,
		other.JSON(http.MethodPost, "/api/v1/appointments/"+s.ID+"/change", in, nil).Status,
	} {
		if a != http.StatusNotFound {
			t.Errorf("status %d", a)
		}
	}
	var out SeriesOut
	app.JSON(http.MethodPost, "/api/v1/appointments/"+s.ID+"/cancel?from_dose=2", nil, &out)
	if out.State != StateConfirmed || out.Appointments[len(out.Appointments)-1].State != StateCancelled {
		t.Errorf("%+v", out)
	}
}

// registered registers somebody and returns what was handed out.
func (b *bundle) registered() citizen.Registered {
	b.t.Helper()
	b.people++
	r, err := b.citizens.Register(b.ctx, citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Zweite" + string(rune('a'+b.people%26)), GivenName: "Person",
		Birth: citizen.PartialDate{Year: 1935, Month: 2, Day: 1 + b.people%28}, Sex: "female", Email: "zwei@example.org", Lang: "de",
		Address: notify.Address{Street: "Weg 2", Postcode: "04109", City: "Leipzig"},
	}, "citizen")
	b.ok(err)
	return r
}

func TestCoupleOnThePages(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	p, q := b.person(), b.registered()
	app := b.app()
	app.LoginAs(citizenUser(p))
	b.see(app.Get("/appointments"), 200, "Zu zweit kommen")
	wrong := b.see(app.PostForm("/appointments/together", "case_number", q.CaseNumber, "secret", "AAAA-AAAA-AAAA-AAAA-AAAA"), http.StatusUnprocessableEntity)
	if strings.Contains(wrong.Body, "Zweite") {
		t.Error("the page tells a name")
	}
	b.goTo(app.PostForm("/appointments/together", "case_number", q.CaseNumber, "secret", q.Secret), "/appointments")
	b.see(app.Get("/appointments"), 200, "Sie buchen für zwei", q.CaseNumber)
	times := b.see(app.Get("/appointments/at/"+leipzig), 200, "Sie buchen für zwei")
	b.goTo(app.PostForm("/appointments/hold", "centre", leipzig, "slots", found(t, slotChoice, times.Body), "key", found(t, pageKeyIn, times.Body)), "/appointments/held")
	held := b.see(app.Get("/appointments/held"), 200, "auch für die Vorgangsnummer", q.CaseNumber)
	if strings.Contains(held.Body, "Zweite") {
		t.Error("the page tells a name")
	}
	b.goTo(app.PostForm("/appointments/confirm", "series", found(t, regexp.MustCompile(`name="series" value="([^"]+)"`), held.Body)), "/appointments")
	if n := b.count(`SELECT count(*) FROM booking.series WHERE state = 'confirmed'`); n != 2 {
		t.Errorf("%d confirmed", n)
	}
	other := b.app()
	other.LoginAs(citizenUser(q.Person))
	b.see(other.Get("/appointments"), 200, "Ihre", "Termine ändern")
	// Nobody books for two without the second one's login data.
	third := b.app()
	third.LoginAs(citizenUser(b.person()))
	b.see(third.PostForm("/appointments/together", "case_number", q.CaseNumber, "secret", ""), http.StatusUnprocessableEntity)
	in := HoldIn{SlotIDs: b.choices(leipzig, pair(comirnaty))[0].SlotIDs(), Key: "k", With: &WithIn{CaseNumber: q.CaseNumber, Secret: q.Secret}}
	if a := third.JSON(http.MethodPost, "/api/v1/appointments/hold", in, nil); a.Status != http.StatusConflict || !strings.Contains(a.Body, "zweite Person") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	fourth := b.registered()
	in.With = &WithIn{CaseNumber: fourth.CaseNumber, Secret: fourth.Secret}
	var out SeriesOut
	if a := third.JSON(http.MethodPost, "/api/v1/appointments/hold", in, &out); a.Status != 200 || out.State != StateHeld {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := third.JSON(http.MethodPost, "/api/v1/appointments/"+out.ID+"/confirm", nil, &out); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if n := b.count(`SELECT count(*) FROM booking.series WHERE state = 'confirmed'`); n != 4 {
		t.Errorf("%d confirmed", n)
	}
	b.sound()
}
