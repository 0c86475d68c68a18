package inventory

import (
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

type deliveriesPage struct {
	Names   *names
	Planned []Delivery // also confirmed ones
	Short   []Delivery // of which something is still missing
	Off     []Delivery // cancelled ones of days that are not over, soonest first
	Past    []Delivery
	Today   time.Time
}

// listLimit is how many rows an administration list shows.
const listLimit = 200

func (s *Service) deliveries(c *web.Ctx) (deliveriesPage, error) {
	n, err := s.names(c)
	if err != nil {
		return deliveriesPage{}, err
	}
	d := deliveriesPage{Names: n, Today: clock.Day(c.Now)}
	all, err := Deliveries(c.Std(), s.pool, "", 2*listLimit)
	if err != nil {
		return d, err
	}
	for _, x := range all {
		if x.Coming() {
			d.Planned = append([]Delivery{x}, d.Planned...) // soonest first
		} else if x.State == StateCancelled && !x.Day.Before(d.Today) {
			d.Off = append([]Delivery{x}, d.Off...)
		} else if len(d.Past) < listLimit {
			d.Past = append(d.Past, x)
		}
	}
	short, err := Deliveries(c.Std(), s.pool, StateShort, listLimit)
	for _, x := range short {
		if x.Rest > 0 {
			d.Short = append(d.Short, x)
		}
	}
	return d, err
}

// Late counts the planned deliveries whose day has passed.
func (d deliveriesPage) Late() (n int) {
	for _, x := range d.Planned {
		if x.Day.Before(d.Today) {
			n++
		}
	}
	return n
}

// Next is the delivery that comes next, nil when none is planned.
func (d deliveriesPage) Next() *Delivery {
	for i, x := range d.Planned {
		if !x.Day.Before(d.Today) {
			return &d.Planned[i]
		}
	}
	return nil
}

func (s *Service) deliveriesPage(c *web.Ctx) error {
	d, err := s.deliveries(c)
	if err != nil {
		return err
	}
	return c.PageForm("inventory/deliveries", web.NewForm("day", clock.Day(c.Now).AddDate(0, 0, 7).Format(time.DateOnly)), d)
}

func (s *Service) planForm(c *web.Ctx) error {
	d, err := s.deliveries(c)
	if err != nil {
		return err
	}
	f := c.Form()
	n := NewDelivery{
		ProductID: known(f, "product", d.Names.Products), Place: Place(known(f, "place", d.Names.Places)),
		Day: f.Day("day", "inventory.error.day"), Vials: f.Int("vials", 1, maxVials, "inventory.error.number"),
		EqualShares: f.Get("equal_shares") != "", Confirmed: f.Get("confirmed") != "", Note: f.Get("note"),
	}
	if n.EqualShares && n.Place != Central && n.Place != "" {
		f.Fail("equal_shares", "inventory.error.shares")
	}
	if len([]rune(n.Note)) > maxNote {
		f.Fail("note", "inventory.error.long")
	}
	if !f.OK() {
		return c.PageForm("inventory/deliveries", f, d)
	}
	err = s.change(c, func(tx pgx.Tx) error {
		_, err := s.PlanDelivery(c.Std(), tx, n, by(c))
		return err
	})
	if err != nil {
		return problem(err)
	}
	c.Flash("inventory.delivery.saved")
	return c.See("/admin/deliveries")
}

type deliveryPage struct {
	Names    *names
	Delivery Delivery
	Lots     []lotFields // of the form that receives
	Page     string      // template
	Base     string      // address of the page
	Back     string
	Today    string
	Loss     Loss // on the page that asks before it is cancelled
}

func (s *Service) delivery(c *web.Ctx) (deliveryPage, error) {
	dl, err := DeliveryByID(c.Std(), s.pool, c.Params("id"))
	if err != nil {
		return deliveryPage{}, problem(err)
	}
	n, err := s.names(c)
	return deliveryPage{
		Names: n, Delivery: dl, Lots: lotRows(1), Page: "inventory/delivery", Base: "/admin/deliveries/" + dl.ID, Back: "/admin/deliveries", Today: isoDay(clock.Day(c.Now)),
	}, err
}

func (s *Service) deliveryPage(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	return c.PageForm(d.Page, d.fill(web.NewForm(), ""), d)
}

// fill sets what the page's forms show at first, except in the one that was sent:
// there stands what was typed, be it nothing.
func (d deliveryPage) fill(f *web.Form, sent string) *web.Form {
	dl := d.Delivery
	if sent != "receive" && dl.Coming() {
		f.Set("vials_1", strconv.Itoa(dl.Vials))
	}
	if sent != "change" {
		f.Set("day", isoDay(dl.Day))
		f.Set("vials", strconv.Itoa(dl.Vials))
		f.Set("note", dl.Note)
		if dl.State == StateConfirmed {
			f.Set("confirmed", "1")
		}
	}
	if sent != "rest" {
		f.Set("rest_vials", strconv.Itoa(dl.Rest))
	}
	if sent != "write-off" {
		f.Set("off_vials", strconv.Itoa(dl.Rest))
	}
	return f
}

// deliveryDone runs do and goes on, or shows the page again with what is wrong:
// at the field, or at the delivery itself when somebody else was faster.
func (s *Service) deliveryDone(c *web.Ctx, f *web.Form, d deliveryPage, sent, field, notice, to string, do func(tx pgx.Tx) error) error {
	if f.OK() {
		err := s.change(c, do)
		if errors.Is(err, ErrState) {
			field = "delivery"
		}
		if err != nil && !formProblem(f, field, err) {
			return err
		}
	}
	if f.OK() {
		c.Flash(notice)
		return c.See(to)
	}
	return s.deliveryAgain(c, f, d, sent)
}

// deliveryAgain shows the page as the delivery is now, with what was typed.
func (s *Service) deliveryAgain(c *web.Ctx, f *web.Form, d deliveryPage, sent string) error {
	now, err := DeliveryByID(c.Std(), s.pool, d.Delivery.ID)
	if err != nil {
		return problem(err)
	}
	d.Delivery = now
	return c.PageForm(d.Page, d.fill(f, sent), d)
}

func (s *Service) changeForm(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	f := c.Form()
	ch := DeliveryChange{
		Day: f.Day("day", "inventory.error.day"), Vials: f.Int("vials", 1, maxVials, "inventory.error.number"), Note: f.Get("note"), Confirmed: f.Get("confirmed") != "",
	}
	if len([]rune(ch.Note)) > maxNote {
		f.Fail("note", "inventory.error.long")
	}
	return s.deliveryDone(c, f, d, "change", "vials", "inventory.delivery.changed", d.Back, func(tx pgx.Tx) error {
		return s.ChangeDelivery(c.Std(), tx, d.Delivery.ID, ch, by(c))
	})
}

// restForm plans anew what is missing of a short delivery.
func (s *Service) restForm(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	f := c.Form()
	st := Settlement{Vials: f.Int("rest_vials", 1, max(1, d.Delivery.Rest), "inventory.error.number"), Day: f.Day("rest_day", "inventory.error.day")}
	return s.deliveryDone(c, f, d, "rest", "rest_vials", "inventory.delivery.saved", d.Back, func(tx pgx.Tx) error {
		return s.SettleRest(c.Std(), tx, d.Delivery.ID, st, by(c))
	})
}

// writeOffForm gives up what is missing of a short delivery.
func (s *Service) writeOffForm(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	f := c.Form()
	st := Settlement{Vials: f.Int("off_vials", 1, max(1, d.Delivery.Rest), "inventory.error.number"), Why: reasonText(f, "off_why")}
	return s.deliveryDone(c, f, d, "write-off", "off_vials", "inventory.delivery.written_off", d.Base, func(tx pgx.Tx) error {
		return s.SettleRest(c.Std(), tx, d.Delivery.ID, st, by(c))
	})
}
