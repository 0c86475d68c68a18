package staff

import (
	"errors"
	"net/http"
	"strings"

	"impfportal/internal/id"
	"impfportal/internal/web"
)

// LoginIn is the body of a staff login.
type LoginIn struct {
	Login    string `json:"login"`
	Password string `json:"password"`
	Code     string `json:"code" doc:"six digits of the authenticator"`
}

// SessionOut is a started session.
type SessionOut struct {
	Token     string   `json:"token" doc:"send as 'Authorization: Bearer'"`
	Roles     []string `json:"roles"`
	Scope     string   `json:"scope" doc:"centre or team; empty = all"`
	ExpiresIn int      `json:"expires_in" doc:"seconds"`
}

// HTTPStatus says that something was made.
func (SessionOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiLogin(c *web.Ctx, in LoginIn) (SessionOut, error) {
	u, err := s.Login(c.Std(), in.Login, in.Password, in.Code, c.Network())
	switch {
	case errors.Is(err, ErrTooMany):
		return SessionOut{}, web.Fail(http.StatusTooManyRequests, "staff.error.too_many")
	case errors.Is(err, ErrLogin):
		return SessionOut{}, web.Fail(http.StatusUnauthorized, "staff.error.refused")
	case err != nil:
		return SessionOut{}, err
	}
	return StartSession(c, u)
}

// StartSession logs the user of this request in, for a long shift.
func StartSession(c *web.Ctx, u web.User) (SessionOut, error) {
	token, err := c.Login(c.Std(), u, sessionTTL)
	out := SessionOut{Token: token, Scope: u.Scope, ExpiresIn: int(sessionTTL.Seconds())}
	for _, r := range u.Roles {
		out.Roles = append(out.Roles, string(r))
	}
	return out, err
}

func (s *Service) apiLogout(c *web.Ctx, _ struct{}) (struct{}, error) { return struct{}{}, c.Logout() }

// AccountsOut lists accounts.
type AccountsOut struct {
	Accounts []AccountOut `json:"accounts"`
}

// AccountOut is an account without anything secret.
type AccountOut struct {
	ID       string   `json:"id"`
	Login    string   `json:"login"`
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	Scope    string   `json:"scope"`
	Disabled bool     `json:"disabled"`
}

func (s *Service) apiList(c *web.Ctx, _ struct{}) (AccountsOut, error) {
	accounts, err := List(c.Std(), s.pool)
	out := AccountsOut{Accounts: []AccountOut{}}
	for _, a := range accounts {
		out.Accounts = append(out.Accounts, AccountOut{a.ID, a.Login, a.Name, a.Roles, a.Scope, a.DisabledAt != nil})
	}
	return out, err
}

// AccountIn is a new account.
type AccountIn struct {
	Login    string   `json:"login" maxlen:"40"`
	Name     string   `json:"name" maxlen:"100"`
	Password string   `json:"password" doc:"at least 12 characters"`
	Roles    []string `json:"roles"`
	Scope    string   `json:"scope,omitempty" doc:"centre or team; needed for the roles site and team"`
}

// SecretOut is what an authenticator needs; it is answered once.
type SecretOut struct {
	ID     string `json:"id"`
	Secret string `json:"totp_secret" doc:"base32; RFC 6238, six digits, 30 seconds"`
}

// HTTPStatus says that something was made.
func (SecretOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiCreate(c *web.Ctx, in AccountIn) (SecretOut, error) {
	accountID, secret, err := s.Create(c.Std(), NewAccount{
		Login: strings.ToLower(in.Login), Name: in.Name, Password: in.Password, Roles: in.Roles, Scope: in.Scope,
	}, c.Actor())
	if errors.Is(err, ErrLoginTaken) {
		return SecretOut{}, web.Invalid(web.FieldError{Field: "login", Key: "staff.error.login_taken"})
	}
	return SecretOut{accountID, secret}, err
}

// DisableIn says whether an account is to be disabled.
type DisableIn struct {
	ID       string `json:"-" path:"id"`
	Disabled bool   `json:"disabled"`
}

func (s *Service) apiDisable(c *web.Ctx, in DisableIn) (struct{}, error) {
	if !id.Valid(in.ID) {
		return struct{}{}, web.NotFound()
	}
	err := s.Disable(c.Std(), in.ID, in.Disabled, c.User)
	if errors.Is(err, ErrNotFound) {
		err = web.NotFound()
	}
	return struct{}{}, err
}

// RenewIn is the new password.
type RenewIn struct {
	ID       string `json:"-" path:"id"`
	Password string `json:"password" doc:"at least 12 characters"`
}

func (s *Service) apiRenew(c *web.Ctx, in RenewIn) (SecretOut, error) {
	if !id.Valid(in.ID) {
		return SecretOut{}, web.NotFound()
	}
	secret, err := s.Renew(c.Std(), in.ID, in.Password, c.Actor())
	if errors.Is(err, ErrNotFound) {
		err = web.NotFound()
	}
	return SecretOut{in.ID, secret}, err
}
