package inventory

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/web"
)

// allocationRoutes are the pages and operations of the allocation plan.
func (s *Service) allocationRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/allocation", Roles: admin, Nav: "inventory.nav.allocation", NavGroup: "web.nav.vaccine", Handle: s.allocationPage},
		{Method: http.MethodGet, Path: "/admin/allocation/plan", Roles: admin, Handle: s.planPage},
		{Method: http.MethodPost, Path: "/admin/allocation/plan", Roles: admin, Handle: s.allocationPlanForm},
		{Method: http.MethodGet, Path: "/admin/allocation/population", Roles: admin, Handle: s.populationPage},
		{Method: http.MethodPost, Path: "/admin/allocation/population", Roles: admin, Handle: s.populationForm},
		{Method: http.MethodPost, Path: "/admin/allocation/check", Roles: admin, Handle: s.allocationCheck},
		{Method: http.MethodPost, Path: "/admin/allocation/edit", Roles: admin, Handle: s.allocationEdit},
		{Method: http.MethodPost, Path: "/admin/allocation/send", Roles: admin, Handle: s.allocationSend},
		{Method: http.MethodGet, Path: "/api/v1/allocation/:product", Roles: admin, API: web.JSON("Read the allocation plan of a product and what it would send now", s.apiAllocation)},
		{Method: http.MethodPut, Path: "/api/v1/allocation/:product", Roles: admin, API: changing(s, "Set the allocation plan of a product", s.apiSetAllocation)},
		{Method: http.MethodPost, Path: "/api/v1/allocation/:product/send", Roles: admin, API: changing(s, "Send vials from the central store as previewed", s.apiSend)},
		{Method: http.MethodGet, Path: "/api/v1/population", Roles: admin, API: web.JSON("List how many people live in the areas of the centres, and who says so", s.apiPopulation)},
		{Method: http.MethodPut, Path: "/api/v1/population", Roles: admin, API: changing(s, "Set how many people live in the areas of centres, with the source", s.apiSetPopulation)},
	}
}

// allocationRow is a centre or team and the names of its fields.
type allocationRow struct {
	Place          Place
	Name           string
	Weight, Amount string // fields: weight in the plan, vials to send
	Hint           string // what lies there, how long it lasts, what the plan would send
	Vials, Doses   int    // of the step that is confirmed
}

type allocationPage struct {
	Names    *names
	Product  string
	Plan     AllocationPlan
	Methods  []web.Option
	Preview  Preview
	PerVial  int
	Rows     []allocationRow // centres, then teams
	Coming   *Delivery       // the next one to the central store
	Equal    bool            // the numbers in the form are equal shares
	Seen     string          // vials in the central store as shown
	SeenAt   string
	Stale    *staleStock
	Sum      int // vials that are to be sent
	SumDoses int
	Left     int
}

// CentralDoses is what lies in the central store, in doses.
func (d allocationPage) CentralDoses() int { return d.Preview.Central * d.PerVial }

// LeftDoses is what stays in the central store, in doses.
func (d allocationPage) LeftDoses() int { return d.Left * d.PerVial }

// staleStock says what has changed in the central store while somebody typed.
type staleStock struct {
	Was, Now int
	Moves    []Movement // that were entered in the meantime, the newest first
}

func (s *Service) allocation(c *web.Ctx, product string) (allocationPage, error) {
	n, err := s.names(c)
	if err != nil {
		return allocationPage{}, err
	}
	d := allocationPage{Names: n, Product: product, SeenAt: c.Now.UTC().Format(time.RFC3339Nano)}
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
	for _, ce := range centres {
		d.add(CentrePlace(ce.ID), ce.Name)
	}
	if s.TeamNames != nil {
		teams, err := s.TeamNames(c.Std(), s.pool)
		if err != nil {
			return d, err
		}
		for _, id := range sortedByName(teams) {
			d.add(TeamPlace(id), teams[id])
		}
	}
	d.Seen, d.Left = strconv.Itoa(d.Preview.Central), d.Preview.Central
	return d, nil
}

func (d *allocationPage) add(p Place, name string) {
	key := strings.Replace(string(p), ":", "_", 1)
	d.Rows = append(d.Rows, allocationRow{Place: p, Name: name, Weight: "weight_" + key, Amount: "vials_" + key})
}

func sortedByName(teams map[string]string) []string {
	ids := make([]string, 0, len(teams))
	for id := range teams {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(centre.CompareNames(teams[a], teams[b]), cmp.Compare(a, b)) })
	return ids
}

// picture adds to the page what helps to share out: what lies at each place, how
// long it lasts, what the plan would send, and what comes next.
func (s *Service) picture(c *web.Ctx, d *allocationPage) error {
	held, err := s.Holdings(c.Std(), s.pool, "", d.Product, c.Now)
	if err != nil {
		return err
	}
	outlooks, err := s.Outlooks(c.Std(), s.pool, c.Now, outlookWeeks)
	if err != nil {
		return err
	}
	for i := range d.Rows {
		r := &d.Rows[i]
		there, byPlan := 0, 0
		for _, h := range held {
			if h.Place == r.Place && h.Doses > 0 {
				there += h.Vials - h.PastVials()
			}
		}
		for _, a := range d.Preview.Amounts {
			if a.Place == r.Place {
				byPlan = a.Vials
			}
		}
		r.Hint = c.T("inventory.allocation.there", "Count", there, "N", web.FormatNumber(c.Lang, there))
		for _, o := range outlooks {
			if o.ProductID == d.Product && CentrePlace(o.CentreID) == r.Place {
				r.Hint += " " + reachOf(o).words(c, "inventory.reach.that.")
			}
		}
		if d.Plan.Method != ByHand {
			r.Hint += " " + c.T("inventory.allocation.by_plan", "N", web.FormatNumber(c.Lang, byPlan))
		}
	}
	coming, err := Deliveries(c.Std(), s.pool, "", 2*listLimit)
	for i, x := range coming { // latest first
		if x.Coming() && x.Place == Central && x.ProductID == d.Product {
			d.Coming = &coming[i]
		}
	}
	return err
}

func (s *Service) allocationPage(c *web.Ctx) error {
	d, err := s.allocation(c, c.Query("product"))
	if err != nil {
		return err
	}
	f := web.NewForm("product", d.Product)
	amounts := d.Preview.Amounts
	if d.Equal = c.Query("fill") == "equal"; d.Equal {
		amounts = d.equal()
	}
	for _, a := range amounts {
		if i := slices.IndexFunc(d.Rows, func(r allocationRow) bool { return r.Place == a.Place }); i >= 0 && a.Vials > 0 {
			f.Set(d.Rows[i].Amount, strconv.Itoa(a.Vials))
		}
	}
	return s.allocationShow(c, f, d)
}

// equal gives the same number of whole vials to each active centre.
func (d allocationPage) equal() []Amount {
	var out []Amount
	for _, r := range d.Rows {
		if r.Place.CentreID() != "" {
			out = append(out, Amount{Place: r.Place})
		}
	}
	for i := range out {
		out[i].Vials = d.Preview.Central / len(out)
	}
	return out
}

// allocationShow shows the page with what stands in the form.
func (s *Service) allocationShow(c *web.Ctx, f *web.Form, d allocationPage) error {
	if err := s.picture(c, &d); err != nil {
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
	if f.OK() {
		switch {
		case d.Sum == 0:
			f.Fail("amounts", "inventory.error.nothing_to_send")
		case d.Left < 0:
			f.Fail("amounts", "inventory.error.allocation_more", "Sum", d.Sum, "Central", d.Preview.Central)
		}
	}
	return out
}

// changedSince notes on the page what has changed in the central store since the
// form's figures were shown.
func (s *Service) changedSince(c *web.Ctx, d *allocationPage, f *web.Form) error {
	was, err := strconv.Atoi(f.Get("seen"))
	if err != nil || was == d.Preview.Central {
		return nil //nolint:nilerr // a form without the figure knows of no change
	}
	d.Stale = &staleStock{Was: was, Now: d.Preview.Central}
	since, err := time.Parse(time.RFC3339Nano, f.Get("seen_at"))
	if err != nil || c.Now.Sub(since) > 24*time.Hour {
		return nil //nolint:nilerr // the figures alone will do
	}
	d.Stale.Moves, err = MovementsSince(c.Std(), s.pool, Central, d.Product, since, 10)
	return err
}

// allocationOf reads the form of the page and what has changed since it was shown.
func (s *Service) allocationOf(c *web.Ctx) (*web.Form, allocationPage, error) {
	f := c.Form()
	d, err := s.allocation(c, f.Get("product"))
	if err == nil {
		err = s.changedSince(c, &d, f)
	}
	return f, d, err
}

// allocationCheck shows what would be sent, to be confirmed.
func (s *Service) allocationCheck(c *web.Ctx) error {
	f, d, err := s.allocationOf(c)
	if err != nil {
		return err
	}
	d.amountsOf(f)
	if !f.OK() {
		return s.allocationShow(c, f, d)
	}
	return c.PageForm("inventory/allocation_check", f, d)
}

// allocationEdit goes back from the check with everything that was typed.
func (s *Service) allocationEdit(c *web.Ctx) error {
	f, d, err := s.allocationOf(c)
	if err != nil {
		return err
	}
	return s.allocationShow(c, f, d)
}

func (s *Service) allocationSend(c *web.Ctx) error {
	f, d, err := s.allocationOf(c)
	if err != nil {
		return err
	}
	seen := f.Int("seen", 0, 1<<30, "inventory.error.number")
	amounts := d.amountsOf(f)
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error {
			return s.Allocate(c.Std(), tx, d.Product, amounts, seen, "allocation plan: "+string(d.Plan.Method), by(c))
		})
		if err != nil && !formProblem(f, "amounts", err) {
			return err
		}
		if !f.OK() { // perhaps it has changed between reading and sending
			if _, d, err = s.allocationOf(c); err != nil {
				return err
			}
		}
	}
	if !f.OK() {
		return s.allocationShow(c, f, d)
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
	Shares    []Share `json:"shares" doc:"for fixed: weights of centres and teams, their sum may be any; with another method they are kept for later, and without them those that are stored"`
}

func (s *Service) apiSetAllocation(c *web.Ctx, in setAllocationIn) (struct{}, error) {
	p := AllocationPlan{ProductID: in.Product, Method: Method(in.Method), Automatic: in.Automatic, Shares: in.Shares}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.SetPlan(c.Std(), tx, p, by(c)) }))
}

type sendIn struct {
	Product string   `path:"product" json:"-"`
	Amounts []Amount `json:"amounts"`
	Seen    int      `json:"seen" doc:"vials that the central store held in the preview"`
	Why     string   `json:"why" maxlen:"200"`
}

func (s *Service) apiSend(c *web.Ctx, in sendIn) (struct{}, error) {
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error {
		return s.Allocate(c.Std(), tx, in.Product, in.Amounts, in.Seen, in.Why, by(c))
	}))
}
