package desk

import (
	"embed"
	"errors"
	"net/http"
	"time"

	"impfportal/certificate/issuer"
	"impfportal/certificate/revocation"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/programme"
	"impfportal/staff/passkey"
	"impfportal/vaccination"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this package's pages and texts.
var Assets = web.Bundle{Name: "desk", FS: files}

// Routes lists the desk's pages.
func (s *Service) Routes() []web.Route {
	get, post := http.MethodGet, http.MethodPost
	operator := []web.Role{web.RoleIssuer}
	return append([]web.Route{
		{Method: get, Path: "/issuer/issue", Roles: operator, Nav: "desk.nav", Handle: s.choose},
		{Method: get, Path: "/issuer/issue/:basis", Roles: operator, Handle: s.form},
		{Method: post, Path: "/issuer/issue/:basis/edit", Roles: operator, Handle: s.edit},
		{Method: post, Path: "/issuer/issue/:basis/check", Roles: operator, Handle: s.check},
		{Method: post, Path: "/issuer/issue/:basis", Roles: operator, Handle: s.issue},
		{Method: get, Path: "/issuer/issued/:id", Roles: operator, Handle: s.result},
		{Method: get, Path: "/issuer/issued/:id/:kind", Roles: operator, Handle: s.download},
		{Method: get, Path: "/issuer/certificates", Roles: operator, Nav: "desk.list.nav", Handle: s.list},
		{Method: post, Path: "/issuer/certificates", Roles: operator, Handle: s.search},
		{Method: get, Path: "/issuer/certificates/:id", Roles: operator, Handle: s.show},
		{Method: post, Path: "/issuer/certificates/:id/edit", Roles: operator, Handle: s.editCorrection},
		{Method: post, Path: "/issuer/certificates/:id/check", Roles: operator, Handle: s.checkCorrection},
		{Method: post, Path: "/issuer/certificates/:id", Roles: operator, Handle: s.correct},
		{Method: post, Path: "/issuer/certificates/:id/revoke", Roles: operator, Handle: s.revoke},
	}, s.apiRoutes()...)
}

// who is the operator of a request, with the issuer as it is now.
func (s *Service) who(c *web.Ctx) (Who, error) {
	if !id.Valid(c.User.Scope) {
		return Who{}, web.Forbidden() // an account of no place
	}
	i, err := s.Issuers.Get(c.Std(), s.Pool, c.User.Scope)
	if errors.Is(err, issuer.ErrNotFound) {
		return Who{}, web.Forbidden()
	}
	c.Set("Cache-Control", "no-store")
	return Who{i, c.User.ID, c.Actor()}, err
}

// touch is what a page shows of the fresh touch that issuing needs. Elsewhere is the
// page's address where keys work; Refused the words of a touch that did not count.
type touch struct {
	Fresh     bool
	Until     time.Time
	Elsewhere string
}

func (s *Service) touch(c *web.Ctx) (t touch, err error) {
	t.Until, _, t.Fresh, err = passkey.FreshUntil(c.Std(), s.Pool, c, action)
	t.Elsewhere = s.Keys.Elsewhere(c)
	return t, err
}

// fresh makes sure of the touch: one that is in the form counts. A touch that is missing
// or refused is said at the form's field "touch", and nothing that was typed is lost.
func (s *Service) fresh(c *web.Ctx, f *web.Form) error {
	err := s.Keys.Fresh(c.Std(), c, action)
	var p *web.Problem
	if err == nil || !errors.As(err, &p) {
		return err
	}
	if f.Get("touch") == "" {
		f.Fail("touch", "desk.error.touch")
		return nil
	}
	t, err := passkey.FormTouch(f)
	if err == nil {
		_, err = s.Keys.Refresh(c.Std(), c, action, t)
	}
	if err = passkey.Problem(err); errors.As(err, &p) {
		f.Fail("touch", p.Key, p.Args...)
		return nil
	}
	return err
}

// take says an error at a field of the form; one that it does not know it returns.
func take(f *web.Form, err error) error {
	var (
		limit *issuer.LimitError
		given *vaccination.AlreadyGivenError
	)
	if errors.As(err, &limit) {
		f.Fail("main", "desk.error.limit."+limit.Which, "Count", int(limit.After/time.Minute)+1)
		return nil
	}
	if errors.As(err, &given) {
		f.Fail("dose", "desk.error.already")
		return nil
	}
	if pg.Violates(err, "revocation_single") {
		f.Fail("why", "desk.error.many")
		return nil
	}
	for _, p := range []struct {
		err        error
		field, key string
	}{
		{issuer.ErrPaused, "main", "desk.error.paused"},
		{issuer.ErrSuspended, "main", "desk.error.suspended"},
		{issuer.ErrInactive, "main", "desk.error.inactive"},
		{issuer.ErrLot, "lot", "desk.error.lot"},
		{vaccination.ErrAlreadyGiven, "dose", "desk.error.already"},
		{vaccination.ErrKeyReused, "main", "desk.error.key"},
		{vaccination.ErrWrongLot, "lot", "desk.error.lot_form"},
		{vaccination.ErrWrongProduct, "product", "desk.error.product"},
		{vaccination.ErrInvalid, "main", "desk.error.invalid"},
		{revocation.ErrNotRevocable, "why", "desk.error.not_revocable"},
		{revocation.ErrUnsigned, "why", "desk.error.unsigned"},
		{ErrOften, "main", "desk.error.often"},
	} {
		if errors.Is(err, p.err) {
			f.Fail(p.field, p.key)
			return nil
		}
	}
	return err
}

// problem maps the desk's own errors.
func problem(err error) error {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, vaccination.ErrNotFound):
		return web.NotFound()
	case errors.Is(err, ErrLooks):
		return web.Fail(http.StatusTooManyRequests, "desk.error.looks")
	}
	return err
}

// products are the vaccines of which certificates are made, by id.
func (s *Service) products(c *web.Ctx) (names map[string]string, options []web.Option, err error) {
	all, err := programme.Products(c.Std(), s.Pool, "covid-19")
	names = map[string]string{}
	for _, p := range all {
		names[p.ID] = p.Name
		options = append(options, web.Option{Value: p.ID, Label: p.Name})
	}
	return names, options, err
}

// hold is what keeps certificates of an issuer from being made at the moment.
type hold struct {
	Since    time.Time
	Why      string
	Expected *time.Time
}

func (s *Service) hold(c *web.Ctx, w Who) (*hold, error) {
	st, ok, err := s.Stop.Applies(c.Std(), s.Pool, w.subject())
	if err != nil || !ok {
		return nil, err
	}
	return &hold{st.Since, st.Reason(c.Lang), st.Expected}, nil
}
