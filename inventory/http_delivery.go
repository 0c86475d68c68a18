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
	Planned []Delivery
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
		if x.State == "planned" {
			d.Planned = append([]Delivery{x}, d.Planned...) // soonest first
		} else if len(d.Past) < listLimit {
			d.Past = append(d.Past, x)
		}
	}
	return d, nil
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
		EqualShares: f.Get("equal_shares") != "", Note: f.Get("note"),
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
	return c.PageForm("inventory/delivery", web.NewForm("vials_1", strconv.Itoa(d.Delivery.Vials)), d)
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
