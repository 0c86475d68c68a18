package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/internal/pg"
)

const sessionCookie = "sid"

// Login starts a session for u: a new row, and a cookie. The token may also be
// sent as 'Authorization: Bearer'. Only its hash is stored.
func (c *Ctx) Login(ctx context.Context, u User, ttl time.Duration) (token string, err error) {
	token, err = NewSession(ctx, c.app.pool, c.app.secret, c.Now, u, ttl)
	if err != nil {
		return "", err
	}
	// An older session of this browser ends: nothing is inherited by a login.
	if err := c.endSession(ctx); err != nil {
		return "", err
	}
	c.PutCookie(sessionCookie, token, ttl)
	c.user, c.userLoaded, c.User = &u, true, &u
	return token, nil
}

// NewSession logs somebody in without a page. It returns the session's token.
func (a *App) NewSession(ctx context.Context, u User, ttl time.Duration) (token string, err error) {
	return NewSession(ctx, a.pool, a.secret, a.now(), u, ttl)
}

// NewSession stores a session and returns its token, which is signed with the
// app's secret.
func NewSession(ctx context.Context, q pg.Querier, secret []byte, now time.Time, u User, ttl time.Duration) (token string, err error) {
	token = newToken(secret, u.Kind)
	roles := make([]string, len(u.Roles))
	for i, r := range u.Roles {
		roles[i] = string(r)
	}
	_, err = q.Exec(ctx, `
		INSERT INTO web.session (token_hash, kind, subject, name, roles, scope, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		tokenHash(token), u.Kind, u.ID, u.Name, roles, u.Scope, now, now.Add(ttl))
	if err != nil {
		return "", fmt.Errorf("start session: %w", err)
	}
	return token, nil
}

// Logout ends the session of this request.
func (c *Ctx) Logout() error {
	err := c.endSession(c.Std())
	c.PutCookie(sessionCookie, "", -1)
	c.user, c.userLoaded, c.User = nil, true, nil
	return err
}

func (c *Ctx) endSession(ctx context.Context) error {
	token := c.token()
	if token == "" {
		return nil
	}
	_, err := c.app.pool.Exec(ctx, `DELETE FROM web.session WHERE token_hash = $1`, tokenHash(token))
	return err
}

// EndSessions ends every session of a person or account: after new login
// data, a disabled account, a deletion.
func EndSessions(ctx context.Context, q pg.Querier, kind, subject string) error {
	_, err := q.Exec(ctx, `DELETE FROM web.session WHERE kind = $1 AND subject = $2`, kind, subject)
	return err
}

// A token is the first letter of the user's kind, 32 random bytes, and the first
// 16 of an HMAC-SHA-256 over both. So a token that nobody gave out costs no look
// into the database, and what concerns staff alone none for citizens.
const (
	tokenRandom = 32
	tokenMAC    = 16
)

var tokenLength = base64.RawURLEncoding.EncodedLen(1 + tokenRandom + tokenMAC)

func newToken(secret []byte, kind string) string {
	b := append(make([]byte, 0, 1+tokenRandom+tokenMAC), kind[0])
	b = b[:1+tokenRandom]
	_, _ = rand.Read(b[1:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(append(b, signToken(secret, b)...))
}

func signToken(secret, b []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("session\x00"))
	m.Write(b)
	return m.Sum(nil)[:tokenMAC]
}

// isToken reports whether a token was given out to a user of that kind; "" =
// any. No I/O; whether its session stands only the database knows.
func isToken(secret []byte, token, kind string) bool {
	if len(token) != tokenLength {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != 1+tokenRandom+tokenMAC || kind != "" && b[0] != kind[0] {
		return false
	}
	return hmac.Equal(signToken(secret, b[:1+tokenRandom]), b[1+tokenRandom:])
}

func tokenHash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// SessionHash names the session of this request, as its row does; nil = there is
// none. It is for what belongs to one session and ends with it.
func (c *Ctx) SessionHash() []byte {
	if c.User == nil {
		return nil
	}
	return tokenHash(c.token())
}

// token returns the bearer token or the session cookie.
func (c *Ctx) token() string {
	if t, ok := strings.CutPrefix(c.Get(fiber.HeaderAuthorization), "Bearer "); ok {
		return t
	}
	return c.GetCookie(sessionCookie)
}

// bearer reports whether the caller authenticates by header; such a call
// carries no cookie's authority, so it cannot be forged across sites.
func (c *Ctx) bearer() bool {
	return strings.HasPrefix(c.Get(fiber.HeaderAuthorization), "Bearer ")
}

// Who returns the user of that kind who is logged in; nil = nobody. It is for
// what runs before the guard has set User, as a gate does. Without a token that
// was given out to such a user it asks nobody.
func (c *Ctx) Who(kind string) (*User, error) {
	if !c.userLoaded && !isToken(c.app.secret, c.token(), kind) {
		return nil, nil
	}
	u, err := c.loadUser()
	if err != nil || u == nil || u.Kind != kind {
		return nil, err
	}
	return u, nil
}

// loadUser looks the session up, once per request and only when there is a token.
func (c *Ctx) loadUser() (*User, error) {
	if c.userLoaded {
		return c.user, nil
	}
	token := c.token()
	if !isToken(c.app.secret, token, "") {
		c.userLoaded = true
		return nil, nil
	}
	var (
		u     User
		roles []string
	)
	err := c.app.pool.QueryRow(c.Std(), `
		SELECT kind, subject::text, name, roles, scope FROM web.session WHERE token_hash = $1 AND expires_at > $2`,
		tokenHash(token), c.Now).Scan(&u.Kind, &u.ID, &u.Name, &roles, &u.Scope)
	if pg.NoRows(err) {
		c.userLoaded = true
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look session up: %w", err)
	}
	for _, r := range roles {
		u.Roles = append(u.Roles, Role(r))
	}
	c.user, c.userLoaded = &u, true
	return &u, nil
}
