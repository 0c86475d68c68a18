package waitingroom

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"impfportal/internal/web"
)

func newAdmin(t *testing.T) *site {
	t.Helper()
	w := newSite(t)
	w.s.SetGroups([]string{"register", "hold", "unguarded"})
	w.app.LoginAs(web.User{Kind: "staff", ID: "0196f2d0-0000-7000-8000-000000000001", Name: "A", Roles: []web.Role{web.RoleAdmin}})
	return w
}

func (w *site) known(id string) Room { return *w.s.rooms.Load().views[id].known.Load() }

// in writes a time from now as the page's field wants it.
func (w *site) in(d time.Duration) string { t := w.s.roomNow().Add(d); return berlinText(&t) }

var keyPattern = regexp.MustCompile(`waitingroom\.(admin|plan|chart|beacon|phase|effect|group)\.[a-z_.-]+`)

func noKeys(t *testing.T, path, body string) {
	t.Helper()
	if key := keyPattern.FindString(body); key != "" {
		t.Errorf("%s shows the key %s", path, key)
	}
}

func TestAuditorLooksOnly(t *testing.T) {
	t.Parallel()
	w := newAdmin(t)
	w.app.LoginAs(web.User{Kind: "staff", ID: "0196f2d0-0000-7000-8000-000000000002", Name: "B", Roles: []web.Role{web.RoleAuditor}})
	for _, path := range []string{"/admin/rooms", "/admin/rooms/registration", "/api/v1/rooms", "/api/v1/rooms/registration/minutes"} {
		if a := w.app.Get(path); a.Status != http.StatusOK || strings.Contains(a.Body, "<button class=\"kern-btn") {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	for _, path := range []string{"/admin/rooms/new", "/admin/rooms/registration/plan", "/admin/rooms/registration/settings", "/admin/rooms/registration/delete"} {
		if a := w.app.Get(path); a.Status != http.StatusForbidden {
			t.Errorf("GET %s: %d", path, a.Status)
		}
		if a := w.app.PostForm(path); a.Status != http.StatusForbidden {
			t.Errorf("POST %s: %d", path, a.Status)
		}
	}
	for _, op := range [][2]string{{"POST", "/api/v1/rooms"}, {"PATCH", "/api/v1/rooms/registration"}, {"DELETE", "/api/v1/rooms/registration"}, {"PUT", "/api/v1/rooms/registration/plan"}, {"DELETE", "/api/v1/rooms/registration/plan"}} {
		if a := w.app.JSON(op[0], op[1], map[string]any{}, nil); a.Status != http.StatusForbidden {
			t.Errorf("%s %s: %d", op[0], op[1], a.Status)
		}
	}
}

func TestPlanPage(t *testing.T) {
	t.Parallel()
	w := newAdmin(t)
	const path = "/admin/rooms/registration/plan"
	for _, lang := range []string{"de", "en"} {
		w.app.Lang = lang
		a := w.app.Get(path)
		mustContain(t, a, http.StatusOK, `type="datetime-local"`)
		noKeys(t, path, a.Body)
	}
	w.app.Lang = "de"
	w.valve(t, Change{Phase: ptr(Closed)})
	version := func() string { return fmtInt(w.known(room).Version) }
	typed := w.in(2 * time.Hour)
	a := w.app.PostForm(path, "prequeue_from", typed, "opens_at", w.in(time.Hour), "order", "draw", "beacon", "lottery", "version", version())
	mustContain(t, a, http.StatusUnprocessableEntity, "Der Vorlauf muss vor der Öffnung beginnen", "Bitte nennen Sie die Ziehung", typed)
	a = w.app.PostForm(path, "prequeue_from", "2027-03-28T02:30", "opens_at", "irgendwann", "order", "arrival", "version", version())
	mustContain(t, a, http.StatusUnprocessableEntity, "Diese Uhrzeit gibt es nicht", "Bitte geben Sie Tag und Uhrzeit an", "irgendwann")
	a = w.app.PostForm(path, "order", "arrival", "version", version())
	mustContain(t, a, http.StatusUnprocessableEntity, "Bitte geben Sie eine Zeit an")

	old := version()
	a = w.app.PostForm(path, "prequeue_from", w.in(time.Hour), "opens_at", w.in(2*time.Hour), "closes_at", w.in(8*time.Hour),
		"order", "draw", "beacon", "lottery", "beacon_name", "Lotto am Mittwoch", "version", old)
	if a.Status != http.StatusSeeOther {
		t.Fatalf("plan: %d %s", a.Status, a.Body)
	}
	if r := w.known(room); r.Phase != Scheduled || !r.Draw || r.BeaconName != "Lotto am Mittwoch" || r.Plan.ClosesAt == nil {
		t.Errorf("%+v", r)
	}
	a = w.app.Get("/admin/rooms/registration")
	mustContain(t, a, http.StatusOK, "Der Plan ist gespeichert", "können alle kommen", "wird ausgelost", "schließt der Raum", "Auslosung ansehen")
	noKeys(t, "room", a.Body)
	mustContain(t, w.app.Get("/admin/rooms"), http.StatusOK, "Die Reihenfolge wird ausgelost")

	// Another administrator, who has the page of before: told, and nothing is lost.
	typed = w.in(3 * time.Hour)
	a = w.app.PostForm(path, "prequeue_from", typed, "opens_at", w.in(4*time.Hour), "order", "arrival", "version", old)
	mustContain(t, a, http.StatusConflict, "Jemand war schneller", `value="`+typed+`"`, `name="version" value="`+version()+`"`)

	a = w.app.PostForm(path, "cancel", "1", "version", version())
	if a.Status != http.StatusSeeOther || w.known(room).Phase != Closed {
		t.Fatalf("cancel: %d", a.Status)
	}

	// People wait: they are named, and a tick is asked for.
	w.valve(t, Change{Phase: ptr(Open)})
	w.valve(t, Change{Phase: ptr(Paused)})
	for range 3 {
		w.join(t, w.s)
	}
	w.refresh(t)
	a = w.app.PostForm(path, "prequeue_from", w.in(20*time.Minute), "opens_at", w.in(2*time.Hour), "order", "arrival", "version", version())
	mustContain(t, a, http.StatusUnprocessableEntity, "3 Personen stehen jetzt in der Schlange", "Bitte bestätigen Sie, dass sie enden soll")
	a = w.app.PostForm(path, "prequeue_from", w.in(20*time.Minute), "opens_at", w.in(2*time.Hour), "order", "arrival", "end_line", "1", "version", version())
	if a.Status != http.StatusSeeOther {
		t.Fatalf("with a tick: %d", a.Status)
	}

	// Under way.
	w.pass(t, 21*time.Minute)
	a = w.app.Get(path)
	mustContain(t, a, http.StatusOK, "Der Vorlauf hat begonnen", "Nur eine spätere Zeit")
	if strings.Contains(a.Body, `name="prequeue_from"`) || strings.Contains(a.Body, `name="order"`) {
		t.Error("what is fixed is asked for")
	}
	a = w.app.PostForm(path, "opens_at", w.in(5*time.Minute), "version", version())
	mustContain(t, a, http.StatusUnprocessableEntity, "nur nach hinten verschieben")
	if a = w.app.PostForm(path, "opens_at", w.in(3*time.Hour), "version", version()); a.Status != http.StatusSeeOther {
		t.Errorf("later: %d %s", a.Status, a.Body)
	}
	a = w.app.Get("/admin/rooms/registration")
	mustContain(t, a, http.StatusOK, "Vorlauf", "Abbrechen und schließen")
	noKeys(t, "room in a pre-queue", a.Body)
}

func fmtInt(n int64) string { return strconv.FormatInt(n, 10) }

func TestSettingsPage(t *testing.T) {
	t.Parallel()
	w := newAdmin(t)
	const path = "/admin/rooms/registration/settings"
	a := w.app.Get(path)
	mustContain(t, a, http.StatusOK, `value="`+w.known(room).Name["de"]+`"`, `value="register" checked`, "nur in einem geschlossenen Raum")
	noKeys(t, path, a.Body)
	form := func(kv ...string) []string {
		out := []string{
			"name_de", "Warteraum", "name_en", "Waiting room", "groups", "register", "rate_per_minute", "100", "active_bound", "50", "pass_minutes", "20",
			"grace_seconds", "60", "hotline_percent", "10", "invites_daily", "20", "challenge", "on",
		}
		for i := 0; i+1 < len(kv); i += 2 {
			for j := 0; j+1 < len(out); j += 2 {
				if out[j] == kv[i] {
					out[j+1] = kv[i+1]
				}
			}
		}
		return append(out, kv...)
	}
	a = w.app.PostForm(path, "name_de", "", "rate_per_minute", "viel", "grace_seconds", "1", "version", fmtInt(w.known(room).Version))
	mustContain(t, a, http.StatusUnprocessableEntity, `value="viel"`, "von 10 bis 3600")
	old := fmtInt(w.known(room).Version)
	if a = w.app.PostForm(path, form("version", old)...); a.Status != http.StatusSeeOther {
		t.Fatalf("settings: %d %s", a.Status, a.Body)
	}
	if r := w.known(room); r.Name["de"] != "Warteraum" || len(r.Groups) != 1 || r.PassLength != 20*time.Minute || r.Challenge != ChallengeOn || r.Hotline != 10 || r.Invites != 20 {
		t.Errorf("%+v", r)
	}
	a = w.app.PostForm(path, form("version", old, "active_bound", "51", "name_de", "Mein Raum")...)
	mustContain(t, a, http.StatusConflict, "Jemand war schneller", `value="Mein Raum"`, "Warteraum", "<dd>50</dd>")
	if w.known(room).Bound != 50 {
		t.Error("the second overwrote the first")
	}
	mustContain(t, w.app.Get("/admin/rooms"), http.StatusOK, "Vor diesen Seiten steht kein Warteraum", "unguarded")

	// A second room.
	mustContain(t, w.app.Get("/admin/rooms/new"), http.StatusOK, "Kurzname", "gehört zum Raum „Warteraum“")
	a = w.app.PostForm("/admin/rooms/new", form("id", "zwei")...)
	mustContain(t, a, http.StatusUnprocessableEntity, "Vor „Registrierung“ steht schon der Raum „registration“", `value="zwei"`)
	if a = w.app.PostForm("/admin/rooms/new", form("id", "zwei", "groups", "unguarded")...); a.Status != http.StatusSeeOther || a.Location != "/admin/rooms/zwei" {
		t.Fatalf("create: %d %s", a.Status, a.Body)
	}
	a = w.app.Get("/admin/rooms/zwei")
	mustContain(t, a, http.StatusOK, "Der Warteraum ist angelegt", "geschlossen", "Öffnen")
	mustContain(t, w.app.Another().Get("/free"), http.StatusForbidden)

	// And gone again.
	a = w.app.Get("/admin/rooms/zwei/delete")
	mustContain(t, a, http.StatusOK, "Danach ungeschützt: unguarded", "alle jederzeit und ohne jede Grenze")
	noKeys(t, "delete", a.Body)
	mustContain(t, w.app.PostForm("/admin/rooms/zwei/delete", "typed", "zwei"), http.StatusUnprocessableEntity, "Bitte bestätigen Sie")
	mustContain(t, w.app.PostForm("/admin/rooms/zwei/delete", "typed", "zwo", "sure", "1"), http.StatusUnprocessableEntity, "genau so ein", `value="zwo"`)
	if a = w.app.PostForm("/admin/rooms/zwei/delete", "typed", "zwei", "sure", "1"); a.Status != http.StatusSeeOther {
		t.Fatalf("delete: %d %s", a.Status, a.Body)
	}
	mustContain(t, w.app.Get("/admin/rooms/zwei"), http.StatusNotFound)
	mustContain(t, w.app.Another().Get("/free"), http.StatusOK, "inside")
	mustContain(t, w.app.Get("/admin/rooms/registration/delete"), http.StatusOK, "nicht geschlossen")
}

func TestRoomsAPI(t *testing.T) {
	t.Parallel()
	w := newAdmin(t)
	var one AdminRoomOut
	a := w.app.JSON(http.MethodPost, "/api/v1/rooms", map[string]any{
		"id": "zwei", "name": map[string]string{"de": "Zwei", "en": "Two"}, "rate_per_minute": 60, "active_bound": 10, "login": true,
	}, &one)
	if a.Status != http.StatusCreated || one.ID != "zwei" || one.Phase != Closed || one.Rate != 60 || !one.Login {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	a = w.app.JSON(http.MethodPost, "/api/v1/rooms", map[string]any{"id": "drei", "name": map[string]string{"de": "D", "en": "T"}, "groups": []string{"hold"}}, nil)
	mustContain(t, a, http.StatusUnprocessableEntity, `"field":"groups"`, "Terminbuchung")
	var all RoomsOut
	if a = w.app.JSON(http.MethodGet, "/api/v1/rooms", nil, &all); a.Status != http.StatusOK || len(all.Rooms) < 2 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	now := w.s.roomNow()
	a = w.app.JSON(http.MethodPut, "/api/v1/rooms/zwei/plan", map[string]any{"prequeue_from": now.Add(time.Hour), "opens_at": now.Add(2 * time.Hour), "version": one.Version, "rate_per_minute": 120}, &one)
	if a.Status != http.StatusOK || one.Phase != Scheduled || one.OpensAt == nil || one.Rate != 120 {
		t.Fatalf("plan: %d %s", a.Status, a.Body)
	}
	a = w.app.JSON(http.MethodPut, "/api/v1/rooms/zwei/plan", map[string]any{"opens_at": now.Add(-time.Hour)}, nil)
	mustContain(t, a, http.StatusUnprocessableEntity, `"field":"opens_at"`)
	if a = w.app.JSON(http.MethodPatch, "/api/v1/rooms/zwei", map[string]any{"active_bound": 11, "version": 1}, nil); a.Status != http.StatusConflict {
		t.Errorf("an old version: %d", a.Status)
	}
	if a = w.app.JSON(http.MethodDelete, "/api/v1/rooms/zwei?confirm=zwei", nil, nil); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("delete a planned room: %d", a.Status)
	}
	if a = w.app.JSON(http.MethodDelete, "/api/v1/rooms/zwei/plan", nil, &one); a.Status != http.StatusOK || one.Phase != Closed {
		t.Errorf("cancel: %d %s", a.Status, a.Body)
	}
	if a = w.app.JSON(http.MethodDelete, "/api/v1/rooms/zwei?confirm=zwei", nil, nil); a.Status != http.StatusNoContent {
		t.Errorf("delete: %d %s", a.Status, a.Body)
	}
	if a = w.app.JSON(http.MethodDelete, "/api/v1/rooms/zwei?confirm=zwei", nil, nil); a.Status != http.StatusNotFound {
		t.Errorf("delete again: %d", a.Status)
	}
	var m MinutesOut
	if a = w.app.JSON(http.MethodGet, "/api/v1/rooms/registration/minutes?hours=6", nil, &m); a.Status != http.StatusOK || len(m.Minutes) == 0 {
		t.Errorf("minutes: %d %s", a.Status, a.Body)
	}
}

// TestCharts: an hour of figures makes four charts with the same figures beneath.
func TestCharts(t *testing.T) {
	t.Parallel()
	w := newAdmin(t)
	mustContain(t, w.app.Get("/admin/rooms/registration"), http.StatusOK, "noch zu wenige Zahlen")
	now := w.s.roomNow()
	for i := range 70 {
		if i == 30 || i == 31 || i == 32 || i == 33 {
			continue // nobody ran
		}
		_, err := w.pool.Exec(context.Background(), `
			INSERT INTO waitingroom.minute (room_id, at, epoch, phase, issued, admitted, no_shows, waiting, inside, invited, wait_low, wait_high, rate, bound, challenged)
			VALUES ($1, $2, 1, 'open', $3, $4, $5, $6, $7, 3, $8, $9, 3000, 5000, false)`,
			room, now.Truncate(time.Minute).Add(time.Duration(i-70)*time.Minute), i*40, i*30, i, i*9, min(5000, i*80), i/10, i/5)
		if err != nil {
			t.Fatal(err)
		}
	}
	w.app.Lang = "en"
	for _, path := range []string{"/admin/rooms", "/admin/rooms/new", "/admin/rooms/registration", "/admin/rooms/registration/settings"} {
		noKeys(t, path, w.app.Get(path).Body)
	}
	w.app.Lang = "de"
	for _, path := range []string{"/admin/rooms/registration", "/admin/rooms/registration?hours=6"} {
		a := w.app.Get(path)
		mustContain(t, a, http.StatusOK, "wr-line--limit", "wr-line--band", "Dieselben Zahlen als Tabelle")
		noKeys(t, path, a.Body)
		if n := strings.Count(a.Body, `role="img"`); n != 4 || strings.Contains(a.Body, "NaN") || strings.Contains(a.Body, "style=") {
			t.Errorf("%s: %d charts", path, n)
		}
	}
}
