package vaccination

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/programme"
)

func (s *Service) correctRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/site/corrections", Roles: site, Nav: "vaccination.correct.nav", NavGroup: "web.nav.today", Handle: s.showCorrections},
		{Method: "POST", Path: "/site/corrections", Roles: site, Handle: s.findCorrections},
		{Method: "GET", Path: "/site/corrections/:id", Roles: site, Handle: s.showCorrection},
		{Method: "POST", Path: "/site/corrections/:id/edit", Roles: site, Handle: s.editCorrection},
		{Method: "POST", Path: "/site/corrections/:id/check", Roles: site, Handle: s.checkCorrection},
		{Method: "POST", Path: "/site/corrections/:id", Roles: site, Handle: s.postCorrection},
		{Method: "POST", Path: "/site/corrections/:id/namesake", Roles: site, Handle: s.postNamesake},
		{Method: "POST", Path: "/site/corrections/:id/remove", Roles: site, Handle: s.postRemoval},
		{Method: "POST", Path: "/api/v1/site/corrections/:id/remove", Roles: site, API: web.JSON("Ask two people to remove a treatment record", s.apiRemove)},
		{Method: "POST", Path: "/api/v1/site/corrections/:id/namesake", Roles: site, API: web.JSON("Ask two people to let a record be corrected beside the same dose of a namesake", s.apiNamesake)},
		{Method: "POST", Path: "/api/v1/site/corrections/find", Roles: site, API: web.JSON("Find treatment records by reference, by certificate, or by name and birth date", s.apiFindRecords)},
		{Method: "GET", Path: "/api/v1/site/corrections/:id", Roles: site, API: web.JSON("A treatment record with its former contents", s.apiOpenRecord)},
		{Method: "POST", Path: "/api/v1/site/corrections/:id", Roles: site, API: web.JSON("Correct a treatment record", s.apiCorrect)},
	}
}

// deskOf is the correction desk of whoever asks.
func deskOf(c *web.Ctx) Desk {
	return Desk{CentreID: c.User.Scope, Actor: c.Actor(), Role: role(c), Now: c.Now}
}

// names are those of vaccines and places, for people.
type names struct {
	products map[string]string
	centres  map[string]string
}

func (s *Service) names(ctx context.Context) (n names, err error) {
	n = names{map[string]string{}, map[string]string{}}
	products, err := programme.Products(ctx, s.pool, "")
	if err != nil {
		return n, err
	}
	for _, p := range products {
		n.products[p.ID] = p.Name
	}
	centres, err := centre.All(ctx, s.pool)
	for _, ce := range centres {
		n.centres[ce.ID] = ce.Name
	}
	return n, err
}

// place says where a record is from.
func (n names) place(c *web.Ctx, r Record) string {
	if r.Channel == Mobile || r.Channel == ByIssuer {
		return c.T("vaccination.issuer." + r.IssuerKind)
	}
	return n.centres[r.Place]
}

// fact is one line of what stands in a record; Was and Is differ where it was corrected.
type fact struct {
	Name, Was, Is string
	Changed       bool
}

// factsOrder is the order of facts.
var factsOrder = []string{changedName, changedPassport, changedBirth, changedLot, changedDose, changedDay, changedPlace}

// facts are the lines of two contents of a record.
func (n names) facts(c *web.Ctx, r Record, was, is Content) (out []fact) {
	changed := was.Changed(is)
	lines := func(x Content) map[string]string {
		m := map[string]string{
			changedName: x.FamilyName, changedPassport: x.PassportFamily, changedBirth: x.Birth.German(),
			changedDay: web.FormatDayShort(c.Lang, x.Day), changedDose: c.T("vaccination.dose_of", "N", x.DoseNumber, "Total", x.DosesTotal),
			changedLot: n.products[x.ProductID] + ", " + x.LotNumber, changedPlace: n.centres[x.Place],
		}
		if x.GivenName != "" {
			m[changedName] += ", " + x.GivenName
		}
		if x.PassportGiven != "" {
			m[changedPassport] = strings.TrimPrefix(x.PassportFamily+", "+x.PassportGiven, ", ")
		}
		if m[changedPassport] == "" {
			m[changedPassport] = c.T("vaccination.correct.same_name")
		}
		if m[changedPlace] == "" {
			m[changedPlace] = n.place(c, r)
		}
		return m
	}
	a, b := lines(was), lines(is)
	for _, f := range factsOrder {
		out = append(out, fact{c.T("vaccination.correct.fact." + f), a[f], b[f], slices.Contains(changed, f)})
	}
	return out
}

// foundRecord is a line of what the desk has found.
type foundRecord struct {
	Record
	Product, Where string
}

type correctionsPage struct {
	Asked bool
	All   bool // the desk is one of all centres
	Certs bool // records are found by their certificate
	Found []foundRecord
}

func (s *Service) showCorrections(c *web.Ctx) error {
	return c.PageForm("vaccination/corrections", &web.Form{}, correctionsPage{All: c.User.Scope == "", Certs: s.Certified != nil})
}

func (s *Service) findCorrections(c *web.Ctx) error {
	f := c.Form()
	p := correctionsPage{All: c.User.Scope == "", Certs: s.Certified != nil}
	found, err := s.FindRecords(c.Std(), deskOf(c), Query{Code: f.Get("code"), Certificate: f.Get("certificate"), Family: f.Get("family_name"), Given: f.Get("given_name"), Birth: BirthForm(f)})
	switch {
	case errors.Is(err, ErrCode):
		f.Fail("code", "vaccination.error.code")
	case errors.Is(err, ErrCertificate):
		f.Fail("certificate", "vaccination.error.certificate")
	case errors.Is(err, ErrInvalid):
		f.Fail("family_name", "vaccination.error.query")
	case err != nil:
		return err
	default:
		p.Asked = true
	}
	n, err := s.names(c.Std())
	if err != nil {
		return err
	}
	for _, r := range found {
		p.Found = append(p.Found, foundRecord{r, n.products[r.ProductID], n.place(c, r)})
	}
	c.Set("Cache-Control", "no-store")
	return c.PageForm("vaccination/corrections", f, p)
}

// formerContent is a former content for the page.
type formerContent struct {
	Revision
	Facts []fact // what was changed, and into what
}

type correctionPage struct {
	Record
	Product  string
	Where    string
	Products []web.Option
	Numbers  []web.Option // of doses
	Centres  []web.Option // nil: the place stays
	Former   []formerContent
	Facts    []fact // before and after, to be checked
	Reason   string
	Fields   []web.Option // the form as it was filled in
	Same     *sameDose    // the same dose of somebody of the same name and birth date
	Asked    *asked       // what waits to be decided about it
	May      bool         // its removal can be asked for
}

func (s *Service) correctionPage(c *web.Ctx, r Record, revisions []Revision) (p correctionPage, n names, err error) {
	if n, err = s.names(c.Std()); err != nil {
		return p, n, err
	}
	p = correctionPage{Record: r, Product: n.products[r.ProductID], Where: n.place(c, r)}
	products, err := programme.Products(c.Std(), s.pool, r.ProgrammeID)
	if err != nil {
		return p, n, err
	}
	for _, product := range products {
		p.Products = append(p.Products, web.Option{Value: product.ID, Label: product.Name})
	}
	for i := range maxDoses {
		p.Numbers = append(p.Numbers, web.Option{Value: strconv.Itoa(i + 1), Label: strconv.Itoa(i + 1)})
	}
	if c.User.Scope == "" && (r.Channel == ByAppointment || r.Channel == WalkIn) {
		for placeID, name := range n.centres {
			p.Centres = append(p.Centres, web.Option{Value: placeID, Label: name})
		}
		slices.SortFunc(p.Centres, func(a, b web.Option) int { return strings.Compare(a.Label, b.Label) })
	}
	for i, v := range revisions {
		next := r.Content()
		if i+1 < len(revisions) {
			next = revisions[i+1].Content
		}
		if slices.Contains(v.Changed, changedRemoved) {
			p.Former = append(p.Former, formerContent{Revision: v})
			continue
		}
		facts := slices.DeleteFunc(n.facts(c, r, v.Content, next), func(f fact) bool { return !f.Changed })
		p.Former = append(p.Former, formerContent{v, facts})
	}
	slices.Reverse(p.Former)
	if s.dual == nil || r.Removed() {
		return p, n, nil
	}
	p.Asked, err = proposed(c.Std(), s.pool, r, c.Now)
	p.May = p.Asked == nil
	return p, n, err
}

// correctionFields are the fields of the form.
var correctionFields = []string{
	"version", "reason", "family_name", "given_name", "passport_family", "passport_given", "birth_day", "birth_month", "birth_year",
	"product", "lot", "dose_number", "doses_total", "day", "place",
}

// fillCorrection sets the fields of the form from what stands in the record.
func fillCorrection(r Record) *web.Form {
	f := &web.Form{}
	c := r.Content()
	for name, value := range map[string]string{
		"version": strconv.Itoa(r.Version), "family_name": c.FamilyName, "given_name": c.GivenName,
		"passport_family": c.PassportFamily, "passport_given": c.PassportGiven,
		"birth_day": part(c.Birth.Day), "birth_month": part(c.Birth.Month), "birth_year": part(c.Birth.Year),
		"product": c.ProductID, "lot": c.LotNumber, "dose_number": strconv.Itoa(c.DoseNumber), "doses_total": strconv.Itoa(c.DosesTotal),
		"day": c.Day.Format(time.DateOnly), "place": c.Place,
	} {
		f.Set(name, value)
	}
	return f
}

// part is a part of a date as a field shows it.
func part(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// readCorrection reads the form; what it does not have stays as it is in the record.
func readCorrection(f *web.Form, r Record, now time.Time) Correction {
	to := r.Content()
	p := Patient{
		FamilyName: f.Get("family_name"), GivenName: f.Get("given_name"), PassportFamily: f.Get("passport_family"), PassportGiven: f.Get("passport_given"),
		Birth: BirthForm(f), Sex: r.Patient.Sex, Postcode: r.Patient.Postcode,
	}
	f.Errors = append(f.Errors, p.Clean(clock.Day(now))...)
	to.FamilyName, to.GivenName, to.PassportFamily, to.PassportGiven, to.Birth = p.FamilyName, p.GivenName, p.PassportFamily, p.PassportGiven, p.Birth
	to.ProductID, to.LotNumber = f.Get("product"), f.Get("lot")
	to.DoseNumber = f.Int("dose_number", 1, maxDoses, "vaccination.error.dose_number")
	to.DosesTotal = f.Int("doses_total", 1, maxDoses, "vaccination.error.dose_number")
	to.Day = f.Day("day", "vaccination.correct.error.day")
	if place := f.Get("place"); place != "" {
		to.Place = place
	}
	switch n := utf8.RuneCountInString(f.Get("reason")); {
	case n == 0:
		f.Fail("reason", "vaccination.correct.error.reason")
	case n > maxReason:
		f.Fail("reason", "web.error.too_long", "Max", maxReason)
	}
	version, _ := strconv.Atoi(f.Get("version")) // what is none is another version
	return Correction{RecordID: r.ID, Version: version, Reason: f.Get("reason"), To: to}
}

func (s *Service) showCorrection(c *web.Ctx) error {
	r, revisions, err := s.OpenRecord(c.Std(), deskOf(c), c.Params("id"))
	if err != nil {
		return Problem(err)
	}
	return s.renderCorrection(c, fillCorrection(r), r, revisions)
}

func (s *Service) renderCorrection(c *web.Ctx, f *web.Form, r Record, revisions []Revision) error {
	p, _, err := s.correctionPage(c, r, revisions)
	if err != nil {
		return err
	}
	c.Set("Cache-Control", "no-store")
	return c.PageForm("vaccination/correct", f, p)
}

// editCorrection shows the form again as it was filled in.
func (s *Service) editCorrection(c *web.Ctx) error {
	r, revisions, err := s.OpenRecord(c.Std(), deskOf(c), c.Params("id"))
	if err != nil {
		return Problem(err)
	}
	return s.renderCorrection(c, c.Form(), r, revisions)
}

// checkCorrection shows what would be changed.
func (s *Service) checkCorrection(c *web.Ctx) error {
	return s.correction(c, func(f *web.Form, in Correction) error { return s.renderCheck(c, f, in) })
}

// renderCheck shows what a correction would change, or that it needs two people.
func (s *Service) renderCheck(c *web.Ctx, f *web.Form, in Correction) error {
	was, to, err := s.TryCorrection(c.Std(), deskOf(c), in)
	var given *AlreadyGivenError
	if err != nil && (!errors.As(err, &given) || s.dual == nil) {
		return err
	}
	p, n, err := s.correctionPage(c, was, nil)
	if err != nil {
		return err
	}
	if given != nil {
		if p.Same, err = s.sameDose(c, n, given.RecordID); err != nil {
			return err
		}
	}
	p.Facts, p.Reason = n.facts(c, was, was.Content(), to.Content()), in.Reason
	for _, name := range correctionFields {
		p.Fields = append(p.Fields, web.Option{Value: f.Get(name), Label: name})
	}
	c.Set("Cache-Control", "no-store")
	return c.PageForm("vaccination/correct_check", f, p)
}

func (s *Service) postCorrection(c *web.Ctx) error {
	return s.correction(c, func(_ *web.Form, in Correction) error {
		if _, err := s.CorrectAt(c.Std(), deskOf(c), in); err != nil {
			return err
		}
		c.Flash("vaccination.correct.done")
		return c.See("/site/corrections/" + in.RecordID)
	})
}

// correction reads the form and lets do act on it; what is wrong with it is shown there.
func (s *Service) correction(c *web.Ctx, do func(*web.Form, Correction) error) error {
	r, revisions, err := s.OpenRecord(c.Std(), deskOf(c), c.Params("id"))
	if err != nil {
		return Problem(err)
	}
	f := c.Form()
	in := readCorrection(f, r, c.Now)
	if f.OK() {
		err := do(f, in)
		if err == nil {
			return nil
		}
		if err := TakeError(f, err); err != nil {
			return Problem(err)
		}
		if errors.Is(err, ErrChanged) { // what is there now is shown, and not what was filled in over it
			fresh := fillCorrection(r)
			fresh.Errors = f.Errors
			f = fresh
		}
	}
	return s.renderCorrection(c, f, r, revisions)
}

// correctionProblem maps the errors of a correction; nil for any other.
func correctionProblem(err error) error {
	for _, p := range []struct {
		err        error
		field, key string
	}{
		{errWhyTwo, "why", "vaccination.namesake.error.why"},
		{ErrReason, "reason", "vaccination.correct.error.reason"},
		{ErrLot, "lot", "vaccination.correct.error.lot"},
		{errRightLotEmpty, "lot", "vaccination.correct.error.lot_empty"},
		{ErrDay, "day", "vaccination.correct.error.day"},
		{ErrSite, "place", "vaccination.correct.error.place"},
	} {
		if errors.Is(err, p.err) {
			return web.Invalid(web.FieldError{Field: p.field, Key: p.key})
		}
	}
	switch {
	case errors.Is(err, ErrUnchanged):
		return web.Fail(http.StatusUnprocessableEntity, "vaccination.correct.error.unchanged")
	case errors.Is(err, ErrRemoved):
		return web.Fail(http.StatusConflict, "vaccination.remove.error.removed")
	case errors.Is(err, ErrProposed):
		return web.Fail(http.StatusConflict, "vaccination.remove.error.proposed")
	case errors.Is(err, ErrNoNamesake):
		return web.Fail(http.StatusConflict, "vaccination.namesake.error.none")
	case errors.Is(err, ErrChanged):
		return web.Fail(http.StatusConflict, "vaccination.correct.error.changed")
	}
	return nil
}

// LotHint is the text beside the lot: at a site it is one of the stock.
func (p correctionPage) LotHint() string {
	if p.LotID != "" {
		return "vaccination.correct.lot_hint.own"
	}
	return "vaccination.correct.lot_hint.other"
}
