package waitingroom

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
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
	command := fmt.Sprintf(`bin/drill verify-draw '<span id="draw-file">/rooms/registration/draw.json?epoch=%d</span>'<span id="draw-command">`, p.Epoch)
	mustContain(t, app.Get(address+"7"), http.StatusOK, command+" 7</span>")
	mustContain(t, app.Another().Get("/rooms/registration/draw"), http.StatusOK, command+"</span>", "niemand nachgeholfen hat")
	f.replicas[0].remind.base = "https://portal.test"
	mustContain(t, app.Get("/rooms/registration/draw"), http.StatusOK, `<span id="draw-file">https://portal.test/rooms/registration/draw.json?epoch=`, " 1</span></code>")
	for _, bad := range []string{"x", "0", "-1", "99999999999999999999", "2e0", "1.5"} {
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

// The server and the page's script take the same numbers.
func TestDrawIndexes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		Text string
		Want int64
	}{
		{"1", 1},
		{" 7 ", 7},
		{"\u00a012\u202f", 12},
		{"007", 7},
		{"1234", 1234},
		{"999999999999999", 999999999999999},
		{"1.000", 1000},
		{"12.345", 12345},
		{"1.234.567", 1234567},
		{"1,000", 1000},
		{"1 000", 1000},
		{"1\u00a0000", 1000},
		{"1\u2009000", 1000},
		{"1\u202f000\u202f000", 1000000},
		{"1'000", 1000},
		{"1’000", 1000},
		{"", 0},
		{"0", 0},
		{"0.000", 0},
		{"-1", 0},
		{"+1", 0},
		{"x", 0},
		{"2e0", 0},
		{"0x2", 0},
		{"0b1", 0},
		{"1_000", 0},
		{"1.5", 0},
		{"1.0", 0},
		{"1.00", 0},
		{"1.0000", 0},
		{"1234.567", 0},
		{"1.234,567", 0},
		{"1,234.567", 0},
		{"1..000", 0},
		{".000", 0},
		{"1.000.", 0},
		{"1  000", 0},
		{"1 2", 0},
		{"12 34", 0},
		{"١", 0},
		{"1000000000000000", 0},
		{"1.000.000.000.000.000", 0},
		{"Infinity", 0},
		{"1\n000", 0},
		{"7\x00", 0},
	}
	texts := make([]string, len(cases))
	for i, c := range cases {
		texts[i] = c.Text
		if got, ok := parseIndex(c.Text); got != c.Want || ok != (c.Want > 0) {
			t.Errorf("%q is %d, %v", c.Text, got, ok)
		}
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	const run = `require("vm").runInThisContext(require("fs").readFileSync("../web/static/draw.js", "utf8"));
console.log(JSON.stringify(JSON.parse(process.argv[1]).map(impfDraw.number)))`
	out, err := exec.CommandContext(t.Context(), "node", "-e", run, string(in)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []int64
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(cases) {
		t.Fatalf("%v %s", err, out)
	}
	for i, c := range cases {
		if got[i] != c.Want {
			t.Errorf("the script reads %q as %d", c.Text, got[i])
		}
	}
}

// Who asks for draws that are not there costs no query, keeps no real draw out of
// memory, and none from being found when it comes.
func TestDrawsThatAreNotThere(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 2)
	ctx, s := t.Context(), f.replicas[0]
	status := func(roomID string, epoch int) int {
		t.Helper()
		l, err := s.drawFor(ctx, roomID, strconv.Itoa(epoch))
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			return http.StatusNotFound
		}
		return http.StatusOK
	}
	free := func(what string, do func()) {
		t.Helper()
		before := f.pool.Stat().AcquireCount()
		do()
		if n := f.pool.Stat().AcquireCount() - before; n != 0 {
			t.Errorf("%s: %d times to the database", what, n)
		}
	}
	strangers := func() {
		for epoch := range 3 {
			if got := status("neu", epoch+1); got != http.StatusNotFound {
				t.Errorf("a room that is not there yet: %d", got)
			}
		}
		for i := range 2 * maxPast {
			if got := status("r"+strconv.Itoa(i), 1); got != http.StatusNotFound {
				t.Errorf("no room: %d", got)
			}
		}
	}
	free("before", strangers)

	if _, err := s.CreateRoom(ctx, "staff:test", "admin", "neu", Settings{Name: newNames, Draw: ptr(true), Beacon: ptr(LocalBeacon)}); err != nil {
		t.Fatal(err)
	}
	phase := func() Phase { return s.rooms.Load().views["neu"].known.Load().Phase }
	plan := func(c Settings) {
		t.Helper()
		now := s.roomNow()
		opens := now.Add(10 * time.Minute)
		if _, err := s.SetPlan(ctx, "staff:test", "admin", "neu", Plan{PreQueueFrom: &now, OpensAt: &opens}, c); err != nil {
			t.Fatal(err)
		}
		f.refresh(t)
	}
	plan(Settings{})
	key, _ := HashKey(NewKey())
	if _, err := s.Join(ctx, "neu", key); err != nil {
		t.Fatal(err)
	}
	f.shift.Add(int64(10 * time.Minute))
	for end := time.Now().Add(20 * time.Second); phase() != Open; time.Sleep(5 * time.Millisecond) {
		_ = s.Refresh(ctx)
		if time.Now().After(end) {
			t.Fatalf("phase %s", phase())
		}
	}
	first := int(s.rooms.Load().views["neu"].known.Load().Epoch)
	plan(Settings{EndLine: true})
	if a, b := status("neu", first), status("neu", first+1); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("draws of the new room: %d and %d", a, b)
	}
	free("a draw that was read", func() {
		if a, b := status("neu", first), status("neu", first+2); a != http.StatusOK || b != http.StatusNotFound {
			t.Errorf("again: %d and %d", a, b)
		}
		for i := range 2 * maxPast {
			status("r"+strconv.Itoa(i), 1)
		}
		if got := status("neu", first); got != http.StatusOK {
			t.Errorf("after many others: %d", got)
		}
	})

	// The draws of a room that is gone stay, also for a replica that never read them.
	if _, err := f.pool.Exec(ctx, `DELETE FROM waitingroom.room WHERE id = 'neu'`); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	for _, s = range f.replicas {
		if a, b, c := status("neu", first), status("neu", first+1), status("neu", first+2); a != http.StatusOK || b != http.StatusOK || c != http.StatusNotFound {
			t.Errorf("of a room that is gone: %d, %d, %d", a, b, c)
		}
		free("of a room that is gone", func() { status("neu", first); status("neu", first+1); status("neu", first+2) })
	}
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
		page := app.Get("/rooms/registration/draw")
		mustContain(t, page, http.StatusOK, "Uns, dem Betreiber", "lässt sich bei dieser Auslosung nicht nachrechnen")
		if strings.Contains(page.Body, "niemand nachgeholfen") {
			t.Errorf("beacon %s: the page promises too much", b)
		}
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
	mustContain(t, anna.Get(page), http.StatusOK, "Die Angaben sind verschieden", "3 12 17 superzahl 7")
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
