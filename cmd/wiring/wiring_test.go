package wiring

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"impfportal/internal/clock"
	"impfportal/internal/config"
	"impfportal/internal/id"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/waitingroom"
)

// testEnv is a local portal on a database and a Redis of the test's own.
func testEnv(t *testing.T) *Env {
	t.Helper()
	cfg := config.Config{Mode: config.ModeLocal, DataDir: t.TempDir(), MailFrom: "portal@localhost", Workers: 4}
	if err := cfg.LocalSecrets(); err != nil {
		t.Fatal(err)
	}
	return &Env{
		Cfg: cfg, Log: slog.New(slog.DiscardHandler), Pool: pgtest.New(t), Redis: redistest.New(t),
		Vault: vault.New(cfg.MasterKey, cfg.Secret), Now: clock.Shifted(0), Metrics: prometheus.NewRegistry(),
	}
}

func testApp(t *testing.T) (*Slices, *webtest.App) {
	t.Helper()
	env := testEnv(t)
	s, err := Build(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	app, err := s.App()
	if err != nil {
		t.Fatal(err)
	}
	return s, webtest.Wrap(t, app)
}

// path fills the parameters of a route with ids that name nothing.
func path(r web.Route) string {
	p := regexp.MustCompile(`:[a-zA-Z_]+`).ReplaceAllString(r.Path, id.New())
	return strings.ReplaceAll(p, "*", "x")
}

func call(app *webtest.App, r web.Route) webtest.Answer {
	if r.Method == http.MethodGet {
		return app.Get(path(r))
	}
	if r.API != nil {
		return app.Do(r.Method, path(r), "application/json", strings.NewReader("{}"), nil)
	}
	return app.PostForm(path(r))
}

// Every route refuses everybody whom its own entry does not name: nobody
// logged in, and every single wrong role, the citizen included.
func TestEveryRouteRefusesEveryWrongRole(t *testing.T) {
	t.Parallel()
	_, app := testApp(t)
	checked := 0
	for _, r := range app.Web().Routes() {
		if len(r.Roles) == 0 || r.Gate != "" {
			continue // a gate refuses first; see below
		}
		nobody := app.Another()
		ans := call(nobody, r)
		toLogin := ans.Status == http.StatusSeeOther && strings.Contains(ans.Location, "/login?to=")
		if ans.Status != http.StatusUnauthorized && !toLogin {
			t.Errorf("%s %s answers nobody with %d", r.Method, r.Path, ans.Status)
		}
		for _, role := range append([]web.Role{web.RoleCitizen}, web.StaffRoles...) {
			if slices.Contains(r.Roles, role) {
				continue
			}
			kind := "staff"
			if role == web.RoleCitizen {
				kind = "citizen"
			}
			wrong := app.Another()
			wrong.LoginAs(web.User{Kind: kind, ID: id.New(), Name: "x", Roles: []web.Role{role}})
			ans := call(wrong, r)
			// Staff on a citizen's page is shown the citizen's login.
			toLogin := ans.Status == http.StatusSeeOther && strings.HasPrefix(ans.Location, "/login?to=") && kind == "staff"
			if ans.Status != http.StatusForbidden && ans.Status != http.StatusUnauthorized && !toLogin {
				t.Errorf("%s %s answers the role %s with %d", r.Method, r.Path, role, ans.Status)
			}
			checked++
		}
	}
	if checked < 200 {
		t.Errorf("only %d refusals were tried", checked)
	}
}

// rooms says which room stands in front of a group of routes.
var rooms = map[string]string{"register": "registration", "hold": "appointments"}

// Every guarded route refuses a request without a pass, whoever is logged in,
// and names the way back to its line.
func TestEveryGatedRouteNeedsAPass(t *testing.T) {
	t.Parallel()
	s, app := testApp(t)
	// Somebody waits: nobody is let in on the way.
	for _, room := range rooms {
		pause := waitingroom.Paused
		if _, err := s.Rooms.SetValve(context.Background(), "staff:test", "admin", room, waitingroom.Change{Phase: &pause}); err != nil {
			t.Fatal(err)
		}
	}
	gated := map[string]int{}
	for _, r := range app.Web().Routes() {
		if r.Gate == "" {
			continue
		}
		gated[r.Gate]++
		line := "/rooms/" + rooms[r.Gate]
		citizen := app.Another()
		citizen.LoginAs(web.User{Kind: "citizen", ID: id.New(), Roles: []web.Role{web.RoleCitizen}})
		ans := call(citizen, r)
		if ans.Status != http.StatusForbidden || !strings.Contains(ans.Body, line) {
			t.Errorf("%s %s without a pass: %d", r.Method, r.Path, ans.Status)
		}
		citizen.SetCookie("wr_p_"+rooms[r.Gate], "forged")
		if ans := call(citizen, r); ans.Status != http.StatusForbidden {
			t.Errorf("%s %s with a forged pass: %d", r.Method, r.Path, ans.Status)
		}
	}
	if gated["register"] != 3 || gated["hold"] != 4 || len(gated) != 2 {
		t.Errorf("gated routes: %v", gated)
	}
}

// Logging in, looking at what one has, confirming, cancelling, own data and
// certificates never wait.
func TestOnlyRegisteringAndHoldingWait(t *testing.T) {
	t.Parallel()
	_, app := testApp(t)
	var got []string
	for _, r := range app.Web().Routes() {
		if r.Gate != "" {
			got = append(got, r.Gate+" "+r.Method+" "+r.Path)
		}
	}
	slices.Sort(got)
	want := []string{
		"hold GET /api/v1/appointments/offers", "hold GET /appointments/at/:centre", "hold POST /api/v1/appointments/hold", "hold POST /appointments/hold",
		"register GET /register", "register POST /api/v1/registrations", "register POST /register",
	}
	if !slices.Equal(got, want) {
		t.Errorf("these wait: %q", got)
	}
}

// The routes that fiber answers are those of the one list and the few of the
// frame: nothing is mounted past the guards.
func TestNothingIsMountedPastTheList(t *testing.T) {
	t.Parallel()
	_, app := testApp(t)
	known := map[string]bool{
		"GET /healthz": true, "GET /readyz": true, "GET /static/:version/*": true, "GET /api/v1/openapi.json": true,
	}
	for _, r := range app.Web().Routes() {
		known[r.Method+" "+r.Path] = true
	}
	for _, r := range app.Web().Fiber().GetRoutes(true) {
		if r.Method == http.MethodHead || r.Path == "/" && r.Method != http.MethodGet {
			continue
		}
		if !known[r.Method+" "+r.Path] {
			t.Errorf("%s %s is answered and stands in no list", r.Method, r.Path)
		}
	}
}

// A changing request without a token, or from another site, is refused by
// every route that a browser can reach.
func TestEveryFormIsProtectedAgainstForgery(t *testing.T) {
	t.Parallel()
	_, app := testApp(t)
	for _, r := range app.Web().Routes() {
		if r.Method == http.MethodGet || r.Webhook || r.Gate != "" {
			continue
		}
		user := app.Another()
		if len(r.Roles) > 0 {
			kind := "staff"
			if r.Roles[0] == web.RoleCitizen {
				kind = "citizen"
			}
			user.LoginAs(web.User{Kind: kind, ID: id.New(), Name: "x", Roles: r.Roles})
		}
		ans := user.Do(r.Method, path(r), "application/x-www-form-urlencoded", strings.NewReader("a=b"), map[string]string{"Sec-Fetch-Site": "cross-site"})
		if ans.Status != http.StatusForbidden {
			t.Errorf("%s %s from another site: %d", r.Method, r.Path, ans.Status)
		}
		if r.CrossSite || r.API != nil {
			continue
		}
		ans = user.Do(r.Method, path(r), "application/x-www-form-urlencoded", strings.NewReader("a=b"), nil)
		if ans.Status != http.StatusForbidden {
			t.Errorf("%s %s without a token: %d", r.Method, r.Path, ans.Status)
		}
	}
}

func TestEveryTableHasARetentionRule(t *testing.T) {
	t.Parallel()
	s, _ := testApp(t)
	missing, err := s.Uncovered(context.Background())
	if err != nil || len(missing) > 0 {
		t.Errorf("tables with neither rule nor exemption: %v, %v", missing, err)
	}
}

func TestBothLanguagesAreComplete(t *testing.T) {
	t.Parallel()
	_, app := testApp(t)
	for _, m := range app.Web().MissingTexts() {
		t.Error(m)
	}
}

// The demo state can be loaded twice, and a rule run on it deletes nothing.
func TestSeedTwice(t *testing.T) {
	t.Parallel()
	s, _ := testApp(t)
	ctx := context.Background()
	for range 2 {
		if err := s.Seed(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Booking.ReplanAll(ctx, "system", nil); err != nil {
		t.Fatal(err)
	}
	res, err := s.Retention.Run(ctx, s.env.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res {
		if r.Deleted > 0 {
			t.Errorf("rule %s deleted %d rows of the fresh demo", r.Rule, r.Deleted)
		}
	}
}

// Every page that needs no parameter answers each role that may call it, in
// both languages, without an error.
func TestEveryPageOpens(t *testing.T) {
	t.Parallel()
	s, app := testApp(t)
	if err := s.Seed(context.Background()); err != nil {
		t.Fatal(err)
	}
	scope := map[web.Role]string{web.RoleSite: "leipzig", web.RoleTeam: "0176f000-0000-7000-8000-000000000001"}
	for _, r := range app.Web().Routes() {
		if r.Method != http.MethodGet || strings.ContainsAny(r.Path, ":*") || r.Gate != "" || r.API != nil {
			continue
		}
		roles := r.Roles
		if len(roles) == 0 {
			roles = []web.Role{""}
		}
		for _, role := range roles {
			if role == web.RoleCitizen {
				continue // needs a person; the slices' own tests and the story open these
			}
			for _, lang := range []string{"de", "en"} {
				b := app.Another()
				b.Lang = lang
				if role != "" {
					b.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Probe", Roles: []web.Role{role}, Scope: scope[role]})
				}
				if ans := b.Get(r.Path); ans.Status >= 400 {
					t.Errorf("%s as %q in %s: %d", r.Path, role, lang, ans.Status)
				}
			}
		}
	}
}
