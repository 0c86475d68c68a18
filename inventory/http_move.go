package inventory

import (
	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/web"
)

type movePage struct {
	Names   *names
	Holding Holding
	To      []web.Option
	Reasons []web.Option

	Portions []web.Option // nil when there is nothing to choose
}

// holding is the lot at the place that the address (GET) or the form names.
func (s *Service) holding(c *web.Ctx, place Place, lotID string) (movePage, error) {
	n, err := s.names(c)
	if err != nil {
		return movePage{}, err
	}
	d := movePage{Names: n}
	all, err := s.Holdings(c.Std(), s.pool, place, "", c.Now)
	if err != nil {
		return d, err
	}
	found := false
	for _, h := range all {
		if h.LotID == lotID && place != "" {
			d.Holding, found = h, true
		}
	}
	if !found {
		return d, web.NotFound()
	}
	for _, o := range n.Places {
		if o.Value != string(place) {
			d.To = append(d.To, o)
		}
	}
	if d.Holding.ThawedVials() > 0 {
		d.Portions = []web.Option{{Label: c.T("inventory.portion.first")}}
		for _, p := range d.Holding.Portions {
			label := c.T("inventory.portion.frozen")
			if p.Thawed != nil {
				label = c.T("inventory.portion.thawed", "Day", web.FormatDayShort(c.Lang, *p.Thawed))
			}
			d.Portions = append(d.Portions, web.Option{Value: string(p.Name()), Label: label})
		}
	}
	for _, r := range Reasons() {
		d.Reasons = append(d.Reasons, web.Option{Value: string(r), Label: c.T("inventory.reason." + string(r))})
	}
	return d, nil
}

func (s *Service) movePage(c *web.Ctx) error {
	if c.Query("lot") == "" {
		return c.See("/admin/stock") // where a lot is chosen
	}
	d, err := s.holding(c, Place(c.Query("place")), c.Query("lot"))
	if err != nil {
		return err
	}
	f := web.NewForm("transfer_vials", "0", "transfer_doses", "0", "waste_vials", "0", "waste_doses", "0")
	return c.PageForm("inventory/move", d.fill(c, f), d)
}

// fill sets what the forms of the page show at first, except in what was sent.
func (d movePage) fill(c *web.Ctx, f *web.Form) *web.Form {
	for field, value := range map[string]string{"number": d.Holding.Number, "expiry": isoDay(d.Holding.Expiry), "thawed_on": isoDay(clock.Day(c.Now))} {
		if len(f.All(field)) == 0 {
			f.Set(field, value)
		}
	}
	return f
}

// amounts reads vials and doses of a form; one of them must be more than 0.
func amounts(f *web.Form, prefix string, h Holding) (vials, doses int) {
	vials = f.Int(prefix+"_vials", 0, h.Vials, "inventory.error.number")
	doses = f.Int(prefix+"_doses", 0, h.OpenDoses, "inventory.error.number")
	if f.OK() && vials+doses == 0 {
		f.Fail(prefix+"_vials", "inventory.error.nothing")
	}
	return vials, doses
}

// portionOf reads which vials are meant; without a choice what runs out first.
func portionOf(f *web.Form, field string, d movePage) Portion {
	if f.Get(field) == "" || len(d.Portions) == 0 {
		return ""
	}
	return Portion(known(f, field, d.Portions))
}

func (s *Service) moveThawForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.holding(c, Place(f.Get("place")), f.Get("lot"))
	if err != nil {
		return err
	}
	t := Thaw{
		Place: d.Holding.Place, LotID: d.Holding.LotID, Vials: f.Int("thaw_vials", 1, maxVials, "inventory.error.number"),
		Day: f.Day("thawed_on", "inventory.error.day"), Actor: c.Actor(), At: c.Now,
	}
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return s.thawAudited(c.Std(), tx, t, by(c)) })
		if err != nil && !formProblem(f, "thaw_vials", err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/move", d.fill(c, f), d)
	}
	c.Flash("inventory.site.thawed")
	return c.See("/admin/stock?place=" + string(t.Place))
}

func reasonText(f *web.Form, field string) string {
	why := f.Get(field)
	if n := len([]rune(why)); n == 0 || n > maxWhy {
		f.Fail(field, "inventory.error.why")
	}
	return why
}

func (s *Service) transferForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.holding(c, Place(f.Get("place")), f.Get("lot"))
	if err != nil {
		return err
	}
	t := Transfer{From: d.Holding.Place, To: Place(known(f, "to", d.To)), LotID: d.Holding.LotID, Actor: c.Actor(), Why: reasonText(f, "transfer_why"), At: c.Now}
	t.Vials, t.Doses = amounts(f, "transfer", d.Holding)
	t.Portion = portionOf(f, "transfer_portion", d)
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return s.transferAudited(c, tx, t) })
		if err != nil && !formProblem(f, "transfer_vials", err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/move", d.fill(c, f), d)
	}
	c.Flash("inventory.moved")
	return c.See("/admin/stock?place=" + string(t.From))
}

func (s *Service) transferAudited(c *web.Ctx, tx pgx.Tx, t Transfer) error {
	if err := s.Transfer(c.Std(), tx, t); err != nil {
		return err
	}
	return audit.Write(c.Std(), tx, c.Now, audit.Entry{
		Actor: c.Actor(), Role: string(web.RoleAdmin), Action: "inventory.transfer", Subject: "lot:" + t.LotID,
		After: map[string]any{"from": t.From, "to": t.To, "vials": t.Vials, "doses": t.Doses, "why": t.Why},
	})
}

func (s *Service) wasteForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.holding(c, Place(f.Get("place")), f.Get("lot"))
	if err != nil {
		return err
	}
	w := Waste{Place: d.Holding.Place, LotID: d.Holding.LotID, Reason: Reason(known(f, "reason", d.Reasons)), Actor: c.Actor(), Why: reasonText(f, "waste_why"), At: c.Now}
	w.Vials, w.Doses = amounts(f, "waste", d.Holding)
	w.Portion = portionOf(f, "waste_portion", d)
	w.OpenedAt = openedOf(f)
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error { return s.wasteAudited(c, tx, w) })
		if err != nil && !formProblem(f, "waste_vials", err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/move", d.fill(c, f), d)
	}
	c.Flash("inventory.wasted")
	return c.See("/admin/stock?place=" + string(w.Place))
}

func (s *Service) wasteAudited(c *web.Ctx, tx pgx.Tx, w Waste) error {
	if err := s.Waste(c.Std(), tx, w); err != nil {
		return err
	}
	return audit.Write(c.Std(), tx, c.Now, audit.Entry{
		Actor: c.Actor(), Role: string(web.RoleAdmin), Action: "inventory.waste", Subject: "lot:" + w.LotID,
		After: map[string]any{"place": w.Place, "vials": w.Vials, "doses": w.Doses, "reason": w.Reason, "why": w.Why},
	})
}

func (s *Service) lotForm(c *web.Ctx) error {
	f := c.Form()
	d, err := s.holding(c, Place(f.Get("place")), c.Params("id"))
	if err != nil {
		return err
	}
	expiry := f.Day("expiry", "inventory.error.day")
	number := d.Holding.Number
	if d.Holding.Assumed {
		if number = f.Get("number"); number == "" || len([]rune(number)) > maxLotNumber {
			f.Fail("number", "inventory.error.lot")
		}
	}
	if f.OK() {
		err := s.change(c, func(tx pgx.Tx) error {
			return s.SetLotExpiry(c.Std(), tx, d.Holding.LotID, number, expiry, by(c))
		})
		if err != nil && !formProblem(f, "number", err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/move", d.fill(c, f), d)
	}
	c.Flash("inventory.lot_saved")
	return c.See("/admin/stock?place=" + string(d.Holding.Place))
}
