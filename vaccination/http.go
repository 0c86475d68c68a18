package vaccination

import (
	"embed"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/programme"
)

//go:embed all:templates i18n
var assets embed.FS

// Assets are the pages and texts of the site.
var Assets = web.Bundle{Name: "vaccination", FS: assets}

// site are who works at a centre: an administrator may, too.
var site = []web.Role{web.RoleSite, web.RoleAdmin}

// role is the one under which somebody works at a centre, for the audit.
func role(c *web.Ctx) string { return c.Role(site...) }

// Routes are the pages of the site and their JSON operations.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		// The tablet at the desk and at the stations.
		{Method: "GET", Path: "/site", Roles: site, Nav: "vaccination.nav", NavGroup: "web.nav.today", Handle: s.showDay},
		{Method: "POST", Path: "/site/centre", Roles: site, Handle: s.chooseCentre},
		{Method: "POST", Path: "/site/check-in", Roles: site, Handle: s.checkIn},
		{Method: "GET", Path: "/site/appointments/:id", Roles: site, Handle: s.showPerson},
		{Method: "POST", Path: "/site/appointments/:id/here", Roles: site, Handle: s.postHere},
		{Method: "POST", Path: "/site/appointments/:id/missed", Roles: site, Handle: s.postMissed},
		{Method: "POST", Path: "/site/appointments/:id/dose", Roles: site, Handle: s.postDose},
		{Method: "GET", Path: "/site/walk-in", Roles: site, Handle: s.showWalkIn},
		{Method: "POST", Path: "/site/walk-in", Roles: site, Handle: s.postWalkIn},
		{Method: "GET", Path: "/site/records/:id", Roles: site, Handle: s.showRecord},
	}, slices.Concat(s.api(), s.lotRoutes(), s.spareRoutes(), s.correctRoutes())...)
}

const centreCookie = "site_centre"

// errChoose: an account of all centres has not said yet which one.
var errChoose = errors.New("vaccination: no centre chosen")

// centreOf returns the centre that the request is about. An account with a
// scope has that centre and no other; one without chooses.
func (s *Service) centreOf(c *web.Ctx, chosen string) (centre.Centre, error) {
	if c.User.Scope != "" {
		if chosen != "" && chosen != c.User.Scope {
			return centre.Centre{}, web.Forbidden()
		}
		chosen = c.User.Scope
	}
	if chosen == "" {
		return centre.Centre{}, errChoose
	}
	ce, err := centre.Get(c.Std(), s.pool, chosen)
	if errors.Is(err, centre.ErrNotFound) {
		if c.User.Scope != "" {
			return ce, web.Forbidden() // an account of a team, or of a centre that is gone
		}
		return ce, errChoose
	}
	return ce, err
}

// page runs a page's handler with the centre of the request.
func (s *Service) page(c *web.Ctx, fn func(ce centre.Centre) error) error {
	ce, err := s.centreOf(c, pageCentre(c))
	if errors.Is(err, errChoose) {
		if c.Method() != http.MethodGet {
			return c.See("/site")
		}
		return s.showChoice(c)
	}
	if err != nil {
		return err
	}
	return fn(ce)
}

// pageCentre is what an account of all centres has chosen in this browser.
func pageCentre(c *web.Ctx) string {
	if c.User.Scope != "" {
		return ""
	}
	return c.GetCookie(centreCookie)
}

func (s *Service) showChoice(c *web.Ctx) error {
	list, err := centre.List(c.Std(), s.pool)
	if err != nil {
		return err
	}
	options := make([]web.Option, len(list))
	for i, ce := range list {
		options[i] = web.Option{Value: ce.ID, Label: ce.Name}
	}
	return c.Page("vaccination/choose", options)
}

func (s *Service) chooseCentre(c *web.Ctx) error {
	if c.User.Scope != "" {
		return web.Forbidden()
	}
	c.PutCookie(centreCookie, c.Form().Get("centre"), 24*time.Hour)
	return c.See("/site")
}

type dayPage struct {
	Day
	Matches   []Visitor // more than one person fits what was typed
	CanSwitch bool      // the account may look at another centre
}

func (s *Service) showDay(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error { return s.renderDay(c, ce, &web.Form{}, nil) })
}

func (s *Service) renderDay(c *web.Ctx, ce centre.Centre, f *web.Form, matches []Visitor) error {
	d, err := s.Today(c.Std(), s.pool, ce.ID, c.Now)
	if err != nil {
		return err
	}
	return c.PageForm("vaccination/day", f, dayPage{Day: d, Matches: matches, CanSwitch: c.User.Scope == ""})
}

// checkIn is the big field: a scanned code, or name and birth date.
func (s *Service) checkIn(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error {
		f := c.Form()
		in := Query{Code: f.Get("code"), Family: f.Get("family_name"), Given: f.Get("given_name"), Birth: BirthForm(f)}
		found, err := s.Find(c.Std(), s.pool, ce.ID, c.Now, in)
		switch {
		case errors.Is(err, ErrCode):
			f.Fail("code", "vaccination.error.code")
		case errors.Is(err, ErrInvalid):
			f.Fail("code", "vaccination.error.query")
		case err != nil:
			return err
		case len(found) == 0 && in.Code != "":
			f.Fail("code", "vaccination.error.code_not_today")
		case len(found) == 0:
			f.Fail("code", "vaccination.error.not_today")
		case len(found) == 1:
			return s.arrive(c, ce, found[0])
		}
		return s.renderDay(c, ce, f, found)
	})
}

// arrive marks a person as here and shows the card.
func (s *Service) arrive(c *web.Ctx, ce centre.Centre, v Visitor) error {
	if v.State == Expected || v.State == Missed {
		if err := s.Here(c.Std(), ce.ID, v.AppointmentID, c.Now, c.Actor(), role(c)); err != nil {
			return Problem(err)
		}
	}
	return c.See("/site/appointments/" + v.AppointmentID)
}

func (s *Service) postHere(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error {
		if err := s.Here(c.Std(), ce.ID, c.Params("id"), c.Now, c.Actor(), role(c)); err != nil {
			return Problem(err)
		}
		return c.See("/site/appointments/" + c.Params("id"))
	})
}

func (s *Service) postMissed(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error {
		if err := s.Missed(c.Std(), ce.ID, c.Params("id"), c.Now, c.Actor(), role(c)); err != nil {
			return Problem(err)
		}
		c.Flash("vaccination.flash.missed")
		return c.See("/site")
	})
}

func (s *Service) showPerson(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error { return s.renderPerson(c, ce, &web.Form{}, nil) })
}

type personPage struct {
	Card
	Key   string
	Lots  []web.Option
	Forms []web.Option
}

func (s *Service) renderPerson(c *web.Ctx, ce centre.Centre, f *web.Form, extra []Warning) error {
	card, err := s.Card(c.Std(), s.pool, ce.ID, c.Params("id"), c.Now)
	if err != nil {
		return Problem(err)
	}
	if len(extra) > 0 {
		card.Warnings = extra
	}
	return c.PageForm("vaccination/person", f, personPage{
		Card: card, Key: keyOf(f), Lots: LotOptions(c, card.Product, card.Lots), Forms: FormsOptions(c, card.Forms),
	})
}

// keyOf keeps the key of a form that is shown again: it is still the same dose.
func keyOf(f *web.Form) string {
	if k := f.Get("key"); k != "" {
		return k
	}
	return id.New()
}

func (s *Service) postDose(c *web.Ctx) error {
	return s.postRecord(c, s.renderPerson, func(in *RecordDose, p *Passport) {
		in.AppointmentID, in.Channel, in.Passport = c.Params("id"), ByAppointment, p
	})
}

// given is what every dose has that is given at a centre.
func (in DoseForm) given(c *web.Ctx, ce centre.Centre) RecordDose {
	return RecordDose{
		Key: in.Key, Now: c.Now, Place: ce.ID, StockPlace: inventory.CentrePlace(ce.ID), LotID: in.LotID,
		Consent: in.Consent, Forms: in.Forms, Override: in.Override, Actor: c.Actor(), Role: role(c),
	}
}

// postRecord records the dose of a form, to which whose adds for whom it is, and shows
// the form again when that is not possible.
func (s *Service) postRecord(c *web.Ctx, again func(*web.Ctx, centre.Centre, *web.Form, []Warning) error, whose func(*RecordDose, *Passport)) error {
	return s.page(c, func(ce centre.Centre) error {
		f := c.Form()
		in, passport := ReadDoseForm(f), passportForm(f)
		var extra []Warning
		if f.OK() {
			dose := in.given(c, ce)
			whose(&dose, passport)
			recordID, err := s.Record(c.Std(), dose)
			if err == nil {
				return c.See("/site/records/" + recordID)
			}
			if extra, err = Shown(f, err); err != nil {
				return err
			}
		}
		return again(c, ce, f, extra)
	})
}

// Shown puts an error of Record into the form and returns the warnings that
// the page offers to accept: those that the rules gave, or that the dose stands
// in the record already, unless it is somebody else of the same name. An error
// that has no words is returned.
func Shown(f *web.Form, err error) ([]Warning, error) {
	var (
		given *AlreadyGivenError
		warn  *WarningsError
	)
	switch {
	case errors.As(err, &given):
		f.Fail("accept", "vaccination.error.already")
		return []Warning{{Code: Namesake}}, nil
	case errors.As(err, &warn):
		f.Fail("accept", "vaccination.error.warnings")
		return warn.Warnings, nil
	}
	return nil, TakeError(f, err)
}

func (s *Service) showWalkIn(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error { return s.renderWalkIn(c, ce, &web.Form{}, nil) })
}

type walkInPage struct {
	Centre   centre.Centre
	Key      string
	Lots     []web.Option // of all products, the one to use first
	Forms    []web.Option
	Priors   []web.Option
	Warnings []Warning
}

func (s *Service) renderWalkIn(c *web.Ctx, ce centre.Centre, f *web.Form, warnings []Warning) error {
	p := walkInPage{Centre: ce, Key: keyOf(f), Warnings: warnings, Priors: []web.Option{{Label: c.T("vaccination.prior.none")}}}
	day := clock.Day(c.Now)
	products, err := programme.Products(c.Std(), s.pool, "")
	if err != nil {
		return err
	}
	for _, product := range products {
		p.Priors = append(p.Priors, web.Option{Value: product.ID, Label: product.Name})
		lots, err := s.stock.Lots(c.Std(), s.pool, inventory.CentrePlace(ce.ID), product.ID, day)
		if err != nil {
			return err
		}
		if len(lots) == 0 {
			continue
		}
		p.Lots = append(p.Lots, LotOptions(c, product.Name, lots)...)
		stands, err := FormsOn(c.Std(), s.pool, product.ID, day)
		if err != nil {
			return err
		}
		for _, o := range FormsOptions(c, stands) {
			if !slices.Contains(p.Forms, o) {
				p.Forms = append(p.Forms, o)
			}
		}
	}
	return c.PageForm("vaccination/walkin", f, p)
}

func (s *Service) postWalkIn(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error {
		f := c.Form()
		in := ReadDoseForm(f)
		patient := PatientForm(f, clock.Day(c.Now), f.Get("lang"))
		prior := PriorForm(f, c.Now)
		var warnings []Warning
		if f.OK() {
			productID, err := productOf(c.Std(), s.pool, in.LotID)
			var recordID string
			if err == nil {
				dose := in.given(c, ce)
				dose.Channel, dose.Patient, dose.ProductID, dose.Prior = WalkIn, patient, productID, prior
				dose.DoseNumber, dose.Recovered = number(f.Get("dose_number")), f.Get("recovered") != ""
				recordID, err = s.Record(c.Std(), dose)
			}
			if err == nil {
				return c.See("/site/records/" + recordID)
			}
			if warnings, err = Shown(f, err); err != nil {
				return err
			}
		}
		return s.renderWalkIn(c, ce, f, warnings)
	})
}

type recordPage struct {
	Record
	Product string
	Centre  centre.Centre
	Next    *time.Time // the next appointment of the series
}

// showRecord is the confirmation. It shows records of the own centre and of
// today only.
func (s *Service) showRecord(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error {
		p := recordPage{Centre: ce}
		err := pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) (err error) {
			p.Record, p.Next, err = s.Given(c.Std(), tx, ce.ID, c.Params("id"), c.Now)
			if err != nil {
				return err
			}
			product, err := programme.ProductByID(c.Std(), tx, p.ProductID)
			p.Product = product.Name
			return err
		})
		if err != nil {
			return Problem(err)
		}
		return c.Page("vaccination/given", p)
	})
}

// LotOptions are the lots of a product to choose from, the one to use first.
func LotOptions(c *web.Ctx, product string, lots []inventory.Lot) []web.Option {
	out := make([]web.Option, len(lots))
	for i, l := range lots {
		out[i] = web.Option{Value: l.ID, Label: c.T("vaccination.lot", "Product", product, "Number", l.Number,
			"Expiry", web.FormatDayShort(c.Lang, l.UseBy), "Open", l.OpenDoses, "Vials", l.Vials)}
	}
	return out
}

// FormsOptions are the versions of the forms to choose from, newest first.
func FormsOptions(c *web.Ctx, stands []time.Time) []web.Option {
	out := make([]web.Option, len(stands))
	for i, st := range stands {
		out[i] = web.Option{Value: st.Format(time.DateOnly), Label: c.T("vaccination.forms.stand", "Date", web.FormatDayShort(c.Lang, st))}
	}
	return out
}
