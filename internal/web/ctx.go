package web

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
)

// Ctx is one request: fiber's context, and who asks, in which language, when.
type Ctx struct {
	*fiber.Ctx
	Lang string    // "de" or "en"
	Now  time.Time // one moment for the whole request
	User *User     // who is logged in; nil = nobody

	app        *App
	user       *User
	userLoaded bool
	form       *Form
	csrf       string // "" = not asked for yet
	anonymous  bool   // the answer is the same for everybody
}

const localsCtx = "impfportal.ctx"

// ctx returns the request's Ctx, making it at the first call.
func (a *App) ctx(fc *fiber.Ctx) *Ctx {
	if c, ok := fc.Locals(localsCtx).(*Ctx); ok {
		return c
	}
	c := &Ctx{Ctx: fc, app: a, Now: a.now()}
	c.Lang = c.chooseLang()
	fc.Locals(localsCtx, c)
	return c
}

// Std returns the context for everything that may wait; it ends with the
// request's time limit.
func (c *Ctx) Std() context.Context { return c.UserContext() }

// Actor names who asks, as audit does.
func (c *Ctx) Actor() string { return c.User.Actor() }

// Role is the one of these roles under which the user acts, for the audit: the
// first that they have; "" when they have none.
func (c *Ctx) Role(of ...Role) string {
	for _, r := range of {
		if c.User.Has(r) {
			return string(r)
		}
	}
	return ""
}

// Address is the client's address: the peer's, or what a trusted proxy says in
// X-Real-IP. Of several values the last counts that is not itself a trusted
// proxy, since the ones before it may come from the client. Nothing else that a
// request brings changes it. It is invalid when the peer has none (a socket file).
func (c *Ctx) Address() netip.Addr {
	peer, _ := netip.AddrFromSlice(c.Context().RemoteIP())
	peer = peer.Unmap()
	if !c.app.trusts(peer) {
		return peer
	}
	lines := c.Request().Header.PeekAll(proxyHeader)
	for i := len(lines) - 1; i >= 0; i-- {
		values := strings.Split(string(lines[i]), ",")
		for j := len(values) - 1; j >= 0; j-- {
			said, err := netip.ParseAddr(strings.TrimSpace(values[j]))
			if err != nil {
				return peer // whoever wrote this cannot be believed, nor what stands before it
			}
			if said = said.Unmap().WithZone(""); !c.app.trusts(said) {
				return said
			}
		}
	}
	return peer
}

// IP is Address as text.
func (c *Ctx) IP() string { return c.Address().String() }

// Network is where the request comes from, for limits: an IPv4 address, or the
// /64 that one IPv6 customer has; "?" when it is not known.
func (c *Ctx) Network() string {
	a := c.Address()
	if a.Is4() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return "?"
	}
	return p.String()
}

// T returns a text of the catalogue in the request's language. args alternate
// name and value.
func (c *Ctx) T(key string, args ...any) string { return c.app.cat.text(c.Lang, key, args...) }

// Local reports whether this is a local run: demo data, no secure cookies.
func (c *Ctx) Local() bool { return c.app.local }

// AtLocalhost is this page under the name localhost, when it was opened by a number:
// browsers know security keys for names only. It is for local runs; "" = it is there.
func (c *Ctx) AtLocalhost() string {
	u, err := url.Parse("http://" + string(c.Context().Host()))
	if err != nil || u.Port() == "" || u.Hostname() == "localhost" {
		return ""
	}
	return "http://localhost:" + u.Port() + c.Path()
}

// See answers 303 See Other, the right end of every POST.
func (c *Ctx) See(path string) error { return c.Redirect(path, http.StatusSeeOther) }

// SeeProgress leads to the page of a progress, and from there to back when the work is done.
func (c *Ctx) SeeProgress(progressID, back string) error {
	return c.See("/admin/progress/" + progressID + "?back=" + url.QueryEscape(back))
}

// OwnPath returns p when it is a path of this portal, else fallback: a
// parameter like ?to= never leads elsewhere.
func OwnPath(p, fallback string) string {
	if len(p) < 1 || len(p) > 500 || p[0] != '/' || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") {
		return fallback
	}
	return p
}

// PutCookie sets a cookie that only this host gets, scripts do not see and,
// outside local runs, only TLS carries. ttl <= 0 deletes it.
func (c *Ctx) PutCookie(name, value string, ttl time.Duration) {
	ck := &fiber.Cookie{
		Name: c.app.cookieName(name), Value: value, Path: "/", HTTPOnly: true,
		Secure: !c.app.local, SameSite: fiber.CookieSameSiteLaxMode, MaxAge: int(ttl.Seconds()),
	}
	if ttl <= 0 {
		ck.MaxAge, ck.Expires = -1, time.Unix(1, 0)
	}
	c.Ctx.Cookie(ck)
}

// GetCookie reads a cookie that PutCookie set.
func (c *Ctx) GetCookie(name string) string { return CleanText(c.Cookies(c.app.cookieName(name))) }

// Query reads a parameter of the address as Form reads a field: trimmed, valid
// UTF-8 without control characters. Postgres would refuse anything else.
func (c *Ctx) Query(name string, fallback ...string) string {
	return CleanText(c.Ctx.Query(name, fallback...))
}

// Params reads a part of the path in the same way.
func (c *Ctx) Params(name string, fallback ...string) string {
	return CleanText(c.Ctx.Params(name, fallback...))
}

func (a *App) cookieName(name string) string {
	if a.local {
		return name
	}
	return "__Host-" + name
}

// Download sends a file that the browser saves or shows.
func (c *Ctx) Download(contentType, filename string, body []byte) error {
	c.Set(fiber.HeaderContentType, contentType)
	c.Set(fiber.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(body)
}

// flash is a short notice for the next page, in a signed cookie.
type flash struct {
	Key  string `json:"k"`
	Args []any  `json:"a,omitempty"`
}

// Flash shows a green notice on the next page. args alternate name and value
// and must not be personal.
func (c *Ctx) Flash(key string, args ...any) {
	b, err := json.Marshal(flash{key, args})
	if err != nil {
		return
	}
	c.PutCookie("flash", base64.RawURLEncoding.EncodeToString(append(c.app.sign("flash", b), b...)), time.Minute)
}

func (c *Ctx) takeFlash() string {
	raw := c.GetCookie("flash")
	if raw == "" {
		return ""
	}
	c.PutCookie("flash", "", -1)
	b, err := base64.RawURLEncoding.DecodeString(raw)
	if err != nil || len(b) < 32 || !hmac.Equal(b[:32], c.app.sign("flash", b[32:])) {
		return ""
	}
	var f flash
	d := json.NewDecoder(bytes.NewReader(b[32:]))
	d.UseNumber()
	if d.Decode(&f) != nil {
		return ""
	}
	for i, arg := range f.Args {
		if n, ok := arg.(json.Number); ok { // texts with one and many count whole numbers
			f.Args[i] = n.String()
			if whole, err := n.Int64(); err == nil {
				f.Args[i] = int(whole)
			}
		}
	}
	return c.T(f.Key, f.Args...)
}

func (a *App) sign(purpose string, b []byte) []byte {
	m := hmac.New(sha256.New, a.secret)
	m.Write([]byte(purpose + "\x00"))
	m.Write(b)
	return m.Sum(nil)
}

// Card is a piece of a page that another slice shows: the page's owner takes
// cards, each slice offers its own, cmd hands them over.
type Card struct {
	Template string // a partial, "booking/_appointments"
	// Data returns what the template shows as .D; nil, nil = nothing to show.
	Data func(c *Ctx) (any, error)
	// Late returns the card instead, when it is shown: for a slice that is
	// built after the page's owner.
	Late func() Card
}

// Cards renders cards in order. A card that fails is left out and logged: one
// slice's trouble must not take the page down.
func (c *Ctx) Cards(cards []Card) ([]template.HTML, error) {
	var out []template.HTML
	for _, card := range cards {
		if card.Late != nil {
			card = card.Late()
		}
		d, err := card.Data(c)
		if err != nil {
			c.app.log.Error("card", "template", card.Template, "err", err)
			continue
		}
		if d == nil {
			continue
		}
		h, err := c.Fragment(card.Template, d)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}
