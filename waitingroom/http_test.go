package waitingroom

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

type site struct {
	*fixture
	s   *Service
	app *webtest.App
}

// newSite wires the slice with two guarded routes, as cmd does.
func newSite(t *testing.T) *site {
	t.Helper()
	f := setup(t, 1)
	s := f.replicas[0]
	guarded := func(c *web.Ctx) error { return c.SendString("inside") }
	app := webtest.New(t, webtest.Config{
		Pool: f.pool, Now: f.now, Gate: s.Gate, Fast: s.MountFast, Bundles: []web.Bundle{Assets},
		Routes: append(s.Routes(),
			web.Route{Method: http.MethodGet, Path: "/register", Gate: "register", Handle: guarded},
			web.Route{Method: http.MethodPost, Path: "/hold", Gate: "register", CrossSite: true, Handle: guarded},
			web.Route{Method: http.MethodPost, Path: "/done", CrossSite: true, Handle: func(c *web.Ctx) error {
				s.ReleaseRequest(c)
				return c.SendString("done")
			}},
			web.Route{Method: http.MethodGet, Path: "/free", Gate: "unguarded", Handle: guarded},
		),
	})
	return &site{f, s, app}
}

func mustContain(t *testing.T, a webtest.Answer, status int, parts ...string) {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, want %d: %s", a.Status, status, a.Body)
	}
	for _, p := range parts {
		if !strings.Contains(a.Body, p) {
			t.Errorf("%q is missing in:\n%s", p, a.Body)
		}
	}
}

func TestGateAndOneClick(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	mustContain(t, w.app.Get("/register?group=1"), http.StatusForbidden, "/rooms/registration?to=%2Fregister%3Fgroup%3D1", "Zur Warteschlange")
	mustContain(t, w.app.Get("/free"), http.StatusOK, "inside")
	mustContain(t, w.app.Get("/rooms/registration"), http.StatusOK, "Sie müssen nicht warten", "Weiter")

	a := w.app.Do(http.MethodPost, "/rooms/registration/join", "application/x-www-form-urlencoded", strings.NewReader("to=/register?group=1"), nil)
	if a.Status != http.StatusSeeOther || a.Location != "/register?group=1" {
		t.Fatalf("join: %d %s", a.Status, a.Location)
	}
	mustContain(t, w.app.Get("/register"), http.StatusOK, "inside")
	mustContain(t, w.app.PostForm("/hold"), http.StatusOK, "inside")
	mustContain(t, w.app.Get("/rooms/registration"), http.StatusOK, "Sie sind drinnen")
	if a := w.app.PostForm("/rooms/registration/join"); a.Location != "/register" {
		t.Errorf("join again: %s", a.Location)
	}

	// The copied cookies are worthless without the key, and with another one.
	thief := w.app.Another()
	for _, name := range []string{"wr_t_registration", "wr_p_registration"} {
		thief.SetCookie(name, w.app.Cookie(name))
	}
	mustContain(t, thief.Get("/register"), http.StatusForbidden)
	thief.SetCookie("wr_key", NewKey())
	mustContain(t, thief.Get("/register"), http.StatusForbidden)
	if a := thief.PostForm("/rooms/registration/enter"); a.Location != "/rooms/registration" {
		t.Errorf("enter with a copied ticket: %d %s", a.Status, a.Location)
	}

	// The booking is done: the seat is free, the pass is over.
	old := w.app.Cookie("wr_p_registration")
	mustContain(t, w.app.PostForm("/done"), http.StatusOK, "done")
	if w.app.Cookie("wr_p_registration") != "" || w.app.Cookie("wr_t_registration") != "" {
		t.Error("the browser still has its pass")
	}
	w.app.SetCookie("wr_p_registration", old)
	mustContain(t, w.app.Get("/register"), http.StatusForbidden)
	mustContain(t, w.app.PostForm("/hold"), http.StatusForbidden)
}

func TestWaitingPage(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Bound: ptr(1), Rate: ptr(60)})
	if a := w.app.PostForm("/rooms/registration/join"); a.Location != "/register" {
		t.Fatalf("first: %s", a.Location)
	}
	second, third := w.app.Another(), w.app.Another()
	for _, b := range []*webtest.App{second, third} {
		b.Get("/rooms/registration") // gives the browser its key
		if a := b.PostForm("/rooms/registration/join", "to", "/appointments"); a.Location != "/rooms/registration?to=%2Fappointments" {
			t.Fatalf("waiting: %d %s", a.Status, a.Location)
		}
	}
	ticket := third.Cookie("wr_t_registration")
	third.PostForm("/rooms/registration/join")
	if third.Cookie("wr_t_registration") != ticket {
		t.Error("joining again changed the place")
	}
	w.refresh(t)
	mustContain(t, third.Get("/rooms/registration?to=/appointments"), http.StatusOK,
		"Sie haben einen Platz in der Warteschlange", `id="wr-ahead">1<`, `http-equiv="refresh" content="15;url=/rooms/registration?to=%2Fappointments`,
		`name="to" value="/appointments"`, "Es ist nicht abgestürzt")
	third.Lang = "en"
	mustContain(t, third.Get("/rooms/registration"), http.StatusOK, "You have a place in the line", "Your place is safe")
	if a := second.PostForm("/rooms/registration/enter"); a.Location != "/rooms/registration?answer=wait" {
		t.Errorf("too early: %s", a.Location)
	}
	mustContain(t, second.Get("/rooms/registration?answer=wait"), http.StatusOK, "Noch einen Moment")

	// Paused with a message.
	w.valve(t, Change{Phase: ptr(Paused), Message: Text{"de": "Wir sind <gleich> zurück", "en": "Back soon"}})
	mustContain(t, second.Get("/rooms/registration"), http.StatusOK, "Der Einlass macht eine Pause", "Wir sind &lt;gleich&gt; zurück")
	mustContain(t, third.Get("/rooms/registration"), http.StatusOK, "Back soon")
	mustContain(t, w.app.Another().Get("/rooms/registration"), http.StatusOK, "Sie können schon jetzt einen Platz nehmen")
	w.valve(t, Change{Phase: ptr(Open)})

	// The first gives up: the second's turn.
	if a := w.app.PostForm("/rooms/registration/leave"); a.Location != "/" {
		t.Errorf("leave: %s", a.Location)
	}
	w.pass(t, 2*time.Second)
	mustContain(t, second.Get("/rooms/registration?to=/appointments"), http.StatusOK, "Sie sind an der Reihe")
	if a := second.PostForm("/rooms/registration/enter", "to", "/appointments"); a.Location != "/appointments" {
		t.Errorf("enter: %s", a.Location)
	}
	w.valve(t, Change{Phase: ptr(Closed)})
	w.valve(t, Change{NewLine: true})
	mustContain(t, third.Get("/rooms/registration"), http.StatusOK, "Your number is no longer valid", "Closed at the moment")
	mustContain(t, second.Get("/register"), http.StatusOK, "inside") // stays inside
}

func TestNoOpenRedirect(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	for _, to := range []string{"//evil.example", "https://evil.example", "/\\evil.example", "evil", ""} {
		b := w.app.Another()
		a := b.PostForm("/rooms/registration/join", "to", to)
		if a.Location != "/register" {
			t.Errorf("to %q leads to %q", to, a.Location)
		}
	}
}

func TestForeignSitesCannotJoin(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	for _, path := range []string{"/rooms/registration/join", "/rooms/registration/enter", "/rooms/registration/leave", "/api/v1/rooms/registration/join"} {
		for _, h := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}} {
			if a := w.app.Do(http.MethodPost, path, "", nil, h); a.Status != http.StatusForbidden {
				t.Errorf("%s with %v: %d", path, h, a.Status)
			}
		}
	}
	// No session, no token: an own form without cookies is enough.
	if a := w.app.Another().Do(http.MethodPost, "/rooms/registration/join", "", nil, nil); a.Status != http.StatusSeeOther {
		t.Errorf("join without anything: %d", a.Status)
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	a := w.app.Get("/rooms/registration/state.json")
	mustContain(t, a, http.StatusOK, `"phase":"open"`)
	if len(a.Body) > 2048 {
		t.Errorf("%d bytes", len(a.Body))
	}
	var st State
	if err := json.Unmarshal([]byte(a.Body), &st); err != nil || st.Room != room {
		t.Fatalf("%v, %+v", err, st)
	}
	if a.Header.Get("Set-Cookie") != "" || !strings.HasPrefix(a.Header.Get("Cache-Control"), "public, max-age=1") {
		t.Errorf("headers: %v", a.Header)
	}
	etag := a.Header.Get("Etag")
	if n := w.app.Do(http.MethodGet, "/rooms/registration/state.json", "", nil, map[string]string{"If-None-Match": "W/" + etag}); n.Status != http.StatusNotModified || n.Body != "" || n.Header.Get("Etag") != etag {
		t.Errorf("unchanged: %d %q", n.Status, n.Body)
	}
	z := w.app.Do(http.MethodGet, "/rooms/registration/state.json", "", nil, map[string]string{"Accept-Encoding": "br, gzip"})
	r, err := gzip.NewReader(bytes.NewReader([]byte(z.Body)))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || string(plain) != a.Body {
		t.Errorf("gzip: %q, %v", plain, err)
	}
	w.refresh(t)
	if again := w.app.Get("/rooms/registration/state.json"); again.Header.Get("Etag") != etag {
		t.Error("the line is the same, the ETag is not")
	}
	w.app.PostForm("/rooms/registration/join")
	w.refresh(t)
	if changed := w.app.Get("/rooms/registration/state.json"); changed.Header.Get("Etag") == etag {
		t.Error("the line has changed, the ETag has not")
	}
	if a := w.app.Get("/rooms/nowhere/state.json"); a.Status != http.StatusNotFound {
		t.Errorf("no such room: %d", a.Status)
	}
	mustContain(t, w.app.Get("/rooms/nowhere"), http.StatusNotFound)
}

// countCommands counts what goes to Redis.
type countCommands struct{ n atomic.Int64 }

func (h *countCommands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *countCommands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmd)
	}
}

func (h *countCommands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

func TestWaitingCostsNoRedisCommand(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Phase: ptr(Paused)})
	w.app.PostForm("/rooms/registration/join")
	var count countCommands
	w.rdb.AddHook(&count)
	for range 200 {
		mustContain(t, w.app.Get("/rooms/registration/state.json"), http.StatusOK)
	}
	for range 20 {
		mustContain(t, w.app.Get("/rooms/registration"), http.StatusOK)
		mustContain(t, w.app.Get("/register"), http.StatusForbidden)
		w.app.PostForm("/rooms/registration/join") // has a place already
	}
	if n := count.n.Load(); n != 0 {
		t.Errorf("%d Redis commands", n)
	}
}

// A hundred thousand who are not in turn, or who invent a session, must not reach
// Postgres: the door is shut without it.
func TestWithoutAPassTheDoorAsksNoDatabase(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	citizen, clerk := w.app.Another(), w.app.Another()
	citizen.LoginAs(web.User{Kind: "citizen", ID: "00000000-0000-7000-8000-000000000001", Roles: []web.Role{web.RoleCitizen}})
	clerk.LoginAs(web.User{Kind: "staff", ID: "00000000-0000-7000-8000-000000000002", Roles: []web.Role{web.RoleAgent}})
	mustContain(t, clerk.Get("/register"), http.StatusOK, "inside")
	altered := clerk.Cookie("sid")
	altered = strings.Repeat("A", 8) + altered[8:]

	w.pool.Close()
	for name, sid := range map[string]string{"none": "", "random": base64.RawURLEncoding.EncodeToString(make([]byte, 49)), "altered": altered, "a citizen's": citizen.Cookie("sid")} {
		b := w.app.Another()
		if sid != "" {
			b.SetCookie("sid", sid)
		}
		if a := b.Get("/register"); a.Status != http.StatusForbidden {
			t.Errorf("session %s: %d", name, a.Status)
		}
	}
}

func TestPages404AndBadCookies(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	for _, bad := range []string{"x", "AXQB", strings.Repeat("A", 5000), "%00%ff"} {
		b := w.app.Another()
		b.SetCookie("wr_key", bad)
		b.SetCookie("wr_t_registration", bad)
		b.SetCookie("wr_p_registration", bad)
		mustContain(t, b.Get("/rooms/registration"), http.StatusOK, "Sie müssen nicht warten")
		mustContain(t, b.Get("/register"), http.StatusForbidden)
		if a := b.PostForm("/rooms/registration/join"); a.Status != http.StatusSeeOther || a.Location != "/register" {
			t.Errorf("join with bad cookies: %d %s", a.Status, a.Location)
		}
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Bound: ptr(1)})
	var out RoomOut
	if a := w.app.JSON(http.MethodGet, "/api/v1/rooms/registration", nil, &out); a.Status != http.StatusOK || out.Name != "Registrierung" {
		t.Fatalf("%d %+v", a.Status, out)
	}
	if a := w.app.JSON(http.MethodPost, "/api/v1/rooms/registration/enter", nil, nil); a.Status != http.StatusConflict {
		t.Errorf("enter without a ticket: %d", a.Status)
	}
	var ticket TicketOut
	if a := w.app.JSON(http.MethodPost, "/api/v1/rooms/registration/join", nil, &ticket); a.Status != http.StatusOK || ticket.Index != 1 || !ticket.Turn {
		t.Fatalf("%d %+v", a.Status, ticket)
	}
	var entered EnterOut
	if a := w.app.JSON(http.MethodPost, "/api/v1/rooms/registration/enter", nil, &entered); a.Status != http.StatusOK || entered.Verdict != Admitted || entered.ExpiresAt == nil {
		t.Fatalf("%d %+v", a.Status, entered)
	}
	mustContain(t, w.app.Get("/register"), http.StatusOK)
	other := w.app.Another()
	other.JSON(http.MethodPost, "/api/v1/rooms/registration/join", nil, &ticket)
	if other.JSON(http.MethodPost, "/api/v1/rooms/registration/enter", nil, &entered); entered.Verdict != Wait {
		t.Errorf("second: %+v", entered)
	}
	a := other.Do(http.MethodPost, "/rooms/registration/enter", "", nil, map[string]string{"Accept": "application/json"})
	mustContain(t, a, http.StatusOK, `"verdict":"wait"`)
	a = other.Do(http.MethodGet, "/register", "", nil, map[string]string{"Accept": "application/json"})
	mustContain(t, a, http.StatusForbidden, `"urn:impfportal:problem:waitingroom.gate.refused"`, `"/rooms/registration"`)
}

func TestAdministration(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	if a := w.app.Get("/admin/rooms"); a.Status == http.StatusOK {
		t.Fatal("everybody sees the administration")
	}
	w.app.LoginAs(web.User{Kind: "staff", ID: "0196f2d0-0000-7000-8000-000000000001", Name: "A", Roles: []web.Role{web.RoleAdmin}})
	mustContain(t, w.app.Get("/admin/rooms"), http.StatusOK, "Registrierung", "offen")
	mustContain(t, w.app.Get("/admin/rooms/registration"), http.StatusOK, "Anhalten", "Schließen", `value="3000"`, `value="5000"`)

	a := w.app.PostForm("/admin/rooms/registration", "action", "limits", "rate_per_minute", "0", "active_bound", "x")
	mustContain(t, a, http.StatusUnprocessableEntity, "ganze Zahl", `value="x"`)
	a = w.app.PostForm("/admin/rooms/registration", "action", "limits", "rate_per_minute", "120", "active_bound", "7")
	if a.Status != http.StatusSeeOther {
		t.Fatalf("limits: %d %s", a.Status, a.Body)
	}
	if r := w.s.rooms.Load().views[room].known.Load(); r.Rate != 120 || r.Bound != 7 {
		t.Errorf("not in effect: %+v", r)
	}
	if a = w.app.PostForm("/admin/rooms/registration", "action", "paused", "message_de", "Gleich geht es weiter", "message_en", ""); a.Status != http.StatusSeeOther {
		t.Fatalf("pause: %d", a.Status)
	}
	mustContain(t, w.app.Get("/admin/rooms/registration"), http.StatusOK, "Der Raum ist angehalten", "Fortsetzen", "Gleich geht es weiter")
	mustContain(t, w.app.PostForm("/admin/rooms/registration", "action", "pre-queue"), http.StatusUnprocessableEntity)
	mustContain(t, w.app.PostForm("/admin/rooms/registration", "action", "new_line", "sure", "1"), http.StatusUnprocessableEntity)
	mustContain(t, w.app.PostForm("/admin/rooms/registration", "action", "message", "message_de", strings.Repeat("x", 301)), http.StatusUnprocessableEntity, "300 Zeichen")

	var f FiguresOut
	if a := w.app.JSON(http.MethodPatch, "/api/v1/rooms/registration", map[string]any{"phase": "open", "message": map[string]string{}}, &f); a.Status != http.StatusOK || f.Phase != Open || len(f.Message) != 0 {
		t.Fatalf("valve: %d %s", a.Status, a.Body)
	}
	if a := w.app.JSON(http.MethodPatch, "/api/v1/rooms/registration", map[string]any{"rate_per_minute": -1}, nil); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("bad rate: %d", a.Status)
	}
	if a := w.app.JSON(http.MethodGet, "/api/v1/rooms/registration/figures", nil, &f); a.Status != http.StatusOK || f.Rate != 120 {
		t.Errorf("figures: %d %+v", a.Status, f)
	}

	w.app.LoginAs(web.User{Kind: "staff", ID: "0196f2d0-0000-7000-8000-000000000002", Name: "B", Roles: []web.Role{web.RoleAuditor}})
	if a := w.app.Get("/admin/rooms/registration"); a.Status != http.StatusOK || strings.Contains(a.Body, `name="action"`) {
		t.Errorf("auditor: %d", a.Status)
	}
	if a := w.app.PostForm("/admin/rooms/registration", "action", "paused"); a.Status != http.StatusForbidden {
		t.Errorf("auditor changes the valve: %d", a.Status)
	}
}

func TestCards(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	s := f.replicas[0]
	app := webtest.New(t, webtest.Config{
		Pool: f.pool, Now: f.now, Bundles: []web.Bundle{Assets},
		Routes: []web.Route{{Method: http.MethodGet, Path: "/cards", Handle: func(c *web.Ctx) error {
			cards, err := c.Cards([]web.Card{s.StartCard(), s.AdminCard()})
			if err != nil {
				return err
			}
			return c.SendString(string(cards[0] + cards[1]))
		}}},
	})
	mustContain(t, app.Get("/cards"), http.StatusOK, "Zurzeit müssen Sie nicht warten", "0 von 5.000")
	f.valve(t, Change{Bound: ptr(1)})
	f.enter(t, s, f.join(t, s), Admitted)
	f.join(t, s)
	f.refresh(t)
	mustContain(t, app.Get("/cards"), http.StatusOK, "Zurzeit wartet 1 Person", "1 von 1")
	f.valve(t, Change{Phase: ptr(Closed)})
	mustContain(t, app.Get("/cards"), http.StatusOK, "zurzeit geschlossen")
}

func TestAnswersAreKnown(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	a := w.app.Get("/rooms/registration?answer=" + url.QueryEscape("<script>"))
	if strings.Contains(a.Body, "waitingroom.answer") || strings.Contains(a.Body, "<script>") {
		t.Error(a.Body)
	}
	for _, v := range []Verdict{Wait, Full, Busy, Shut, Used} {
		if b := w.app.Get("/rooms/registration?answer=" + string(v)); strings.Contains(b.Body, "waitingroom.answer") {
			t.Errorf("%s has no text", v)
		}
	}
}
