package booking

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// app is the portal with nothing but booking.
func (b *bundle) app() *webtest.App {
	b.t.Helper()
	return webtest.New(b.t, webtest.Config{Pool: b.pool, Now: b.now, Routes: append(b.s.Routes(), b.s.DeskRoutes()...), Bundles: []web.Bundle{Assets, citizen.Assets}})
}

func citizenUser(p citizen.Person) web.User {
	return web.User{Kind: "citizen", ID: p.ID, Roles: []web.Role{web.RoleCitizen}}
}

func adminUser() web.User {
	return web.User{Kind: "staff", ID: id.New(), Name: "Admin", Roles: []web.Role{web.RoleAdmin}}
}

func (b *bundle) see(a webtest.Answer, status int, words ...string) webtest.Answer {
	b.t.Helper()
	if a.Status != status {
		b.t.Fatalf("status %d, want %d: %.2000s", a.Status, status, a.Body)
	}
	text := strings.Join(strings.Fields(a.Body), " ")
	for _, w := range words {
		if !strings.Contains(text, w) {
			b.t.Errorf("the page lacks %q: %s", w, main(text))
		}
	}
	return a
}

// main cuts a page to what stands between header and footer.
func main(text string) string {
	if i := strings.Index(text, "<main"); i >= 0 {
		text = text[i:]
	}
	return text
}

func (b *bundle) goTo(a webtest.Answer, path string) {
	b.t.Helper()
	if a.Status != http.StatusSeeOther || a.Location != path {
		b.t.Fatalf("status %d, location %q, want %q: %.1500s", a.Status, a.Location, path, main(a.Body))
	}
}

var (
	slotsValue  = regexp.MustCompile(`name="slots"[^>]* value="([0-9,]+)"|type="radio" name="slots"[^>]*value="([0-9,]+)"`)
	seriesValue = regexp.MustCompile(`name="series" value="([0-9a-f-]{36})"`)
	keyValue    = regexp.MustCompile(`name="key" value="([^"]+)"`)
)

func first(t testing.TB, re *regexp.Regexp, body string) string {
	t.Helper()
	m := re.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no %v in %s", re, main(body))
	}
	for _, g := range m[1:] {
		if g != "" {
			return g
		}
	}
	return ""
}

func TestCitizenBooksOnThePages(t *testing.T) {
	t.Parallel()
	b, _ := small(t)
	released := 0
	b.s.Release = func(*web.Ctx) { released++ }
	_, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	app := b.app()
	p := b.person()
	app.LoginAs(citizenUser(p))

	page := b.see(app.Get("/appointments"), 200, "Impfzentrum Leipzig", "10 freie Plätze", "km Luftlinie", `href="/appointments/at/leipzig"`)
	if strings.Index(page.Body, "Impfzentrum Leipzig") > strings.Index(page.Body, "Impfzentrum Dresden") {
		t.Error("Dresden is nearer to Leipzig's postcode than Leipzig")
	}
	b.see(app.PostForm("/appointments/hold", "centre", "leipzig"), 422, "Bitte wählen Sie eine Uhrzeit", `href="#slots"`)
	page = b.see(app.Get("/appointments/at/leipzig"), 200, "1. Impfung:", "2. Impfung:", "Plätze frei", "01.02.2021")
	slots, key := first(t, slotsValue, page.Body), first(t, keyValue, page.Body)
	day := clock.Day(b.now()).Format(time.DateOnly)

	b.goTo(app.PostForm("/appointments/hold", "centre", leipzig, "day", day, "key", key, "slots", slots), "/appointments/held")
	b.goTo(app.PostForm("/appointments/hold", "centre", leipzig, "day", day, "key", key, "slots", slots), "/appointments/held") // double click
	page = b.see(app.Get("/appointments/held"), 200, "noch nicht gebucht", "Noch 10 Minuten", "bis 14:10 Uhr", "Diese 2 Termine verbindlich buchen", "Comirnaty")
	series := first(t, seriesValue, page.Body)
	b.goTo(app.Get("/appointments"), "/appointments/held")
	b.goTo(app.PostForm("/appointments/confirm", "series", series), "/appointments")
	b.goTo(app.PostForm("/appointments/confirm", "series", series), "/appointments")
	if released == 0 {
		t.Error("the waiting room was not told")
	}
	page = b.see(app.Get("/appointments"), 200, "panel--yours", "Diese 2 Termine gehören Ihnen", "Das bringen Sie mit", "Personalausweis")
	if strings.Contains(page.Body, "panel--taken") {
		t.Error("a page that says both yours and taken")
	}
	b.goTo(app.Get("/appointments/held"), "/appointments")
	pdf := b.see(app.Get("/appointments/confirmation.pdf"), 200)
	if !strings.HasPrefix(pdf.Body, "%PDF-") {
		t.Errorf("no PDF: %.20q", pdf.Body)
	}
	cal := b.see(app.Get("/appointments/calendar.ics"), 200)
	checkCalendar(t, cal.Body, 2)

	// Somebody else neither sees nor changes it.
	other := app.Another()
	other.LoginAs(citizenUser(b.person()))
	b.see(other.PostForm("/appointments/cancel", "series", series), 404)
	b.see(other.PostForm("/appointments/confirm", "series", series), 410, "Es ist nichts gebucht")
	b.see(other.Get("/appointments/confirmation.pdf"), 404)
	if page := b.see(other.Get("/appointments"), 200); strings.Contains(page.Body, "gehören Ihnen") {
		t.Error("a stranger sees appointments")
	}

	b.see(app.Get("/appointments/cancel"), 200, "wirklich absagen")
	b.goTo(app.PostForm("/appointments/cancel", "series", series), "/my-case")
	b.see(app.Get("/appointments"), 200, "Ihre Termine sind abgesagt", "In welchem Impfzentrum")
	b.sound()
}

func checkCalendar(t *testing.T, body string, events int) {
	t.Helper()
	if strings.Count(body, "\n") != strings.Count(body, "\r\n") {
		t.Error("lines must end in CRLF")
	}
	cal, err := ics.ParseCalendar(bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	if len(cal.Events()) != events || len(cal.Timezones()) != 1 {
		t.Errorf("%d events, %d time zones", len(cal.Events()), len(cal.Timezones()))
	}
	for _, e := range cal.Events() {
		start := e.GetProperty(ics.ComponentPropertyDtStart)
		if e.GetProperty(ics.ComponentPropertyDtstamp) == nil || start == nil || start.ICalParameters["TZID"][0] != "Europe/Berlin" {
			t.Errorf("event %+v", e)
		}
	}
	for _, l := range strings.Split(body, "\r\n") {
		if len(l) > 75 {
			t.Errorf("line of %d bytes: %s", len(l), l)
		}
	}
}

func TestTakenIsNeverMistakenForYours(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	_, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	app := b.app()
	app.LoginAs(citizenUser(b.person()))
	page := b.see(app.Get("/appointments/at/leipzig"), 200)
	slots, key := first(t, slotsValue, page.Body), first(t, keyValue, page.Body)
	_, err = b.take(id.New(), "faster", pair(comirnaty), list[0].SlotIDs()...)
	b.ok(err)
	day := clock.Day(b.now()).Format(time.DateOnly)
	page = b.see(app.PostForm("/appointments/hold", "centre", leipzig, "day", day, "key", key, "slots", slots), 409,
		"panel--taken", "gehören nicht Ihnen", "Für Sie ist nichts gebucht", "Diese 3 liegen am nächsten", "kern-icon--danger")
	if strings.Contains(page.Body, "panel--yours") || strings.Contains(page.Body, "kern-icon--success") {
		t.Error("'taken' shown in the colours of 'yours'")
	}
	// One of the three is held with one press.
	alternative, key := first(t, slotsValue, page.Body), first(t, keyValue, page.Body)
	b.goTo(app.PostForm("/appointments/hold", "centre", leipzig, "day", day, "key", key, "slots", alternative), "/appointments/held")
	b.sound()
}

func TestHoldExpiresOnThePage(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	_, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	app := b.app()
	p := b.person()
	app.LoginAs(citizenUser(p))
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[3].SlotIDs(), Key: "k"})
	b.ok(err)
	b.at(monday.Add(12 * time.Minute))
	page := b.see(app.PostForm("/appointments/confirm", "series", s.ID), 410, "Es ist nichts gebucht", "noch einmal vormerken")
	b.goTo(app.PostForm("/appointments/hold", "centre", leipzig, "key", first(t, keyValue, page.Body), "slots", first(t, slotsValue, page.Body)), "/appointments/held")
	b.goTo(app.PostForm("/appointments/cancel", "series", first(t, seriesValue, app.Get("/appointments/held").Body)),
		"/appointments/at/leipzig?day="+clock.Day(s.Appointments[0].Start).Format(time.DateOnly))
	b.sound()
}

func TestPagesForThoseWhoMayNotBook(t *testing.T) {
	t.Parallel()
	b, _ := small(t)
	app := b.app()
	p := b.person()
	app.LoginAs(citizenUser(p))
	b.exec(`UPDATE citizen.person SET group_code = 's3-age' WHERE id = $1`, p.ID)
	b.see(app.Get("/appointments"), 200, "noch nicht an der Reihe")
	b.see(app.Get("/appointments/at/leipzig"), 403, "noch nicht an der Reihe")
	b.see(app.Get("/appointments/at/nowhere"), 404)
	b.see(app.PostForm("/appointments/hold", "slots", "eins", "centre", "leipzig"), 403, "noch nicht an der Reihe")
	b.see(app.PostForm("/appointments/near", "postcode", "99999"), 200)
	b.see(app.PostForm("/appointments/confirm", "series", "x"), 404)
}

func TestPostcodeOutsideSaxonyIsSaid(t *testing.T) {
	t.Parallel()
	b, _ := small(t)
	app := b.app()
	app.LoginAs(citizenUser(b.person()))
	b.see(app.PostForm("/appointments/near", "postcode", "80331"), 422, "liegt nicht in Sachsen", `value="80331"`)
	b.see(app.PostForm("/appointments/near", "postcode", "01067"), 200, "Impfzentrum Dresden")
}

func TestAPI(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	_, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	app := b.app()
	var free AvailabilityOut
	if a := app.JSON("GET", "/api/v1/availability", nil, &free); a.Status != 200 || len(free.Centres) != 13 {
		t.Fatalf("availability %d, %d centres", a.Status, len(free.Centres))
	}
	for _, c := range free.Centres {
		if want := map[bool]int{true: 10}[c.ID == leipzig]; c.Free != want {
			t.Errorf("%s: %d free", c.ID, c.Free)
		}
	}
	if a := app.JSON("GET", "/api/v1/appointments", nil, nil); a.Status != 401 {
		t.Errorf("without login: %d", a.Status)
	}
	p := b.person()
	app.LoginAs(citizenUser(p))
	var mine MineOut
	if app.JSON("GET", "/api/v1/appointments", nil, &mine); mine.Series != nil {
		t.Errorf("%+v", mine)
	}
	var offers OffersOut
	day := clock.Day(list[0].Times[0].Start).Format(time.DateOnly)
	if a := app.JSON("GET", "/api/v1/appointments/offers?centre=leipzig&from="+day, nil, &offers); a.Status != 200 || len(offers.Days) != 1 || len(offers.Days[0].Later) != 1 {
		t.Fatalf("offers %d: %s", a.Status, a.Body)
	}
	for _, bad := range []string{"from=yesterday", "from=" + day + "&to=2022-01-01", "from=2021-02-30"} {
		if a := app.JSON("GET", "/api/v1/appointments/offers?centre=leipzig&"+bad, nil, nil); a.Status != 422 {
			t.Errorf("%s: %d", bad, a.Status)
		}
	}
	in := HoldIn{SlotIDs: []int64{offers.Days[0].First[0].SlotID, offers.Days[0].Later[0][0].SlotID}, Key: "api"}
	var s, again SeriesOut
	if a := app.JSON("POST", "/api/v1/appointments/hold", in, &s); a.Status != 200 || s.State != StateHeld || len(s.Appointments) != 2 || s.HoldUntil == nil {
		t.Fatalf("hold %d: %s", a.Status, a.Body)
	}
	app.JSON("POST", "/api/v1/appointments/hold", in, &again)
	if again.ID != s.ID {
		t.Error("the same key made another series")
	}
	if free := offers.Days[0].First; len(free) > 1 {
		a := app.JSON("POST", "/api/v1/appointments/hold", HoldIn{SlotIDs: []int64{free[1].SlotID, in.SlotIDs[1]}, Key: "api"}, nil)
		if a.Status != 409 || !strings.Contains(a.Body, "booking.error.key") {
			t.Errorf("the key of other slots: %d %s", a.Status, a.Body)
		}
	} else {
		t.Error("one time only")
	}
	in.Key = "other"
	if a := app.JSON("POST", "/api/v1/appointments/hold", in, nil); a.Status != 409 {
		t.Errorf("a second series: %d", a.Status)
	}
	if a := app.JSON("POST", "/api/v1/appointments/hold", HoldIn{Key: "x"}, nil); a.Status != 422 {
		t.Errorf("no slots: %d", a.Status)
	}
	other := app.Another()
	other.LoginAs(citizenUser(b.person()))
	if a := other.JSON("POST", "/api/v1/appointments/hold", in, nil); a.Status != 409 || !strings.Contains(a.Body, "alternatives") {
		t.Errorf("taken: %d %s", a.Status, a.Body)
	}
	if a := other.JSON("POST", "/api/v1/appointments/"+s.ID+"/confirm", nil, nil); a.Status != 410 {
		t.Errorf("somebody else's: %d", a.Status)
	}
	if a := app.JSON("POST", "/api/v1/appointments/"+s.ID+"/confirm", nil, &s); a.Status != 200 || s.State != StateConfirmed {
		t.Errorf("confirm %d: %s", a.Status, a.Body)
	}
	if app.JSON("GET", "/api/v1/appointments", nil, &mine); mine.Series == nil || mine.Series.ID != s.ID {
		t.Errorf("%+v", mine)
	}
	if a := app.JSON("POST", "/api/v1/appointments/"+s.ID+"/cancel", nil, &s); a.Status != 200 || s.State != StateCancelled {
		t.Errorf("cancel %d: %s", a.Status, a.Body)
	}
	b.sound()
}

func TestAdminPages(t *testing.T) {
	t.Parallel()
	b, _ := small(t)
	app := b.app()
	app.LoginAs(adminUser())
	b.see(app.Get("/admin/quotas?centre=leipzig"), 200, "Impfzentrum Leipzig", "0 von 10 vergeben", "100 %", "<svg", "Vorgabe für alle Zentren")
	b.see(app.Get("/admin/quotas?centre=nowhere"), 404)
	b.see(app.PostForm("/admin/quotas/shares?centre=leipzig", "share_web", "60", "share_hotline", "30", "share_mobile", "0"), 422, "ergeben 90 statt 100 Prozent")
	b.see(app.PostForm("/admin/quotas/shares?centre=leipzig", "share_web", "sechzig", "share_hotline", "30", "share_mobile", "0"), 422, "ganze Zahl", `value="sechzig"`)
	b.goTo(app.PostForm("/admin/quotas/shares?centre=leipzig&from=2021-01-11", "share_web", "60", "share_hotline", "40", "share_mobile", "0"), "/admin/quotas?centre=leipzig&from=2021-01-11")
	b.goTo(app.PostForm("/admin/quotas/day?centre=leipzig", "day", "2021-01-20", "product", "", "day_web", "0", "day_hotline", "100", "day_mobile", "0"), "/admin/quotas?centre=leipzig&from=")
	b.see(app.Get("/admin/quotas?centre=leipzig&from=2021-01-18"), 200, "Ausnahme</span>", "60 %", "40 %")
	b.goTo(app.PostForm("/admin/quotas/day?centre=leipzig", "day", "2021-01-20", "product", "", "remove", "1"), "/admin/quotas?centre=leipzig&from=")
	b.see(app.PostForm("/admin/quotas/day?centre=leipzig", "day", "2021-02-30", "product", "", "day_web", "100", "day_hotline", "0", "day_mobile", "0"), 422)
	b.goTo(app.PostForm("/admin/booking-settings", "horizon", "30", "hold", "5", "slot", "30", "margin", "2", "lead_web", "1", "lead_hotline", "7"), "/admin/booking-settings")
	set, err := readSettings(b.ctx, b.pool)
	b.ok(err)
	if set != (settings{30, 5, 30, 2}) {
		t.Errorf("%+v", set)
	}
	b.see(app.PostForm("/admin/booking-settings", "horizon", "0", "hold", "5", "slot", "30", "margin", "2", "lead_web", "1", "lead_hotline", "7"), 422)
	b.see(app.Get("/admin/capacity?centre=leipzig"), 200, "Comirnaty", "20")
	b.goTo(app.PostForm("/admin/capacity/lane?centre=leipzig", "product", comirnaty, "from", "2021-01-11", "stations", "3"), "/admin/capacity?centre=leipzig")
	b.see(app.Get("/admin/capacity?centre=leipzig"), 200, "3 Strecken")
	b.see(app.PostForm("/admin/capacity/lane?centre=leipzig", "product", comirnaty, "from", "2021-01-11", "stations", "99"), 422, "So viele Impfstrecken")
	b.goTo(app.PostForm("/admin/capacity/lane?centre=leipzig", "product", comirnaty, "from", "2021-01-11", "remove", "1"), "/admin/capacity?centre=leipzig")
	if a := app.PostForm("/admin/capacity/plan"); a.Status != 303 || !strings.HasPrefix(a.Location, "/admin/progress/") {
		t.Errorf("plan: %d %s", a.Status, a.Location)
	}
	b.s.Wait()
	if n := b.count(`SELECT count(*) FROM jobs.progress WHERE finished_at IS NOT NULL AND error IS NULL`); n != 1 {
		t.Errorf("%d plans finished", n)
	}
	b.see(app.Get("/admin/shortfall"), 200, "Es fehlt nichts")
	b.waste(leipzig, comirnaty, 1)
	b.exec(`INSERT INTO booking.shortfall (centre_id, product_id, day, cause, missing, since) VALUES ('leipzig', 'comirnaty', '2021-01-20', 'doses', 1, $1)`, b.now())
	b.see(app.Get("/admin/shortfall"), 200, "eine Dosis", "Impfzentrum Leipzig")
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action LIKE 'booking.%'`); n < 6 {
		t.Errorf("%d changes in the audit", n)
	}
	b.s.Wait()
}

func TestOnlyThoseWithTheRole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := b.app()
	users := map[string]web.User{"citizen": citizenUser(b.person()), "site": {Kind: "staff", ID: id.New(), Name: "S", Roles: []web.Role{web.RoleSite}}, "admin": adminUser()}
	for _, r := range b.s.Routes() {
		if len(r.Roles) == 0 {
			continue
		}
		path := strings.NewReplacer(":centre", leipzig, ":series", id.New()).Replace(r.Path)
		call := func(a *webtest.App) int {
			if r.Method == http.MethodGet {
				return a.Get(path).Status
			}
			if r.API != nil {
				return a.Do(r.Method, path, "application/json", strings.NewReader("{}"), map[string]string{"X-CSRF-Token": a.CSRF()}).Status
			}
			return a.PostForm(path).Status
		}
		if st := call(app.Another()); st != 401 && st != 303 {
			t.Errorf("%s %s without login: %d", r.Method, r.Path, st)
		}
		for name, u := range users {
			if u.Has(r.Roles...) {
				continue
			}
			a := app.Another()
			a.LoginAs(u)
			if st := call(a); st != 403 && st != 401 && st != 303 {
				t.Errorf("%s %s as %s: %d", r.Method, r.Path, name, st)
			}
		}
	}
}

func TestCards(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	_, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	p := b.person()
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[0].SlotIDs(), Key: "k"})
	b.ok(err)
	cards := []web.Card{b.s.StartCard(), b.s.CaseCard(), b.s.AdminCard()}
	routes := append(b.s.Routes(), web.Route{Method: "GET", Path: "/cards", Handle: func(c *web.Ctx) error {
		html, err := c.Cards(cards)
		if err != nil {
			return err
		}
		step := ""
		if c.User != nil {
			if next, err := b.s.NextStep(c); err != nil {
				return err
			} else if next != nil {
				step = next.Text
			}
		}
		return c.SendString(fmt.Sprint(html) + step)
	}})
	app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.now, Routes: routes, Bundles: []web.Bundle{Assets, citizen.Assets}})
	page := b.see(app.Get("/cards"), 200, "10 Plätze frei", "<polygon", ">Leipzig</text>", "Heute kommen 0 Personen", "Eine Vormerkung läuft")
	if strings.Contains(page.Body, "my-appointments") {
		t.Error("appointments shown to nobody")
	}
	app.LoginAs(citizenUser(p))
	b.see(app.Get("/cards"), 200, "noch nicht gebucht", "Bestätigen Sie die vorgemerkten Termine bis 14:10 Uhr")
	_, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	b.see(app.Get("/cards"), 200, "panel--yours", "Ihr nächster Termin ist am")
}
