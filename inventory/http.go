package inventory

import (
	"cmp"
	"embed"
	"errors"
	"net/http"
	"slices"
	"strings"

	"impfportal/centre"
	"impfportal/internal/web"
	"impfportal/programme"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are this slice's pages and texts.
var Assets = web.Bundle{Name: "inventory", FS: files}

var admin = []web.Role{web.RoleAdmin}

// Routes lists this slice's addresses.
func (s *Service) Routes() []web.Route {
	return s.changingForms(append([]web.Route{
		{Method: http.MethodGet, Path: "/admin/deliveries", Roles: admin, Nav: "inventory.nav.deliveries", NavGroup: "web.nav.vaccine", Handle: s.deliveriesPage},
		{Method: http.MethodPost, Path: "/admin/deliveries", Roles: admin, Handle: s.planForm},
		{Method: http.MethodGet, Path: "/admin/deliveries/import", Roles: admin, Handle: s.importPage},
		{Method: http.MethodPost, Path: "/admin/deliveries/import", Roles: admin, Handle: s.importUpload},
		{Method: http.MethodGet, Path: "/admin/deliveries/:id", Roles: admin, Handle: s.deliveryPage},
		{Method: http.MethodPost, Path: "/admin/deliveries/:id/receive", Roles: admin, Handle: s.receiveForm},
		{Method: http.MethodPost, Path: "/admin/deliveries/:id/cancel", Roles: admin, Handle: s.cancelForm},
		{Method: http.MethodGet, Path: "/admin/deliveries/:id/cancel", Roles: admin, Handle: s.cancelPage},
		{Method: http.MethodPost, Path: "/admin/deliveries/:id/change", Roles: admin, Handle: s.changeForm},
		{Method: http.MethodPost, Path: "/admin/deliveries/:id/rest", Roles: admin, Handle: s.restForm},
		{Method: http.MethodPost, Path: "/admin/deliveries/:id/write-off", Roles: admin, Handle: s.writeOffForm},
		{Method: http.MethodGet, Path: "/admin/stock", Roles: admin, Nav: "inventory.nav.stock", NavGroup: "web.nav.vaccine", Handle: s.stockPage},
		{Method: http.MethodGet, Path: "/admin/stock/move", Roles: admin, Handle: s.movePage},
		{Method: http.MethodPost, Path: "/admin/stock/transfer", Roles: admin, Handle: s.transferForm},
		{Method: http.MethodPost, Path: "/admin/stock/waste", Roles: admin, Handle: s.wasteForm},
		{Method: http.MethodPost, Path: "/admin/stock/thaw", Roles: admin, Handle: s.moveThawForm},
		{Method: http.MethodPost, Path: "/admin/stock/lots/:id", Roles: admin, Handle: s.lotForm},
		{Method: http.MethodGet, Path: "/admin/stock/movements/:id", Roles: admin, Handle: s.movementPage},
		{Method: http.MethodPost, Path: "/admin/stock/movements/:id/correct", Roles: admin, Handle: s.correctForm},
		{Method: http.MethodGet, Path: "/admin/stock/lots/:id", Roles: admin, Handle: s.lotPage},
		{Method: http.MethodPost, Path: "/admin/stock/lots/:id/block", Roles: admin, Handle: s.blockForm},
		{Method: http.MethodPost, Path: "/admin/stock/lots/:id/release", Roles: admin, Handle: s.releaseForm},
	}, slices.Concat(s.siteRoutes(), s.ruleRoutes(), s.deliveryAPI(), s.allocationRoutes(), s.outlookRoutes(), s.apiRoutes())...))
}

// by is who asks, for ledger and audit.
func by(c *web.Ctx) By {
	role := web.RoleAdmin
	if c.User != nil && len(c.User.Roles) > 0 && !slices.Contains(c.User.Roles, web.RoleAdmin) {
		role = c.User.Roles[0]
	}
	return By{Actor: c.Actor(), Role: string(role)}
}

// problem tells domain errors in words; others pass through.
func problem(err error) error {
	if p := asProblem(err); p != nil {
		return p
	}
	return err
}

func asProblem(err error) *web.Problem {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, centre.ErrNotFound):
		return web.NotFound()
	case errors.Is(err, ErrLotEmpty), errors.Is(err, ErrNotEnough):
		return web.Fail(http.StatusConflict, "inventory.error.not_enough")
	case errors.Is(err, ErrThawedTooLong):
		return web.Fail(http.StatusConflict, "inventory.error.thawed")
	case errors.Is(err, ErrCarriedTooLong):
		return web.Fail(http.StatusConflict, "inventory.error.carried")
	case errors.Is(err, ErrOpenedTooLong):
		return web.Fail(http.StatusConflict, "inventory.error.opened")
	case errors.Is(err, ErrPooled):
		return web.Fail(http.StatusConflict, "inventory.error.pooled")
	case errors.Is(err, ErrLotExpired):
		return web.Fail(http.StatusConflict, "inventory.error.expired")
	case errors.Is(err, ErrLotBlocked):
		return web.Fail(http.StatusConflict, "inventory.error.blocked")
	case errors.Is(err, ErrNoRule):
		return web.Fail(http.StatusConflict, "inventory.error.no_rule")
	case errors.Is(err, ErrAlreadyGiven):
		return web.Fail(http.StatusConflict, "inventory.error.already_given")
	case errors.Is(err, ErrAlreadyCorrected):
		return web.Fail(http.StatusConflict, "inventory.error.already_corrected")
	case errors.Is(err, ErrNotCorrectable):
		return web.Fail(http.StatusConflict, "inventory.error.not_correctable")
	case errors.Is(err, ErrRestChanged):
		return web.Fail(http.StatusConflict, "inventory.error.rest_changed")
	case errors.Is(err, ErrStale):
		return web.Fail(http.StatusConflict, "inventory.error.stale")
	case errors.Is(err, ErrState):
		return web.Fail(http.StatusConflict, "inventory.error.state")
	case errors.Is(err, ErrKeyUsed):
		return web.Fail(http.StatusUnprocessableEntity, "inventory.error.key_used")
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "inventory.error.invalid")
	}
	return nil
}

// formProblem notes a domain error at a field of the form; false when it is
// none and must go on as it is.
func formProblem(f *web.Form, field string, err error) bool {
	p := asProblem(err)
	if p == nil {
		return false
	}
	f.Fail(field, p.Key)
	return true
}

// names knows what places and products are called.
type names struct {
	c        *web.Ctx
	places   map[Place]string
	rank     map[Place]int // the order in which people read them: store, centres, teams
	products map[string]string
	Places   []web.Option // places that hold stock and can be chosen
	Products []web.Option
}

func (s *Service) names(c *web.Ctx) (*names, error) {
	n := &names{c: c, places: map[Place]string{}, rank: map[Place]int{Central: 0}, products: map[string]string{}}
	centres, err := centre.All(c.Std(), s.pool)
	if err != nil {
		return nil, err
	}
	n.Places = append(n.Places, web.Option{Value: string(Central), Label: n.Place(Central)})
	for _, ce := range centres {
		p := CentrePlace(ce.ID)
		n.places[p], n.rank[p] = ce.Name, len(n.rank)
		n.Places = append(n.Places, web.Option{Value: string(p), Label: ce.Name})
	}
	if s.TeamNames != nil {
		teams, err := s.TeamNames(c.Std(), s.pool)
		if err != nil {
			return nil, err
		}
		for _, id := range sortedByName(teams) {
			p := TeamPlace(id)
			n.places[p], n.rank[p] = teams[id], len(n.rank)
		}
	}
	products, err := programme.Products(c.Std(), s.pool, "")
	if err != nil {
		return nil, err
	}
	for _, p := range products {
		n.products[p.ID] = p.Name
		n.Products = append(n.Products, web.Option{Value: p.ID, Label: p.Name})
	}
	return n, nil
}

// Place is what a place is called in the request's language.
func (n *names) Place(p Place) string {
	if name := n.places[p]; name != "" {
		return name
	}
	if r, ok := strings.CutPrefix(string(p), "waste:"); ok {
		return n.c.T("inventory.place.waste") + ": " + n.c.T("inventory.reason."+r)
	}
	if t := p.TeamID(); t != "" {
		return n.c.T("inventory.place.team", "ID", t[max(0, len(t)-4):])
	}
	if c := p.CentreID(); c != "" {
		return c
	}
	return n.c.T("inventory.place." + string(p))
}

// compare orders places as people read them: the central store, centres and teams by
// name, and last what nobody has named.
func (n *names) compare(a, b Place) int {
	rank := func(p Place) int {
		if i, ok := n.rank[p]; ok {
			return i
		}
		return len(n.rank)
	}
	return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b))
}

// holdings sorts what lies where by place; the order within a place stays.
func (n *names) holdings(hs []Holding) {
	slices.SortStableFunc(hs, func(a, b Holding) int { return n.compare(a.Place, b.Place) })
}

// Centre is what a centre is called.
func (n *names) Centre(id string) string { return n.Place(CentrePlace(id)) }

// Product is what a product is called.
func (n *names) Product(id string) string { return n.products[id] }

// known reports whether value is one of the options; if not it notes an error
// at the field.
func known(f *web.Form, field string, options []web.Option) string {
	v := f.Get(field)
	for _, o := range options {
		if o.Value == v && v != "" {
			return v
		}
	}
	f.Fail(field, "inventory.error.choose")
	return ""
}
