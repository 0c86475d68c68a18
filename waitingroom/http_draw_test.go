package waitingroom

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/waitingroom/draw"
)

// drawSite is a portal with a draw whose pre-queue has begun.
func drawSite(t *testing.T, b Beacon) (*drawFixture, *webtest.App) {
	t.Helper()
	f := setupDraw(t, 1)
	f.plan(t, b)
	s := f.replicas[0]
	return f, webtest.New(t, webtest.Config{Pool: f.pool, Now: f.now, Gate: s.Gate, Fast: s.MountFast, Bundles: []web.Bundle{Assets}, Routes: s.Routes()})
}

func TestDrawIsPublished(t *testing.T) {
	t.Parallel()
	f, app := drawSite(t, DrandBeacon)
	read := func(address string) (p draw.Published) {
		t.Helper()
		a := app.Get(address)
		mustContain(t, a, http.StatusOK)
		if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
			t.Fatal(err)
		}
		if err := draw.Verify(p); err != nil {
			t.Error(err)
		}
		return p
	}
	before := read("/rooms/registration/draw.json")
	if before.State != draw.Committed || before.LateRule["de"] == "" || strings.Contains(app.Get("/rooms/registration/draw.json").Body, `"seed"`) {
		t.Errorf("%+v", before)
	}
	mustContain(t, app.Get("/rooms/registration/draw"), http.StatusOK, "Die Auslosung ist angesetzt", "Für die Reihenfolge niemandem", before.Attempts[0].Commitment)

	if a := app.PostForm("/rooms/registration/join"); a.Status != http.StatusSeeOther {
		t.Fatalf("join: %d %s", a.Status, a.Body)
	}
	f.joins(t, 49)
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	mustContain(t, app.Get("/rooms/registration/draw"), http.StatusOK, "Es nehmen 50 Nummern teil", "Ihre Teilnahmenummer ist 1.")
	if p := read("/rooms/registration/draw.json"); p.State != draw.Closed {
		t.Errorf("%+v", p)
	}
	f.shift.Add(int64(beaconMargin + 4*time.Second))
	f.until(t, Open)

	p := read("/rooms/registration/draw.json")
	lot, _ := p.Lot()
	place, _ := lot.Place(7)
	address := fmt.Sprintf("/rooms/registration/draw?epoch=%d&index=", p.Epoch)
	mustContain(t, app.Get(address+"7"), http.StatusOK, fmt.Sprintf("Nummer 7 hat Platz %d von 50", place), `value="7"`)
	mustContain(t, app.Get(address+"51"), http.StatusOK, "Nummer 51 hat an der Auslosung nicht teilgenommen")
	mustContain(t, app.Get("/rooms/registration/draw"), http.StatusOK, `value="1"`, `data-json="/rooms/registration/draw.json?epoch=`, "draw.js", *p.Attempts[0].Value)
	for _, bad := range []string{"x", "0", "-1", "99999999999999999999"} {
		mustContain(t, app.Get(address+bad), http.StatusUnprocessableEntity, "Bitte geben Sie Ihre Teilnahmenummer ein")
	}
	en := app.Another().Get(address + "7&lang=en")
	mustContain(t, en, http.StatusOK)

	// Caches get what they need.
	a := app.Get("/rooms/registration/draw.json")
	if !strings.Contains(a.Header.Get("Cache-Control"), "public") || a.Header.Get("ETag") == "" {
		t.Errorf("headers %v", a.Header)
	}
	again := app.Do(http.MethodGet, "/rooms/registration/draw.json", "", nil, map[string]string{"If-None-Match": a.Header.Get("ETag")})
	if again.Status != http.StatusNotModified || again.Body != "" {
		t.Errorf("again: %d %s", again.Status, again.Body)
	}
	for _, none := range []string{"/rooms/nowhere/draw.json", "/rooms/registration/draw.json?epoch=99", "/rooms/registration/draw.json?epoch=x", "/rooms/registration/draw?epoch=99", "/rooms/nowhere/draw", "/rooms/appointments/draw.json"} {
		if a := app.Get(none); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", none, a.Status)
		}
	}

	// A new line: the draw before stays, for those who hold its numbers too.
	now := f.replicas[0].roomNow()
	opens := now.Add(10 * time.Minute)
	if _, err := f.replicas[0].SetPlan(t.Context(), "staff:test", "admin", room, Plan{PreQueueFrom: &now, OpensAt: &opens}, Settings{EndLine: true}); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	if next := read("/rooms/registration/draw.json"); next.Epoch != p.Epoch+1 || next.State != draw.Committed || len(next.Epochs) != 2 {
		t.Errorf("%+v", next)
	}
	if old := read(fmt.Sprintf("/rooms/registration/draw.json?epoch=%d", p.Epoch)); old.Draw == nil || old.Draw.Key != p.Draw.Key {
		t.Errorf("%+v", old)
	}
	mustContain(t, app.Get(address+"7"), http.StatusOK, fmt.Sprintf("Nummer 7 hat Platz %d von 50", place))
}

func TestRoomWithoutADraw(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	mustContain(t, w.app.Get("/rooms/registration/draw"), http.StatusOK, "noch keine Reihenfolge ausgelost")
	if a := w.app.Get("/rooms/registration/draw.json"); a.Status != http.StatusNotFound {
		t.Errorf("%d", a.Status)
	}
}

func TestOperatorIsTrustedWithoutABeacon(t *testing.T) {
	t.Parallel()
	for _, b := range []Beacon{NoBeacon, LocalBeacon} {
		f, app := drawSite(t, b)
		f.joins(t, 3)
		f.shift.Add(int64(10 * time.Minute))
		f.until(t, Open)
		mustContain(t, app.Get("/rooms/registration/draw"), http.StatusOK, "Uns, dem Betreiber")
		mustContain(t, app.Get("/rooms/registration/draw.json"), http.StatusOK, `"trust":"operator"`)
	}
}

func TestAdministratorsEnterTheLottery(t *testing.T) {
	t.Parallel()
	f, app := drawSite(t, LotteryBeacon)
	admin := func(id string) *webtest.App {
		a := app.Another()
		a.LoginAs(web.User{Kind: "staff", ID: id, Name: id, Roles: []web.Role{web.RoleAdmin}})
		return a
	}
	anna, ben := admin("00000000-0000-7000-8000-00000000000a"), admin("00000000-0000-7000-8000-00000000000b")
	const page = "/admin/rooms/registration/draw"
	mustContain(t, anna.Get(page), http.StatusOK, "Wann wird gezogen?")
	mustContain(t, anna.PostForm(page, "action", "due", "due", "gestern"), http.StatusUnprocessableEntity)
	mustContain(t, anna.PostForm(page, "action", "value", "value", "1 2 3"), http.StatusUnprocessableEntity, "wartet gerade keine")
	f.joins(t, 5)
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	mustContain(t, anna.Get(page), http.StatusOK, "Lotto 6 aus 49 am Samstag")
	f.pass(t, lotteryWait+time.Minute)
	mustContain(t, anna.Get(page), http.StatusOK, "Gezogene Zahlen eingeben")
	follow := func(a *webtest.App, value, want string) {
		t.Helper()
		if res := a.PostForm(page, "action", "value", "value", value); res.Status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", value, res.Status, res.Body)
		}
		mustContain(t, a.Get(page), http.StatusOK, want)
	}
	follow(anna, "3 12 17 Superzahl 7", "Jetzt muss eine zweite Person")
	follow(ben, "3 12 18 Superzahl 7", "etwas anderes eingegeben")
	mustContain(t, anna.Get(page), http.StatusOK, "Die Angaben sind verschieden", "3 12 17 superzahl 7", "3 12 18 superzahl 7")
	follow(ben, "3, 12, 17, Superzahl 7", "Zwei Personen haben dasselbe eingegeben")
	f.until(t, Open)
	mustContain(t, anna.Get(page), http.StatusOK, "Die Reihenfolge ist ausgelost")
	mustContain(t, app.Get("/rooms/registration/draw"), http.StatusOK, "Nur der öffentlichen Lotterie", "3 12 17 superzahl 7")
	if a := app.Get(page); a.Status == http.StatusOK {
		t.Errorf("everybody sees the administrators' page")
	}
}

func TestAdministratorsDeclareABeaconFailed(t *testing.T) {
	t.Parallel()
	f, app := drawSite(t, DrandBeacon)
	f.replicas[0].draws.drand.URLs = []string{"http://127.0.0.1:1"}
	const page = "/admin/rooms/registration/draw"
	login := func() {
		app.LoginAs(web.User{Kind: "staff", ID: "00000000-0000-7000-8000-00000000000a", Name: "Anna", Roles: []web.Role{web.RoleAdmin}})
	}
	login()
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	mustContain(t, app.Get(page), http.StatusOK, "Die Auslosung wartet auf die Zufallszahl")
	f.pass(t, 10*time.Minute)
	for _, where := range []string{page, "/admin/rooms/registration"} {
		mustContain(t, app.Get(where), http.StatusOK, "Die Zufallszahl ist überfällig")
	}
	mustContain(t, app.PostForm(page, "action", "failed", "next", "drand"), http.StatusUnprocessableEntity, "erst eine Stunde nach dem Zeitpunkt")
	f.pass(t, time.Hour)
	login()
	mustContain(t, app.Get(page), http.StatusOK, "seit über einer Stunde überfällig", "Was soll stattdessen gelten?")
	mustContain(t, app.PostForm(page, "action", "failed"), http.StatusUnprocessableEntity, "Bitte wählen Sie, was stattdessen")
	if a := app.PostForm(page, "action", "failed", "next", "drand"); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	mustContain(t, app.Get(page), http.StatusOK, "Der Wert bleibt aus. Stattdessen: die nächste drand-Runde")
}
