package inventory

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// total is what all places together hold of a product.
type total struct {
	ProductID    string
	Vials, Doses int
	PerVial      int
	Places       int
}

type stockPage struct {
	Names     *names
	Place     Place
	ProductID string
	Places    []web.Option // with "all"
	Products  []web.Option
	Totals    []total
	Holdings  []Holding
	Rows      []stockRow
	Movements []Movement
	More      bool // there are older movements than those shown
	Soon      []soon
	Blocked   []blockedLot
	Today     time.Time
}

// blockedLot is what lies of a lot that may not be given.
type blockedLot struct {
	ProductID, LotID, Number string
	Vials                    int // closed ones, at all places shown
}

// blockedOf lists the blocked lots in the order of the holdings.
func blockedOf(hs []Holding) (out []blockedLot) {
	for _, h := range hs {
		if !h.Blocked {
			continue
		}
		i := slices.IndexFunc(out, func(b blockedLot) bool { return b.LotID == h.LotID })
		if i < 0 {
			i = len(out)
			out = append(out, blockedLot{h.ProductID, h.LotID, h.Number, 0})
		}
		out[i].Vials += h.Vials
	}
	return out
}

// soon is a portion that runs out within soonDays, or has.
type soon struct {
	Place                    Place
	ProductID, LotID, Number string
	Held
}

// soonDays is how many days ahead the page warns.
const soonDays = 7

// runningOut lists what runs out soon, the first one first.
func runningOut(hs []Holding, today time.Time) []soon {
	var out []soon
	for _, h := range hs {
		for _, p := range h.Portions {
			if !p.UseBy.After(today.AddDate(0, 0, soonDays)) {
				out = append(out, soon{h.Place, h.ProductID, h.LotID, h.Number, p})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b soon) int { return a.UseBy.Compare(b.UseBy) })
	return out
}

// How many of the newest movements the page lists: at first, and when somebody asks
// for more.
const (
	shownMovements = 10
	moreMovements  = 200
)

// stockRow is what a place can give, by the page's products.
type stockRow struct {
	Place Place
	Doses []int
}

// table adds the usable doses up by place and product.
func (d stockPage) table() (rows []stockRow) {
	for _, h := range d.Holdings {
		i := slices.IndexFunc(rows, func(r stockRow) bool { return r.Place == h.Place })
		if i < 0 {
			i = len(rows)
			rows = append(rows, stockRow{h.Place, make([]int, len(d.Totals))})
		}
		for k, t := range d.Totals {
			if t.ProductID == h.ProductID {
				rows[i].Doses[k] += h.Doses
			}
		}
	}
	return rows
}

func (s *Service) stock(c *web.Ctx) (stockPage, error) {
	n, err := s.names(c)
	if err != nil {
		return stockPage{}, err
	}
	all := web.Option{Label: c.T("inventory.all")}
	d := stockPage{
		Names: n, Place: Place(c.Query("place")), ProductID: c.Query("product"), Today: clock.Day(c.Now),
		Places: append([]web.Option{all}, n.Places...), Products: append([]web.Option{all}, n.Products...),
	}
	if d.Holdings, err = s.Holdings(c.Std(), s.pool, d.Place, d.ProductID, c.Now); err != nil {
		return d, err
	}
	n.holdings(d.Holdings)
	d.Soon, d.Blocked = runningOut(d.Holdings, d.Today), blockedOf(d.Holdings)
	shown := shownMovements
	if c.Query("movements") != "" {
		shown = moreMovements
	}
	if d.Movements, err = Movements(c.Std(), s.pool, d.Place, shown+1); err != nil {
		return d, err
	}
	if len(d.Movements) > shown {
		d.Movements, d.More = d.Movements[:shown], shown < moreMovements
	}
	for _, p := range n.Products {
		t := total{ProductID: p.Value}
		seen := map[Place]bool{}
		for _, h := range d.Holdings {
			if h.ProductID == p.Value {
				t.Vials += h.Vials
				t.Doses += h.Doses
				seen[h.Place] = true
			}
		}
		if t.Places = len(seen); t.Places == 0 {
			continue
		}
		if t.PerVial, err = DosesPerVial(c.Std(), s.pool, p.Value, c.Now); err != nil {
			return d, err
		}
		d.Totals = append(d.Totals, t)
	}
	d.Rows = d.table()
	return d, nil
}

func (s *Service) stockPage(c *web.Ctx) error {
	d, err := s.stock(c)
	if err != nil {
		return err
	}
	return c.PageForm("inventory/stock", web.NewForm("place", string(d.Place), "product", d.ProductID), d)
}

type movementPage struct {
	Names    *names
	Movement Movement
}

func (s *Service) movement(c *web.Ctx) (movementPage, error) {
	m, err := MovementByID(c.Std(), s.pool, c.Params("id"))
	if err != nil {
		return movementPage{}, problem(err)
	}
	n, err := s.names(c)
	return movementPage{n, m}, err
}

func (s *Service) movementPage(c *web.Ctx) error {
	d, err := s.movement(c)
	if err != nil {
		return err
	}
	return c.Page("inventory/movement", d)
}

func (s *Service) correctForm(c *web.Ctx) error {
	d, err := s.movement(c)
	if err != nil {
		return err
	}
	f := c.Form()
	why := reasonText(f, "why")
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return s.Correct(c.Std(), tx, d.Movement.ID, why, by(c)) })
		if err != nil && !formProblem(f, "why", err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/movement", f, d)
	}
	c.Flash("inventory.corrected")
	return c.See("/admin/stock")
}
