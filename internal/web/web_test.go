package web_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

func testBundle() web.Bundle {
	return web.Bundle{Name: "demo", FS: fstest.MapFS{
		"i18n/de.json": {Data: []byte(`{"demo.hello": "Hallo {{.Name}}", "demo.n": {"one": "eine Dosis", "other": "{{.Count}} Dosen"}, "demo.need": "Bitte angeben."}`)},
		"i18n/en.json": {Data: []byte(`{"demo.hello": "Hello {{.Name}}", "demo.n": {"one": "one dose", "other": "{{.Count}} doses"}, "demo.need": "Please enter."}`)},
		"templates/form.html": {Data: []byte(`{{define "title"}}x{{end}}{{define "main"}}<h1>{{t "demo.hello" "Name" "<b>"}}</h1>{{template "errorsummary" .}}` +
			`<p id="n">{{t "demo.n" "Count" 6}}</p><form method="post">{{template "csrf" .}}{{template "input" (field . "name" "demo.need")}}</form>{{end}}`)},
	}}
}

type echoIn struct {
	ID   string `path:"id" json:"-"`
	Text string `json:"text"`
	N    int    `json:"n"`
}

type echoOut struct {
	ID   string   `json:"id"`
	Text string   `json:"text"`
	List []string `json:"list"`
}

func newApp(t *testing.T) *webtest.App {
	t.Helper()
	form := func(c *web.Ctx) error {
		f := c.Form()
		if c.Method() == http.MethodPost {
			if f.Get("name") == "" {
				f.Fail("name", "demo.need")
			}
			if f.OK() {
				return c.SendString("stored " + f.Get("name"))
			}
		}
		return c.PageForm("demo/form", f, nil)
	}
	return webtest.New(t, webtest.Config{
		Pool: pgtest.New(t), Bundles: []web.Bundle{testBundle()},
		Gate: func(_ *web.Ctx, group string) error {
			return &web.Problem{Status: http.StatusForbidden, Key: "web.error.forbidden", Link: "/rooms/" + group}
		},
		Routes: []web.Route{
			{Method: "GET", Path: "/form", Handle: form},
			{Method: "POST", Path: "/form", Handle: form},
			{Method: "POST", Path: "/count/:n", Handle: func(c *web.Ctx) error {
				n, err := strconv.Atoi(c.Params("n"))
				c.Flash("demo.n", "Count", n)
				return errors.Join(err, c.See("/form"))
			}},
			{Method: "POST", Path: "/open", CrossSite: true, Handle: func(c *web.Ctx) error { return c.SendString("joined") }},
			{Method: "GET", Path: "/gated", Gate: "hold", Roles: []web.Role{web.RoleCitizen}, Handle: form},
			{Method: "GET", Path: "/admin/x", Roles: []web.Role{web.RoleAdmin}, Handle: func(c *web.Ctx) error { return c.SendString("secret") }},
			{Method: "GET", Path: "/read/:id", Handle: func(c *web.Ctx) error {
				return c.SendString(c.Params("id") + "|" + c.Query("q") + "|" + c.GetCookie("crumb"))
			}},
			{Method: "GET", Path: "/boom", Handle: func(*web.Ctx) error { return errors.New("connection string postgres://secret") }},
			{Method: "GET", Path: "/panic", Handle: func(*web.Ctx) error { panic("x") }},
			{Method: "POST", Path: "/api/v1/echo/:id", API: web.JSON("Echo", func(_ *web.Ctx, in echoIn) (echoOut, error) {
				if in.N < 0 {
					return echoOut{}, web.Invalid(web.FieldError{Field: "n", Key: "web.error.number"})
				}
				return echoOut{ID: in.ID, Text: in.Text}, nil
			})},
		},
	})
}

func TestFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	ans := app.Get("/form")
	if ans.Status != 200 || !strings.Contains(ans.Body, "Hallo &lt;b&gt;") || !strings.Contains(ans.Body, "6 Dosen") || !strings.Contains(ans.Body, `lang="de"`) {
		t.Fatalf("%d %s", ans.Status, ans.Body)
	}
	if ans := app.PostForm("/form", "name", "  Mu\u0308ller\x00 "); ans.Body != "stored Müller" {
		t.Errorf("cleaned: %q", ans.Body)
	}
	ans = app.PostForm("/form", "name", "")
	if ans.Status != 422 || !strings.Contains(ans.Body, `href="#name"`) || !strings.Contains(ans.Body, `aria-invalid="true"`) {
		t.Errorf("error summary: %d %s", ans.Status, ans.Body)
	}
	app.Lang = "en-GB,en;q=0.9"
	if ans := app.Get("/form"); !strings.Contains(ans.Body, "Hello") {
		t.Error("English was asked for")
	}
	app.PostForm("/language", "lang", "de", "to", "/form")
	if ans := app.Get("/form"); !strings.Contains(ans.Body, "Hallo") {
		t.Error("the chosen language was not remembered")
	}
}

// A notice with a number has the words of that number.
func TestFlashCounts(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	for n, want := range map[string]string{"1": "eine Dosis", "0": "0 Dosen", "3": "3 Dosen", "1000000": "1000000 Dosen"} {
		app.PostForm("/count/" + n)
		if ans := app.Get("/form"); !strings.Contains(ans.Body, want) {
			t.Errorf("%s: no %q in %s", n, want, ans.Body)
		}
		if ans := app.Get("/form"); strings.Contains(ans.Body, want) {
			t.Errorf("%s: the notice is shown twice", n)
		}
	}
}

func TestForgery(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	body := func() *strings.Reader { return strings.NewReader("name=x") }
	form := fiber.MIMEApplicationForm
	if ans := app.Do("POST", "/form", form, body(), nil); ans.Status != 403 {
		t.Errorf("without token: %d", ans.Status)
	}
	for _, site := range []string{"cross-site", "same-site"} {
		if ans := app.Do("POST", "/open", form, body(), map[string]string{"Sec-Fetch-Site": site}); ans.Status != 403 {
			t.Errorf("%s: %d", site, ans.Status)
		}
	}
	for origin, want := range map[string]int{"https://evil.example": 403, "null": 403, "http://portal.test": 200} {
		if ans := app.Do("POST", "/open", form, body(), map[string]string{"Sec-Fetch-Site": "", "Origin": origin}); ans.Status != want {
			t.Errorf("origin %s: %d", origin, ans.Status)
		}
	}
	if ans := app.Do("POST", "/api/v1/echo/1", "text/plain", strings.NewReader(`{}`), nil); ans.Status != 415 {
		t.Errorf("JSON as text: %d", ans.Status)
	}
}

func TestGuards(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	if ans := app.Get("/gated"); ans.Status != 403 || !strings.Contains(ans.Body, "/rooms/hold") {
		t.Errorf("without pass: %d", ans.Status)
	}
	if ans := app.Get("/admin/x"); ans.Status != 303 || ans.Location != "/staff/login?to=%2Fadmin%2Fx" {
		t.Errorf("nobody: %d %s", ans.Status, ans.Location)
	}
	app.LoginAs(web.User{Kind: "citizen", ID: "00000000-0000-7000-8000-000000000001", Roles: []web.Role{web.RoleCitizen}})
	if ans := app.Get("/admin/x"); ans.Status != 403 {
		t.Errorf("citizen: %d", ans.Status)
	}
	app.LoginAs(web.User{Kind: "staff", ID: "00000000-0000-7000-8000-000000000002", Roles: []web.Role{web.RoleAdmin}})
	if ans := app.Get("/admin/x"); ans.Status != 200 || ans.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("administrator: %d", ans.Status)
	}
}

func TestErrorsTellAReferenceAndNothingElse(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	for _, path := range []string{"/boom", "/panic"} {
		ans := app.Get(path)
		if ans.Status != 500 || strings.Contains(ans.Body, "postgres://") || !strings.Contains(ans.Body, "Fehlernummer") {
			t.Errorf("%s: %d %s", path, ans.Status, ans.Body)
		}
	}
	if ans := app.Get("/nowhere"); ans.Status != 404 || ans.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("unknown address: %d", ans.Status)
	}
}

// Over a real connection, because only there the server stops reading.
func TestOversizedBody(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Web().Fiber().Listener(ln) }()
	t.Cleanup(func() {
		if err := errors.Join(app.Web().Fiber().Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	post := func() (*http.Response, error) {
		return http.Post("http://"+ln.Addr().String()+"/form", fiber.MIMEApplicationForm, strings.NewReader("name="+strings.Repeat("x", 5<<20)))
	}
	res, err := post()
	// The server hangs up on the rest of the body, which on a busy machine may
	// reach a client before the answer does.
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); {
		res, err = post()
	}
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(body), "Fehlernummer") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestJSONIsStrict(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	var out echoOut
	if ans := app.JSON("POST", "/api/v1/echo/7", map[string]any{"text": " a\u0308 ", "n": 1}, &out); ans.Status != 200 || out.ID != "7" || out.Text != "ä" {
		t.Errorf("%d %+v", ans.Status, out)
	}
	for name, in := range map[string]any{
		"unknown field": map[string]any{"txt": "x"}, "wrong type": map[string]any{"n": "x"}, "no object": []int{1},
	} {
		if ans := app.JSON("POST", "/api/v1/echo/7", in, nil); ans.Status != 400 {
			t.Errorf("%s: %d %s", name, ans.Status, ans.Body)
		}
	}
	ans := app.JSON("POST", "/api/v1/echo/7", map[string]any{"n": -1}, nil)
	if ans.Status != 422 || ans.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(ans.Body, `"field":"n"`) {
		t.Errorf("problem: %d %s", ans.Status, ans.Body)
	}
	if ans := app.Do("POST", "/api/v1/echo/7", "application/json", strings.NewReader(`{"n":1} x`), nil); ans.Status != 400 {
		t.Errorf("trailing data: %d", ans.Status)
	}
}

func TestTextsInMapsAreCleaned(t *testing.T) {
	t.Parallel()
	app := webtest.New(t, webtest.Config{Pool: pgtest.New(t), Bundles: []web.Bundle{testBundle()}, Routes: []web.Route{
		{Method: "POST", Path: "/api/v1/names", API: web.JSON("Names", func(_ *web.Ctx, in struct {
			Names map[string]string   `json:"names"`
			Lists map[string][]string `json:"lists"`
		},
		) (map[string]any, error) {
			return map[string]any{"names": in.Names, "lists": in.Lists}, nil
		})},
	}})
	a := app.Do("POST", "/api/v1/names", "application/json", strings.NewReader(`{"names": {"de": " a\u0000b "}, "lists": {"x": ["c\u0000"]}}`), nil)
	if want := `{"lists":{"x":["c"]},"names":{"de":"ab"}}`; a.Body != want {
		t.Errorf("%d %s, want %s", a.Status, a.Body, want)
	}
}

func TestOwnPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/register": "/register", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "": "/", "/a?b=c": "/a?b=c", "/\tx": "/",
	} {
		if got := web.OwnPath(in, "/"); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	at := time.Date(2021, 1, 11, 23, 30, 0, 0, time.UTC) // already Tuesday in Berlin
	for _, tc := range []struct{ got, want string }{
		{web.FormatDate("de", at), "Dienstag, 12. Januar 2021"},
		{web.FormatDate("en", at), "Tuesday, 12 January 2021"},
		{web.FormatDate("de", time.Date(2021, 1, 11, 0, 0, 0, 0, time.UTC)), "Montag, 11. Januar 2021"},
		{web.FormatDateTime("de", at), "Dienstag, 12. Januar 2021, 00:30 Uhr"},
		{web.FormatNumber("de", 51181), "51.181"},
		{web.FormatNumber("en", 51181), "51,181"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	now := time.Now()
	app := webtest.New(t, webtest.Config{Pool: pool, Now: func() time.Time { return now }, Routes: []web.Route{
		{Method: "GET", Path: "/me", Roles: []web.Role{web.RoleAgent}, Handle: func(c *web.Ctx) error { return c.SendString(c.Actor()) }},
		{Method: "POST", Path: "/out", Roles: []web.Role{web.RoleAgent}, Handle: func(c *web.Ctx) error { return c.Logout() }},
	}})
	u := web.User{Kind: "staff", ID: "00000000-0000-7000-8000-000000000002", Roles: []web.Role{web.RoleAgent}}
	app.LoginAs(u)
	if ans := app.Get("/me"); ans.Body != "staff:"+u.ID {
		t.Fatalf("%d %s", ans.Status, ans.Body)
	}
	stolen := app.Cookie("sid")
	for i := range stolen { // one letter of it is another
		app.SetCookie("sid", stolen[:i]+string(rune('A'+(stolen[i]-'A'+1)%26))+stolen[i+1:])
		if ans := app.Get("/me"); ans.Status == 200 {
			t.Fatalf("letter %d altered: %d", i, ans.Status)
		}
	}
	app.SetCookie("sid", stolen)
	app.PostForm("/out")
	app.SetCookie("sid", stolen)
	if ans := app.Get("/me"); ans.Status != 401 && ans.Status != 303 {
		t.Errorf("after logout the old token works: %d", ans.Status)
	}
	app.LoginAs(u)
	now = now.Add(2 * time.Hour)
	if ans := app.Get("/me"); ans.Status == 200 {
		t.Errorf("after its end the session works: %d", ans.Status)
	}
}

// What an address or a cookie holds reaches the database as it is; Postgres
// refuses NUL and broken UTF-8.
func TestAddressesAndCookiesAreCleaned(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	for path, want := range map[string]string{
		"/read/a?q=b%00c":           "a|bc|x",
		"/read/a?q=%ff%fe":          "a||x",
		"/read/a\xff?q=%20Mu%CC%88": "a|Mü|x",
	} {
		req := httptest.NewRequest(http.MethodGet, "/read/a", nil)
		req.URL.Opaque = path
		req.RequestURI = path
		req.Header["Cookie"] = []string{"crumb=x\xff"}
		res, err := app.Web().Fiber().Test(req, -1)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if string(body) != want {
			t.Errorf("%q: %q, want %q", path, body, want)
		}
	}
}

func TestErrorTextsHoldNothingTyped(t *testing.T) {
	t.Parallel()
	p := web.Invalid(web.FieldError{Field: "birth", Key: "citizen.error.birth_too_old", Args: []any{"Year", 1890}},
		web.FieldError{Field: strings.Repeat("x", 4000), Key: "web.error.json_unknown"})
	if text := p.Error(); strings.Contains(text, "1890") || len(text) > 200 || !strings.Contains(text, "birth_too_old") {
		t.Errorf("%q", text)
	}
}

func TestOtherMethods(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"HEAD", "/form", 200, ""},
		{"HEAD", "/admin/x", 303, ""},
		{"DELETE", "/form", 405, "GET, HEAD, POST"},
		{"OPTIONS", "/form", 405, "GET, HEAD, POST"},
		{"GET", "/api/v1/echo/7", 405, "POST"},
		{"DELETE", "/nothing", 404, ""},
		{"GET", "/form/", 404, ""},
	} {
		ans := app.Do(tc.method, tc.path, "", nil, nil)
		if ans.Status != tc.status || ans.Header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: %d, Allow %q", tc.method, tc.path, ans.Status, ans.Header.Get("Allow"))
		}
	}
}
