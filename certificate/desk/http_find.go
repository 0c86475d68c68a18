package desk

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate"
	"impfportal/certificate/dcc"
	"impfportal/certificate/issuer"
	"impfportal/certificate/revocation"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/vaccination"
)

// What the list shows without a search.
const (
	listMonths = 6
	listMost   = 50
)

// row is a record in a list; Name and Birth only after a search.
type row struct {
	vaccination.Issued
	Product, Name, Birth string
	State                string // of its newest certificate
}

type listPage struct {
	Rows  []row
	Asked bool
	May   bool
}

func (s *Service) list(c *web.Ctx) error {
	if !id.Valid(c.User.Scope) {
		return c.Page("issuer/nowhere", nil)
	}
	return s.showList(c, web.NewForm(), nil)
}

// showList shows what was found, or the last records where nothing was asked for.
func (s *Service) showList(c *web.Ctx, f *web.Form, found []vaccination.Record) error {
	w, err := s.who(c)
	if err != nil {
		return err
	}
	p := listPage{}
	if p.May, err = s.Issuers.May(c.Std(), s.Pool, w.Issuer, c.Now); err != nil {
		return err
	}
	if p.Asked, p.Rows, err = s.rows(c, w, found); err != nil {
		return err
	}
	return c.PageForm("desk/list", f, p)
}

// rows are the lines of what was found, or of the last records where nothing was asked
// for (nil).
func (s *Service) rows(c *web.Ctx, w Who, found []vaccination.Record) (asked bool, rows []row, err error) {
	for _, r := range found {
		rows = append(rows, row{
			Issued: vaccination.Issued{
				ID: r.ID, ProductID: r.ProductID, LotNumber: r.LotNumber, DoseNumber: r.DoseNumber, DosesTotal: r.DosesTotal, Day: r.Day,
				Basis: r.Basis, RecordedAt: r.RecordedAt, Version: r.Version, Removed: r.Removed(),
			},
			Name: fullName(r.Patient), Birth: r.Patient.Birth.German(),
		})
	}
	if found == nil {
		last, err := vaccination.IssuedSince(c.Std(), s.Pool, w.Issuer.Ref(), c.Now.AddDate(0, -listMonths, 0), listMost)
		if err != nil {
			return false, nil, err
		}
		for _, r := range last {
			rows = append(rows, row{Issued: r})
		}
	}
	return found != nil, rows, s.finish(c, rows)
}

// finish fills in what the lines of a list say of products and certificates.
func (s *Service) finish(c *web.Ctx, rows []row) error {
	names, _, err := s.products(c)
	if err != nil {
		return err
	}
	states, err := s.states(c, rows)
	for i := range rows {
		rows[i].Product, rows[i].State = names[rows[i].ProductID], states[rows[i].ID]
	}
	return err
}

func fullName(p vaccination.Patient) string {
	if p.GivenName == "" {
		return p.FamilyName
	}
	return p.FamilyName + ", " + p.GivenName
}

// states are those of the newest certificates of records: making, ready, revoked,
// refused.
func (s *Service) states(c *web.Ctx, rows []row) (map[string]string, error) {
	out, ids := map[string]string{}, make([]string, len(rows))
	for i, r := range rows {
		out[r.ID], ids[i] = string(certificate.StateMaking), r.ID
	}
	found, err := s.Pool.Query(c.Std(), `
		SELECT DISTINCT ON (record_id) record_id::text, CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN state IN ('released', 'refused') THEN state ELSE 'making' END
		  FROM certificate.certificate WHERE record_id = ANY ($1::uuid[]) ORDER BY record_id, version DESC`, ids)
	if err != nil {
		return nil, err
	}
	var recordID, state string
	_, err = pgx.ForEachRow(found, []any{&recordID, &state}, func() error { out[recordID] = state; return nil })
	return out, err
}

// search finds by the certificate's id, or by name and birth date; own records only.
func (s *Service) search(c *web.Ctx) error {
	w, err := s.who(c)
	if err != nil {
		return err
	}
	f := c.Form()
	recordID, found, err := s.find(c, w, f)
	switch {
	case errors.Is(err, vaccination.ErrInvalid):
		f.Fail("family_name", "desk.error.query")
		return s.showList(c, f, nil)
	case err != nil:
		return problem(err)
	case recordID != "":
		return c.See("/issuer/certificates/" + recordID)
	}
	return s.showList(c, f, found)
}

// find looks for own records: for the one of a certificate's id, or for those of a
// person, which are never nil. vaccination.ErrInvalid when that is not enough to look for.
func (s *Service) find(c *web.Ctx, w Who, f *web.Form) (recordID string, found []vaccination.Record, err error) {
	if err := s.look(c.Std(), w, "search", searchesMost); err != nil {
		return "", nil, err
	}
	if typed := f.Get("uvci"); typed != "" {
		uvci, err := dcc.ParseUVCI(typed)
		if err != nil { // a typing error is found nowhere
			return "", []vaccination.Record{}, nil //nolint:nilerr // nothing has such an id
		}
		err = s.Pool.QueryRow(c.Std(), `SELECT record_id::text FROM certificate.certificate WHERE uvci = $1 AND issuer_ref = $2`, uvci, w.Issuer.Ref()).Scan(&recordID)
		if pg.NoRows(err) {
			err = nil
		}
		return recordID, []vaccination.Record{}, err
	}
	found, err = s.Records.FindRecords(c.Std(), w.desk(c.Now), vaccination.Query{Family: f.Get("family_name"), Given: f.Get("given_name"), Birth: vaccination.BirthForm(f)})
	return "", append([]vaccination.Record{}, found...), err
}

// fact is one line of a correction.
type fact struct {
	Name, Was, Is string
	Changed       bool
}

type recordPage struct {
	vaccination.Record
	Product      string
	Versions     []certificate.Certificate
	Ready        bool
	Remaking     bool // corrected a moment ago: what can be downloaded is not the new one yet
	Revocable    bool // one stands that is signed, perhaps not yet with its owner
	May          bool // the issuer may correct and revoke
	Often        bool
	Touch        touch
	Lots         []web.Option
	Products     []web.Option
	Doses        []web.Option
	Reasons      []web.Option
	Former       []vaccination.Revision
	Facts        []fact
	Fields       []web.Option
	MRZ          dcc.Name
	Today, First string
}

// open returns a record of the issuer; the look is counted and audited.
func (s *Service) open(c *web.Ctx, recordID string) (w Who, r vaccination.Record, p recordPage, err error) {
	if w, err = s.who(c); err != nil {
		return w, r, p, err
	}
	if err = s.look(c.Std(), w, "look", looksMost); err != nil {
		return w, r, p, problem(err)
	}
	r, former, err := s.Records.OpenRecord(c.Std(), w.desk(c.Now), recordID)
	if err != nil {
		return w, r, p, problem(err)
	}
	p, err = s.recordPage(c, w, r)
	slices.Reverse(former)
	p.Former = former
	if len(former) > 0 && len(p.Versions) > 0 {
		corrected := former[0].At.Truncate(time.Second) // as certificates count
		p.Remaking = c.Now.Sub(corrected) < waitCalmly && p.Versions[0].IssuedAt.Before(corrected)
	}
	return w, r, p, err
}

func (s *Service) recordPage(c *web.Ctx, w Who, r vaccination.Record) (p recordPage, err error) {
	shared, err := s.page(c, w, r.Basis)
	if err != nil {
		return p, err
	}
	p = recordPage{
		Record: r, Touch: shared.Touch, Doses: shared.Doses, Lots: slices.DeleteFunc(shared.Lots, func(o web.Option) bool { return o.Value == "" }), Products: shared.Products[1:],
		Often: r.Version > correctionsMost, Today: shared.Today, First: firstDay,
	}
	p.May = shared.May && !r.Removed()
	for _, o := range p.Products {
		if o.Value == r.ProductID {
			p.Product = o.Label
		}
	}
	own := r.ProductID + lineBetween + r.LotNumber
	if !slices.ContainsFunc(p.Lots, func(o web.Option) bool { return o.Value == own }) {
		p.Lots = append([]web.Option{{Value: own, Label: p.Product + ", " + r.LotNumber}}, p.Lots...)
	}
	if _, ok := sameDose(r); !ok {
		p.Doses = append([]web.Option{{Value: "", Label: c.T("desk.dose_of", "N", r.DoseNumber, "Of", r.DosesTotal)}}, p.Doses...)
	}
	p.Reasons = []web.Option{{Value: "", Label: c.T("desk.choose_one")}}
	for _, why := range Reasons {
		p.Reasons = append(p.Reasons, web.Option{Value: string(why), Label: c.T("desk.why." + string(why))})
	}
	if p.Versions, err = s.Certificates.OfRecord(c.Std(), s.Pool, r.ID); err != nil {
		return p, err
	}
	p.Ready = slices.ContainsFunc(p.Versions, certificate.Certificate.Ready)
	p.Revocable = slices.ContainsFunc(p.Versions, func(x certificate.Certificate) bool {
		return x.State == certificate.StateSigned || x.State == certificate.StateLogged || x.State == certificate.StateReleased
	})
	return p, nil
}

// sameDose is the choice by which a record's numbers can be said.
func sameDose(r vaccination.Record) (string, bool) {
	for _, d := range Choices {
		codes, _ := dcc.CodesFor(r.ProductID, r.RecordedAt)
		if d.Number == r.DoseNumber && d.Of == r.DosesTotal && (d.Value != "recovered" || codes.Doses != 1) {
			return d.Value, true
		}
	}
	return "", false
}

var correctionFields = []string{
	"version", "reason", "family_name", "given_name", "passport_family", "passport_given", "birth_day", "birth_month", "birth_year", "lot", "product", "written", "dose", "day",
}

// fill sets the form from what stands in the record.
func fill(r vaccination.Record) *web.Form {
	part := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	dose, _ := sameDose(r)
	p := r.Patient
	f := web.NewForm()
	for name, value := range map[string]string{
		"version": strconv.Itoa(r.Version), "family_name": p.FamilyName, "given_name": p.GivenName, "passport_family": p.PassportFamily, "passport_given": p.PassportGiven,
		"birth_day": part(p.Birth.Day), "birth_month": part(p.Birth.Month), "birth_year": part(p.Birth.Year),
		"lot": r.ProductID + lineBetween + r.LotNumber, "product": r.ProductID, "written": r.LotNumber, "dose": dose, "day": r.Day.Format(time.DateOnly),
	} {
		f.Set(name, value)
	}
	return f
}

// correction reads the form; what it does not have stays as it is.
func correction(c *web.Ctx, f *web.Form, r vaccination.Record) (in vaccination.Correction, name dcc.Name) {
	to := r.Content()
	p := vaccination.Patient{
		FamilyName: f.Get("family_name"), GivenName: f.Get("given_name"), PassportFamily: f.Get("passport_family"), PassportGiven: f.Get("passport_given"),
		Birth: vaccination.BirthForm(f), Sex: citizen.SexUnknown,
	}
	f.Errors = append(f.Errors, p.Clean(clock.Day(c.Now))...)
	to.FamilyName, to.GivenName, to.PassportFamily, to.PassportGiven, to.Birth = p.FamilyName, p.GivenName, p.PassportFamily, p.PassportGiven, p.Birth
	if r.Basis == vaccination.Given {
		to.ProductID, to.LotNumber, _ = strings.Cut(f.Get("lot"), lineBetween)
	} else {
		to.ProductID, to.LotNumber = f.Get("product"), issuer.CleanLot(f.Get("written"))
	}
	if d, ok := choice(f.Get("dose")); ok {
		to.DoseNumber, to.DosesTotal = d.Number, d.Of
	}
	to.Day = f.Day("day", "desk.error.day")
	switch n := utf8.RuneCountInString(f.Get("reason")); {
	case n < 5:
		f.Fail("reason", "desk.error.reason")
	case n > 300:
		f.Fail("reason", "web.error.too_long", "Max", 300)
	}
	if f.OK() {
		var err error
		name, err = try(to, c.Now)
		switch {
		case errors.Is(err, dcc.ErrName):
			f.Fail("family_name", "desk.error.name")
		case errors.Is(err, dcc.ErrDates):
			f.Fail("day", "desk.error.day")
		case err != nil:
			f.Fail("dose", "desk.error.dose")
		}
	}
	version, _ := strconv.Atoi(f.Get("version")) // what is none is another version
	return vaccination.Correction{RecordID: r.ID, Version: version, Reason: f.Get("reason"), To: to}, name
}

func (s *Service) show(c *web.Ctx) error {
	_, r, p, err := s.open(c, c.Params("id"))
	if err != nil {
		return err
	}
	return c.PageForm("desk/record", fill(r), p)
}

// editCorrection shows the form again as it was filled in.
func (s *Service) editCorrection(c *web.Ctx) error {
	_, _, p, err := s.open(c, c.Params("id"))
	if err != nil {
		return err
	}
	return c.PageForm("desk/record", c.Form(), p)
}

// checkCorrection shows what would be changed.
func (s *Service) checkCorrection(c *web.Ctx) error {
	w, r, p, err := s.open(c, c.Params("id"))
	if err != nil {
		return err
	}
	f := c.Form()
	in, name := correction(c, f, r)
	if f.OK() {
		if err := s.TryCorrection(c.Std(), w, in); err != nil {
			if err := takeCorrection(f, err); err != nil {
				return err
			}
		}
	}
	if !f.OK() {
		return c.PageForm("desk/record", f, p)
	}
	return s.showCorrection(c, f, p, in, name)
}

func (s *Service) showCorrection(c *web.Ctx, f *web.Form, p recordPage, in vaccination.Correction, name dcc.Name) error {
	names, _, err := s.products(c)
	if err != nil {
		return err
	}
	p.MRZ, p.Facts = name, facts(c, names, p.Content(), in.To)
	for _, field := range correctionFields {
		p.Fields = append(p.Fields, web.Option{Value: f.Get(field), Label: field})
	}
	return c.PageForm("desk/correction", f, p)
}

// facts are the lines of two contents; only what changes.
func facts(c *web.Ctx, names map[string]string, was, is vaccination.Content) (out []fact) {
	lines := func(x vaccination.Content) []string {
		passport := strings.Trim(x.PassportFamily+", "+x.PassportGiven, ", ")
		if passport == "" {
			passport = c.T("desk.same_name")
		}
		return []string{
			strings.Trim(x.FamilyName+", "+x.GivenName, ", "), passport, x.Birth.German(), names[x.ProductID] + ", " + x.LotNumber,
			c.T("desk.dose_of", "N", x.DoseNumber, "Of", x.DosesTotal), web.FormatDayShort(c.Lang, x.Day),
		}
	}
	a, b := lines(was), lines(is)
	for i, name := range []string{"name", "passport", "birth", "lot", "dose", "day"} {
		out = append(out, fact{c.T("desk.fact." + name), a[i], b[i], a[i] != b[i]})
	}
	return out
}

// takeCorrection says an error of a correction at the form, in this package's words or
// vaccination's.
func takeCorrection(f *web.Form, err error) error {
	if err = take(f, err); err != nil {
		err = vaccination.TakeError(f, err)
	}
	return problem(err)
}

func (s *Service) correct(c *web.Ctx) error {
	w, r, p, err := s.open(c, c.Params("id"))
	if err != nil {
		return err
	}
	f := c.Form()
	in, name := correction(c, f, r)
	if !f.OK() {
		return c.PageForm("desk/record", f, p)
	}
	if err := s.fresh(c, f); err != nil {
		return err
	}
	if !f.OK() {
		return s.showCorrection(c, f, p, in, name)
	}
	if err := s.Correct(c.Std(), w, in); err != nil {
		changed := errors.Is(err, vaccination.ErrChanged)
		if err := takeCorrection(f, err); err != nil {
			return err
		}
		if changed { // what is there now is shown, and not what was filled in over it
			now := fill(r)
			now.Errors = f.Errors
			f = now
		}
		return c.PageForm("desk/record", f, p)
	}
	c.Flash("desk.corrected")
	return c.See("/issuer/certificates/" + r.ID)
}

func (s *Service) revoke(c *web.Ctx) error {
	w, r, p, err := s.open(c, c.Params("id"))
	if err != nil {
		return err
	}
	f := c.Form()
	why := revocation.Reason(f.Get("why"))
	if !slices.Contains(Reasons, why) {
		f.Fail("why", "desk.error.why")
	}
	if f.OK() {
		if err := s.fresh(c, f); err != nil {
			return err
		}
	}
	if f.OK() {
		if err := s.Revoke(c.Std(), w, r.ID, why); err != nil {
			if err := take(f, err); err != nil {
				return problem(err)
			}
		}
	}
	if !f.OK() {
		again := fill(r)
		again.Set("why", f.Get("why"))
		again.Errors = f.Errors
		return c.PageForm("desk/record", again, p)
	}
	c.Flash("desk.revoked")
	return c.See("/issuer/certificates/" + r.ID)
}
