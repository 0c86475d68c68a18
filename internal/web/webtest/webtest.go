// Package webtest calls a wired application as a browser or an API client
// would: it keeps cookies, fills in the CSRF token, follows no redirect unless
// told, and holds every JSON answer of the API against the API description.
package webtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// Config says what to wire. Only Pool is needed.
type Config struct {
	Pool    *pgxpool.Pool
	Now     clock.Clock
	Routes  []web.Route
	Bundles []web.Bundle
	Gate    func(c *web.Ctx, group string) error
	Fast    func(app *fiber.App)
	// TrustedProxies may say who the client is; the requests of a test come from
	// 0.0.0.0.
	TrustedProxies []string
}

// App is a wired application and one browser.
type App struct {
	t      testing.TB
	web    *web.App
	jar    map[string]string
	bearer string
	Lang   string // Accept-Language; "de" unless set
	router routers.Router
}

// New wires an application in local mode.
func New(t testing.TB, cfg Config) *App {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = clock.Shifted(0)
	}
	app, err := web.New(web.Config{
		Pool: cfg.Pool, Now: cfg.Now, Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError})),
		Secret: []byte("webtest webtest webtest webtest!"), Local: true, Routes: cfg.Routes, Bundles: cfg.Bundles, Gate: cfg.Gate, Fast: cfg.Fast, TrustedProxies: cfg.TrustedProxies,
		StaffLogin: "/staff/login", CitizenLogin: "/login",
	})
	if err != nil {
		t.Fatalf("wire application: %v", err)
	}
	return Wrap(t, app)
}

// Wrap takes an application that is wired already.
func Wrap(t testing.TB, app *web.App) *App {
	return &App{t: t, web: app, jar: map[string]string{}, Lang: "de"}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// Another returns a second browser of the same application.
func (a *App) Another() *App {
	b := *a
	b.jar, b.bearer = map[string]string{}, ""
	return &b
}

// Web returns the application itself.
func (a *App) Web() *web.App { return a.web }

// Answer is what came back.
type Answer struct {
	Status   int
	Header   http.Header
	Body     string
	Location string
}

// Get fetches a page.
func (a *App) Get(path string) Answer {
	a.t.Helper()
	return a.Do(http.MethodGet, path, "", nil, nil)
}

// PostForm sends a form as the page at path would: kv alternate name and
// value; the CSRF token is filled in.
func (a *App) PostForm(path string, kv ...string) Answer {
	a.t.Helper()
	v := url.Values{"_csrf": {a.CSRF()}}
	for i := 0; i+1 < len(kv); i += 2 {
		v.Add(kv[i], kv[i+1])
	}
	return a.Do(http.MethodPost, path, fiber.MIMEApplicationForm, strings.NewReader(v.Encode()), nil)
}

// PostFile sends one file and fields as multipart.
func (a *App) PostFile(path, field, filename string, content []byte, kv ...string) Answer {
	a.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("_csrf", a.CSRF())
	for i := 0; i+1 < len(kv); i += 2 {
		_ = w.WriteField(kv[i], kv[i+1])
	}
	fw, err := w.CreateFormFile(field, filename)
	if err != nil {
		a.t.Fatal(err)
	}
	_, _ = fw.Write(content)
	_ = w.Close()
	return a.Do(http.MethodPost, path, w.FormDataContentType(), &b, nil)
}

// CSRF returns the token that a form of this browser would carry.
func (a *App) CSRF() string {
	return a.web.TokenFor(a.jar["csrf"], func(v string) { a.jar["csrf"] = v })
}

// Do sends any request.
func (a *App) Do(method, path, contentType string, body io.Reader, header map[string]string) Answer {
	a.t.Helper()
	req := httptest.NewRequestWithContext(context.Background(), method, path, body)
	req.Host = "portal.test"
	req.Header.Set("Accept-Language", a.Lang)
	if method != http.MethodGet {
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for k, v := range a.jar {
		req.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	if a.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+a.bearer)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := a.web.Fiber().Test(req, 60_000)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, ck := range res.Cookies() {
		if ck.MaxAge < 0 || ck.Value == "" {
			delete(a.jar, ck.Name)
		} else {
			a.jar[ck.Name] = ck.Value
		}
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: string(b), Location: res.Header.Get("Location")}
}

// JSON calls an API operation, checks request and answer against the API
// description, and decodes the answer into out (may be nil). in nil sends no body.
func (a *App) JSON(method, path string, in, out any) Answer {
	a.t.Helper()
	var body io.Reader
	var raw []byte
	header := map[string]string{"Accept": "application/json"}
	ct := ""
	if in != nil {
		var err error
		if raw, err = json.Marshal(in); err != nil {
			a.t.Fatal(err)
		}
		body, ct = bytes.NewReader(raw), "application/json"
	}
	ans := a.Do(method, path, ct, body, header)
	a.checkAnswer(method, path, ans)
	if out != nil && ans.Status < 300 {
		if err := json.Unmarshal([]byte(ans.Body), out); err != nil {
			a.t.Fatalf("%s %s: answer %q: %v", method, path, ans.Body, err)
		}
	}
	return ans
}

// checkAnswer holds an answer against /api/v1/openapi.json.
func (a *App) checkAnswer(method, path string, ans Answer) {
	a.t.Helper()
	if a.router == nil {
		doc, err := openapi3.NewLoader().LoadFromData([]byte(a.Get("/api/v1/openapi.json").Body))
		if err != nil {
			a.t.Fatalf("API description: %v", err)
		}
		if err := doc.Validate(context.Background()); err != nil {
			a.t.Fatalf("API description: %v", err)
		}
		doc.Servers = nil
		if a.router, err = gorillamux.NewRouter(doc); err != nil {
			a.t.Fatal(err)
		}
	}
	req := httptest.NewRequestWithContext(context.Background(), method, path, nil)
	route, params, err := a.router.FindRoute(req)
	if err != nil {
		a.t.Fatalf("%s %s is not in the API description: %v", method, path, err)
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 ans.Status, Header: ans.Header, Body: io.NopCloser(strings.NewReader(ans.Body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		a.t.Errorf("%s %s: answer %d does not fit the API description: %v\n%s", method, path, ans.Status, err, ans.Body)
	}
}

// LoginAs starts a session for u in this browser.
func (a *App) LoginAs(u web.User) {
	a.t.Helper()
	token, err := a.web.NewSession(context.Background(), u, time.Hour)
	if err != nil {
		a.t.Fatal(err)
	}
	a.jar["sid"] = token
}

// Bearer makes this client send a token instead of cookies.
func (a *App) Bearer(token string) { a.bearer = token }

// Cookie returns a cookie of this browser, SetCookie changes one.
func (a *App) Cookie(name string) string { return a.jar[name] }

// SetCookie sets a cookie; "" removes it.
func (a *App) SetCookie(name, value string) {
	if value == "" {
		delete(a.jar, name)
		return
	}
	a.jar[name] = value
}
