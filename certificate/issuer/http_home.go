package issuer

import (
	"html/template"
	"strconv"
	"time"

	"impfportal/certificate/dcc"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/programme"
)

// status is the truth about an issuer, as its page shows it on top.
type status struct {
	Green bool
	State string
	Since time.Time
	Why   string // key of a text
	Next  string // key of a text
	Alarm *Alarm
	Hold  *Hold // a stop: records are taken, certificates wait
}

// statusOf tells whether an issuer can issue; an alarm counts from the moment it
// tripped, before the state follows.
func (s *Service) statusOf(c *web.Ctx, i Issuer) (status, error) {
	a, err := openAlarm(c.Std(), s.Pool, i.ID)
	out := status{State: i.State, Since: i.Since, Why: "issuer.why." + reason(i.Why), Next: "issuer.next." + nextOf(i), Alarm: a}
	switch {
	case i.State == Active && a != nil:
		out.State, out.Since, out.Why, out.Next = Paused, a.At, "issuer.why."+whyAlarm+"."+a.Alarm, "issuer.next."+Paused
	case i.State == Active && !i.CarriedOn(today(c.Now)):
		out.State, out.Why, out.Next = Suspended, "issuer.why."+whyLicence, "issuer.next."+Suspended
	}
	if err == nil && s.Hold != nil && out.State == Active {
		if out.Hold, err = s.Hold(c, i); out.Hold != nil {
			out.Since = out.Hold.Since
		}
	}
	out.Green = out.State == Active && out.Hold == nil
	return out, err
}

type homePage struct {
	Issuer   Issuer
	Status   status
	Limits   Limits
	Lots     []lotRow
	Receipts []receiptRow
	Accounts []Account
	Products []web.Option
	Today    string
	Cards    []template.HTML
}

type receiptRow struct {
	Received
	Product string
}

// receiptsShown is how many receipts the page lists to be taken back.
const receiptsShown = 10

type lotRow struct {
	Lot
	Product string
}

// mine is the issuer of whoever asks.
func (s *Service) mine(c *web.Ctx) (Issuer, error) {
	if !id.Valid(c.User.Scope) {
		return Issuer{}, web.Forbidden() // an account of no place
	}
	i, err := s.Get(c.Std(), s.Pool, c.User.Scope)
	return i, asProblem(err)
}

func (s *Service) homeData(c *web.Ctx) (p homePage, err error) {
	if p.Issuer, err = s.mine(c); err != nil {
		return p, err
	}
	if p.Status, err = s.statusOf(c, p.Issuer); err != nil {
		return p, err
	}
	if p.Limits, _, err = LimitsOf(c.Std(), s.Pool, p.Issuer.ID, c.Now); err != nil {
		return p, err
	}
	if p.Lots, p.Products, err = s.lotRows(c, p.Issuer.ID); err != nil {
		return p, err
	}
	if p.Accounts, err = accounts(c.Std(), s.Pool, p.Issuer.ID); err != nil {
		return p, err
	}
	received, err := Receipts(c.Std(), s.Pool, p.Issuer.ID, receiptsShown)
	if err != nil {
		return p, err
	}
	for _, r := range received {
		row := receiptRow{Received: r}
		for _, o := range p.Products {
			if o.Value == r.ProductID {
				row.Product = o.Label
			}
		}
		p.Receipts = append(p.Receipts, row)
	}
	p.Today = today(c.Now).Format(time.DateOnly)
	p.Cards, err = c.Cards(s.Cards)
	return p, err
}

func (s *Service) lotRows(c *web.Ctx, issuerID string) (rows []lotRow, products []web.Option, err error) {
	lots, err := Lots(c.Std(), s.Pool, issuerID)
	if err != nil {
		return nil, nil, err
	}
	all, err := programme.Products(c.Std(), s.Pool, "")
	names := map[string]string{}
	for _, p := range all {
		names[p.ID] = p.Name
		if _, ok := dcc.CodesFor(p.ID, c.Now); ok { // for others there is no certificate
			products = append(products, web.Option{Value: p.ID, Label: p.Name})
		}
	}
	for _, l := range lots {
		rows = append(rows, lotRow{l, names[l.ProductID]})
	}
	return rows, products, err
}

func (s *Service) home(c *web.Ctx) error {
	if !id.Valid(c.User.Scope) {
		return c.Page("issuer/nowhere", nil)
	}
	return s.homeForm(c, web.NewForm())
}

func (s *Service) homeForm(c *web.Ctx, f *web.Form) error {
	p, err := s.homeData(c)
	if err != nil {
		return err
	}
	return c.PageForm("issuer/home", f, p)
}

// dayOf reads a day as browsers send it; the zero time is none.
func dayOf(s string) time.Time {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}
	}
	return clock.Day(d)
}

func (s *Service) receipt(c *web.Ctx) error {
	f := c.Form()
	doses, err := strconv.Atoi(f.Get("doses"))
	if err != nil || doses < 1 {
		f.Fail("doses", "issuer.error.number")
	}
	if !lotPattern.MatchString(CleanLot(f.Get("lot"))) {
		f.Fail("lot", "issuer.error.lot_form")
	}
	day := dayOf(f.Get("received"))
	if day.IsZero() || !receivable(day, c.Now) {
		f.Fail("received", "issuer.error.day")
	}
	if f.OK() {
		err := s.Declare(c.Std(), c.User.Scope, Receipt{f.Get("product"), f.Get("lot"), doses, day}, c.Actor())
		if err != nil {
			if err := formError(f, "doses", err); err != nil {
				return err
			}
		}
	}
	if !f.OK() {
		return s.homeForm(c, f)
	}
	c.Flash("issuer.receipt.done", "Doses", doses)
	return c.See("/issuer")
}

func (s *Service) dayForm(c *web.Ctx) error {
	f := c.Form()
	n, err := strconv.Atoi(f.Get("appointments"))
	if err != nil || n < 0 || n > appointmentsMost {
		f.Fail("appointments", "issuer.error.appointments")
	}
	day := dayOf(f.Get("day"))
	if day.IsZero() || !declarable(day, c.Now) {
		f.Fail("day", "issuer.error.appointments_day")
	}
	if f.OK() {
		if err := s.DeclareDay(c.Std(), c.User.Scope, day, n, c.Actor()); err != nil {
			if err := formError(f, "day", err); err != nil {
				return err
			}
		}
	}
	if !f.OK() {
		return s.homeForm(c, f)
	}
	c.Flash("issuer.day.done")
	return c.See("/issuer")
}

// HomeOut is an issuer as its operators see it.
type HomeOut struct {
	ID     string    `json:"id"`
	Entry  string    `json:"entry"`
	Name   string    `json:"name"`
	State  string    `json:"state" enum:"claimed,sent,proven,active,paused,suspended,ended"`
	Issues bool      `json:"can_issue"`
	Since  time.Time `json:"since"`
	Why    string    `json:"why,omitempty" doc:"in words"`
	Limits Limits    `json:"limits"`
	Lots   []Lot     `json:"lots"`
}

func (s *Service) apiHome(c *web.Ctx, _ struct{}) (out HomeOut, err error) {
	p, err := s.homeData(c)
	if err != nil {
		return out, err
	}
	out = HomeOut{p.Issuer.ID, p.Issuer.EntryID, p.Issuer.Name, p.Status.State, p.Status.Green, p.Status.Since, "", p.Limits, []Lot{}}
	if p.Status.Hold != nil {
		out.Why = p.Status.Hold.Why
	} else if !p.Status.Green {
		out.Why = c.T(p.Status.Why)
	}
	for _, l := range p.Lots {
		out.Lots = append(out.Lots, l.Lot)
	}
	return out, nil
}

// ReceiptIn is vaccine received.
type ReceiptIn struct {
	ProductID string `json:"product_id" maxlen:"40"`
	LotNumber string `json:"lot_number" maxlen:"30"`
	Doses     int    `json:"doses"`
	Received  string `json:"received_on" doc:"day, YYYY-MM-DD"`
}

func (s *Service) apiReceipt(c *web.Ctx, in ReceiptIn) (HomeOut, error) {
	if err := s.Declare(c.Std(), c.User.Scope, Receipt{in.ProductID, in.LotNumber, in.Doses, dayOf(in.Received)}, c.Actor()); err != nil {
		return HomeOut{}, asProblem(err)
	}
	return s.apiHome(c, struct{}{})
}

// DayIn is a day's appointments.
type DayIn struct {
	Day          string `json:"day" doc:"YYYY-MM-DD"`
	Appointments int    `json:"appointments"`
}

func (s *Service) apiDay(c *web.Ctx, in DayIn) (struct{}, error) {
	return struct{}{}, asProblem(s.DeclareDay(c.Std(), c.User.Scope, dayOf(in.Day), in.Appointments, c.Actor()))
}
