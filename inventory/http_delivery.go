package inventory

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

type deliveriesPage struct {
	Names   *names
	Planned []Delivery // also confirmed ones
	Short   []Delivery // of which something is still missing
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
	err = pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error {
		_, err := s.PlanDelivery(c.Std(), tx, n, by(c))
		return err
	})
	if err != nil {
		return problem(err)
	}
	c.Flash("inventory.delivery.saved")
	return c.See("/admin/deliveries")
}

// receivedLots is how many lots the form takes at once.
const receivedLots = 3

type deliveryPage struct {
	Names    *names
	Delivery Delivery
	Lots     []lotFields
}

// lotFields are the names of the fields of one lot.
type lotFields struct{ N, Number, Expiry, Vials string }

func (s *Service) delivery(c *web.Ctx) (deliveryPage, error) {
	dl, err := DeliveryByID(c.Std(), s.pool, c.Params("id"))
	if err != nil {
		return deliveryPage{}, problem(err)
	}
	n, err := s.names(c)
	if err != nil {
		return deliveryPage{}, err
	}
	d := deliveryPage{Names: n, Delivery: dl}
	for i := range receivedLots {
		k := strconv.Itoa(i + 1)
		d.Lots = append(d.Lots, lotFields{k, "lot_" + k, "expiry_" + k, "vials_" + k})
	}
	return d, nil
}

func (s *Service) deliveryPage(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	return c.PageForm("inventory/delivery", d.stored(), d)
}

// stored is what the forms of the page show at first.
func (d deliveryPage) stored() *web.Form {
	dl := d.Delivery
	f := web.NewForm("vials_1", strconv.Itoa(dl.Vials), "day", isoDay(dl.Day), "vials", strconv.Itoa(dl.Vials), "note", dl.Note,
		"rest_vials", strconv.Itoa(dl.Rest), "off_vials", strconv.Itoa(dl.Rest))
	if dl.State == StateConfirmed {
		f.Set("confirmed", "1")
	}
	return f
}

// deliveryDone runs do and goes on, or shows the page again with what is wrong.
func (s *Service) deliveryDone(c *web.Ctx, f *web.Form, d deliveryPage, field, notice, to string, do func(tx pgx.Tx) error) error {
	if f.OK() {
		if err := pg.InTx(c.Std(), s.pool, do); err != nil && !formProblem(f, field, err) {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/delivery", f, d)
	}
	c.Flash(notice)
	return c.See(to)
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
	return s.deliveryDone(c, f, d, "vials", "inventory.delivery.changed", "/admin/deliveries", func(tx pgx.Tx) error {
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
	return s.deliveryDone(c, f, d, "rest_vials", "inventory.delivery.saved", "/admin/deliveries", func(tx pgx.Tx) error {
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
	return s.deliveryDone(c, f, d, "off_vials", "inventory.delivery.written_off", "/admin/deliveries/"+d.Delivery.ID, func(tx pgx.Tx) error {
		return s.SettleRest(c.Std(), tx, d.Delivery.ID, st, by(c))
	})
}

func (s *Service) receiveForm(c *web.Ctx) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	f := c.Form()
	var lots []ReceivedLot
	for i, l := range d.Lots {
		if i > 0 && f.Get(l.Number) == "" && f.Get(l.Expiry) == "" && f.Get(l.Vials) == "" {
			continue
		}
		lot := ReceivedLot{Number: f.Get(l.Number), Expiry: f.Day(l.Expiry, "inventory.error.day"), Vials: f.Int(l.Vials, 1, maxVials, "inventory.error.number")}
		if lot.Number == "" || len([]rune(lot.Number)) > maxLotNumber {
			f.Fail(l.Number, "inventory.error.lot")
		}
		if !lot.Expiry.IsZero() && lot.Expiry.Before(clock.Day(c.Now)) {
			f.Fail(l.Expiry, "inventory.error.expired")
		}
		lots = append(lots, lot)
	}
	if f.OK() {
		err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return s.ReceiveDelivery(c.Std(), tx, d.Delivery.ID, lots, by(c)) })
		if errors.Is(err, ErrInvalid) {
			f.Fail("lot_1", "inventory.error.lot_known")
		} else if err != nil {
			return problem(err)
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/delivery", f, d)
	}
	after, err := DeliveryByID(c.Std(), s.pool, d.Delivery.ID)
	if err != nil {
		return err
	}
	if after.Rest > 0 { // what is missing is settled on its page
		c.Flash("inventory.delivery.short", "N", after.Rest)
		return c.See("/admin/deliveries/" + after.ID)
	}
	c.Flash("inventory.delivery.received")
	return c.See("/admin/deliveries")
}

func (s *Service) cancelForm(c *web.Ctx) error {
	err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return s.CancelDelivery(c.Std(), tx, c.Params("id"), by(c)) })
	if err != nil {
		return problem(err)
	}
	c.Flash("inventory.delivery.cancelled")
	return c.See("/admin/deliveries")
}

type importPage struct {
	Names *names
	Runs  []ImportRun
	Rest  []Rest
	Sum   int
	Lines ImportErrors // of the file that was refused
}

func (s *Service) imports(c *web.Ctx) (importPage, error) {
	n, err := s.names(c)
	if err != nil {
		return importPage{}, err
	}
	d := importPage{Names: n}
	if d.Runs, err = ImportRuns(c.Std(), s.pool, 10); err != nil {
		return d, err
	}
	if d.Rest, err = Unreconciled(c.Std(), s.pool); err != nil {
		return d, err
	}
	for _, r := range d.Rest {
		d.Sum += r.Rest
	}
	return d, nil
}

func (s *Service) importPage(c *web.Ctx) error {
	d, err := s.imports(c)
	if err != nil {
		return err
	}
	return c.Page("inventory/import", d)
}

// importTimeout bounds an import that goes on after its request was answered.
const importTimeout = 5 * time.Minute

// importUpload checks the file at once and imports it while the page shows how
// far it is.
func (s *Service) importUpload(c *web.Ctx) error {
	d, err := s.imports(c)
	if err != nil {
		return err
	}
	f := c.Form()
	var rows []reportRow
	if fh, err := c.FormFile("file"); err != nil || fh.Size == 0 {
		f.Fail("file", "inventory.error.file")
	} else {
		file, err := fh.Open()
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		rows, err = parseReport(file)
		if errors.As(err, &d.Lines) {
			f.Fail("file", "inventory.error.lines", "Count", len(d.Lines))
		} else if err != nil {
			return err
		}
	}
	if !f.OK() {
		return c.PageForm("inventory/import", f, d)
	}
	actor, t := c.Actor(), c.T
	p, err := jobs.StartProgress(c.Std(), s.pool, t("inventory.import.title"), int64(len(rows)), actor)
	if err != nil {
		return err
	}
	done := t("inventory.import.done") // the request is over when it is needed
	lines := map[string]string{errLineReturn: t("inventory.import.error." + errLineReturn)}
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), importTimeout)
		defer cancel()
		_, err := s.importRows(ctx, rows, actor, p)
		var bad ImportErrors
		switch {
		case errors.As(err, &bad):
			err = errors.New(lineWords(bad, lines))
		case err != nil:
			s.log.Error("import of deliveries failed", "progress", p.ID, "error", err)
			err = errInternal
		default:
			p.Step(ctx, int64(len(rows)), done)
		}
		p.Finish(ctx, err)
	})
	return c.See("/admin/progress/" + p.ID)
}

// errInternal stands on the progress page; what it was stands in the log.
var errInternal = errors.New("internal error, see the log")

func lineWords(bad ImportErrors, words map[string]string) string {
	out := make([]string, len(bad))
	for i, l := range bad {
		out[i] = strconv.Itoa(l.Line) + ": " + words[l.Key] + " (" + l.Value + ")"
	}
	return strings.Join(out, "; ")
}
