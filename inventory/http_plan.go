package inventory

import (
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// planPage is where an administrator says by what a product is shared out.
func (s *Service) planPage(c *web.Ctx) error {
	d, err := s.allocation(c, c.Query("product"))
	if err != nil {
		return err
	}
	f := web.NewForm("method", string(d.Plan.Method))
	if d.Plan.Automatic {
		f.Set("automatic", "1")
	}
	for _, r := range d.Rows {
		if i := slices.IndexFunc(d.Plan.Shares, func(sh Share) bool { return sh.Place == r.Place }); i >= 0 {
			f.Set(r.Weight, strconv.Itoa(d.Plan.Shares[i].Weight))
		}
	}
	return c.PageForm("inventory/plan", f, d)
}

func (s *Service) allocationPlanForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.allocation(c, f.Get("product"))
	if err != nil {
		return err
	}
	p := AllocationPlan{ProductID: d.Product, Method: Method(known(f, "method", d.Methods)), Automatic: f.Get("automatic") != ""}
	for _, r := range d.Rows {
		if p.Shares == nil && len(f.All(r.Weight)) > 0 { // the shares were shown, be they empty now
			p.Shares = []Share{}
		}
		if w := optionalInt(f, r.Weight, 1_000_000); w > 0 {
			p.Shares = append(p.Shares, Share{r.Place, w})
		}
	}
	if p.Automatic && p.Method == ByHand {
		f.Fail("automatic", "inventory.error.allocation_hand")
	}
	if p.Method == ByShares && len(p.Shares) == 0 && f.OK() {
		f.Fail("shares", "inventory.error.allocation_shares")
	}
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return s.SetPlan(c.Std(), tx, p, by(c)) })
		if err != nil && !formProblem(f, "method", err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/plan", f, d)
	}
	c.Flash("inventory.allocation.saved")
	return c.See("/admin/allocation?product=" + d.Product)
}

// populationRow is a centre, its figure and its field.
type populationRow struct {
	CentreID, Name, Field string
	Figure
}

type populationPage struct {
	Back  string // the product whose allocation is shown next
	Rows  []populationRow
	Total int
	Today string
}

// Demo reports whether figures are the demo's.
func (d populationPage) Demo() bool {
	return slices.ContainsFunc(d.Rows, func(r populationRow) bool { return r.Source == DemoSource })
}

func (s *Service) population(c *web.Ctx, product string) (d populationPage, err error) {
	n, err := s.names(c)
	if err != nil {
		return d, err
	}
	d.Today = isoDay(clock.Day(c.Now))
	if n.Product(product) != "" {
		d.Back = product
	}
	figures, err := Figures(c.Std(), s.pool)
	if err != nil {
		return d, err
	}
	centres, err := centre.List(c.Std(), s.pool)
	for _, ce := range centres {
		d.Rows = append(d.Rows, populationRow{ce.ID, ce.Name, "people_centre_" + ce.ID, figures[ce.ID]})
		d.Total += figures[ce.ID].People
	}
	return d, err
}

func (s *Service) populationPage(c *web.Ctx) error {
	d, err := s.population(c, c.Query("product"))
	if err != nil {
		return err
	}
	f := web.NewForm()
	for _, r := range d.Rows {
		if r.People > 0 {
			f.Set(r.Field, strconv.Itoa(r.People))
		}
		if r.Source != "" && r.Source != DemoSource {
			f.Set("source", r.Source)
			if r.AsOf != nil {
				f.Set("as_of", isoDay(*r.AsOf))
			}
		}
	}
	return c.PageForm("inventory/population", f, d)
}

func (s *Service) populationForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.population(c, f.Get("product"))
	if err != nil {
		return err
	}
	in := Census{People: map[string]int{}, Source: f.Get("source"), AsOf: f.Day("as_of", "inventory.error.day")}
	for _, r := range d.Rows {
		if f.Get(r.Field) != "" {
			in.People[r.CentreID] = f.Int(r.Field, 0, maxPeople, "inventory.error.number")
		}
	}
	if n := len([]rune(in.Source)); n == 0 || n > maxWhy {
		f.Fail("source", "inventory.error.source")
	}
	if in.AsOf.After(clock.Day(c.Now)) {
		f.Fail("as_of", "inventory.error.as_of")
	}
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return s.SetPopulation(c.Std(), tx, in, by(c)) })
		if err != nil && !formProblem(f, "source", err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/population", f, d)
	}
	c.Flash("inventory.population.saved")
	return c.See("/admin/allocation?product=" + d.Back)
}

type figureOut struct {
	People int    `json:"people"`
	Source string `json:"source" doc:"demo = the demo's rounded figures, not official"`
	AsOf   string `json:"as_of,omitempty" format:"date"`
}

type populationOut struct {
	Centres map[string]figureOut `json:"centres" doc:"by centre"`
}

func (s *Service) apiPopulation(c *web.Ctx, _ struct{}) (populationOut, error) {
	figures, err := Figures(c.Std(), s.pool)
	out := populationOut{Centres: make(map[string]figureOut, len(figures))}
	for id, f := range figures {
		x := figureOut{People: f.People, Source: f.Source}
		if f.AsOf != nil {
			x.AsOf = isoDay(*f.AsOf)
		}
		out.Centres[id] = x
	}
	return out, err
}

type populationIn struct {
	People map[string]int `json:"people" doc:"by centre"`
	Source string         `json:"source" maxlen:"200" doc:"who published the figures"`
	AsOf   string         `json:"as_of" format:"date" doc:"day of the figures, not after today"`
}

func (s *Service) apiSetPopulation(c *web.Ctx, in populationIn) (struct{}, error) {
	asOf, err := parseDay("as_of", in.AsOf)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error {
		return s.SetPopulation(c.Std(), tx, Census{in.People, in.Source, asOf}, by(c))
	}))
}
