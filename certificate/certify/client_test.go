package certify_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"impfportal/certificate/certify/card/cardtest"
)

func TestClientCertificate(t *testing.T) {
	b := setup(t)
	at := b.listen() + "/api/certify/v2/issue"
	r := b.post(at, b.own, person("Muster"), "Content-Type", "application/json", "Accept", "application/cbor+base45")
	want(t, "good", r.status, r.body, 200, "")
	p := b.verify(r.body)
	if r.header.Get("X-DGC-Id") != p.V[0]["ci"] {
		t.Errorf("%v", r.header)
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record WHERE path = 'mtls' AND operator = $1`, b.own.Fingerprint()); n != 1 {
		t.Error("not over mTLS")
	}
	expired := b.card(cardtest.P256(t), func(s *cardtest.Spec) { s.Until = start.Add(-time.Second) })
	doctor := b.card(cardtest.P256(t), func(s *cardtest.Spec) { s.Professions = []string{cardtest.Practice} })
	foreign := cardtest.NewAuthority(t, cardtest.P256(t), start.AddDate(-5, 0, 0)).Issue(t, cardtest.P256(t), cardtest.Spec{Name: "Apotheke MUSTER", From: start.AddDate(-1, 0, 0), Until: start.AddDate(1, 0, 0)})
	b.exec(`UPDATE certificate.registry_entry SET keys = keys || $1`, []string{expired.Fingerprint(), doctor.Fingerprint(), foreign.Fingerprint()})
	for name, c := range map[string]struct {
		card   *cardtest.Card
		status int
		key    string
	}{
		"none":                {nil, 401, "none"},
		"not in the registry": {b.card(cardtest.P256(t)), 403, "unknown"},
		"expired":             {expired, 403, "expired"},
		"another profession":  {doctor, 403, "profession"},
		"another authority":   {foreign, 403, "authority"},
	} {
		r := b.post(at, c.card, person("Anders"))
		want(t, name, r.status, r.body, c.status, c.key)
	}
	// The portal's clock decides, not the machine's.
	b.pass(2 * 365 * 24 * time.Hour)
	r = b.post(at, b.own, person("Anders"))
	want(t, "later", r.status, r.body, 403, "expired")
	b.counts(1, 1)
}

// A certificate in a header counts from a configured proxy, on the sibling address,
// and nowhere else.
func TestForwardedCertificate(t *testing.T) {
	b := setup(t)
	header := "X-Forwarded-Tls-Client-Cert"
	for name, kv := range map[string][]string{
		"header": {header, b64(b.own.DER)}, "nginx": {"X-SSL-Client-Cert", url.PathEscape(string(b.own.PEM()))}, "envoy": {"X-Forwarded-Client-Cert", `Cert="` + url.PathEscape(string(b.own.PEM())) + `"`},
	} {
		a := b.issue("", person("Muster"), kv...)
		want(t, "public, "+name, a.Status, a.Body, 401, "credentials")
	}
	if a := b.app.Do(http.MethodPost, "/proxied/api/certify/v2/issue", "application/json", strings.NewReader("{}"), nil); a.Status != 404 {
		t.Errorf("the sibling on the public portal: %d", a.Status)
	}
	at := b.listen()
	r := b.post(at+"/proxied/api/certify/v2/issue", nil, person("Muster"), header, b64(b.own.DER))
	want(t, "no proxy configured", r.status, r.body, 403, "proxy")
	b.proxies("127.0.0.2")
	at = b.listen()
	r = b.post(at+"/proxied/api/certify/v2/issue", nil, person("Muster"), header, b64(b.own.DER))
	want(t, "from elsewhere", r.status, r.body, 403, "proxy")
	r = b.post(at+"/proxied/api/certify/v2/issue", nil, person("Muster"), header, b64(b.own.DER), "X-Forwarded-For", "127.0.0.2", "X-Real-Ip", "127.0.0.2")
	want(t, "that says it is the proxy", r.status, r.body, 403, "proxy")
	b.proxies("127.0.0.1")
	at = b.listen()
	for name, value := range map[string]string{"base64": b64(b.own.DER), "escaped PEM": url.PathEscape(string(b.own.PEM())), "chain": b64(b.own.DER) + "," + b64(b.ca.DER)} {
		r = b.post(at+"/proxied/api/certify/v2/issue", nil, person("Muster"), header, value)
		want(t, "from the proxy, "+name, r.status, r.body, 200, "")
	}
	r = b.post(at+"/api/certify/v2/issue", nil, person("Muster"), header, b64(b.own.DER))
	want(t, "from the proxy, on the other address", r.status, r.body, 401, "none")
	r = b.post(at+"/proxied/api/certify/v2/issue", b.own, person("Muster"))
	want(t, "from the proxy, without a header", r.status, r.body, 401, "none")
	r = b.post(at+"/proxied/api/certify/v2/issue", nil, person("Muster"), header, "x")
	want(t, "from the proxy, nonsense", r.status, r.body, 403, "certificate")
	stranger := b.card(cardtest.P256(t))
	r = b.post(at+"/proxied/api/certify/v2/issue", nil, person("Muster"), header, b64(stranger.DER))
	want(t, "from the proxy, a stranger", r.status, r.body, 403, "unknown")
	b.counts(1, 1)
}
