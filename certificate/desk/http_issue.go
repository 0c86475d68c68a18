package desk

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"impfportal/certificate/dcc"
	"impfportal/certificate/issuer"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/vaccination"
)

// issueFields are the fields of the form, which travel with the page to be checked.
var issueFields = []string{
	"key", "family_name", "given_name", "passport_family", "passport_given", "birth_day", "birth_month", "birth_year",
	"lot", "product", "dose", "day", "document", "place", "written",
}

// lineBetween parts product and lot in the one choice of a declared lot; no lot has it.
const lineBetween = "|"

type issuePage struct {
	Issuer   issuer.Issuer
	Basis    vaccination.Basis
	Hold     *hold
	May      bool // the issuer can issue
	Touch    touch
	Lots     []web.Option
	Products []web.Option
	Doses    []web.Option
	Today    string
	First    string // the first day of vaccination that counts
	// Of the page to be checked:
	Order   Order
	Product string
	Name    dcc.Name // as the certificate spells it
	Fields  []web.Option
}

func (s *Service) page(c *web.Ctx, w Who, basis vaccination.Basis) (p issuePage, err error) {
	p = issuePage{Issuer: w.Issuer, Basis: basis, Today: clock.Day(c.Now).Format(time.DateOnly), First: firstDay}
	if p.Hold, err = s.hold(c, w); err != nil {
		return p, err
	}
	if p.Touch, err = s.touch(c); err != nil {
		return p, err
	}
	p.May, err = s.Issuers.May(c.Std(), s.Pool, w.Issuer, c.Now)
	if err != nil || basis == "" {
		return p, err
	}
	names, options, err := s.products(c)
	if err != nil {
		return p, err
	}
	p.Products = append([]web.Option{{Value: "", Label: c.T("desk.choose_one")}}, options...)
	lots, err := issuer.Lots(c.Std(), s.Pool, w.Issuer.ID)
	if err != nil {
		return p, err
	}
	for _, l := range lots {
		if l.LotNumber != "" && l.Left() > 0 && names[l.ProductID] != "" {
			p.Lots = append(p.Lots, web.Option{
				Value: l.ProductID + lineBetween + l.LotNumber, Label: c.T("desk.lot_left", "Product", names[l.ProductID], "Lot", l.LotNumber, "Left", l.Left()),
			})
		}
	}
	if len(p.Lots) > 1 {
		p.Lots = append([]web.Option{{Value: "", Label: c.T("desk.choose_one")}}, p.Lots...)
	}
	for _, d := range Choices {
		p.Doses = append(p.Doses, web.Option{Value: d.Value, Label: c.T("desk.dose." + d.Value)})
	}
	return p, nil
}

// firstDay is the day of the first vaccination that a certificate can attest.
const firstDay = "2020-12-08"

func (s *Service) choose(c *web.Ctx) error {
	if !id.Valid(c.User.Scope) {
		return c.Page("issuer/nowhere", nil)
	}
	w, err := s.who(c)
	if err != nil {
		return err
	}
	p, err := s.page(c, w, "")
	if err != nil {
		return err
	}
	return c.PageForm("desk/choose", web.NewForm(), p)
}

// basis reads what the path says.
func basis(c *web.Ctx) (vaccination.Basis, error) {
	b := vaccination.Basis(c.Params("basis"))
	if b != vaccination.Given && b != vaccination.Seen {
		return "", web.NotFound()
	}
	return b, nil
}

func (s *Service) form(c *web.Ctx) error {
	f := web.NewForm("key", id.New())
	return s.showForm(c, f)
}

// edit shows the form again as it was filled in.
func (s *Service) edit(c *web.Ctx) error { return s.showForm(c, c.Form()) }

func (s *Service) showForm(c *web.Ctx, f *web.Form) error {
	b, err := basis(c)
	if err != nil {
		return err
	}
	w, err := s.who(c)
	if err != nil {
		return err
	}
	p, err := s.page(c, w, b)
	if err != nil {
		return err
	}
	if f.Get("day") == "" && b == vaccination.Given && len(f.Names()) <= 1 {
		f.Set("day", p.Today)
	}
	return c.PageForm("desk/form", f, p)
}

// order reads the form and notes in it what is wrong.
func order(c *web.Ctx, f *web.Form, b vaccination.Basis) (o Order, name dcc.Name, err error) {
	today := clock.Day(c.Now)
	o = Order{Key: f.Get("key"), Basis: b, Dose: f.Get("dose"), ProductID: f.Get("product"), Patient: vaccination.Patient{
		FamilyName: f.Get("family_name"), GivenName: f.Get("given_name"), PassportFamily: f.Get("passport_family"), PassportGiven: f.Get("passport_given"),
		Birth: vaccination.BirthForm(f), Sex: citizen.SexUnknown,
	}}
	f.Errors = append(f.Errors, o.Patient.Clean(today)...)
	if !id.Valid(o.Key) {
		return o, name, web.NotFound() // no form of ours
	}
	if b == vaccination.Given {
		o.ProductID, o.LotNumber, _ = strings.Cut(f.Get("lot"), lineBetween)
		if o.LotNumber == "" {
			f.Fail("lot", "desk.error.lot_missing")
		}
	} else {
		o.seen(f)
	}
	if _, ok := choice(o.Dose); !ok {
		f.Fail("dose", "desk.error.dose_missing")
	}
	o.Day = f.Day("day", "desk.error.day")
	if o.Document != nil {
		o.Document.Date = o.Day.Format("02.01.2006")
	}
	if !f.OK() {
		return o, name, nil
	}
	name, err = Try(o, c.Now)
	switch {
	case err == nil:
	case errors.Is(err, dcc.ErrName):
		f.Fail("family_name", "desk.error.name")
	case errors.Is(err, dcc.ErrDoseRule), errors.Is(err, dcc.ErrNoCodes):
		f.Fail("dose", "desk.error.dose")
	case errors.Is(err, dcc.ErrDates):
		f.Fail("day", "desk.error.day")
	default:
		return o, name, err
	}
	return o, name, nil
}

// seen reads what is copied from a document.
func (o *Order) seen(f *web.Form) {
	d := vaccination.Document{Kind: vaccination.DocumentKind(f.Get("document")), Place: f.Get("place"), Lot: f.Get("written")}
	if d.Kind != vaccination.Booklet && d.Kind != vaccination.Replacement {
		f.Fail("document", "desk.error.document")
	}
	if o.ProductID == "" {
		f.Fail("product", "desk.error.product")
	}
	for field, value := range map[string]string{"place": d.Place, "written": d.Lot} {
		switch n := utf8.RuneCountInString(value); {
		case n == 0:
			f.Fail(field, "desk.error."+field)
		case n > 100:
			f.Fail(field, "web.error.too_long", "Max", 100)
		}
	}
	// As a lot it stands in the record only where it is one.
	if l := issuer.CleanLot(d.Lot); issuer.IsLot(l) {
		o.LotNumber = l
	}
	o.Document = &d
}

// check shows the answers to be checked.
func (s *Service) check(c *web.Ctx) error {
	return s.answers(c, func(f *web.Form, w Who, o Order, name dcc.Name) error { return s.showCheck(c, f, w, o, name) })
}

func (s *Service) showCheck(c *web.Ctx, f *web.Form, w Who, o Order, name dcc.Name) error {
	p, err := s.page(c, w, o.Basis)
	if err != nil {
		return err
	}
	p.Order, p.Name = o, name
	for _, option := range p.Products {
		if option.Value == o.ProductID {
			p.Product = option.Label
		}
	}
	for _, field := range issueFields {
		if v := f.Get(field); v != "" {
			p.Fields = append(p.Fields, web.Option{Value: v, Label: field})
		}
	}
	return c.PageForm("desk/check", f, p)
}

// answers reads the form and lets do go on with it; what is wrong is shown there.
func (s *Service) answers(c *web.Ctx, do func(f *web.Form, w Who, o Order, name dcc.Name) error) error {
	b, err := basis(c)
	if err != nil {
		return err
	}
	w, err := s.who(c)
	if err != nil {
		return err
	}
	f := c.Form()
	o, name, err := order(c, f, b)
	if err != nil {
		return err
	}
	if !f.OK() {
		return s.showForm(c, f)
	}
	return do(f, w, o, name)
}

// issue writes the record. Without a fresh touch the page comes again and asks for one.
func (s *Service) issue(c *web.Ctx) error {
	return s.answers(c, func(f *web.Form, w Who, o Order, name dcc.Name) error {
		if err := s.fresh(c, f); err != nil {
			return err
		}
		if !f.OK() {
			return s.showCheck(c, f, w, o, name)
		}
		recordID, err := s.Issue(c.Std(), w, o)
		if err == nil {
			return c.See("/issuer/issued/" + recordID)
		}
		if err := take(f, err); err != nil {
			return problem(err)
		}
		return s.showForm(c, f)
	})
}
