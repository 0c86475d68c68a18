package inventory

import (
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// maxReceivedLots is how many lots one delivery may have.
const maxReceivedLots = 100

// lotFields are the names of the fields of one lot.
type lotFields struct {
	N, Number, Expiry, Vials string
	Focus                    bool // was just added
}

// lotRows are the fields of the first n lots.
func lotRows(n int) []lotFields {
	out := make([]lotFields, n)
	for i := range out {
		k := strconv.Itoa(i + 1)
		out[i] = lotFields{N: k, Number: "lot_" + k, Expiry: "expiry_" + k, Vials: "vials_" + k}
	}
	return out
}

// typedLots are the lots of a form: as many as it showed, and one more when that
// was asked for.
func typedLots(f *web.Form) (rows []lotFields, more bool) {
	n := 1
	if shown, err := strconv.Atoi(f.Get("lots")); err == nil {
		n = min(max(n, shown), maxReceivedLots)
	}
	for i, l := range lotRows(maxReceivedLots) {
		if f.Get(l.Number) != "" || f.Get(l.Expiry) != "" || f.Get(l.Vials) != "" {
			n = max(n, i+1)
		}
	}
	more = f.Get("more") != ""
	if more && n < maxReceivedLots {
		n++
	}
	rows = lotRows(n)
	rows[n-1].Focus = more
	return rows, more
}

func (s *Service) receiveForm(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	return s.receive(c, d)
}

// receive takes the lots that were typed, or shows one more line for them.
func (s *Service) receive(c *web.Ctx, d deliveryPage) error {
	f := c.Form()
	rows, more := typedLots(f)
	d.Lots = rows
	if more {
		return c.PageForm(d.Page, d.fill(f, "receive"), d)
	}
	lots, err := s.lotsOf(c, f, d)
	if err != nil {
		return err
	}
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return s.ReceiveDelivery(c.Std(), tx, d.Delivery.ID, lots, by(c)) })
		field := "lot_1"
		if errors.Is(err, ErrState) {
			field = "delivery"
		}
		if err != nil && !formProblem(f, field, err) {
			return err
		}
	}
	if !f.OK() {
		return s.deliveryAgain(c, f, d, "receive")
	}
	after, err := DeliveryByID(c.Std(), s.pool, d.Delivery.ID)
	if err != nil {
		return err
	}
	if after.Rest > 0 { // what is missing is settled on its page
		c.Flash("inventory.delivery.short", "N", after.Rest)
		return c.See(d.Base)
	}
	c.Flash("inventory.delivery.received")
	return c.See(d.Back)
}

// lotsOf reads the lots that were unloaded; lines with nothing in them do not count.
// A lot that is known with another last day is named at its own field. What is wrong
// is noted in the order of the fields.
func (s *Service) lotsOf(c *web.Ctx, f *web.Form, d deliveryPage) ([]ReceivedLot, error) {
	var lots []ReceivedLot
	for i, l := range d.Lots {
		if (i > 0 || len(d.Lots) > 1) && f.Get(l.Number) == "" && f.Get(l.Expiry) == "" && f.Get(l.Vials) == "" {
			continue
		}
		lot := ReceivedLot{Number: f.Get(l.Number)}
		named := lot.Number != "" && len([]rune(lot.Number)) <= maxLotNumber
		if !named {
			f.Fail(l.Number, "inventory.error.lot")
		}
		lot.Expiry = f.Day(l.Expiry, "inventory.error.day")
		switch {
		case lot.Expiry.IsZero():
		case lot.Expiry.Before(clock.Day(c.Now)):
			f.Fail(l.Expiry, "inventory.error.expired")
		case named:
			known, err := LotByNumber(c.Std(), s.pool, d.Delivery.ProductID, normaliseLot(lot.Number))
			if err == nil && !known.Expiry.Equal(lot.Expiry) {
				f.Fail(l.Expiry, "inventory.error.lot_known", "Lot", known.Number, "Day", web.FormatDayShort(c.Lang, known.Expiry))
			} else if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
		lot.Vials = f.Int(l.Vials, 1, maxVials, "inventory.error.number")
		lots = append(lots, lot)
	}
	if len(lots) == 0 {
		f.Fail(d.Lots[0].Number, "inventory.error.lot")
	}
	return lots, nil
}

// siteDelivery is a delivery to one's own centre.
func (s *Service) siteDelivery(c *web.Ctx) (deliveryPage, error) {
	d, err := s.delivery(c)
	if err != nil {
		return d, err
	}
	if _, err := s.ownPlace(c, d.Delivery.Place); err != nil {
		return d, err
	}
	d.Page, d.Base, d.Back = "inventory/site_delivery", "/site/deliveries/"+d.Delivery.ID, "/site/stock?place="+string(d.Delivery.Place)
	return d, nil
}

// siteDeliveryPage is where a centre confirms what has arrived there.
func (s *Service) siteDeliveryPage(c *web.Ctx) error {
	d, err := s.siteDelivery(c)
	if err != nil {
		return err
	}
	return c.PageForm(d.Page, d.fill(web.NewForm(), ""), d)
}

func (s *Service) siteReceiveForm(c *web.Ctx) error {
	d, err := s.siteDelivery(c)
	if err != nil {
		return err
	}
	return s.receive(c, d)
}
