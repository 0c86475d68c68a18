package inventory

import (
	"net/http"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// ruleRoutes are the page and the operations of the rules with a date.
func (s *Service) ruleRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/doses-per-vial", Roles: admin, Nav: "inventory.nav.vials", NavGroup: "web.nav.vaccine", Handle: s.vialsPage},
		{Method: http.MethodPost, Path: "/admin/doses-per-vial", Roles: admin, Handle: s.vialsForm},
		{Method: http.MethodPost, Path: "/admin/shelf-life", Roles: admin, Handle: s.shelfForm},
		{Method: http.MethodGet, Path: "/api/v1/doses-per-vial", Roles: admin, API: web.JSON("List the doses-per-vial rules", s.apiVials)},
		{Method: http.MethodPost, Path: "/api/v1/doses-per-vial", Roles: admin, API: changing(s, "Set the doses per vial of a product from a day on", s.apiSetVials)},
		{Method: http.MethodGet, Path: "/api/v1/shelf-life", Roles: admin, API: web.JSON("List the rules of shelf life after thawing and opening", s.apiShelf)},
		{Method: http.MethodPost, Path: "/api/v1/shelf-life", Roles: admin, API: changing(s, "Set how long vaccine lasts after thawing or opening, from a day on", s.apiSetShelf)},
	}
}

type vialsPage struct {
	Names *names
	Rules []vialLine
	Shelf []shelfLine
	Kinds []web.Option
}

// vialLine is a rule and whether it is in force today, or still to come.
type vialLine struct {
	VialRule
	InForce, Coming bool
}

// shelfLine is a rule of shelf life and whether it is in force today, or still to come.
type shelfLine struct {
	ShelfRule
	InForce, Coming bool
}

func (s *Service) vials(c *web.Ctx) (vialsPage, error) {
	n, err := s.names(c)
	if err != nil {
		return vialsPage{}, err
	}
	rules, err := VialRules(c.Std(), s.pool, "")
	if err != nil {
		return vialsPage{}, err
	}
	d := vialsPage{Names: n}
	found := map[string]bool{}
	for _, r := range rules {
		l := vialLine{VialRule: r, Coming: r.ValidFrom.After(clock.Day(c.Now))}
		l.InForce = !l.Coming && !found[r.ProductID]
		found[r.ProductID] = found[r.ProductID] || l.InForce
		d.Rules = append(d.Rules, l)
	}
	for _, k := range []ShelfKind{AfterThaw, AfterOpen, AfterLoad} {
		d.Kinds = append(d.Kinds, web.Option{Value: string(k), Label: c.T("inventory.shelf." + string(k))})
	}
	shelf, err := ShelfRules(c.Std(), s.pool)
	if err != nil {
		return d, err
	}
	for _, r := range shelf {
		l, key := shelfLine{ShelfRule: r, Coming: r.ValidFrom.After(clock.Day(c.Now))}, r.ProductID+" "+string(r.Kind)
		l.InForce = !l.Coming && !found[key]
		found[key] = found[key] || l.InForce
		d.Shelf = append(d.Shelf, l)
	}
	return d, nil
}

func (s *Service) vialsPage(c *web.Ctx) error {
	d, err := s.vials(c)
	if err != nil {
		return err
	}
	tomorrow := isoDay(clock.Day(c.Now).AddDate(0, 0, 1))
	return c.PageForm("inventory/vials", web.NewForm("valid_from", tomorrow, "shelf_from", tomorrow), d)
}

func (s *Service) vialsForm(c *web.Ctx) error {
	d, err := s.vials(c)
	if err != nil {
		return err
	}
	f := c.Form()
	product := known(f, "product", d.Names.Products)
	from, doses := f.Day("valid_from", "inventory.error.day"), f.Int("doses", 1, 50, "inventory.error.number")
	if !f.OK() {
		return c.PageForm("inventory/vials", f, d)
	}
	err = s.change(c, func(tx pgx.Tx) error { return s.SetDosesPerVial(c.Std(), tx, product, from, doses, by(c)) })
	if err != nil {
		return problem(err)
	}
	c.Flash("inventory.vials.saved")
	return c.See("/admin/doses-per-vial")
}

func (s *Service) shelfForm(c *web.Ctx) error {
	d, err := s.vials(c)
	if err != nil {
		return err
	}
	f := c.Form()
	r := ShelfRule{
		ProductID: known(f, "shelf_product", d.Names.Products), Kind: ShelfKind(known(f, "shelf_kind", d.Kinds)),
		ValidFrom: f.Day("shelf_from", "inventory.error.day"), Amount: f.Int("shelf_amount", 0, maxShelfLife, "inventory.error.number"),
	}
	if !f.OK() {
		return c.PageForm("inventory/vials", f, d)
	}
	if err := s.change(c, func(tx pgx.Tx) error { return s.SetShelfLife(c.Std(), tx, r, by(c)) }); err != nil {
		return problem(err)
	}
	c.Flash("inventory.shelf.saved")
	return c.See("/admin/doses-per-vial")
}

type shelfRuleOut struct {
	ProductID string `json:"product_id"`
	Kind      string `json:"kind" enum:"thawed,opened,carried" doc:"thawed: amount in days; opened: in hours"`
	ValidFrom string `json:"valid_from" format:"date"`
	Amount    int    `json:"amount" doc:"0 = no limit of its own"`
}

type shelfRulesOut struct {
	Rules []shelfRuleOut `json:"rules"`
}

func (s *Service) apiShelf(c *web.Ctx, _ struct{}) (shelfRulesOut, error) {
	rules, err := ShelfRules(c.Std(), s.pool)
	if err != nil {
		return shelfRulesOut{}, err
	}
	out := shelfRulesOut{Rules: []shelfRuleOut{}}
	for _, r := range rules {
		out.Rules = append(out.Rules, shelfRuleOut{r.ProductID, string(r.Kind), isoDay(r.ValidFrom), r.Amount})
	}
	return out, nil
}

func (s *Service) apiSetShelf(c *web.Ctx, in shelfRuleOut) (struct{}, error) {
	from, err := parseDay("valid_from", in.ValidFrom)
	if err != nil {
		return struct{}{}, err
	}
	r := ShelfRule{ProductID: in.ProductID, Kind: ShelfKind(in.Kind), ValidFrom: from, Amount: in.Amount}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.SetShelfLife(c.Std(), tx, r, by(c)) }))
}

type vialRuleOut struct {
	ProductID string `json:"product_id"`
	ValidFrom string `json:"valid_from"`
	Doses     int    `json:"doses"`
}

type vialRulesOut struct {
	Rules []vialRuleOut `json:"rules"`
}

func (s *Service) apiVials(c *web.Ctx, _ struct{}) (vialRulesOut, error) {
	rules, err := VialRules(c.Std(), s.pool, "")
	if err != nil {
		return vialRulesOut{}, err
	}
	out := vialRulesOut{Rules: []vialRuleOut{}}
	for _, r := range rules {
		out.Rules = append(out.Rules, vialRuleOut{r.ProductID, isoDay(r.ValidFrom), r.Doses})
	}
	return out, nil
}

func (s *Service) apiSetVials(c *web.Ctx, in vialRuleOut) (struct{}, error) {
	from, err := parseDay("valid_from", in.ValidFrom)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error {
		return s.SetDosesPerVial(c.Std(), tx, in.ProductID, from, in.Doses, by(c))
	}))
}
