package certify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/google/uuid"

	"impfportal/certificate/certify/card"
	"impfportal/internal/pg"
)

// Headers of the log-in, as in the public description.
const (
	headerChallenge   = "X-Auth-Challenge"
	headerSigned      = "X-Auth-Signed-Challenge"
	headerCertificate = "X-Auth-Certificate"
)

// execution names the step "sign with a card" in the addresses of the log-in, as
// the software expects one there.
const execution = "ab0c4a5e-8c7b-4c52-9b0e-2f0f6f7d9f11"

const (
	maxParameter = 512      // characters of a parameter
	maxToken     = 16 << 10 // bytes of a form
	loginsMost   = 600      // a minute from one network: many practices share a way out
)

var pkceForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// realm refuses every realm but the configured one.
func (s *Service) realm(h handler) handler {
	return func(c *call) (*answer, error) {
		if !s.hasCards(c.realm) {
			return nil, refuse(http.StatusNotFound, "certify.error.realm").grant("invalid_request")
		}
		return h(c)
	}
}

// limited counts requests that cost something before anybody has shown who they are.
func (s *Service) limited(h handler) handler {
	return func(c *call) (*answer, error) {
		key := fmt.Sprintf("certify:login:%x", s.Vault.MAC("certify limit", []byte(c.network))[:10])
		res, err := s.Limiter.Allow(c.Context(), key, redis_rate.Limit{Rate: loginsMost, Burst: loginsMost, Period: time.Minute})
		if err != nil {
			return nil, fmt.Errorf("login limit: %w", err)
		}
		if res.Allowed == 0 {
			return nil, refuse(http.StatusTooManyRequests, "certify.error.logins").grant("temporarily_unavailable").later(res.RetryAfter)
		}
		return h(c)
	}
}

// single reads parameters of which each may come once.
func single(v url.Values) (map[string]string, error) {
	out := make(map[string]string, len(v))
	for name, values := range v {
		if len(values) != 1 || len(values[0]) > maxParameter {
			return nil, refuse(http.StatusBadRequest, "certify.error.parameter", "Field", cut(name)).grant("invalid_request")
		}
		out[name] = values[0]
	}
	return out, nil
}

// authorize begins a log-in: it answers with a challenge, and where the answer goes.
func (s *Service) authorize(c *call) (*answer, error) {
	q, err := single(c.URL.Query())
	if err != nil {
		return nil, err
	}
	// Whoever may not be sent back is told here.
	if !slices.Contains(s.Cards.Clients, q["client_id"]) {
		return nil, refuse(http.StatusBadRequest, "certify.error.client").grant("invalid_client")
	}
	if !slices.Contains(s.Cards.Redirects, q["redirect_uri"]) {
		return nil, refuse(http.StatusBadRequest, "certify.error.redirect").grant("invalid_request")
	}
	back := func(code string) (*answer, error) {
		return redirect(http.StatusFound, q["redirect_uri"], "error", code, "state", q["state"]), nil
	}
	switch method := q["code_challenge_method"]; {
	case q["response_type"] != "code":
		return back("unsupported_response_type")
	case !slices.Contains(strings.Fields(q["scope"]), "openid"):
		return back("invalid_scope")
	case (q["code_challenge"] != "") != (method == "S256"), q["code_challenge"] != "" && !pkceForm.MatchString(q["code_challenge"]):
		return back("invalid_request")
	}
	l, err := s.begin(c.Context(), login{
		clientID: q["client_id"], redirectURI: q["redirect_uri"], state: q["state"], nonce: q["nonce"], scope: "openid", codePKE: q["code_challenge"],
	})
	if err != nil {
		return nil, err
	}
	to := redirect(http.StatusSeeOther, s.issuerURL()+"/login-actions/authenticate",
		"session_code", l.code, "execution", execution, "client_id", l.clientID, "tab_id", uuid.NewString()[:8], "auth_session_id", l.id)
	return to.with(headerChallenge, l.challenge), nil
}

// redirect leads to an address with parameters; those without a value are left out.
func redirect(status int, to string, kv ...string) *answer {
	v := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			v.Set(kv[i], kv[i+1])
		}
	}
	sep := "?"
	if strings.Contains(to, "?") {
		sep = "&"
	}
	return reply(status, "", nil).with("Location", to+sep+v.Encode())
}

// authenticate takes the answer to a challenge: the card's signature over the text of
// the challenge, and its certificate. A challenge has one answer, good or bad.
func (s *Service) authenticate(c *call) (*answer, error) {
	q, err := single(c.URL.Query())
	if err != nil {
		return nil, err
	}
	signature, der, err := fromCard(c.Header)
	if err != nil {
		return nil, err
	}
	l, err := s.take(c.Context(), q["auth_session_id"], q["session_code"])
	if pg.NoRows(err) || err == nil && q["client_id"] != "" && q["client_id"] != l.clientID {
		return nil, refuse(http.StatusBadRequest, "certify.error.challenge").grant("invalid_request")
	}
	if err != nil {
		return nil, err
	}
	issuerID, cert, err := s.byCard(c.Context(), l.challenge, signature, der)
	if err != nil {
		return nil, denied(err)
	}
	sessionID, code, err := s.open(c.Context(), l, issuerID, cert)
	if err != nil {
		return nil, err
	}
	return redirect(http.StatusFound, l.redirectURI, "session_state", sessionID, "code", code, "state", l.state), nil
}

// denied gives refusals the form that the log-in has.
func denied(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return r.grant("access_denied")
	}
	return err
}

// fromCard reads the two headers, both base64.
func fromCard(h http.Header) (signature, der []byte, err error) {
	for _, f := range []struct {
		name string
		into *[]byte
	}{{headerSigned, &signature}, {headerCertificate, &der}} {
		values := h.Values(f.name)
		if len(values) != 1 {
			return nil, nil, refuse(http.StatusBadRequest, "certify.error.header", "Field", f.name).grant("invalid_request")
		}
		text := strings.TrimRight(strings.Join(strings.Fields(values[0]), ""), "=")
		if *f.into, err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return nil, nil, refuse(http.StatusBadRequest, "certify.error.header", "Field", f.name).grant("invalid_request")
		}
	}
	return signature, der, nil
}

// byCard finds the issuer of a card that signed a challenge.
func (s *Service) byCard(ctx context.Context, challenge string, signature, der []byte) (issuerID string, c *card.Certificate, err error) {
	if c, err = card.Parse(der); err == nil {
		err = s.Cards.Trust.Check(c, s.Now())
	}
	if err == nil {
		err = c.Verify([]byte(challenge), signature, s.Cards.PKCS1)
	}
	if err != nil {
		return "", nil, notTrusted(err)
	}
	if err := s.notRevoked(ctx, s.Pool, s.Cards.Trust, c); err != nil {
		return "", nil, err
	}
	i, err := s.known(ctx, s.Pool, c.Fingerprint())
	if err != nil {
		return "", nil, err
	}
	if err := s.Cards.Trust.CheckKind(c, i.Kind); err != nil {
		return "", nil, notTrusted(err)
	}
	return i.ID, c, nil
}

// token exchanges a code, or a refresh token, for tokens.
func (s *Service) token(c *call) (*answer, error) {
	bad := func(key, code string) (*answer, error) {
		return nil, refuse(http.StatusBadRequest, key).grant(code)
	}
	t, _, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || t != "application/x-www-form-urlencoded" || len(c.body) > maxToken {
		return bad("certify.error.form_body", "invalid_request")
	}
	values, err := url.ParseQuery(string(c.body))
	if err != nil {
		return bad("certify.error.form_body", "invalid_request")
	}
	f, err := single(values)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(s.Cards.Clients, f["client_id"]) {
		return bad("certify.error.client", "invalid_client")
	}
	var out tokens
	switch f["grant_type"] {
	case "authorization_code":
		out, err = s.redeem(c.Context(), exchange{f["code"], f["redirect_uri"], f["client_id"], f["session_state"], f["code_verifier"]})
	case "refresh_token":
		out, err = s.refresh(c.Context(), f["refresh_token"], f["client_id"])
	default:
		return bad("certify.error.grant_type", "unsupported_grant_type")
	}
	if err != nil {
		return nil, err
	}
	a, err := replyJSON(http.StatusOK, out)
	if err == nil {
		a.with("Pragma", "no-cache")
	}
	return a, err
}

// discovery describes the realm (OpenID Connect Discovery).
func (s *Service) discovery(*call) (*answer, error) {
	base := s.issuerURL()
	at := base + "/protocol/openid-connect/"
	return replyJSON(http.StatusOK, map[string]any{
		"issuer": base, "authorization_endpoint": at + "auth", "token_endpoint": at + "token", "jwks_uri": at + "certs",
		"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported": []string{"authorization_code", "refresh_token"}, "scopes_supported": []string{"openid"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		"token_endpoint_auth_methods_supported": []string{"none"}, "code_challenge_methods_supported": []string{"S256"},
		"claims_supported": []string{"iss", "sub", "aud", "iat", "exp", "nonce", "azp", "sid", "session_state"},
	})
}
