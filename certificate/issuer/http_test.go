package issuer

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer/registry"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/notify"
	"impfportal/staff"
)

func (b *bench) app() *webtest.App {
	b.t.Helper()
	routes := append(append(b.Routes(), b.Notify.Routes()...), web.Route{Method: http.MethodGet, Path: "/admin/cards", Roles: admin, Handle: func(c *web.Ctx) error {
		cards, err := c.Cards([]web.Card{b.AdminCard()})
		if err != nil || len(cards) == 0 {
			return web.NotFound()
		}
		return c.SendString(string(cards[0]))
	}})
	return webtest.New(b.t, webtest.Config{Pool: b.Pool, Now: b.clock, Routes: routes, Bundles: []web.Bundle{Assets, notify.Assets, staff.Assets}})
}

// alerts are the titles of what administrators are told now.
func (b *bench) alerts(want ...string) {
	b.t.Helper()
	list, err := b.Alerts().Open(b.t.Context(), b.clock())
	b.ok(err)
	var got []string
	for _, e := range list {
		title, text := e.Say("de")
		if e.Key == "" || e.Since.IsZero() || e.Since.After(b.clock()) || !strings.HasPrefix(e.Path, "/admin/") || text == "" {
			b.t.Errorf("%+v", e)
		}
		got = append(got, title)
	}
	same(b.t, got, want)
}

func (b *bench) wants(a webtest.Answer, status int, parts ...string) {
	b.t.Helper()
	if a.Status != status {
		b.t.Fatalf("%d, wanted %d: %s", a.Status, status, a.Body)
	}
	for _, p := range parts {
		if !strings.Contains(a.Body, p) {
			b.t.Errorf("lacks %q in %s", p, a.Body)
		}
	}
}

// asOperator is a browser of somebody who works for the issuer.
func (b *bench) asOperator(app *webtest.App, i Issuer) *webtest.App {
	own, err := accounts(b.t.Context(), b.Pool, i.ID)
	b.ok(err)
	out := app.Another()
	out.LoginAs(web.User{Kind: "staff", ID: own[0].ID, Name: own[0].Name, Roles: operator, Scope: i.ID})
	return out
}

func (b *bench) asAdmin(app *webtest.App) *webtest.App {
	out := app.Another()
	out.LoginAs(b.desk.Approvers[0].User())
	return out
}

func TestApplyPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := entriesOf(3)
	list[1].Licence = registry.LicenceWithdrawn
	b.publish(list...)
	app := b.app()
	b.wants(app.Get("/issuer/apply"), 200, "Brief anfordern", "Unterlagen zählen nicht")
	post := func(entry string) webtest.Answer {
		return app.PostForm("/issuer/apply", "entry", entry, "name", "Anke Beispiel", "email", "a@example.org")
	}
	b.wants(post("ADLER"), 422, "steht nicht im Verzeichnis")
	b.wants(post("A-001"), 422, "keine gültige Zulassung")
	b.wants(app.PostForm("/issuer/apply", "entry", "A-000"), 422, "E-Mail-Adresse")
	first, second := post("A-000"), post("A-000")
	if first.Status != 303 || second.Location != first.Location || second.Body != first.Body {
		t.Errorf("%d %q, then %q", first.Status, first.Location, second.Location)
	}
	b.wants(app.Get(first.Location), 200, "Brief")
	b.letters()
	secret := b.secret("A-000")
	prove := func(code string) webtest.Answer {
		return app.PostForm("/issuer/apply/code", "entry", "a-000", "code", code, "name", "Olga Offizin", "email", "o@example.org", "answer", "prove")
	}
	wrong := prove(otherCode())
	b.wants(wrong, 422, "passen nicht zusammen")
	a := prove(secret)
	b.wants(a, 200, "Einrichtungscode", "a-000-", "/staff/key")
	if a.Header.Get("Cache-Control") == "" || strings.Contains(wrong.Body, secret) {
		t.Error("the code stays on the page")
	}
	b.wants(prove(secret), 422)
	own, err := accounts(t.Context(), b.Pool, b.byEntry("A-000").ID)
	b.ok(err)
	if len(own) != 1 || own[0].Name != "Olga Offizin" {
		t.Errorf("%+v", own)
	}
	// No role but the issuer's, and no password.
	if n := b.count(`SELECT count(*) FROM staff.account WHERE id = $1 AND roles = '{issuer}' AND password_hash = ''`, own[0].ID); n != 1 {
		t.Error("the account")
	}
}

func TestTheBoxTellsTheTruth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(2)...)
	i := b.active("A-000")
	b.wide(i)
	app := b.app()
	op := b.asOperator(app, i)
	b.wants(op.Get("/issuer"), 200, "Zertifikate können ausgestellt werden", "panel--yours", "Apotheke A-000 MUSTER", "Olga Offizin")
	a := op.PostForm("/issuer/receipts", "product", "comirnaty", "lot", "ex1", "doses", "1", "received", today(b.clock()).Format(time.DateOnly))
	b.wants(a, 303)
	b.wants(op.PostForm("/issuer/receipts", "product", "comirnaty", "lot", "", "doses", "x", "received", ""), 422, "ganze Zahl", "Chargennummer")
	old := today(b.clock()).AddDate(-1, 0, -1).Format(time.DateOnly)
	b.wants(op.PostForm("/issuer/receipts", "product", "comirnaty", "lot", "ex1", "doses", "1", "received", old), 422, "der letzten zwölf Monate")
	b.wants(op.PostForm("/issuer/days", "day", old, "appointments", "12"), 422, "31 Tage davor")
	b.wants(op.PostForm("/issuer/days", "day", today(b.clock()).Format(time.DateOnly), "appointments", "12"), 303)
	b.ok(b.attempt(i, given("EX1")))
	_ = b.attempt(i, given("EX1")) // trips
	// At once, before the worker has changed the state.
	b.wants(op.Get("/issuer"), 200, "panel--paused", "Angehalten", "mehr Dosen bescheinigt", "Charge EX1", "Wir informieren Sie")
	b.ok(b.pause(t.Context(), i.ID))
	b.wants(op.Get("/issuer"), 200, "panel--paused", "mehr Dosen bescheinigt")
	var out HomeOut
	op.JSON(http.MethodGet, "/api/v1/issuer", nil, &out)
	if out.Issues || out.State != Paused || !strings.Contains(out.Why, "mehr Dosen") {
		t.Errorf("%+v", out)
	}
	b.alerts("Alarm: Apotheke A-000 MUSTER in Leipzig ist angehalten")
	var mail string // the issuer knows why, too
	b.ok(b.Pool.QueryRow(t.Context(), `SELECT id::text FROM notify.message WHERE kind = 'issuer.paused'`).Scan(&mail))
	b.ok(b.Notify.Deliver(t.Context(), mail))
	b.wants(app.Get("/dev/mailbox/"+mail), 200, "mehr Dosen bescheinigt", "Zwei Personen der Verwaltung prüfen das")
	ad := b.asAdmin(app)
	b.wants(ad.Get("/admin/issuers"), 200, "⚠ angehalten", "Apotheke A-000 MUSTER")
	b.wants(ad.Get("/admin/issuers/"+i.ID), 200, "Gezählt: 2 bei 1.", "Alarm geklärt?")
	b.wants(ad.PostForm("/admin/issuers/"+i.ID+"/propose", "why", ""), 422, "begründen")
	b.wants(ad.PostForm("/admin/issuers/"+i.ID+"/propose", "why", "telefonisch geklärt"), 303)
	b.wants(ad.PostForm("/admin/issuers/"+i.ID+"/propose", "why", "telefonisch geklärt"), 422, "liegt schon zwei Personen")
	b.wants(ad.Get("/admin/issuers/"+i.ID), 200, "Liegt seit")
	b.ok(b.desk.ApproveByTwo(b.proposal(i, KindResume)))
	b.alerts()
	b.wants(op.Get("/issuer"), 200, "panel--yours")
	b.wants(ad.Get("/admin/cards"), 200, "1 Stelle freigeschaltet")
}

func (b *bench) proposal(i Issuer, kind string) (proposalID string) {
	b.t.Helper()
	b.ok(b.Pool.QueryRow(b.t.Context(), `SELECT id::text FROM staff.proposal WHERE kind = $1 AND subject = $2 AND state = 'open'`, kind, i.ID).Scan(&proposalID))
	return proposalID
}

func TestAdminPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := b.app()
	ad := b.asAdmin(app)
	b.wants(ad.Get("/admin/registry"), 200, "Noch keine gültige Liste")
	b.wants(ad.Get("/admin/cards"), 200, "Noch keine gültige Liste")
	b.offer(entriesOf(40)...)
	b.wants(ad.PostForm("/admin/registry/pull"), 303)
	b.active("A-000")
	list := entriesOf(40)[9:]
	list[0].Street = "Neumarkt 3"
	b.publish(list...)
	b.wants(ad.Get("/admin/registry"), 200, "9 Einträge fehlen", "Markt 1 → Neumarkt 3", "fehlt, wird geprüft")
	b.wants(ad.Get("/admin/cards"), 200, "9 Einträge fehlen")
	b.alerts("Im Verzeichnis fehlen 9 Einträge auf einmal")
	b.wants(ad.PostForm("/admin/registry/confirm"), 303)
	if b.state("A-000") != Suspended {
		t.Error(b.state("A-000"))
	}
	b.alerts()
	b.err = errors.New("no route")
	b.pass(time.Minute)
	b.pull("failed", "unreachable")
	b.alerts() // now and then it is not reachable
	b.pass(time.Hour)
	b.pull("failed", "unreachable")
	b.alerts("Das Verzeichnis der ausstellenden Stellen ist nicht zu erreichen")
	b.raw, b.err = []byte("nonsense"), nil
	b.pass(time.Minute)
	b.pull("refused", "signature")
	b.alerts("Das Verzeichnis der ausstellenden Stellen wurde abgelehnt")
	b.pass(30 * time.Hour)
	b.alerts("Das Verzeichnis der ausstellenden Stellen ist nicht mehr aktuell", "Das Verzeichnis der ausstellenden Stellen wurde abgelehnt")
	ad = b.asAdmin(app) // a session lasts no day
	b.wants(ad.Get("/admin/registry"), 200, "Unterschrift stimmt nicht", "nicht mehr aktuell")
	b.pass(24 * time.Hour)
	ad = b.asAdmin(app)
	b.wants(ad.Get("/admin/registry"), 200, "niemand Zugang anfordern")
	i := b.byEntry("A-000")
	b.wants(ad.Get("/admin/issuers?state=suspended&q=apotheke"), 200, "A-000")
	b.wants(ad.Get("/admin/issuers/"+i.ID), 200, "steht nicht mehr im Verzeichnis", "Verlauf")
	b.wants(ad.PostForm("/admin/issuers/"+i.ID+"/propose", "why", "bitte wieder frei"), 422, "nicht mehr trägt")
	b.wants(ad.PostForm("/admin/issuers/"+i.ID+"/end"), 422, "für immer")
	b.wants(ad.PostForm("/admin/issuers/"+i.ID+"/end", "sure", "1"), 303)
	b.wants(ad.Get("/admin/issuers/"+id.New()), 404)
	b.wants(ad.JSON(http.MethodPost, "/api/v1/admin/issuers/"+i.ID+"/letter", nil, nil), 409)
	var looked Pull
	b.wants(ad.JSON(http.MethodPost, "/api/v1/admin/registry/pull", nil, &looked), 200)
	if looked.Problem != "signature" {
		t.Errorf("%+v", looked)
	}
	b.wants(ad.Get("/admin/issuers/nonsense"), 404)
	auditor := app.Another()
	auditor.LoginAs(web.User{Kind: "staff", ID: id.New(), Roles: []web.Role{web.RoleAuditor}})
	b.wants(auditor.Get("/admin/issuers/"+i.ID), 200)
	b.wants(auditor.PostForm("/admin/issuers/"+i.ID+"/pause"), 403)
}

func TestLimitsForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	i := b.active("A-000")
	ad := b.asAdmin(b.app())
	set := func(hourly, why string) webtest.Answer {
		return ad.PostForm("/admin/issuers/"+i.ID+"/limits", "hourly", hourly, "burst", "20", "operator_hourly", "15", "operator_burst", "15",
			"seen_hourly", "5", "seen_burst", "5", "weekly_doses", "120", "limits_why", why)
	}
	b.wants(set("10", ""), 422, "begründen")
	b.wants(set("0", "weniger bitte"), 422, "mindestens 1")
	b.wants(set("10", "weniger bitte"), 303)
	if l, own, err := LimitsOf(t.Context(), b.Pool, i.ID, b.clock()); err != nil || !own || l.Hourly != 10 {
		t.Errorf("%+v %v", l, err)
	}
	b.pass(time.Minute)
	b.wants(set("500", "Impfaktion am Samstag"), 303)
	if l, _, _ := LimitsOf(t.Context(), b.Pool, i.ID, b.clock()); l.Hourly != 10 {
		t.Errorf("raised by one: %+v", l)
	}
	b.ok(b.desk.ApproveByTwo(b.proposal(i, KindLimits)))
	if l, _, _ := LimitsOf(t.Context(), b.Pool, i.ID, b.clock()); l.Hourly != 500 {
		t.Errorf("after two: %+v", l)
	}
}

// Who works for the issuer does not decide about it, as administrator either.
func TestSelfApproval(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.ok(b.claim("A-000"))
	b.letters()
	b.ok(b.prove("A-000", b.secret("A-000")))
	i := b.byEntry("A-000")
	one, two := b.desk.Approvers[0], b.desk.Approvers[1]
	belongs := func(accountID, scope string) {
		b.exec(`UPDATE staff.account SET scope = $2 WHERE id = $1`, accountID, scope)
	}
	belongs(one.AccountID, i.ID)
	p, err := b.Propose(t.Context(), i.ID, "für mich selbst", one.AccountID)
	b.ok(err)
	if err := b.desk.ApproveBy(one, p); err == nil {
		t.Error("approved their own place")
	}
	b.ok(b.desk.ApproveBy(two, p))
	if b.state("A-000") != Proven {
		t.Error(b.state("A-000"))
	}
	// Nor does who joins after the proposal was made.
	belongs(one.AccountID, "")
	b.ok(b.desk.Withdraw(t.Context(), p, one.AccountID))
	p, err = b.Propose(t.Context(), i.ID, "noch einmal", two.AccountID)
	b.ok(err)
	b.ok(b.desk.ApproveBy(one, p))
	belongs(one.AccountID, i.ID)
	if err := b.desk.ApproveBy(two, p); err == nil || b.state("A-000") != Proven {
		t.Errorf("%v %s", err, b.state("A-000"))
	}
}

// Who had the letter with the code in their hands could have claimed the place
// themselves: agents do not get it, and whoever took it does not approve.
func TestPrinterOfTheCodeDoesNotApprove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.ok(b.claim("A-000"))
	b.letters()
	one, two := b.desk.Approvers[0], b.desk.Approvers[1]
	if _, err := b.Notify.TakeBatch(t.Context(), notify.Printer{Actor: "staff:" + id.New(), Role: "agent"}); !errors.Is(err, notify.ErrEmpty) {
		t.Errorf("an agent takes it: %v", err)
	}
	_, err := b.Notify.TakeBatch(t.Context(), notify.Printer{Actor: "staff:" + one.AccountID, Role: "admin", Guarded: true})
	b.ok(err)
	b.ok(b.prove("A-000", b.secret("A-000")))
	p, err := b.Propose(t.Context(), b.byEntry("A-000").ID, "alles geprüft", two.AccountID)
	b.ok(err)
	b.ok(b.desk.ApproveBy(two, p))
	if err := b.desk.ApproveBy(one, p); err == nil || b.state("A-000") != Proven {
		t.Errorf("%v %s", err, b.state("A-000"))
	}
}

// Nobody activates where nobody could log in.
func TestActivationNeedsAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := entry("A-000")
	e.Keys = nil
	b.publish(e)
	b.ok(b.claim("A-000"))
	b.letters()
	b.ok(b.prove("A-000", b.secret("A-000")))
	i := b.byEntry("A-000")
	if _, err := b.Propose(t.Context(), i.ID, "alles geprüft", b.desk.Approvers[0].AccountID); err == nil {
		t.Error("proposed without a key")
	}
	own, err := accounts(t.Context(), b.Pool, i.ID)
	b.ok(err)
	b.desk.Maker.Enrol(b.Keys, b.Pool, own[0].ID)
	b.activate("A-000")
}

// A stale list carries no activation, not even one that was proposed before.
func TestActivationNeedsAFreshRegistry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.ok(b.claim("A-000"))
	b.letters()
	b.ok(b.prove("A-000", b.secret("A-000")))
	p, err := b.Propose(t.Context(), b.byEntry("A-000").ID, "alles geprüft", b.desk.Approvers[0].AccountID)
	b.ok(err)
	b.pass(49 * time.Hour)
	if err := b.desk.ApproveByTwo(p); err == nil || b.state("A-000") != Proven {
		t.Errorf("%v %s", err, b.state("A-000"))
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(2)...)
	i := b.active("A-000")
	b.ok(b.attempt(i))
	b.ok(b.claim("A-001"))
	b.letters()
	b.pass(codeTTL + time.Minute)
	b.ok(b.expire(t.Context(), b.clock()))
	b.pass(31 * 24 * time.Hour)
	run := func() (n int64) {
		for _, r := range RetentionRules(b.Vault) {
			b.ok(pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
				x, err := r.Run(t.Context(), tx, b.clock(), 0, 100)
				n += x
				return err
			}))
		}
		return n
	}
	run()
	if n := b.count(`SELECT count(*) FROM certificate.issuer`); n != 1 || b.count(`SELECT count(*) FROM certificate.issuer_issue`) != 1 {
		t.Errorf("%d issuers", n)
	}
	b.pass(400 * 24 * time.Hour)
	run()
	if n := b.count(`SELECT count(*) FROM certificate.issuer_issue`) + b.count(`SELECT count(*) FROM certificate.registry_pull`); n != 0 || b.count(`SELECT count(*) FROM certificate.issuer`) != 1 {
		t.Errorf("%d left", n)
	}
}
