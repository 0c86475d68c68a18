package booking

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/go-redis/redis_rate/v10"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/redistest"
	"impfportal/internal/web"
)

func agentUser() web.User {
	return web.User{Kind: "staff", ID: id.New(), Name: "Agent", Roles: []web.Role{web.RoleAgent}}
}

var linkPath = regexp.MustCompile(`https://impfportal\.example(/offers/[A-Za-z0-9_-]{43})`)

// message is the text of the newest message of a kind to that person's address.
func (b *bundle) message(kind string, p citizen.Person) string {
	b.t.Helper()
	var messageID, keyID string
	var sealed []byte
	b.ok(b.pool.QueryRow(b.ctx, `SELECT id::text, key_id::text, sealed FROM notify.message WHERE kind = $1 AND key_id = $2 ORDER BY created_at DESC, id DESC LIMIT 1`, kind, p.KeyID).
		Scan(&messageID, &keyID, &sealed))
	key, err := b.s.Citizens.Vault.Open(b.ctx, b.pool, keyID)
	b.ok(err)
	plain, err := key.Unseal("notify.message "+messageID, sealed)
	b.ok(err)
	return string(plain)
}

func TestWaitingListOnThePages(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p := b.person()
	app := b.app()
	app.LoginAs(citizenUser(p))
	b.see(app.Get("/appointments/waiting"), 200, "Auf die Warteliste", "Impfzentrum Leipzig", "Auf die Warteliste setzen")
	b.see(app.PostForm("/appointments/waiting", "notice", "1"), 422, "mindestens ein Impfzentrum", "mindestens einen Wochentag", "mindestens eine Tageszeit",
		`class="kern-fieldset kern-fieldset--error" id="centres" tabindex="-1" aria-describedby="centres-hint centres-error"`, `<p class="kern-error" id="centres-error">`,
		`class="kern-fieldset kern-fieldset--error" id="weekdays" tabindex="-1" aria-describedby="weekdays-error"`, `id="parts-error"`)
	if a := app.Get("/appointments/waiting"); strings.Contains(a.Body, "autofocus") || strings.Contains(a.Body, "kern-fieldset--error") || strings.Contains(a.Body, p.FullName()) {
		t.Error("marked or focused without need")
	}
	b.see(app.PostForm("/appointments/waiting", "centres", leipzig, "weekdays", "1", "parts", "noon", "notice", "1", "earliest", "2021-02-01", "latest", "2021-01-20"), 422, "vor dem frühesten Tag")
	kv := []string{"within", "15", "parts", "morning", "parts", "noon", "parts", "afternoon", "notice", "0"}
	for d := range 7 {
		kv = append(kv, "weekdays", fmt.Sprint(d+1))
	}
	b.goTo(app.PostForm("/appointments/waiting", kv...), "/appointments/waiting")
	b.see(app.Get("/appointments/waiting"), 200, "Sie stehen auf der Warteliste seit", "Wünsche speichern", "Von der Warteliste nehmen")
	w, err := WaitingOf(b.ctx, b.pool, p.ID)
	b.ok(err)
	if len(w.Centres) == 0 || w.Centres[0] != leipzig || len(w.Weekdays) != 7 {
		t.Errorf("%+v", w)
	}
	b.cancel(all[0])
	if n := b.offer(); n != 1 {
		t.Fatalf("%d offers", n)
	}
	b.see(app.Get("/appointments/waiting"), 200, "Ein Angebot wartet auf Antwort")
	b.see(app.Get("/appointments/held"), 200, "Möchten Sie diese Termine?", "für Sie zurückgelegt")

	// The link works without a login, shows the offer and no name.
	m := linkPath.FindStringSubmatch(b.message("booking.offer", p))
	if m == nil {
		t.Fatalf("no link in %s", b.message("booking.offer", p))
	}
	stranger := b.app()
	a := b.see(stranger.Get(m[1]), 200, "Möchten Sie diese Termine?", "Impfzentrum Leipzig", "Diesmal nicht")
	for _, private := range []string{p.FamilyName, p.GivenName, "Weg 1", citizen.PrintCode(p.CaseNumber), p.Email} {
		if strings.Contains(a.Body, private) {
			t.Errorf("the page shows %q", private)
		}
	}
	if a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.Header)
	}
	for _, bad := range []string{"/offers/x", m[1][:len(m[1])-1] + "_", "/offers/" + strings.Repeat("A", 43)} {
		if bad != m[1] {
			b.see(stranger.Get(bad), 404, "kein Angebot mehr")
			b.see(stranger.PostForm(bad, "answer", "accept"), 404, "kein Angebot mehr")
		}
	}
	b.see(stranger.PostForm(m[1], "answer", "nonsense"), 422)
	if n := len(b.openOffers()); n != 1 { // looking changes nothing: mail scanners open links
		t.Fatalf("%d offers are open", n)
	}
	for range 2 {
		b.see(stranger.PostForm(m[1], "answer", "accept"), 200, "Gebucht: Die Termine gehören Ihnen")
	}
	b.see(stranger.Get(m[1]), 200, "Gebucht: Die Termine gehören Ihnen")
	b.see(app.Get("/appointments"), 200, "Gebucht")
	b.see(app.Get("/appointments/waiting"), 200, "Sie haben Termine")
	b.sound()
}

func TestALateAnswerIsToldKindly(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, _ := b.waits(nil)
	b.cancel(all[9])
	b.offer()
	m := linkPath.FindStringSubmatch(b.message("booking.offer", p))
	app := b.app()
	b.at(b.openOffers()[0].Until)
	b.see(app.PostForm(m[1], "answer", "accept"), 410, "Zeit zum Antworten ist leider um", "stehen weiter auf der Warteliste")
	_, err := b.s.ExpireHolds(b.ctx)
	b.ok(err)
	b.offer()
	b.see(app.Get(m[1]), 410, "Zeit zum Antworten ist leider um")
	if b.alive(p) != 0 {
		t.Error("booked after the end")
	}
	b.sound()
}

// Who has only a telephone is called; an agent enters wishes and answers.
func TestTheHotlineCalls(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	b.exec(`UPDATE booking.channel SET lead_days = 0 WHERE id = 'hotline'`)
	p := b.person(func(r *citizen.Registration) { r.Email, r.Phone = "", "+493411234567" })
	app := b.app()
	app.LoginAs(agentUser())
	base := "/hotline/persons/" + p.ID + "/waiting"
	page := b.see(app.Get(base), 200, "Warteliste für diese Person", p.FullName()+", "+p.Birth.German(), "Was passt?", "ein Impfzentrum darf die Person auch wegen übriger Impfdosen anrufen")
	if i, j := strings.Index(page.Body, " autofocus"), strings.Index(page.Body, `name="centres"`); strings.Count(page.Body, " autofocus") != 1 || i < j || strings.Contains(page.Body[j:i], ">") {
		t.Error("the focus is not on the first field")
	}
	if strings.Contains(page.Body, "Sagen Sie") || strings.Contains(page.Body, "mich auch") {
		t.Error("the agent is spoken to as if they waited")
	}
	if empty := b.see(app.Get("/hotline/offers"), 200, "Kein Angebot wartet"); strings.Contains(empty.Body, "Tasten:") {
		t.Error("keys that are not there are explained")
	}
	b.goTo(app.PostForm(base, "centres", leipzig, "weekdays", "1", "weekdays", "5", "parts", "morning", "parts", "noon", "notice", "0"), base)
	var out WaitingOut
	in := WaitForIn{Wishes: WishesIn{Centres: []string{leipzig}, Weekdays: []int{1, 2, 3, 4, 5, 6, 7}, Parts: dayParts}}
	if a := app.JSON(http.MethodPut, "/api/v1/hotline/persons/"+p.ID+"/waiting", in, &out); a.Status != 200 || out.State != WaitingOpen {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := app.JSON(http.MethodPut, "/api/v1/hotline/persons/"+id.New()+"/waiting", in, nil); a.Status != 404 {
		t.Errorf("nobody: %d", a.Status)
	}
	b.cancel(all[0])
	if n := b.offer(); n != 0 {
		t.Fatalf("%d offers of the web's places to a caller", n)
	}
	b.exec(`UPDATE booking.returning_place SET channel = 'hotline'`)
	b.exec(`INSERT INTO booking.place (slot_id, channel, leg, first_day, places, taken) SELECT slot_id, 'hotline', leg, first_day, 1, 1 FROM booking.returning_place`)
	b.exec(`UPDATE booking.place p SET taken = taken - 1, places = places - 1 FROM booking.returning_place r WHERE p.slot_id = r.slot_id AND p.leg = r.leg AND p.first_day = r.first_day AND p.channel = 'web'`)
	if n := b.offer(); n != 1 {
		t.Fatalf("%d offers", n)
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.offer'`); n != 0 {
		t.Errorf("%d messages", n)
	}
	o := b.openOffers()[0]
	a := b.see(app.Get("/hotline/offers"), 200, "Bitte anrufen: 1 Person", p.FullName(), strings.TrimPrefix(p.Phone, "+"), `href="tel:`, p.Birth.German(), citizen.PrintCode(p.CaseNumber),
		web.FormatDateTime("de", all[0].Appointments[0].Start), web.FormatDateTime("de", all[0].Appointments[1].Start), web.FormatDateTime("de", o.Until))
	for _, key := range []string{"z", "1", "a", "j", "k", "x"} {
		if strings.Count(a.Body, `accesskey="`+key+`"`) != 1 || !strings.Contains(strings.ToLower(a.Body), `<kbd class="key">`+key+`</kbd>`) {
			t.Errorf("the key %s is not there once, and shown", key)
		}
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.offers.open' AND role = 'agent' AND actor LIKE 'staff:%' AND after->'persons' ? $1`, p.ID); n != 1 {
		t.Errorf("the view is %d times in the record", n)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE after::text LIKE '%' || $1 || '%'`, p.FamilyName); n != 0 {
		t.Error("the record has a name")
	}
	var calls CallsOut
	if a := app.JSON(http.MethodGet, "/api/v1/hotline/offers", nil, &calls); a.Status != 200 || len(calls.Offers) != 1 || calls.Offers[0].Means != MeansCall || calls.Offers[0].Phone != p.Phone || calls.Offers[0].Name != p.FullName() {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	path := "/hotline/offers/" + calls.Offers[0].ID
	after := "/hotline/offers?answered=" + calls.Offers[0].ID
	b.see(app.Get(after), 200, "Bitte anrufen: 1 Person", "Die Ziffern öffnen den Fall", "J, K, X und A gelten")
	if a := app.Get(after); strings.Contains(a.Body, `accesskey="f"`) {
		t.Error("an open offer is shown as answered")
	}
	b.goTo(app.PostForm(path, "answer", "accept"), after)
	booked, err := b.s.SeriesOf(b.ctx, b.pool, p.ID)
	b.ok(err)
	b.see(app.Get(after), 200, p.FullName()+": Gebucht. Die Bestätigung ist unterwegs.", PrintReference(booked.Reference), web.FormatDateTime("de", booked.Appointments[0].Start),
		web.FormatDateTime("de", booked.Appointments[1].Start), `href="/hotline/persons/`+p.ID+`" accesskey="f"`, `<kbd class="key">F</kbd>`, "Kein Angebot wartet")
	for _, nothing := range []string{"/hotline/offers", "/hotline/offers?answered=x", "/hotline/offers?answered=" + id.New()} {
		if a := b.see(app.Get(nothing), 200, "Kein Angebot wartet"); strings.Contains(a.Body, p.FamilyName) {
			t.Errorf("%s shows somebody", nothing)
		}
	}
	var done CallDone
	if a := app.JSON(http.MethodPost, "/api/v1"+path+"/answer", callIn{Answer: "decline"}, &done); a.Status != 200 || done.Answer != OfferAccepted {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.offer-answer' AND role = 'agent' AND actor LIKE 'staff:%'`); n != 1 {
		t.Errorf("%d entries", n)
	}
	// The papers go from here: nobody at the desk made a letter.
	s, err := b.s.SeriesOf(b.ctx, b.pool, p.ID)
	b.ok(err)
	b.ok(b.s.tellConfirmed(b.ctx, s.ID))
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.confirmed' AND channel = 'letter'`); n != 1 {
		t.Errorf("%d letters", n)
	}
	b.sound()
}

func TestWaitingListAPI(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p := b.person()
	app := b.app()
	app.LoginAs(citizenUser(p))
	const path = "/api/v1/appointments/waiting"
	var out WaitingOut
	if a := app.JSON(http.MethodGet, path, nil, &out); a.Status != 200 || out.State != "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	for name, in := range map[string]WishesIn{
		"nothing":   {},
		"a bad day": {Centres: []string{leipzig}, Weekdays: []int{1}, Parts: dayParts, Earliest: "soon"},
	} {
		if a := app.JSON(http.MethodPut, path, in, nil); a.Status != 422 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	in := WishesIn{Centres: []string{leipzig}, Weekdays: []int{1, 2, 3, 4, 5, 6, 7}, Parts: dayParts, Earliest: "2021-01-12", Latest: "2021-12-31", NoticeDays: 1}
	if a := app.JSON(http.MethodPut, path, in, &out); a.Status != 200 || out.State != WaitingOpen || out.Wishes.Latest != "2021-12-31" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	b.cancel(all[0])
	b.offer()
	if a := app.JSON(http.MethodGet, path, nil, &out); a.Status != 200 || out.Offer == nil || out.Offer.State != StateHeld {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := app.JSON(http.MethodDelete, path, nil, &out); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if b.alive(p) != 0 || len(b.openOffers()) != 0 {
		t.Error("the offer stands")
	}

	admin := b.app()
	admin.LoginAs(adminUser())
	var figures WaitingFigures
	if a := admin.JSON(http.MethodGet, "/api/v1/admin/waiting", nil, &figures); a.Status != 200 || figures.Rules.DelayMinutes != 10 || figures.Answers[OfferRemoved] != 1 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := admin.JSON(http.MethodPatch, "/api/v1/admin/waiting", WaitingRules{5, 5, 6, 2}, &figures); a.Status != 200 || figures.Rules != (WaitingRules{5, 5, 6, 2}) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := admin.JSON(http.MethodPatch, "/api/v1/admin/waiting", WaitingRules{5, 5, 100, 2}, nil); a.Status != 422 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	b.see(admin.Get("/admin/waiting"), 200, "Warteliste", "Prüfsumme des heutigen Losschlüssels")
	b.see(admin.PostForm("/admin/waiting", "delay", "x", "spread", "1", "hours", "1", "rounds", "1"), 422, "ganze Zahl")
	b.goTo(admin.PostForm("/admin/waiting", "delay", "0", "spread", "0", "hours", "12", "rounds", "3"), "/admin/waiting")
	b.sound()
}

// One network opens so many links a minute and no more.
func TestLinksAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.s.Limiter = redis_rate.NewLimiter(redistest.New(t))
	app := b.app()
	got := map[int]int{}
	for range limitOffer.Burst + 20 {
		got[app.Get("/offers/"+strings.Repeat("A", 43)).Status]++
	}
	if got[http.StatusTooManyRequests] < 15 || got[http.StatusNotFound] < limitOffer.Burst {
		t.Errorf("%v", got)
	}
}
