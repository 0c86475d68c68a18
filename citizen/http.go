package citizen

import (
	"errors"
	"net/http"
	"strconv"

	"impfportal/internal/web"
)

var citizens = []web.Role{web.RoleCitizen}

// Routes are the pages and operations of a citizen. Only the first step of
// registering waits in line; what follows is let in by the draft that it made.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		{Method: http.MethodGet, Path: "/", Handle: s.start},

		{Method: http.MethodGet, Path: "/register", Gate: "register", Handle: s.showFirst},
		{Method: http.MethodPost, Path: "/register", Gate: "register", Handle: s.postFirst},
		{Method: http.MethodGet, Path: "/register/:flow/done", Handle: s.showDone},
		{Method: http.MethodPost, Path: "/register/:flow/done", Handle: s.postDone},
		{Method: http.MethodGet, Path: "/register/:flow/login-data.pdf", Handle: s.loginSheet},
		{Method: http.MethodPost, Path: "/register/:flow/cancel", Handle: s.cancelRegister},
		{Method: http.MethodPost, Path: "/register/:flow/finish", Handle: s.finishRegister},
		{Method: http.MethodGet, Path: "/register/:flow/:step", Handle: s.showStep},
		{Method: http.MethodPost, Path: "/register/:flow/:step", Handle: s.postStep},

		{Method: http.MethodGet, Path: "/login", Handle: s.showLogin},
		{Method: http.MethodPost, Path: "/login", Handle: s.postLogin},
		{Method: http.MethodPost, Path: "/logout", Handle: s.logout},
		{Method: http.MethodGet, Path: "/login/lost", Handle: s.showLost},
		{Method: http.MethodPost, Path: "/login/lost", Handle: s.postLost},

		{Method: http.MethodGet, Path: "/my-case", Roles: citizens, Nav: "citizen.nav.case", Handle: s.showCase},
		{Method: http.MethodGet, Path: "/my-data", Roles: citizens, Nav: "citizen.nav.data", Handle: s.showData},
		{Method: http.MethodGet, Path: "/my-data/contact", Roles: citizens, Handle: s.showContact},
		{Method: http.MethodPost, Path: "/my-data/contact", Roles: citizens, Handle: s.postContact},
		{Method: http.MethodGet, Path: "/my-data/delete", Roles: citizens, Handle: s.showDelete},
		{Method: http.MethodPost, Path: "/my-data/delete", Roles: citizens, Handle: s.postDelete},
	}, s.apiRoutes()...)
}

// problem turns the errors of this package into what a caller is told.
func problem(err error) error {
	var invalid Invalid
	switch {
	case errors.As(err, &invalid):
		return web.Invalid(invalid...)
	case errors.Is(err, ErrLogin):
		return web.Fail(http.StatusUnauthorized, "citizen.error.login")
	case errors.Is(err, ErrTypo):
		return web.Fail(http.StatusUnprocessableEntity, "citizen.error.code_typo", "Example", CodeExample)
	case errors.Is(err, ErrStanding):
		return &web.Problem{Status: http.StatusConflict, Key: "citizen.error.standing", Link: "/my-case", LinkKey: "citizen.nav.case"}
	case errors.Is(err, ErrAnother):
		return web.Fail(http.StatusConflict, "citizen.error.another")
	case errors.Is(err, ErrHere):
		return web.Fail(http.StatusConflict, "citizen.error.here")
	case errors.Is(err, ErrRegistered):
		return &web.Problem{Status: http.StatusConflict, Key: "citizen.error.registered", Link: "/login/lost", LinkKey: "citizen.lost.link"}
	case errors.Is(err, ErrNotFound):
		return web.NotFound()
	}
	return err
}

// fail puts what is wrong into a form; any other error is returned.
func fail(f *web.Form, err error) error {
	var invalid Invalid
	if errors.As(err, &invalid) {
		f.Errors = append(f.Errors, invalid...)
		return nil
	}
	return problem(err)
}

// me is the person who is logged in.
func (s *Service) me(c *web.Ctx) (Person, error) {
	p, err := s.Person(c.Std(), s.Pool, c.User.ID)
	if errors.Is(err, ErrNotFound) { // deleted in the meantime
		if err := c.Logout(); err != nil {
			return Person{}, err
		}
		return Person{}, &web.Problem{Status: http.StatusGone, Key: "citizen.error.gone"}
	}
	return p, err
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
