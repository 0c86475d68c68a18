package inventory

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// allocationRoutes are the pages and operations of the allocation plan.
func (s *Service) allocationRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/allocation", Roles: admin, Nav: "inventory.nav.allocation", NavGroup: "web.nav.vaccine", Handle: s.allocationPage},
		{Method: http.MethodPost, Path: "/admin/allocation/plan", Roles: admin, Handle: s.allocationPlanForm},
		{Method: http.MethodPost, Path: "/admin/allocation/population", Roles: admin, Handle: s.populationForm},
		{Method: http.MethodPost, Path: "/admin/allocation/check", Roles: admin, Handle: s.allocationCheck},
		{Method: http.MethodPost, Path: "/admin/allocation/send", Roles: admin, Handle: s.allocationSend},
		{Method: http.MethodGet, Path: "/api/v1/allocation/:product", Roles: admin, API: web.JSON("Read the allocation plan of a product and what it would send now", s.apiAllocation)},
		{Method: http.MethodPut, Path: "/api/v1/allocation/:product", Roles: admin, API: web.JSON("Set the allocation plan of a product", s.apiSetAllocation)},
		{Method: http.MethodPost, Path: "/api/v1/allocation/:product/send", Roles: admin, API: web.JSON("Send vials from the central store as previewed", s.apiSend)},
		{Method: http.MethodGet, Path: "/api/v1/population", Roles: admin, API: web.JSON("List how many people live in the areas of the centres", s.apiPopulation)},
		{Method: http.MethodPut, Path: "/api/v1/population", Roles: admin, API: web.JSON("Set how many people live in the areas of centres", s.apiSetPopulation)},
	}
}

// allocationRow is a centre or team and the names of its fields.
type allocationRow struct {
	Place                 Place
	Name                  string
	Weight, Amount, Count string // fields: weight in the plan, vials to send, people
	Vials, Doses          int    // of the step that is confirmed
}

type allocationPage struct {
	Names    *names
	Product  string
	Plan     AllocationPlan
	Methods  []web.Option
	Preview  Preview
	PerVial  int
	Rows     []allocationRow // centres, then teams
	Centres  []allocationRow
	Seen     string
	Sum      int // vials that are to be sent
	SumDoses int
	Left     int
}

func (s *Service) allocation(c *web.Ctx, product string) (allocationPage, error) {
	n, err := s.names(c)
	if err != nil {
		return allocationPage{}, err
	}
	d := allocationPage{Names: n, Product: product}
	if d.Product == "" && len(n.Products) > 0 {
		d.Product = n.Products[0].Value
	}
	if n.Product(d.Product) == "" {
		return d, web.NotFound()
	}
	for _, m := range []Method{ByShares, ByPopulation, ByHand} {
		d.Methods = append(d.Methods, web.Option{Value: string(m), Label: c.T("inventory.allocation.method." + string(m)), Hint: c.T("inventory.allocation.method." + string(m) + "_hint")})
	}
	if d.Plan, err = Plan(c.Std(), s.pool, d.Product); err != nil {
		return d, err
	}
	if d.Preview, err = s.PreviewAllocation(c.Std(), s.pool, d.Plan, 0); err != nil {
		return d, err
	}
	if d.PerVial, err = DosesPerVial(c.Std(), s.pool, d.Product, c.Now); err != nil {
		return d, err
	}
	centres, err := centre.List(c.Std(), s.pool)
	if err != nil {
		return d, err
	}
	add := func(p Place, name string) {
		key := strings.Replace(string(p), ":", "_", 1)
		d.Rows = append(d.Rows, allocationRow{Place: p, Name: name, Weight: "weight_" + key, Amount: "vials_" + key, Count: "people_" + key})
	}
	for _, ce := range centres {
		add(CentrePlace(ce.ID), ce.Name)
	}
	d.Centres = slices.Clone(d.Rows)
	if s.TeamNames != nil {
		teams, err := s.TeamNames(c.Std(), s.pool)
		if err != nil {
			return d, err
		}
		for _, id := range sortedByName(teams) {
			add(TeamPlace(id), teams[id])
		}
	}
	d.Seen, d.Left = strconv.Itoa(d.Preview.Central), d.Preview.Central
	return d, nil
}

func sortedByName(teams map[string]string) []string {
	ids := make([]string, 0, len(teams))
	for id := range teams {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(teams[a]+a, teams[b]+b) })
	return ids
}

// fillIn sets what the forms of the page do not have yet: what is stored, and the
// vials by the plan.
func (s *Service) fillIn(c *web.Ctx, d allocationPage, f *web.Form) error {
	people, err := Population(c.Std(), s.pool)
	if err != nil {
		return err
	}
	set := func(field, v string) {
		if f.Get(field) == "" {
			f.Set(field, v)
		}
	}
	set("product", d.Product)
	if f.Get("method") == "" && d.Plan.Automatic { // not when somebody has just unticked it
		set("automatic", "1")
	}
	set("method", string(d.Plan.Method))
	for _, r := range d.Rows {
		if i := slices.IndexFunc(d.Plan.Shares, func(sh Share) bool { return sh.Place == r.Place }); i >= 0 {
			set(r.Weight, strconv.Itoa(d.Plan.Shares[i].Weight))
		}
		if i := slices.IndexFunc(d.Preview.Amounts, func(a Amount) bool { return a.Place == r.Place }); i >= 0 && d.Preview.Amounts[i].Vials > 0 {
			set(r.Amount, strconv.Itoa(d.Preview.Amounts[i].Vials))
		}
		if n, ok := people[r.Place.CentreID()]; ok {
			set(r.Count, strconv.Itoa(n))
		}
	}
	return nil
}

func (s *Service) allocationPage(c *web.Ctx) error {
	d, err := s.allocation(c, c.Query("product"))
	if err != nil {
		return err
	}
	f := web.NewForm()
	if err := s.fillIn(c, d, f); err != nil {
		return err
	}
	return c.PageForm("inventory/allocation", f, d)
}

// allocationAgain shows the page with what was typed and what is wrong.
func (s *Service) allocationAgain(c *web.Ctx, f *web.Form, d allocationPage) error {
	if err := s.fillIn(c, d, f); err != nil {
		return err
	}
	return c.PageForm("inventory/allocation", f, d)
}

// optionalInt reads a number that may be left empty.
func optionalInt(f *web.Form, field string, high int) int {
	if f.Get(field) == "" {
		return 0
	}
	return f.Int(field, 0, high, "inventory.error.number")
}

func (s *Service) allocationPlanForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.allocation(c, f.Get("product"))
	if err != nil {
		return err
	}
	p := AllocationPlan{ProductID: d.Product, Method: Method(known(f, "method", d.Methods)), Automatic: f.Get("automatic") != ""}
	for _, r := range d.Rows {
		if w := optionalInt(f, r.Weight, 1_000_000); w > 0 {
			p.Shares = append(p.Shares, Share{r.Place, w})
		}
	}
	if p.Automatic && p.Method == ByHand {
		f.Fail("automatic", "inventory.error.allocation_hand")
	}
	if p.Method == ByShares && len(p.Shares) == 0 && len(d.Rows) > 0 {
		f.Fail(d.Rows[0].Weight, "inventory.error.allocation_shares")
	}
	if f.OK() {
		err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return s.SetPlan(c.Std(), tx, p, by(c)) })
		if err != nil && !formProblem(f, "method", err) {
			return err
		}
	}
	if !f.OK() {
		return s.allocationAgain(c, f, d)
	}
	c.Flash("inventory.allocation.saved")
	return c.See("/admin/allocation?product=" + d.Product)
}

func (s *Service) populationForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.allocation(c, f.Get("product"))
	if err != nil {
		return err
	}
	people := map[string]int{}
	for _, r := range d.Centres {
		if f.Get(r.Count) != "" {
			people[r.Place.CentreID()] = f.Int(r.Count, 0, 20_000_000, "inventory.error.number")
		}
	}
	if !f.OK() {
		return s.allocationAgain(c, f, d)
	}
	if err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return s.SetPopulation(c.Std(), tx, people, by(c)) }); err != nil {
		return problem(err)
	}
	c.Flash("inventory.allocation.population_saved")
	return c.See("/admin/allocation?product=" + d.Product)
}

// amountsOf reads what is to be sent into the page.
func (d *allocationPage) amountsOf(f *web.Form) []Amount {
	var out []Amount
	for i, r := range d.Rows {
		n := optionalInt(f, r.Amount, maxVials)
		d.Rows[i].Vials, d.Rows[i].Doses = n, n*d.PerVial
		d.Sum += n
		if n > 0 {
			out = append(out, Amount{r.Place, n})
		}
	}
	d.SumDoses, d.Left = d.Sum*d.PerVial, d.Preview.Central-d.Sum
	if len(d.Rows) > 0 && f.OK() {
		switch first := d.Rows[0].Amount; {
		case d.Sum == 0:
			f.Fail(first, "inventory.error.nothing")
		case d.Left < 0:
			f.Fail(first, "inventory.error.allocation_more", "Sum", d.Sum, "Central", d.Preview.Central)
		}
	}
	return out
}

// allocationCheck shows what would be sent, to be confirmed.
func (s *Service) allocationCheck(c *web.Ctx) error {
	f := c.Form()
	d, err := s.allocation(c, f.Get("product"))
	if err != nil {
		return err
	}
	d.amountsOf(f)
	if !f.OK() {
		return s.allocationAgain(c, f, d)
	}
	return c.PageForm("inventory/allocation_check", f, d)
}

func (s *Service) allocationSend(c *web.Ctx) error {
	f := c.Form()
	d, err := s.allocation(c, f.Get("product"))
	if err != nil {
		return err
	}
	seen := f.Int("seen", 0, 1<<30, "inventory.error.number")
	amounts := d.amountsOf(f)
	if f.OK() {
		err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error {
			return s.Allocate(c.Std(), tx, d.Product, amounts, seen, "allocation plan: "+string(d.Plan.Method), by(c))
		})
		if err != nil && !formProblem(f, d.Rows[0].Amount, err) {
			return err
		}
	}
	if !f.OK() {
		return s.allocationAgain(c, f, d)
	}
	c.Flash("inventory.allocation.sent", "Sum", d.Sum, "Left", d.Left)
	return c.See("/admin/stock?product=" + d.Product)
}

type allocationIn struct {
	Product string `path:"product" json:"-"`
	Keep    int    `query:"keep" json:"-" doc:"vials that stay in the central store"`
}

type allocationOut struct {
	Plan    AllocationPlan `json:"plan"`
	Preview Preview        `json:"preview" doc:"what would be sent now; central is the 'seen' of sending"`
}

func (s *Service) apiAllocation(c *web.Ctx, in allocationIn) (out allocationOut, err error) {
	if _, err := s.allocation(c, in.Product); err != nil {
		return out, err
	}
	if out.Plan, err = Plan(c.Std(), s.pool, in.Product); err != nil {
		return out, err
	}
	out.Preview, err = s.PreviewAllocation(c.Std(), s.pool, out.Plan, in.Keep)
	return out, err
}

type setAllocationIn struct {
	Product   string  `path:"product" json:"-"`
	Method    string  `json:"method" enum:"fixed,population,hand"`
	Automatic bool    `json:"automatic" doc:"as soon as a delivery has come to the central store; not by hand"`
	Shares    []Share `json:"shares" doc:"for fixed: weights of centres and teams, their sum may be any"`
}

func (s *Service) apiSetAllocation(c *web.Ctx, in setAllocationIn) (struct{}, error) {
	p := AllocationPlan{ProductID: in.Product, Method: Method(in.Method), Automatic: in.Automatic, Shares: in.Shares}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return s.SetPlan(c.Std(), tx, p, by(c)) }))
}

type sendIn struct {
	Product string   `path:"product" json:"-"`
	Amounts []Amount `json:"amounts"`
	Seen    int      `json:"seen" doc:"vials that the central store held in the preview"`
	Why     string   `json:"why" maxlen:"200"`
}

func (s *Service) apiSend(c *web.Ctx, in sendIn) (struct{}, error) {
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error {
		return s.Allocate(c.Std(), tx, in.Product, in.Amounts, in.Seen, in.Why, by(c))
	}))
}

type populationIn struct {
	People map[string]int `json:"people" doc:"by centre"`
}

func (s *Service) apiPopulation(c *web.Ctx, _ struct{}) (out populationIn, err error) {
	out.People, err = Population(c.Std(), s.pool)
	return out, err
}

func (s *Service) apiSetPopulation(c *web.Ctx, in populationIn) (struct{}, error) {
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return s.SetPopulation(c.Std(), tx, in.People, by(c)) }))
}
