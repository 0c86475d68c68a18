package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
)

const csrfCookie = "csrf"

// A form carries an HMAC over a random cookie of the browser. Nothing is
// stored, so the loss of Redis loses no half-filled form; a foreign site can
// neither read nor set the cookie (it has the __Host- prefix outside local
// runs). Where the request came from is checked as well.

// csrfToken returns the token for this browser, making the cookie when needed: one
// for all forms of a page.
func (c *Ctx) csrfToken() string {
	if c.csrf == "" {
		c.csrf = c.newCSRFToken()
	}
	return c.csrf
}

func (c *Ctx) newCSRFToken() string {
	v := c.GetCookie(csrfCookie)
	if len(v) < 20 || len(v) > 64 {
		raw := make([]byte, 18)
		_, _ = rand.Read(raw) // never fails since Go 1.24
		v = base64.RawURLEncoding.EncodeToString(raw)
		c.PutCookie(csrfCookie, v, 30*24*time.Hour)
	}
	return c.app.csrfMAC(v)
}

// TokenFor returns the token that belongs to a browser's cookie, making the
// cookie when there is none; for test clients that fetch no page first.
func (a *App) TokenFor(cookie string, set func(string)) string {
	if cookie == "" {
		cookie = rand.Text()
		set(cookie)
	}
	return a.csrfMAC(cookie)
}

func (a *App) csrfMAC(cookie string) string {
	m := hmac.New(sha256.New, a.secret)
	m.Write([]byte("csrf\x00" + cookie))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:24])
}

// checkForgery refuses a changing request that another site sent.
func (c *Ctx) checkForgery(r *Route) error {
	if !unsafeMethod(c.Method()) || r.Webhook || c.bearer() {
		return nil
	}
	if !c.sameOrigin() {
		return Fail(http.StatusForbidden, "web.error.cross_site")
	}
	if r.CrossSite || r.API != nil {
		// JSON cannot be sent across sites without a preflight, which we never grant.
		if r.API != nil && len(c.Body()) > 0 && !strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEApplicationJSON) {
			return Fail(http.StatusUnsupportedMediaType, "web.error.media_type")
		}
		return nil
	}
	cookie := c.GetCookie(csrfCookie)
	sent := c.Get("X-CSRF-Token")
	if sent == "" {
		sent = c.FormValue("_csrf")
	}
	if cookie == "" || !hmac.Equal([]byte(sent), []byte(c.app.csrfMAC(cookie))) {
		return Fail(http.StatusForbidden, "web.error.csrf")
	}
	return nil
}

// sameOrigin uses Fetch Metadata, then Origin. A caller that sends neither is
// no browser of today and carries nobody's cookies but its own.
func (c *Ctx) sameOrigin() bool {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Host == string(c.Ctx.Request().Host()) || (c.app.origin != "" && origin == c.app.origin)
}
