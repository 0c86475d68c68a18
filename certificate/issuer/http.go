package issuer

import (
	"embed"
	"errors"
	"net/http"
	"time"

	"impfportal/internal/web"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "issuer", FS: files}

var (
	operator = []web.Role{web.RoleIssuer}
	admin    = []web.Role{web.RoleAdmin}
	overseer = []web.Role{web.RoleAdmin, web.RoleAuditor}
)

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		// Everybody: claiming an entry.
		{Method: http.MethodGet, Path: "/issuer/apply", Handle: s.applyPage},
		{Method: http.MethodPost, Path: "/issuer/apply", Handle: s.applyForm},
		{Method: http.MethodGet, Path: "/issuer/apply/sent", Handle: func(c *web.Ctx) error { return c.Page("issuer/sent", nil) }},
		{Method: http.MethodGet, Path: "/issuer/apply/code", Handle: s.codePage},
		{Method: http.MethodPost, Path: "/issuer/apply/code", Handle: s.code},
		{Method: http.MethodPost, Path: "/api/v1/issuers/claims", API: web.JSON("Claim an entry of the registry; the activation code goes to the registry's address by letter", s.apiClaim)},
		{Method: http.MethodPost, Path: "/api/v1/issuers/codes", API: web.JSON("Use the activation code of the letter", s.apiCode)},
		// The issuer's operators.
		{Method: http.MethodGet, Path: "/issuer", Roles: operator, Nav: "issuer.nav", Handle: s.home},
		{Method: http.MethodPost, Path: "/issuer/receipts", Roles: operator, Handle: s.receipt},
		{Method: http.MethodPost, Path: "/issuer/days", Roles: operator, Handle: s.dayForm},
		{Method: http.MethodPost, Path: "/issuer/receipts/:id/back", Roles: operator, Handle: s.takeBack},
		{Method: http.MethodGet, Path: "/issuer/operators", Roles: operator, Handle: s.operatorsPage},
		{Method: http.MethodPost, Path: "/issuer/operators", Roles: operator, Handle: s.inviteForm},
		{Method: http.MethodPost, Path: "/issuer/operators/:id/end", Roles: operator, Handle: s.endOperator},
		{Method: http.MethodGet, Path: "/api/v1/issuer", Roles: operator, API: web.JSON("Whether this issuer can issue, since when and why not, its limits and lots", s.apiHome)},
		{Method: http.MethodPost, Path: "/api/v1/issuer/receipts", Roles: operator, API: web.JSON("Declare vaccine received", s.apiReceipt)},
		{Method: http.MethodDelete, Path: "/api/v1/issuer/receipts/:id", Roles: operator, API: web.JSON("Take a declared receipt back while its doses are not certified", s.apiTakeBack)},
		{Method: http.MethodGet, Path: "/api/v1/issuer/operators", Roles: operator, API: web.JSON("Who of this issuer has access", s.apiOperators)},
		{Method: http.MethodPost, Path: "/api/v1/issuer/operators", Roles: operator, API: web.JSON("Give another person access; answers the set-up code once; needs a fresh touch for operators", s.apiInvite)},
		{Method: http.MethodDelete, Path: "/api/v1/issuer/operators/:id", Roles: operator, API: web.JSON("End another person's access; needs a fresh touch for operators", s.apiEndOperator)},
		{Method: http.MethodPost, Path: "/api/v1/issuer/days", Roles: operator, API: web.JSON("Declare how many appointments a day had", s.apiDay)},
		// The administration.
		{Method: http.MethodGet, Path: "/admin/issuers", Roles: overseer, Nav: "issuer.nav_admin", NavGroup: "web.nav.certificates", Handle: s.list},
		{Method: http.MethodGet, Path: "/admin/issuers/:id", Roles: overseer, Handle: s.show},
		{Method: http.MethodPost, Path: "/admin/issuers/:id/propose", Roles: admin, Handle: s.proposeForm},
		{Method: http.MethodPost, Path: "/admin/issuers/:id/limits", Roles: admin, Handle: s.limitsForm},
		{Method: http.MethodPost, Path: "/admin/issuers/:id/letter", Roles: admin, Handle: s.letterAgain},
		{Method: http.MethodPost, Path: "/admin/issuers/:id/pause", Roles: admin, Handle: s.pauseByHand},
		{Method: http.MethodPost, Path: "/admin/issuers/:id/end", Roles: admin, Handle: s.end},
		{Method: http.MethodGet, Path: "/admin/registry", Roles: overseer, Nav: "issuer.nav_registry", NavGroup: "web.nav.certificates", Handle: s.registryPage},
		{Method: http.MethodPost, Path: "/admin/registry/pull", Roles: admin, Handle: s.pullNow},
		{Method: http.MethodPost, Path: "/admin/registry/confirm", Roles: admin, Handle: s.confirmHeld},
		{Method: http.MethodGet, Path: "/api/v1/admin/issuers", Roles: overseer, API: web.JSON("Issuers by state, paused ones first", s.apiList)},
		{Method: http.MethodGet, Path: "/api/v1/admin/issuers/:id", Roles: overseer, API: web.JSON("One issuer with its entry in the registry, limits and alarms", s.apiShow)},
		{Method: http.MethodPost, Path: "/api/v1/admin/issuers/:id/proposals", Roles: admin, API: web.JSON("Propose to activate, resume or reactivate an issuer; two administrators approve", s.apiPropose)},
		{Method: http.MethodPut, Path: "/api/v1/admin/issuers/:id/limits", Roles: admin, API: web.JSON("Set an issuer's limits; raising one makes a proposal for two administrators", s.apiLimits)},
		{Method: http.MethodPost, Path: "/api/v1/admin/issuers/:id/pause", Roles: admin, API: web.JSON("Pause one issuer; resuming needs two administrators", s.apiPause)},
		{Method: http.MethodPost, Path: "/api/v1/admin/issuers/:id/end", Roles: admin, API: web.JSON("End one issuer for good", s.apiEnd)},
		{Method: http.MethodGet, Path: "/api/v1/admin/registry", Roles: overseer, API: web.JSON("The registry's list that holds, and the last looks at it", s.apiRegistry)},
		{Method: http.MethodPost, Path: "/api/v1/admin/registry/pull", Roles: admin, API: web.JSON("Look at the registry now", s.apiPull)},
		{Method: http.MethodPost, Path: "/api/v1/admin/issuers/:id/letter", Roles: admin, API: web.JSON("Send a new code to a suspended issuer whose address or keys changed", s.apiLetter)},
		{Method: http.MethodPost, Path: "/api/v1/admin/registry/confirm", Roles: admin, API: web.JSON("Let vanished entries that are held take effect now", s.apiConfirm)},
	}, s.ruleRoutes()...)
}

// asProblem says an error of this slice in words.
func asProblem(err error) error {
	var limit *LimitError
	for _, p := range []struct {
		err    error
		status int
		key    string
	}{
		{ErrUnknown, http.StatusNotFound, "issuer.error.unknown"},
		{ErrNoLicence, http.StatusConflict, "issuer.error.licence"},
		{ErrRegistry, http.StatusServiceUnavailable, "issuer.error.registry"},
		{ErrTooMany, http.StatusTooManyRequests, "issuer.error.too_many"},
		{ErrCode, http.StatusUnprocessableEntity, "issuer.error.code"},
		{ErrNotFound, http.StatusNotFound, "web.error.not_found"},
		{ErrState, http.StatusConflict, "issuer.error.state"},
		{ErrPaused, http.StatusConflict, "issuer.error.paused"},
		{ErrSuspended, http.StatusConflict, "issuer.error.suspended"},
		{ErrInactive, http.StatusConflict, "issuer.error.inactive"},
		{ErrSame, http.StatusConflict, "issuer.error.same"},
		{ErrProposed, http.StatusConflict, "issuer.error.proposed"},
		{ErrNoKey, http.StatusConflict, "issuer.error.no_key"},
		{ErrOwn, http.StatusForbidden, "issuer.error.own"},
		{ErrReceipt, http.StatusUnprocessableEntity, "issuer.error.receipt"},
		{ErrTooManyDoses, http.StatusConflict, "issuer.error.doses"},
		{ErrUsed, http.StatusConflict, "issuer.error.used"},
		{ErrOperators, http.StatusConflict, "issuer.error.operators"},
		{ErrLot, http.StatusConflict, "issuer.error.lot"},
	} {
		if errors.Is(err, p.err) {
			return web.Fail(p.status, p.key)
		}
	}
	if errors.As(err, &limit) {
		return web.Fail(http.StatusTooManyRequests, "issuer.error.limit", "Count", int(limit.After/time.Minute)+1)
	}
	return err
}

// field shows an error of this slice at a field of the form, everything else as a
// page.
func formError(f *web.Form, field string, err error) error {
	var p *web.Problem
	if errors.As(asProblem(err), &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests {
		f.Fail(field, p.Key, p.Args...)
		return nil
	}
	return asProblem(err)
}
