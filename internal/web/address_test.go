package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// The client's address is the peer's, or what a trusted proxy says.
func TestAddress(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	app := func(proxies ...string) *webtest.App {
		return webtest.New(t, webtest.Config{Pool: pool, TrustedProxies: proxies, Routes: []web.Route{{
			Method: http.MethodGet, Path: "/who", Handle: func(c *web.Ctx) error { return c.SendString(c.IP() + " " + c.Network()) },
		}}})
	}
	type headers map[string][]string
	for name, x := range map[string]struct {
		proxies []string
		h       headers
		want    string
	}{
		"nobody is trusted": {nil, headers{
			"X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-For": {"192.0.2.2"}, "Forwarded": {"for=192.0.2.3"}, "X-Client-Ip": {"192.0.2.4"},
			"True-Client-Ip": {"192.0.2.5"}, "Cf-Connecting-Ip": {"192.0.2.6"},
		}, "0.0.0.0 0.0.0.0"},
		"another peer is trusted": {[]string{"192.0.2.10", "10.0.0.0/8"}, headers{"X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-For": {"10.0.0.1"}}, "0.0.0.0 0.0.0.0"},
		"the proxy says":          {[]string{"0.0.0.0"}, headers{"X-Real-Ip": {"192.0.2.1"}}, "192.0.2.1 192.0.2.1"},
		"only in X-Real-IP":       {[]string{"0.0.0.0"}, headers{"X-Forwarded-For": {"192.0.2.2"}, "Forwarded": {"for=192.0.2.3"}}, "0.0.0.0 0.0.0.0"},
		"IPv6":                    {[]string{"0.0.0.0/32"}, headers{"X-Real-Ip": {"2001:db8:1:2:3::4"}}, "2001:db8:1:2:3::4 2001:db8:1:2::/64"},
		"IPv4 in IPv6 form":       {[]string{"0.0.0.0"}, headers{"X-Real-Ip": {"::ffff:192.0.2.1"}}, "192.0.2.1 192.0.2.1"},
		"with a zone":             {[]string{"0.0.0.0"}, headers{"X-Real-Ip": {"fe80::1%eth0"}}, "fe80::1 fe80::/64"},
		// A proxy that appends to what the client sent: only the last is its own word.
		"several values":      {[]string{"0.0.0.0"}, headers{"X-Real-Ip": {"198.51.100.66, 192.0.2.1"}}, "192.0.2.1 192.0.2.1"},
		"several lines":       {[]string{"0.0.0.0"}, headers{"X-Real-Ip": {"198.51.100.66", "192.0.2.1"}}, "192.0.2.1 192.0.2.1"},
		"through two proxies": {[]string{"0.0.0.0", "10.0.0.0/8"}, headers{"X-Real-Ip": {"198.51.100.66, 192.0.2.1, 10.0.0.3"}}, "192.0.2.1 192.0.2.1"},
		"a proxy itself":      {[]string{"0.0.0.0", "10.0.0.0/8"}, headers{"X-Real-Ip": {"10.0.0.3"}}, "0.0.0.0 0.0.0.0"},
		"rubbish":             {[]string{"0.0.0.0"}, headers{"X-Real-Ip": {"198.51.100.66, x"}}, "0.0.0.0 0.0.0.0"},
		"nothing":             {[]string{"0.0.0.0"}, headers{"X-Real-Ip": {""}}, "0.0.0.0 0.0.0.0"},
		"no header":           {[]string{"0.0.0.0"}, nil, "0.0.0.0 0.0.0.0"},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/who", nil)
		for k, v := range x.h {
			req.Header[k] = v
		}
		res, err := app(x.proxies...).Web().Fiber().Test(req, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		var b [200]byte
		n, _ := res.Body.Read(b[:])
		if got := string(b[:n]); got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

func TestMalformedProxyIsFoundAtTheStart(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "proxy.example", "10.0.0.0/33", "10.0.0.1:80"} {
		_, err := web.New(web.Config{Secret: make([]byte, 32), TrustedProxies: []string{bad}})
		if err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
