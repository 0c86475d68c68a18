package inventory

import (
	"cmp"
	"html/template"
	"slices"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// LotCard shows what another slice knows of a lot, such as whom it was given to.
type LotCard func(lotID string) web.Card

type lotPage struct {
	Names    *names
	Lot      Lot
	Block    *Block
	Expired  bool
	Holdings []Holding
	Given    []GivenDay
	Cards    []template.HTML
}

func (s *Service) lot(c *web.Ctx) (d lotPage, err error) {
	if d.Lot, err = LotByID(c.Std(), s.pool, c.Params("id")); err != nil {
		return d, problem(err)
	}
	d.Expired = d.Lot.Expiry.Before(clock.Day(c.Now))
	if d.Names, err = s.names(c); err != nil {
		return d, err
	}
	if d.Block, err = BlockOf(c.Std(), s.pool, d.Lot.ID); err != nil {
		return d, err
	}
	all, err := s.Holdings(c.Std(), s.pool, "", d.Lot.ProductID, c.Now)
	if err != nil {
		return d, err
	}
	for _, h := range all {
		if h.LotID == d.Lot.ID {
			d.Holdings = append(d.Holdings, h)
		}
	}
	d.Names.holdings(d.Holdings)
	if d.Given, err = GivenOf(c.Std(), s.pool, d.Lot.ID); err != nil {
		return d, err
	}
	slices.SortStableFunc(d.Given, func(a, b GivenDay) int { return cmp.Or(b.Day.Compare(a.Day), d.Names.compare(a.Place, b.Place)) })
	cards := make([]web.Card, len(s.LotCards))
	for i, card := range s.LotCards {
		cards[i] = card(d.Lot.ID)
	}
	d.Cards, err = c.Cards(cards)
	return d, err
}

func (s *Service) lotPage(c *web.Ctx) error {
	d, err := s.lot(c)
	if err != nil {
		return err
	}
	return c.Page("inventory/lot", d)
}

func (s *Service) blockForm(c *web.Ctx) error {
	return s.setBlockForm(c, "inventory.lot.block.done", s.BlockLot)
}

func (s *Service) releaseForm(c *web.Ctx) error {
	return s.setBlockForm(c, "inventory.lot.release.done", s.ReleaseLot)
}

func (s *Service) setBlockForm(c *web.Ctx, done string, do blocking) error {
	f := c.Form()
	why := reasonText(f, "why")
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return do(c.Std(), tx, c.Params("id"), why, by(c)) })
		if err != nil && !formProblem(f, "why", err) {
			return err
		}
	}
	if !f.OK() {
		d, err := s.lot(c)
		if err != nil {
			return err
		}
		return c.PageForm("inventory/lot", f, d)
	}
	c.Flash(done)
	return c.See("/admin/stock/lots/" + c.Params("id"))
}

type lotIn struct {
	ID string `path:"id" json:"-"`
}

type lotOut struct {
	ID        string       `json:"id"`
	ProductID string       `json:"product_id"`
	Number    string       `json:"lot_number"`
	Expiry    string       `json:"expiry" format:"date"`
	Block     *Block       `json:"block,omitempty" doc:"absent = it may be given"`
	Stock     []holdingOut `json:"stock"`
	Given     []GivenDay   `json:"given"`
}

func (s *Service) apiLot(c *web.Ctx, in lotIn) (lotOut, error) {
	l, err := LotByID(c.Std(), s.pool, in.ID)
	if err != nil {
		return lotOut{}, problem(err)
	}
	out := lotOut{ID: l.ID, ProductID: l.ProductID, Number: l.Number, Expiry: isoDay(l.Expiry), Stock: []holdingOut{}}
	if out.Block, err = BlockOf(c.Std(), s.pool, l.ID); err != nil {
		return out, err
	}
	if out.Given, err = GivenOf(c.Std(), s.pool, l.ID); err != nil {
		return out, err
	}
	all, err := s.Holdings(c.Std(), s.pool, "", l.ProductID, c.Now)
	for _, h := range all {
		if h.LotID == l.ID {
			out.Stock = append(out.Stock, asHoldingOut(h))
		}
	}
	return out, err
}

type blockIn struct {
	ID  string `path:"id" json:"-"`
	Why string `json:"why" maxlen:"200"`
}

func (s *Service) apiBlock(c *web.Ctx, in blockIn) (struct{}, error) {
	return struct{}{}, s.apiSetBlock(c, in, s.BlockLot)
}

func (s *Service) apiRelease(c *web.Ctx, in blockIn) (struct{}, error) {
	return struct{}{}, s.apiSetBlock(c, in, s.ReleaseLot)
}

func (s *Service) apiSetBlock(c *web.Ctx, in blockIn, do blocking) error {
	return problem(s.change(c, func(tx pgx.Tx) error { return do(c.Std(), tx, in.ID, in.Why, by(c)) }))
}
