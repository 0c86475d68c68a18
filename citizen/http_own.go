package citizen

import (
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"impfportal/audit"
	"impfportal/internal/web"
	"impfportal/programme"
)

type startPage struct {
	Cards      []template.HTML
	Programmes []startProgramme
	Notice     *programme.Document
}

type startProgramme struct {
	Name   string
	Open   []programme.Group
	Closed []programme.Group
}

// start is the first page: what to do, the line, where places are free, whose
// turn it is.
func (s *Service) start(c *web.Ctx) error {
	var d startPage
	list, err := programme.Programmes(c.Std(), s.Pool, c.Lang)
	if err != nil {
		return err
	}
	for _, p := range list {
		groups, err := programme.GroupsOn(c.Std(), s.Pool, p.ID, c.Now, c.Lang)
		if err != nil {
			return err
		}
		sp := startProgramme{Name: p.Name}
		for _, g := range groups {
			if g.Open {
				sp.Open = append(sp.Open, g)
			} else {
				sp.Closed = append(sp.Closed, g)
			}
		}
		d.Programmes = append(d.Programmes, sp)
	}
	notice, err := programme.Text(c.Std(), s.Pool, programme.TextNotice, c.Lang)
	if err == nil && !notice.Empty() {
		d.Notice = &notice
	} else if err != nil && !errors.Is(err, programme.ErrNotFound) {
		return err
	}
	if d.Cards, err = c.Cards(s.StartCards); err != nil {
		return err
	}
	return c.Page("citizen/start", d)
}

type casePage struct {
	Name, CaseNumber string
	Step             NextStep
	Cards            []template.HTML
}

func (s *Service) showCase(c *web.Ctx) error {
	p, err := s.me(c)
	if err != nil {
		return err
	}
	d := casePage{Name: p.FullName(), CaseNumber: PrintCode(p.CaseNumber)}
	if d.Step, err = s.nextStep(c); err != nil {
		return err
	}
	if d.Cards, err = c.Cards(s.CaseCards); err != nil {
		return err
	}
	return c.Page("citizen/case", d)
}

func (s *Service) nextStep(c *web.Ctx) (NextStep, error) {
	for _, ask := range s.NextSteps {
		n, err := ask(c)
		if err != nil {
			return NextStep{}, err
		}
		if n != nil {
			return *n, nil
		}
	}
	return NextStep{Text: c.T("citizen.case.book"), Href: "/appointments", Label: c.T("citizen.case.book_button")}, nil
}

type dataPage struct {
	CaseNumber   string
	RegisteredAt time.Time
	Rows         []summaryRow
	Cards        []template.HTML // of what other slices keep
	Log          []logRow
}

type logRow struct {
	At        time.Time
	Who, What string
}

// showData is everything that is stored about a person, and who has read or
// changed it (article 15 GDPR).
func (s *Service) showData(c *web.Ctx) error {
	p, err := s.me(c)
	if err != nil {
		return err
	}
	d := dataPage{CaseNumber: PrintCode(p.CaseNumber), RegisteredAt: p.RegisteredAt, Rows: s.personRows(c, p)}
	if d.Cards, err = c.Cards(s.DataCards); err != nil {
		return err
	}
	entries, err := audit.Recent(c.Std(), s.Pool, Subject(p.ID), 200)
	if err != nil {
		return err
	}
	for _, e := range entries {
		d.Log = append(d.Log, logRow{At: e.At, Who: c.T("citizen.actor." + actorKind(e)), What: c.T("citizen.audit." + actionKind(e.Action))})
	}
	return c.Page("citizen/data", d)
}

func actorKind(r audit.Row) string {
	switch {
	case r.Actor == "system":
		return "system"
	case r.Actor == SessionKind || strings.HasPrefix(r.Actor, SessionKind+":"):
		return "self"
	}
	for _, role := range web.StaffRoles {
		if r.Role == string(role) {
			return r.Role
		}
	}
	return "staff"
}

// auditWords are the deeds that have words of their own. An agent's finding has
// none: it would say that there was something to find (see doc.go).
var auditWords = map[string]string{
	"citizen.registered": "registered", "citizen.contact_changed": "contact_changed", "citizen.login_renewed": "login_renewed",
	"citizen.login_sent": "login_sent", "citizen.read": "read",
}

func actionKind(action string) string {
	if w := auditWords[action]; w != "" {
		return w
	}
	switch {
	case strings.HasPrefix(action, "booking."):
		return "booking"
	case strings.HasPrefix(action, "vaccination."):
		return "vaccination"
	case strings.HasPrefix(action, "hotline."), strings.HasPrefix(action, "citizen."):
		return "read"
	}
	return "other"
}

func (s *Service) personRows(c *web.Ctx, p Person) []summaryRow {
	var rows []summaryRow
	add := func(field, value string) {
		if value == "" {
			value = c.T("citizen.none")
		}
		rows = append(rows, summaryRow{field, c.T("citizen.field." + field), value})
	}
	add("family_name", p.FamilyName)
	add("given_name", p.GivenName)
	if p.PassportFamily+p.PassportGiven != "" {
		add("passport", p.PassportGiven+" "+p.PassportFamily)
	}
	add("birth", p.Birth.German())
	add("sex", c.T("citizen.sex."+p.Sex))
	if prog, err := programme.ProgrammeByID(c.Std(), s.Pool, p.ProgrammeID, c.Lang); err == nil {
		add("programme", prog.Name)
	}
	if g, err := programme.GroupByCode(c.Std(), s.Pool, p.ProgrammeID, p.GroupCode, c.Now, c.Lang); err == nil {
		rows = append(rows, summaryRow{"group", c.T("citizen.field.group_short"), g.Name})
	}
	rows = append(rows, s.priorRows(c, p.Prior)...)
	country := ""
	if p.Address.Country != "DE" {
		country = ", " + c.T("citizen.country."+p.Address.Country)
	}
	address := addressLine(p.Address.Street, p.Address.Extra, p.Address.Postcode, p.Address.City)
	if address != "" {
		address += country
	}
	add("address", address)
	add("phone", p.Phone)
	add("email", p.Email)
	add("lang", c.T("citizen.lang."+p.Lang))
	if p.OnBehalf {
		add("who", c.T("citizen.who.relative"))
	}
	return rows
}

func (s *Service) showContact(c *web.Ctx) error {
	p, err := s.me(c)
	if err != nil {
		return err
	}
	return s.contactPage(c, web.NewForm("street", p.Address.Street, "address_extra", p.Address.Extra, "postcode", p.Address.Postcode,
		"city", p.Address.City, "country", p.Address.Country, "phone", p.Phone, "email", p.Email, "lang", p.Lang))
}

func (s *Service) contactPage(c *web.Ctx, f *web.Form) error {
	return c.PageForm("citizen/contact", f, stepPage{Countries: s.choices(c, "country", countries...), Languages: s.choices(c, "lang", "de", "en")})
}

func (s *Service) postContact(c *web.Ctx) error {
	f := c.Form()
	in := Contact{Phone: f.Get("phone"), Email: f.Get("email"), Lang: f.Get("lang")}
	in.Address.Street, in.Address.Extra, in.Address.Postcode = f.Get("street"), f.Get("address_extra"), f.Get("postcode")
	in.Address.City, in.Address.Country = f.Get("city"), f.Get("country")
	if _, err := s.ChangeContact(c.Std(), c.User.ID, in, c.Actor(), string(web.RoleCitizen)); err != nil {
		if err := fail(f, err); err != nil {
			return err
		}
		return s.contactPage(c, f)
	}
	c.Flash("citizen.contact.saved")
	return c.See("/my-data")
}

type deletePage struct{ Standing bool }

func (s *Service) showDelete(c *web.Ctx) error {
	standing, err := s.Bookings(c.Std(), s.Pool, []string{c.User.ID})
	if err != nil {
		return err
	}
	return c.PageForm("citizen/delete", &web.Form{}, deletePage{standing[c.User.ID]})
}

func (s *Service) postDelete(c *web.Ctx) error {
	f := c.Form()
	if f.Get("sure") == "" {
		f.Fail("sure", "citizen.error.sure")
		return c.PageForm("citizen/delete", f, deletePage{})
	}
	err := s.Delete(c.Std(), c.User.ID, c.Actor(), string(web.RoleCitizen))
	if errors.Is(err, ErrStanding) {
		c.Status(http.StatusConflict)
		return c.Page("citizen/delete", deletePage{Standing: true})
	}
	if err != nil {
		return problem(err)
	}
	if s.Leave != nil {
		s.Leave(c) // while it is known who it was
	}
	if err := c.Logout(); err != nil {
		return err
	}
	return c.Page("citizen/deleted", nil)
}
