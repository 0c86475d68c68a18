package certify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"impfportal/certificate/certify/card/cardtest"
	"impfportal/internal/id"
	"impfportal/internal/web/webtest"
)

// Each kind of card logs in and gets a certificate; the tokens verify with the key
// that the realm publishes.
func TestEveryKindOfCard(t *testing.T) {
	b := setup(t)
	for name, key := range map[string]cardtest.Key{"RSA": cardtest.RSA(t), "P-256": cardtest.P256(t), "brainpoolP256r1": cardtest.Brainpool(t)} {
		own := b.card(key)
		b.exec(`UPDATE certificate.registry_entry SET keys = keys || $1`, []string{own.Fingerprint()})
		got := b.login(own)
		if got.Type != "Bearer" || got.Expires != 60 || got.Refresh == "" {
			t.Errorf("%s: %+v", name, got)
		}
		a := b.issue(got.Access, person("Karte "+name[:1]))
		want(t, name, a.Status, a.Body, 200, "")
		b.verify(a.Body)
		var keys jose.JSONWebKeySet
		b.ok(json.Unmarshal([]byte(b.app.Get("/auth/realms/"+realm+"/protocol/openid-connect/certs").Body), &keys))
		for _, text := range []string{got.Access, got.ID} {
			tok, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
			b.ok(err)
			var c map[string]any
			b.ok(tok.Claims(keys, &c))
			if c["iss"] != base+"/auth/realms/"+realm || c["sub"] != "issuer:"+b.issuerID(pharmacy) || text == got.ID && (c["nonce"] != "n-1" || c["aud"] != client) {
				t.Errorf("%v", c)
			}
		}
	}
	d := b.app.Get("/auth/realms/" + realm + "/.well-known/openid-configuration")
	if d.Status != 200 || !strings.Contains(d.Body, base+"/auth/realms/"+realm+"/protocol/openid-connect/token") {
		t.Errorf("%d %s", d.Status, d.Body)
	}
}

// The wrong card, the wrong challenge, the wrong time: no code, and the challenge is
// gone.
func TestWrongCard(t *testing.T) {
	b := setup(t)
	good := func(to asked, c *cardtest.Card) []byte { return c.Sign(t, to.challenge) }
	stranger := cardtest.NewAuthority(t, cardtest.P256(t), start.AddDate(-5, 0, 0))
	foreign := stranger.Issue(t, cardtest.P256(t), cardtest.Spec{Name: "Apotheke MUSTER", From: start.AddDate(-1, 0, 0), Until: start.AddDate(1, 0, 0)})
	expired := b.card(cardtest.P256(t), func(s *cardtest.Spec) { s.Until = start.Add(-time.Second) })
	doctor := b.card(cardtest.P256(t), func(s *cardtest.Spec) { s.Professions = []string{cardtest.Practice} })
	elsewhere := b.card(cardtest.P256(t), func(s *cardtest.Spec) { s.Policies = []string{"1.2.3.4"} })
	b.exec(`UPDATE certificate.registry_entry SET keys = keys || $1`, []string{foreign.Fingerprint(), expired.Fingerprint(), doctor.Fingerprint(), elsewhere.Fingerprint()})
	for name, c := range map[string]struct {
		card *cardtest.Card
		sign func(to asked, c *cardtest.Card) []byte
	}{
		"not in the registry":    {b.card(cardtest.RSA(t)), good},
		"another authority":      {foreign, good},
		"expired":                {expired, good},
		"another profession":     {doctor, good},
		"another policy":         {elsewhere, good},
		"another card signed":    {b.own, func(to asked, _ *cardtest.Card) []byte { return doctor.Sign(t, to.challenge) }},
		"another session's":      {b.own, func(_ asked, c *cardtest.Card) []byte { return c.Sign(t, b.ask().challenge) }},
		"PKCS #1 v1.5":           {b.own, func(to asked, c *cardtest.Card) []byte { return c.SignPKCS1(t, to.challenge) }},
		"nothing signed":         {b.own, func(asked, *cardtest.Card) []byte { return nil }},
		"no certificate that is": {&cardtest.Card{DER: []byte("x"), Key: b.own.Key}, good},
	} {
		to := b.ask()
		if a := b.answer(to, c.card, c.sign(to, c.card)); a.Status != 403 || !strings.Contains(a.Body, `"error":"access_denied"`) || a.Location != "" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
		if a := b.answer(to, b.own, b.own.Sign(t, to.challenge)); a.Status != 400 {
			t.Errorf("%s, then well: %d", name, a.Status)
		}
	}
	if n := b.count(`SELECT count(*) FROM certificate.certify_session`); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestReplayedChallenge(t *testing.T) {
	b := setup(t)
	to := b.ask()
	sig := b.own.Sign(t, to.challenge)
	if a := b.answer(to, b.own, sig); a.Status != 302 {
		t.Fatal(a.Status)
	}
	if a := b.answer(to, b.own, sig); a.Status != 400 {
		t.Errorf("replayed: %d", a.Status)
	}
	late := b.ask()
	b.pass(2 * time.Minute)
	if a := b.answer(late, b.own, b.own.Sign(t, late.challenge)); a.Status != 400 {
		t.Errorf("late: %d", a.Status)
	}
	// The address of one log-in with the secret of another.
	one, two := b.ask(), b.ask()
	u1, err := url.Parse(one.action)
	b.ok(err)
	u2, err := url.Parse(two.action)
	b.ok(err)
	q := u1.Query()
	q.Set("session_code", u2.Query().Get("session_code"))
	u1.RawQuery = q.Encode()
	if a := b.answer(asked{one.challenge, u1.String()}, b.own, b.own.Sign(t, one.challenge)); a.Status != 400 {
		t.Errorf("mixed: %d", a.Status)
	}
	if a := b.app.Get(one.action); a.Status != 400 {
		t.Errorf("without headers: %d", a.Status)
	}
	if a := b.answer(one, b.own, b.own.Sign(t, one.challenge)); a.Status != 302 {
		t.Errorf("who did not answer yet may: %d", a.Status)
	}
}

func TestOnlyConfiguredClientsAndAddresses(t *testing.T) {
	b := setup(t)
	for name, kv := range map[string][]string{
		"address": {"redirect_uri", "https://evil.example/"}, "longer address": {"redirect_uri", back + "/more"}, "no address": {"redirect_uri", ""}, "client": {"client_id", "somebody"},
	} {
		if a := b.app.Get(authPath(kv...)); a.Status != 400 || a.Location != "" {
			t.Errorf("%s: %d %s", name, a.Status, a.Location)
		}
	}
	for name, kv := range map[string][]string{
		"unsupported_response_type": {"response_type", "token"}, "invalid_scope": {"scope", "email"}, "invalid_request": {"code_challenge", "x", "code_challenge_method", "plain"},
	} {
		if a := b.app.Get(authPath(append(kv, "state", "s-1")...)); a.Status != 302 || !strings.HasPrefix(a.Location, back+"?error="+name) || !strings.Contains(a.Location, "state=s-1") {
			t.Errorf("%s: %d %s", name, a.Status, a.Location)
		}
	}
	if a := b.app.Get(authPath() + "&client_id=" + client); a.Status != 400 {
		t.Errorf("a parameter twice: %d", a.Status)
	}
	for _, path := range []string{"/protocol/openid-connect/certs", "/.well-known/openid-configuration", "/protocol/openid-connect/auth?client_id=" + client} {
		if a := b.app.Get("/auth/realms/other" + path); a.Status != 404 {
			t.Errorf("another realm %s: %d", path, a.Status)
		}
	}
}

func TestCodes(t *testing.T) {
	b := setup(t)
	refused := func(name string, a webtest.Answer) {
		t.Helper()
		if a.Status != 400 || !strings.Contains(a.Body, `"error":"invalid_grant"`) {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	code, session := b.code(b.own)
	got := b.tokens(b.token("code", code, "session_state", session))
	a := b.issue(got.Access, person("Erst"))
	want(t, "first use", a.Status, a.Body, 200, "")
	refused("second use", b.token("code", code, "session_state", session))
	a = b.issue(got.Access, person("Dann"))
	want(t, "token of a code that was copied", a.Status, a.Body, 401, "token")
	refused("its refresh token", b.token("grant_type", "refresh_token", "refresh_token", got.Refresh))

	code, _ = b.code(b.own)
	b.pass(time.Minute)
	refused("late", b.token("code", code))
	code, _ = b.code(b.own)
	refused("another session", b.token("code", code, "session_state", id.New()))
	code, _ = b.code(b.own)
	refused("another address", b.token("code", code, "redirect_uri", "https://evil.example/"))
	refused("made up", b.token("code", id.New()))

	verifier := strings.Repeat("v", 50)
	sum := sha256.Sum256([]byte(verifier))
	pkce := []string{"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256"}
	code, _ = b.code(b.own, pkce...)
	b.tokens(b.token("code", code, "code_verifier", verifier))
	code, _ = b.code(b.own, pkce...)
	refused("no verifier", b.token("code", code))
	code, _ = b.code(b.own, pkce...)
	refused("wrong verifier", b.token("code", code, "code_verifier", strings.Repeat("w", 50)))
	code, _ = b.code(b.own)
	refused("verifier that nobody asked for", b.token("code", code, "code_verifier", verifier))
	if a := b.token("grant_type", "password"); a.Status != 400 || !strings.Contains(a.Body, "unsupported_grant_type") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestRefresh(t *testing.T) {
	b := setup(t)
	first := b.login(b.own)
	b.pass(2 * time.Minute)
	a := b.issue(first.Access, person("Alt"))
	want(t, "an old token", a.Status, a.Body, 401, "token")
	second := b.tokens(b.token("grant_type", "refresh_token", "refresh_token", first.Refresh))
	a = b.issue(second.Access, person("Neu"))
	want(t, "a new token", a.Status, a.Body, 200, "")
	if a := b.token("grant_type", "refresh_token", "refresh_token", first.Refresh); a.Status != 400 {
		t.Errorf("the former one: %d", a.Status)
	}
	a = b.issue(second.Access, person("Danach"))
	want(t, "after a copy was shown", a.Status, a.Body, 401, "token")
	third := b.login(b.own)
	b.pass(31 * time.Minute)
	if a := b.token("grant_type", "refresh_token", "refresh_token", third.Refresh); a.Status != 400 {
		t.Errorf("after half an hour: %d", a.Status)
	}
	// Half a day is the end, however often it was refreshed.
	long := b.login(b.own)
	status := 200
	for n := 0; n < 40 && status == 200; n++ {
		b.pass(25 * time.Minute)
		if a := b.token("grant_type", "refresh_token", "refresh_token", long.Refresh); a.Status == 200 {
			long = b.tokens(a)
		} else if status = a.Status; n < 27 || n > 29 {
			t.Errorf("ended after %d turns", n)
		}
	}
	if status == 200 {
		t.Error("a session without end")
	}
}

// Suspending an issuer ends its tokens at once, and its session for good.
func TestSuspensionEndsTokens(t *testing.T) {
	b := setup(t)
	got := b.login(b.own)
	for name, c := range map[string]struct{ sql, undo string }{
		"suspended":   {`UPDATE certificate.issuer SET state = 'suspended'`, `UPDATE certificate.issuer SET state = 'active', approval = gen_random_uuid()`},
		"no licence":  {`UPDATE certificate.registry_entry SET licence = 'withdrawn'`, `UPDATE certificate.registry_entry SET licence = 'valid'`},
		"out of time": {`UPDATE certificate.registry_entry SET valid_to = '2021-07-20'`, `UPDATE certificate.registry_entry SET valid_to = NULL`},
	} {
		b.exec(c.sql)
		a := b.issue(got.Access, person("Muster"))
		want(t, name, a.Status, a.Body, 403, "suspended")
		if to := b.ask(); b.answer(to, b.own, b.own.Sign(t, to.challenge)).Status != 403 {
			t.Errorf("%s: log-in", name)
		}
		b.exec(c.undo)
	}
	b.exec(`UPDATE certificate.registry_entry SET keys = '{}'`)
	a := b.issue(got.Access, person("Muster"))
	want(t, "another card", a.Status, a.Body, 403, "unknown")
	if a := b.token("grant_type", "refresh_token", "refresh_token", got.Refresh); a.Status == 200 {
		t.Error("refreshed without a card")
	}
	b.exec(`UPDATE certificate.registry_entry SET keys = $1`, []string{b.own.Fingerprint()})
	a = b.issue(got.Access, person("Muster"))
	want(t, "back, with a session that ended", a.Status, a.Body, 401, "token")
	// The card moves to another issuer: the token is not for that one.
	again := b.login(b.own)
	b.exec(`UPDATE certificate.registry_entry SET keys = '{}'`)
	b.enter("300000018", "pharmacy", b.own)
	a = b.issue(again.Access, person("Muster"))
	want(t, "card of another issuer", a.Status, a.Body, 403, "unknown")
	b.counts(0, 0)
}

// Only the realm's own access tokens count.
func TestForgedTokens(t *testing.T) {
	b := setup(t)
	got := b.login(b.own)
	parts := strings.Split(got.Access, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	b.ok(err)
	claims := func(change func(c map[string]any)) map[string]any {
		d := json.NewDecoder(bytes.NewReader(raw))
		var c map[string]any
		b.ok(d.Decode(&c))
		if change != nil {
			change(c)
		}
		return c
	}
	head := func(alg string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","typ":"JWT"}`))
	}
	signed := func(key jose.SigningKey, c map[string]any) string {
		s, err := jose.NewSigner(key, nil)
		b.ok(err)
		text, err := jwt.Signed(s).Claims(c).Serialize()
		b.ok(err)
		return text
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.ok(err)
	// The public key as a secret, as somebody might who hopes for a mix-up.
	public := b.app.Get("/auth/realms/" + realm + "/protocol/openid-connect/certs").Body
	strange := b.cfg
	strange.Cards.Realm = "another"
	cfg := b.cfg
	b.cfg = strange
	elsewhere := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.service().Routes()})
	b.cfg = cfg
	for name, token := range map[string]string{
		"alg none":          head("none") + "." + parts[1] + ".",
		"HS256":             signed(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(public)}, claims(nil)),
		"another key":       signed(jose.SigningKey{Algorithm: jose.ES256, Key: other}, claims(nil)),
		"changed":           parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(text(claims(func(c map[string]any) { c["exp"] = 4102444800 })))) + "." + parts[2],
		"the id token":      got.ID,
		"the refresh token": got.Refresh,
		"not a token":       "x",
	} {
		a := b.issue(token, person("Muster"))
		want(t, name, a.Status, a.Body, 401, "token")
	}
	a := elsewhere.Do(http.MethodPost, "/api/certify/v2/issue", "application/json", strings.NewReader(text(person("Muster"))), map[string]string{"Authorization": "Bearer " + got.Access})
	want(t, "another realm", a.Status, a.Body, 401, "token")
	a = b.issue("", person("Muster"))
	want(t, "no token", a.Status, a.Body, 401, "credentials")
	if a.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Error("no WWW-Authenticate")
	}
	b.counts(0, 0)
}
