// Package web is how every slice answers people: the fiber application with
// its guards, sessions, languages, pages, forms and JSON operations. It knows
// no domain.
//
// A slice hands over Routes and a Bundle (templates and texts). For each
// request the order is: gate (a pass for a guarded route, without any database
// work), session, role, forgery check, handler. Errors are rendered in one
// place (problem.go).
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"impfportal/internal/clock"
)

// Time limits of a request. Event streams are not served; everything ends.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 60 * time.Second
	handlerTimeout = 10 * time.Second
	bodyLimit      = 4 << 20 // bytes; the largest legitimate body is an uploaded delivery list
)

// Config is what the application needs from outside.
type Config struct {
	Pool   *pgxpool.Pool
	Now    clock.Clock
	Log    *slog.Logger
	Secret []byte // 32 bytes; signs CSRF tokens and notices
	Local  bool   // a run on one's own machine: no Secure cookies, demo banner
	// Origin is the public address ("https://impfen.example"); "" accepts the
	// request's own host.
	Origin         string
	TrustedProxies []string // only these may say who the client is (X-Real-IP)
	Bundles        []Bundle
	Routes         []Route
	// Gate refuses a request of a guarded group that has no pass; nil lets all through.
	Gate func(c *Ctx, group string) error
	// Ready asks Postgres and Redis.
	Ready func(ctx context.Context) error
	// Fast registers routes in front of all middleware (polls of the waiting room).
	Fast    func(app *fiber.App)
	Metrics prometheus.Registerer // nil = none
	// LoginPath is where a page that demands staff or a citizen sends somebody.
	StaffLogin, CitizenLogin string
}

// App is the wired application.
type App struct {
	*content

	fiber  *fiber.App
	cfg    Config
	pool   *pgxpool.Pool
	now    clock.Clock
	log    *slog.Logger
	secret []byte
	local  bool
	origin string
	routes []Route
	nav    []Route
	gate   func(c *Ctx, group string) error
	meter  *meter

	proxies []netip.Prefix // trusted
	spec    []byte
}

// New builds the application. It fails when a template, a text or a route is
// wrong, so that a mistake is found at the start.
func New(cfg Config) (*App, error) {
	if len(cfg.Secret) < 32 {
		return nil, errors.New("web: secret shorter than 32 bytes")
	}
	a := &App{
		cfg: cfg, pool: cfg.Pool, now: cfg.Now, log: cfg.Log, secret: cfg.Secret, local: cfg.Local,
		origin: strings.TrimSuffix(cfg.Origin, "/"), gate: cfg.Gate, routes: append(cfg.Routes, ownRoutes()...),
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	var err error
	if a.proxies, err = parseProxies(cfg.TrustedProxies); err != nil {
		return nil, err
	}
	bundles := append([]Bundle{ownBundle()}, cfg.Bundles...)
	if a.content, err = loadContent(bundles); err != nil {
		return nil, err
	}
	a.meter = newMeter(cfg.Metrics)
	a.fiber = fiber.New(fiber.Config{
		AppName: "impfportal", Immutable: true, DisableStartupMessage: true, StrictRouting: true, CaseSensitive: true,
		ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, BodyLimit: bodyLimit,
		ErrorHandler:            a.onError,
		EnableTrustedProxyCheck: true, TrustedProxies: cfg.TrustedProxies, // for the scheme; the address is Ctx.Address's business
		ReadBufferSize: 16 << 10,
	})
	if cfg.Fast != nil {
		cfg.Fast(a.fiber)
	}
	a.fiber.Use(a.around)
	a.fiber.Use(recover.New(recover.Config{EnableStackTrace: true, StackTraceHandler: func(c *fiber.Ctx, e any) {
		a.log.Error("panic", "route", c.Route().Path, "err", fmt.Sprint(e), "stack", string(debug.Stack()))
	}}))
	a.mountOwn()
	for i := range a.routes {
		if err := a.mount(&a.routes[i]); err != nil {
			return nil, err
		}
	}
	a.fiber.Use(a.unknown)
	if a.spec, err = a.openAPI(); err != nil {
		return nil, err
	}
	return a, nil
}

// proxyHeader is where a trusted proxy says who the client is.
const proxyHeader = "X-Real-Ip"

// parseProxies reads addresses and networks of trusted proxies.
func parseProxies(list []string) (out []netip.Prefix, err error) {
	for _, text := range list {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("trusted proxy %q is neither an address nor a network", text)
			}
			a = a.Unmap()
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// trusts reports whether a is a trusted proxy.
func (a *App) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(a.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Fiber returns the fiber application, to listen and to test with.
func (a *App) Fiber() *fiber.App { return a.fiber }

// Routes returns the one list of all routes.
func (a *App) Routes() []Route { return a.routes }

// around sets the headers and limits of every answer.
func (a *App) around(fc *fiber.Ctx) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(fc.UserContext(), handlerTimeout)
	defer cancel()
	fc.SetUserContext(ctx)
	h := &fc.Response().Header
	for _, line := range securityHeaders {
		h.SetCanonical(line[0], line[1])
	}
	if !a.local {
		h.Set(fiber.HeaderStrictTransportSecurity, "max-age=63072000; includeSubDomains")
	}
	err := fc.Next()
	if err != nil {
		if herr := a.onError(fc, err); herr != nil {
			return herr
		}
	}
	a.meter.observe(fc, time.Since(start))
	return nil
}

// No inline script and no inline style anywhere; data: images because the
// design system's icons are data.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; manifest-src 'self'"

// permissionsPolicy is that of every page; the one that needs a camera says so
// itself ([Ctx.AllowCamera]).
const permissionsPolicy = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

// AllowCamera lets the page that is answered use the camera.
func (c *Ctx) AllowCamera() {
	c.Set(fiber.HeaderPermissionsPolicy, strings.Replace(permissionsPolicy, "camera=()", "camera=(self)", 1))
}

// Asset is the address of a static file; it changes with the files.
func (c *Ctx) Asset(name string) string { return c.app.static.path(name) }

// securityHeaders are those of every answer, name and value; the names are in
// canonical form.
var securityHeaders = [][2][]byte{
	{[]byte(fiber.HeaderContentSecurityPolicy), []byte(contentSecurityPolicy)},
	{[]byte(fiber.HeaderXContentTypeOptions), []byte("nosniff")},
	{[]byte(fiber.HeaderReferrerPolicy), []byte("same-origin")},
	{[]byte("Cross-Origin-Opener-Policy"), []byte("same-origin")},
	{[]byte("Cross-Origin-Resource-Policy"), []byte("same-origin")},
	{[]byte(fiber.HeaderPermissionsPolicy), []byte(permissionsPolicy)},
}

func (a *App) mount(r *Route) error {
	if r.API != nil {
		if !strings.HasPrefix(r.Path, "/api/v1/") {
			return fmt.Errorf("route %s %s: JSON operations live under /api/v1/", r.Method, r.Path)
		}
		r.Handle = r.API.handle
	}
	if r.Handle == nil {
		return fmt.Errorf("route %s %s has no handler", r.Method, r.Path)
	}
	if r.Anonymous && (len(r.Roles) > 0 || unsafeMethod(r.Method)) {
		return fmt.Errorf("route %s %s: only what everybody may read is anonymous", r.Method, r.Path)
	}
	if r.Nav != "" {
		a.nav = append(a.nav, *r)
		slices.SortStableFunc(a.nav, byGroup)
	}
	handle := func(fc *fiber.Ctx) error {
		c := a.ctx(fc)
		if passed, err := a.guard(c, r); !passed || err != nil {
			return err
		}
		return r.Handle(c)
	}
	a.fiber.Add(r.Method, r.Path, handle)
	if r.Method == fiber.MethodGet { // RFC 9110, 9.1: the server leaves the body out
		a.fiber.Add(fiber.MethodHead, r.Path, handle)
	}
	return nil
}

// unknown answers what no route took: 405 where the address is there for
// another method, else 404.
func (a *App) unknown(fc *fiber.Ctx) error {
	var allow []string
	for _, r := range a.routes {
		if fiber.RoutePatternMatch(fc.Path(), r.Path, fiber.Config{StrictRouting: true, CaseSensitive: true}) {
			if r.Method == fc.Method() { // taken, and found nothing there
				return NotFound()
			}
			allow = append(allow, r.Method)
			if r.Method == fiber.MethodGet {
				allow = append(allow, fiber.MethodHead)
			}
		}
	}
	if len(allow) == 0 {
		return NotFound()
	}
	slices.Sort(allow)
	fc.Set(fiber.HeaderAllow, strings.Join(slices.Compact(allow), ", "))
	return fiber.ErrMethodNotAllowed
}

// guard is the one place that decides who may call a route. Not passed without
// an error means that the answer is given already: the way to the login.
func (a *App) guard(c *Ctx, r *Route) (passed bool, err error) {
	if r.Gate != "" && a.gate != nil {
		if err := a.gate(c, r.Gate); err != nil {
			return false, err
		}
	}
	if r.Anonymous {
		c.anonymous = true
		return true, nil
	}
	u, err := c.loadUser()
	if err != nil {
		return false, err
	}
	c.User = u
	if len(r.Roles) > 0 && !u.Has(r.Roles...) {
		return false, a.refuse(c, r)
	}
	if len(r.Roles) > 0 {
		c.Set(fiber.HeaderCacheControl, "no-store")
	}
	if err := c.checkForgery(r); err != nil {
		return false, err
	}
	return true, nil
}

// refuse: nobody is sent to the login (pages) or told 401; a wrong role is 403.
func (a *App) refuse(c *Ctx, r *Route) error {
	if c.User != nil && !(r.Roles[0] == RoleCitizen && len(r.Roles) == 1 && c.User.Kind == "staff") {
		return Forbidden()
	}
	login := a.cfg.StaffLogin
	for _, role := range r.Roles {
		if role == RoleCitizen {
			login = a.cfg.CitizenLogin
		}
	}
	if !unsafeMethod(c.Method()) && !c.wantsJSON() && login != "" {
		return c.See(login + "?to=" + url.QueryEscape(c.OriginalURL()))
	}
	return &Problem{Status: http.StatusUnauthorized, Key: "web.error.login", Link: login, LinkKey: "web.login"}
}

func (a *App) mountOwn() {
	a.fiber.Get("/healthz", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
	a.fiber.Get("/readyz", func(c *fiber.Ctx) error {
		if a.cfg.Ready != nil {
			ctx, cancel := context.WithTimeout(c.UserContext(), 2*time.Second)
			defer cancel()
			if err := a.cfg.Ready(ctx); err != nil {
				a.log.Warn("not ready", "err", err)
				return c.Status(http.StatusServiceUnavailable).SendString("not ready\n")
			}
		}
		return c.SendString("ready\n")
	})
	a.fiber.Get("/static/:version/*", a.static.serve)
	a.fiber.Get("/api/v1/openapi.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		c.Set(fiber.HeaderCacheControl, "public, max-age=60")
		return c.Send(a.spec)
	})
}

// navGroups is the order of the groups of a long navigation, from what is needed
// every hour to what is needed seldom; others follow.
var navGroups = []string{"", "web.nav.today", "web.nav.appointments", "web.nav.vaccine", "web.nav.certificates", "web.nav.rules", "web.nav.control"}

// byGroup orders entries by navGroups and leaves each group as it is.
func byGroup(a, b Route) int {
	rank := func(r Route) int {
		if i := slices.Index(navGroups, r.NavGroup); i >= 0 {
			return i
		}
		return len(navGroups)
	}
	return rank(a) - rank(b)
}

// navigation returns the entries of the roles of the user in their groups, in
// the order of the routes; entries of the demonstration (/dev/) stand apart.
func (a *App) navigation(c *Ctx) (groups []navGroup, demo []navItem) {
	current := a.currentEntry(c.Path())
	at := map[string]int{}
	for _, r := range a.nav {
		if len(r.Roles) > 0 && !c.User.Has(r.Roles...) {
			continue
		}
		item := navItem{Path: r.Path, Text: c.T(r.Nav)}
		switch {
		case r.Path == c.Path():
			item.Current = "page"
		case r.Path == current:
			item.Current = "true"
		}
		if strings.HasPrefix(r.Path, "/dev/") {
			demo = append(demo, item)
			continue
		}
		i, ok := at[r.NavGroup]
		if !ok {
			i = len(groups)
			at[r.NavGroup] = i
			g := navGroup{}
			if r.NavGroup != "" {
				g.Title = c.T(r.NavGroup)
			}
			groups = append(groups, g)
		}
		groups[i].Entries = append(groups[i].Entries, item)
	}
	return groups, demo
}

// currentEntry is the entry that a page belongs to: the longest path above it.
func (a *App) currentEntry(path string) string {
	best := ""
	for _, r := range a.nav {
		if len(r.Path) > len(best) && (r.Path == path || strings.HasPrefix(path, r.Path+"/")) {
			best = r.Path
		}
	}
	return best
}

type navGroup struct {
	Title   string
	Entries []navItem
}

type navItem struct {
	Path, Text string
	Current    string // value of aria-current
}
