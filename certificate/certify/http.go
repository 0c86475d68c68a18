package certify

import (
	"bytes"
	"net/http"

	"github.com/valyala/fasthttp/fasthttpadaptor"

	"impfportal/internal/web"
)

// Routes are the addresses on the public portal. Client certificates do not count
// here, and headers that speak of one are not read.
func (s *Service) Routes() []web.Route {
	realm := "/auth/realms/:realm"
	oidc := realm + "/protocol/openid-connect"
	return []web.Route{
		{Method: http.MethodPost, Path: pathIssue, Webhook: true, Handle: s.public(s.withToken)},
		{Method: http.MethodPost, Path: pathHash, Webhook: true, Handle: s.public(hash)},
		{Method: http.MethodGet, Path: oidc + "/auth", Anonymous: true, Handle: s.public(s.realm(s.limited(s.authorize)))},
		{Method: http.MethodGet, Path: realm + "/login-actions/authenticate", Anonymous: true, Handle: s.public(s.realm(s.limited(s.authenticate)))},
		{Method: http.MethodPost, Path: oidc + "/token", Webhook: true, Handle: s.public(s.realm(s.limited(s.token)))},
		{Method: http.MethodGet, Path: oidc + "/certs", Anonymous: true, Handle: s.public(s.realm(s.keySet))},
		{Method: http.MethodGet, Path: realm + "/.well-known/openid-configuration", Anonymous: true, Handle: s.public(s.realm(s.discovery))},
	}
}

// withToken issues for whoever has an access token.
func (s *Service) withToken(c *call) (*answer, error) {
	p, err := s.byToken(c.Context(), c.Header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	return s.issue(c, p)
}

// public lets the portal's web server answer.
func (s *Service) public(h handler) func(c *web.Ctx) error {
	return func(c *web.Ctx) error {
		var r http.Request
		if err := fasthttpadaptor.ConvertRequest(c.Context(), &r, true); err != nil {
			return err
		}
		r.Pattern = c.Route().Path
		a := s.serve(&call{Request: r.WithContext(c.Std()), body: bytes.Clone(c.Context().PostBody()), realm: c.Params("realm"), network: c.Network()}, h)
		c.Status(a.status)
		for name, values := range a.header {
			for _, v := range values {
				c.Set(name, v)
			}
		}
		return c.Send(a.body)
	}
}
