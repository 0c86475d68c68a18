package inventory

import (
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web"
)

// apiRoutes are the JSON operations: the same functions as the pages.
func (s *Service) apiRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/stock", Roles: admin, API: web.JSON("List what lies where, by lot", s.apiStock)},
		{Method: http.MethodGet, Path: "/api/v1/stock/movements", Roles: admin, API: web.JSON("List the newest movements of the ledger", s.apiMovements)},
		{Method: http.MethodPost, Path: "/api/v1/stock/movements/:id/correct", Roles: admin, API: changing(s, "Undo a movement by its counter-movement", s.apiCorrect)},
		{Method: http.MethodPost, Path: "/api/v1/stock/transfers", Roles: admin, API: changing(s, "Move stock between two places", s.apiTransfer)},
		{Method: http.MethodPost, Path: "/api/v1/stock/waste", Roles: admin, API: changing(s, "Book vaccine that was thrown away", s.apiWaste)},
		{Method: http.MethodPost, Path: "/api/v1/stock/equal-shares", Roles: admin, API: changing(s, "Give the central store's vials to all active centres in equal shares", s.apiShares)},
		{Method: http.MethodGet, Path: "/api/v1/stock/lots/:id", Roles: admin, API: web.JSON("Show a lot: whether it is blocked, where it lies, where it was given", s.apiLot)},
		{Method: http.MethodPost, Path: "/api/v1/stock/lots/:id/block", Roles: admin, API: changing(s, "Block a lot: nothing of it is given or sent out any more", s.apiBlock)},
		{Method: http.MethodPost, Path: "/api/v1/stock/lots/:id/release", Roles: admin, API: changing(s, "Release a blocked lot", s.apiRelease)},
	}
}

func parseDay(field, s string) (time.Time, error) {
	f := web.NewForm(field, s)
	d := f.Day(field, "inventory.error.day")
	if !f.OK() {
		return d, web.Invalid(f.Errors...)
	}
	return d, nil
}

func isoDay(t time.Time) string { return t.Format(time.DateOnly) }

type stockIn struct {
	Place     string `query:"place" json:"-" doc:"central, centre:leipzig, team:…; all without it"`
	ProductID string `query:"product" json:"-"`
	On        string `query:"on" json:"-" doc:"day that decides about expiry and doses per vial; today without it"`
}

type holdingOut struct {
	Place     string `json:"place"`
	ProductID string `json:"product_id"`
	LotID     string `json:"lot_id"`
	LotNumber string `json:"lot_number"`
	Expiry    string `json:"expiry" doc:"last day on which it may be given"`
	Assumed   bool   `json:"assumed" doc:"number and expiry were not in the imported report"`
	Vials     int    `json:"vials"`
	OpenDoses int    `json:"open_doses"`
	Doses     int    `json:"doses" doc:"by the rule of the day; 0 when expired or blocked"`
	Blocked   bool   `json:"blocked"`

	OpenedAt  *time.Time   `json:"opened_at,omitempty" doc:"of the oldest opened vial"`
	OpenUntil *time.Time   `json:"open_until,omitempty" doc:"until then the open doses may be given"`
	OpenDue   bool         `json:"open_due,omitempty" doc:"that time has passed"`
	CarryBy   *time.Time   `json:"carry_until,omitempty" doc:"until then the closed vials may be in the box of a team"`
	CarryDue  bool         `json:"carry_due,omitempty" doc:"that time has passed"`
	Portions  []portionOut `json:"portions" doc:"the closed vials by the day on which they were thawed, first what runs out first"`
}

type portionOut struct {
	Portion string `json:"portion" doc:"frozen, or the day of thawing"`
	UseBy   string `json:"use_by" format:"date" doc:"last day on which they may be used"`
	Vials   int    `json:"vials"`
	Past    bool   `json:"past" doc:"that day has passed"`
}

type stockOut struct {
	Stock []holdingOut `json:"stock"`
}

func (s *Service) apiStock(c *web.Ctx, in stockIn) (stockOut, error) {
	on := c.Now
	if in.On != "" {
		var err error
		if on, err = parseDay("on", in.On); err != nil {
			return stockOut{}, err
		}
	}
	hs, err := s.Holdings(c.Std(), s.pool, Place(in.Place), in.ProductID, on)
	if err != nil {
		return stockOut{}, err
	}
	out := stockOut{Stock: []holdingOut{}}
	for _, h := range hs {
		out.Stock = append(out.Stock, asHoldingOut(h))
	}
	return out, nil
}

func asHoldingOut(h Holding) holdingOut {
	out := holdingOut{
		string(h.Place), h.ProductID, h.LotID, h.Number, isoDay(h.Expiry), h.Assumed, h.Vials, h.OpenDoses, h.Doses, h.Blocked,
		h.OpenedAt, h.OpenUntil, h.OpenDue, h.Carried, h.CarryDue,
		[]portionOut{},
	}
	for _, p := range h.Portions {
		out.Portions = append(out.Portions, portionOut{string(p.Name()), isoDay(p.UseBy), p.Vials, p.Past})
	}
	return out
}

type movementsIn struct {
	Place string `query:"place" json:"-"`
	Limit int    `query:"limit" json:"-" doc:"1 to 1000; 100 without it"`
}

type movementsOut struct {
	Movements []Movement `json:"movements"`
}

func (s *Service) apiMovements(c *web.Ctx, in movementsIn) (movementsOut, error) {
	if in.Limit == 0 {
		in.Limit = 100
	}
	if in.Limit < 1 || in.Limit > 1000 {
		return movementsOut{}, web.Invalid(web.FieldError{Field: "limit", Key: "inventory.error.number", Args: []any{"Low", 1, "High", 1000}})
	}
	ms, err := Movements(c.Std(), s.pool, Place(in.Place), in.Limit)
	return movementsOut{ms}, err
}

type correctIn struct {
	ID  string `path:"id" json:"-"`
	Why string `json:"why" maxlen:"200"`
}

func (s *Service) apiCorrect(c *web.Ctx, in correctIn) (struct{}, error) {
	if len([]rune(in.Why)) > 200 {
		return struct{}{}, problem(ErrInvalid)
	}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.Correct(c.Std(), tx, in.ID, in.Why, by(c)) }))
}

type transferIn struct {
	From  string `json:"from"`
	To    string `json:"to"`
	LotID string `json:"lot_id"`
	Vials int    `json:"vials"`
	Doses int    `json:"doses" doc:"open doses"`
	Why   string `json:"why" maxlen:"200"`

	Portion string `json:"portion,omitempty" doc:"frozen, or the day of thawing; without it what runs out first"`
}

func (s *Service) apiTransfer(c *web.Ctx, in transferIn) (struct{}, error) {
	if len([]rune(in.Why)) > 200 || in.Vials > maxVials || in.Doses > maxVials || Place(in.To).TeamID() != "" {
		return struct{}{}, problem(ErrInvalid) // a team's box is filled with its visits
	}
	t := Transfer{From: Place(in.From), To: Place(in.To), LotID: in.LotID, Vials: in.Vials, Doses: in.Doses, Portion: Portion(in.Portion), Actor: c.Actor(), Why: in.Why, At: c.Now}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.transferAudited(c, tx, t) }))
}

type wasteIn struct {
	Place  string     `json:"place"`
	LotID  string     `json:"lot_id"`
	Vials  int        `json:"vials"`
	Doses  int        `json:"doses" doc:"open doses"`
	Opened *time.Time `json:"opened_at,omitempty" doc:"when the vial was opened of which the doses are, as it was seen"`
	Reason string     `json:"reason" enum:"open-vial,closed-vial,expired,cold-chain"`
	Why    string     `json:"why" maxlen:"200"`

	Portion string `json:"portion,omitempty" doc:"frozen, or the day of thawing; without it what is past or runs out first"`
}

func (s *Service) apiWaste(c *web.Ctx, in wasteIn) (struct{}, error) {
	if len([]rune(in.Why)) > 200 || in.Vials > maxVials || in.Doses > maxVials {
		return struct{}{}, problem(ErrInvalid)
	}
	w := Waste{Place: Place(in.Place), LotID: in.LotID, Vials: in.Vials, Doses: in.Doses, Portion: Portion(in.Portion), OpenedAt: in.Opened, Reason: Reason(in.Reason), Actor: c.Actor(), Why: in.Why, At: c.Now}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.wasteAudited(c, tx, w) }))
}

type sharesIn struct {
	ProductID string `json:"product_id"`
}

func (s *Service) apiShares(c *web.Ctx, in sharesIn) (sh Shares, err error) {
	err = s.change(c, func(tx pgx.Tx) (err error) {
		if sh, err = s.EqualShares(c.Std(), tx, in.ProductID, "equal shares", by(c)); err != nil {
			return err
		}
		return s.answer(c, tx, sh)
	})
	return sh, problem(err)
}
