package certify_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"impfportal/certificate/certify/card/cardtest"
	"impfportal/internal/web/webtest"
)

// asked is a challenge with the address that its answer goes to.
type asked struct{ challenge, action string }

func (b *bench) ask(kv ...string) asked {
	b.t.Helper()
	a := b.app.Get(authPath(kv...))
	if a.Status != http.StatusSeeOther || a.Body != "" {
		b.t.Fatalf("%d %s", a.Status, a.Body)
	}
	action, ok := strings.CutPrefix(a.Location, base)
	if !ok || a.Header.Get("x-auth-challenge") == "" {
		b.t.Fatalf("%q %v", a.Location, a.Header)
	}
	return asked{a.Header.Get("x-auth-challenge"), action}
}

func authPath(kv ...string) string {
	q := url.Values{"client_id": {client}, "redirect_uri": {back}, "response_type": {"code"}, "scope": {"openid"}, "nonce": {"n-1"}}
	for i := 0; i+1 < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	return "/auth/realms/" + realm + "/protocol/openid-connect/auth?" + q.Encode()
}

// answer lets a card answer.
func (b *bench) answer(to asked, c *cardtest.Card, signature []byte) webtest.Answer {
	b.t.Helper()
	return b.app.Do(http.MethodGet, to.action, "", nil, map[string]string{"x-auth-signed-challenge": b64(signature), "x-auth-certificate": b64(c.DER)})
}

func (b *bench) token(kv ...string) webtest.Answer {
	b.t.Helper()
	q := url.Values{"client_id": {client}, "redirect_uri": {back}, "grant_type": {"authorization_code"}}
	for i := 0; i+1 < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	return b.app.Do(http.MethodPost, "/auth/realms/"+realm+"/protocol/openid-connect/token", "application/x-www-form-urlencoded", strings.NewReader(q.Encode()), nil)
}

// set is what the token address gives.
type set struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Session string `json:"session_state"`
}

// code logs in up to the code.
func (b *bench) code(c *cardtest.Card, kv ...string) (code, session string) {
	b.t.Helper()
	to := b.ask(kv...)
	a := b.answer(to, c, c.Sign(b.t, to.challenge))
	if a.Status != http.StatusFound {
		b.t.Fatalf("%d %s", a.Status, a.Body)
	}
	u, err := url.Parse(a.Location)
	b.ok(err)
	if u.Scheme != "connector" || u.Host != "authenticated" || u.Query().Get("code") == "" {
		b.t.Fatal(a.Location)
	}
	return u.Query().Get("code"), u.Query().Get("session_state")
}

// login logs in with a card.
func (b *bench) login(c *cardtest.Card) set {
	b.t.Helper()
	code, session := b.code(c)
	return b.tokens(b.token("code", code, "session_state", session))
}

func (b *bench) tokens(a webtest.Answer) (out set) {
	b.t.Helper()
	if a.Status != http.StatusOK {
		b.t.Fatalf("%d %s", a.Status, a.Body)
	}
	b.ok(json.Unmarshal([]byte(a.Body), &out))
	return out
}
