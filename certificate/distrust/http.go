package distrust

import (
	"embed"
	"errors"
	"net/http"

	"impfportal/internal/web"
	"impfportal/retention"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the page and texts of this package.
var Assets = web.Bundle{Name: "distrust", FS: files}

// RetentionExempt states why a distrusted signer stays one.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{{Table: "certificate.distrusted", Why: "what a distrusted key has signed must be refused as long as somebody can show it; nothing personal"}}
}

// Routes are the page of the signers.
func (s *Service) Routes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/signers", Roles: []web.Role{web.RoleAdmin, web.RoleAuditor}, Nav: "distrust.nav", NavGroup: "web.nav.certificates", Handle: func(c *web.Ctx) error { return s.page(c, c.Form()) }},
		{Method: http.MethodPost, Path: "/admin/signers/:kid/distrust", Roles: []web.Role{web.RoleAdmin}, Handle: s.propose},
	}
}

type page struct {
	Signers []Signer
	May     bool
}

func (s *Service) page(c *web.Ctx, f *web.Form) error {
	list, err := s.Signers(c.Std(), s.Pool)
	if err != nil {
		return err
	}
	return c.PageForm("distrust/signers", f, page{list, c.User.Has(web.RoleAdmin)})
}

func (s *Service) propose(c *web.Ctx) error {
	f, kid := c.Form(), c.Params("kid")
	if f.Get("why_"+kid) == "" {
		f.Fail("why_"+kid, "distrust.error.why")
		return s.page(c, f)
	}
	_, err := s.Propose(c.Std(), kid, f.Get("why_"+kid), c.User.ID)
	switch {
	case errors.Is(err, ErrUnknown):
		return web.NotFound()
	case errors.Is(err, ErrAlready):
		return web.Fail(http.StatusConflict, "distrust.error.already")
	case err != nil:
		return err
	}
	c.Flash("distrust.proposed")
	return c.See("/admin/signers")
}
