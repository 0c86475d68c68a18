package desk

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"impfportal/certificate"
	"impfportal/certificate/issuer"
	"impfportal/certificate/revocation"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/vaccination"
)

// apiRoutes are the desk's deeds as JSON. They read their input as the pages read a
// form, and ask for the same touch: POST /api/v1/staff/fresh/issuing.
func (s *Service) apiRoutes() []web.Route {
	const path = "/api/v1/issuer/certificates"
	operator := []web.Role{web.RoleIssuer}
	return []web.Route{
		{Method: http.MethodGet, Path: path, Roles: operator, API: web.JSON("The last doses that this issuer certified; without names", s.apiList)},
		{Method: http.MethodPost, Path: path, Roles: operator, API: web.JSON("Certify a dose that was given here, or seen in a document; needs a fresh touch for issuing", s.apiIssue)},
		{Method: http.MethodPost, Path: path + "/search", Roles: operator, API: web.JSON("Find what this issuer certified, by name and birth date or by the certificate's id", s.apiSearch)},
		{Method: http.MethodGet, Path: path + "/:id", Roles: operator, API: web.JSON("A dose with its certificates and their texts; every look is in the audit", s.apiShow)},
		{Method: http.MethodGet, Path: path + "/:id/state", Roles: operator, API: web.JSON("How far the certificate of a dose is; says nothing personal", s.apiState)},
		{Method: http.MethodPut, Path: path + "/:id", Roles: operator, API: web.JSON("Correct a dose: the certificate is revoked and made anew; needs a fresh touch for issuing", s.apiCorrect)},
		{Method: http.MethodPost, Path: path + "/:id/revocation", Roles: operator, API: web.JSON("Revoke the certificate of a dose for good; needs a fresh touch for issuing", s.apiRevoke)},
	}
}

// StateOut is how far a certificate is.
type StateOut struct {
	ID        string     `json:"id" doc:"of the dose's record"`
	State     string     `json:"state" enum:"making,held,ready,revoked,refused" doc:"held: issuing is stopped; it is made when it goes on"`
	Problem   string     `json:"problem,omitempty" doc:"why it was refused, in words"`
	UVCI      string     `json:"uvci,omitempty"`
	HeldSince *time.Time `json:"held_since,omitempty"`
	HeldWhy   string     `json:"held_why,omitempty"`
}

func stateOut(c *web.Ctx, p resultPage) StateOut {
	out := StateOut{ID: p.ID, State: "making"}
	if p.Hold != nil {
		out.State, out.HeldSince, out.HeldWhy = "held", &p.Hold.Since, p.Hold.Why
	}
	if p.Certificate == nil {
		return out
	}
	switch {
	case p.Certificate.Ready():
		out.State, out.UVCI = "ready", p.Certificate.Entry().ID
	case p.Certificate.State == certificate.StateRevoked:
		out.State, out.UVCI = "revoked", p.Certificate.Entry().ID
	case p.Certificate.State == certificate.StateRefused:
		out.State, out.Problem = "refused", c.T("desk.refused."+p.Certificate.Problem)
	}
	return out
}

// MadeOut is the dose that was recorded.
type MadeOut struct{ StateOut }

// HTTPStatus says that something was made.
func (MadeOut) HTTPStatus() int { return http.StatusCreated }

// DoseJSON is a dose and who got it.
type DoseJSON struct {
	FamilyName     string `json:"family_name" maxlen:"100"`
	GivenName      string `json:"given_name" maxlen:"100"`
	PassportFamily string `json:"passport_family,omitempty" maxlen:"100" doc:"where the passport spells it otherwise"`
	PassportGiven  string `json:"passport_given,omitempty" maxlen:"100"`
	Birth          string `json:"birth" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
	ProductID      string `json:"product_id" maxlen:"40"`
	LotNumber      string `json:"lot_number" maxlen:"100" doc:"given: one that was declared received; seen: as it is written"`
	Dose           string `json:"dose" enum:"first,second,recovered,booster,booster2,single,after_single,booster_single,booster_recovered"`
	Day            string `json:"day" doc:"of the dose, YYYY-MM-DD"`
}

// form is the dose as the page's form would be filled in.
func (d DoseJSON) form(kv ...string) *web.Form {
	f := web.NewForm(append(kv,
		"family_name", d.FamilyName, "given_name", d.GivenName, "passport_family", d.PassportFamily, "passport_given", d.PassportGiven,
		"lot", d.ProductID+lineBetween+d.LotNumber, "product", d.ProductID, "written", d.LotNumber, "dose", d.Dose, "day", d.Day)...)
	setBirth(f, d.Birth)
	return f
}

// setBirth sets the three fields of a birth date; what is none stays empty and is
// refused as such.
func setBirth(f *web.Form, text string) {
	var b vaccination.PartialDate
	if b.UnmarshalText([]byte(text)) != nil {
		return
	}
	for name, n := range map[string]int{"birth_year": b.Year, "birth_month": b.Month, "birth_day": b.Day} {
		if n > 0 {
			f.Set(name, strconv.Itoa(n))
		}
	}
}

// wrong is what is wrong with a form, under the API's names.
func wrong(f *web.Form) error {
	p := web.Invalid()
	for _, e := range f.Errors {
		switch {
		case e.Field == "lot" || e.Field == "written":
			e.Field = "lot_number"
		case e.Field == "product":
			e.Field = "product_id"
		case strings.HasPrefix(e.Field, "birth"):
			e.Field = "birth"
		}
		p.Fields = append(p.Fields, e)
	}
	return p
}

// refused says an error that a form would show as an answer of its own.
func refused(err error, say func(*web.Form, error) error) error {
	f := web.NewForm()
	if other := say(f, err); other != nil {
		return problem(other)
	}
	status := http.StatusConflict
	if errors.Is(err, issuer.ErrLimit) {
		status = http.StatusTooManyRequests
	}
	return web.Fail(status, f.Errors[0].Key, f.Errors[0].Args...)
}

// IssueIn is a dose to be certified.
type IssueIn struct {
	DoseJSON
	Key      string `json:"key" maxlen:"36" doc:"a UUID of the caller's; the same key gives the same record"`
	Basis    string `json:"basis" enum:"given,seen" doc:"given here, or seen in a document"`
	Document string `json:"document,omitempty" enum:"booklet,replacement" doc:"seen: the kind of document"`
	Place    string `json:"place,omitempty" maxlen:"100" doc:"seen: who gave it, as written"`
}

func (s *Service) apiIssue(c *web.Ctx, in IssueIn) (MadeOut, error) {
	w, err := s.who(c)
	if err != nil {
		return MadeOut{}, err
	}
	f := in.form("key", in.Key, "document", in.Document, "place", in.Place)
	b := vaccination.Basis(in.Basis)
	if b != vaccination.Given && b != vaccination.Seen {
		return MadeOut{}, web.Invalid(web.FieldError{Field: "basis", Key: "desk.error.basis"})
	}
	if !id.Valid(in.Key) {
		return MadeOut{}, web.Invalid(web.FieldError{Field: "key", Key: "desk.error.uuid"})
	}
	o, _, err := order(c, f, b)
	switch {
	case err != nil:
		return MadeOut{}, err
	case !f.OK():
		return MadeOut{}, wrong(f)
	}
	if err := s.Keys.Fresh(c.Std(), c, action); err != nil {
		return MadeOut{}, err
	}
	recordID, err := s.Issue(c.Std(), w, o)
	if err != nil {
		return MadeOut{}, refused(err, take)
	}
	p, err := s.resultOf(c, w, recordID)
	return MadeOut{stateOut(c, p)}, err
}

// RecordIn names a dose.
type RecordIn struct {
	ID string `json:"-" path:"id"`
}

func (s *Service) apiState(c *web.Ctx, in RecordIn) (StateOut, error) {
	w, err := s.who(c)
	if err != nil {
		return StateOut{}, err
	}
	p, err := s.resultOf(c, w, in.ID)
	return stateOut(c, p), err
}

// RowOut is a dose in a list.
type RowOut struct {
	ID         string    `json:"id"`
	RecordedAt time.Time `json:"recorded_at"`
	Name       string    `json:"name,omitempty" doc:"after a search only"`
	Birth      string    `json:"birth,omitempty" doc:"after a search only"`
	ProductID  string    `json:"product_id"`
	LotNumber  string    `json:"lot_number"`
	DoseNumber int       `json:"dose_number"`
	DosesTotal int       `json:"doses_total"`
	Day        string    `json:"day"`
	Basis      string    `json:"basis" enum:"given,seen"`
	State      string    `json:"state" enum:"making,released,revoked,refused,removed"`
}

// RowsOut lists doses, the newest first.
type RowsOut struct {
	Doses []RowOut `json:"doses"`
}

func rowsOut(rows []row) RowsOut {
	out := RowsOut{Doses: []RowOut{}}
	for _, r := range rows {
		o := RowOut{
			ID: r.ID, RecordedAt: r.RecordedAt, Name: r.Name, Birth: r.Birth, ProductID: r.ProductID, LotNumber: r.LotNumber, DoseNumber: r.DoseNumber, DosesTotal: r.DosesTotal,
			Day: r.Day.Format(time.DateOnly), Basis: string(r.Basis), State: r.State,
		}
		if r.Removed {
			o.State = "removed"
		}
		out.Doses = append(out.Doses, o)
	}
	return out
}

func (s *Service) apiList(c *web.Ctx, _ struct{}) (RowsOut, error) {
	w, err := s.who(c)
	if err != nil {
		return RowsOut{}, err
	}
	_, rows, err := s.rows(c, w, nil)
	return rowsOut(rows), err
}

// SearchIn is what to look for.
type SearchIn struct {
	FamilyName string `json:"family_name,omitempty" maxlen:"100"`
	GivenName  string `json:"given_name,omitempty" maxlen:"100"`
	Birth      string `json:"birth,omitempty" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
	UVCI       string `json:"uvci,omitempty" maxlen:"80"`
}

func (s *Service) apiSearch(c *web.Ctx, in SearchIn) (RowsOut, error) {
	w, err := s.who(c)
	if err != nil {
		return RowsOut{}, err
	}
	f := web.NewForm("family_name", in.FamilyName, "given_name", in.GivenName, "uvci", in.UVCI)
	setBirth(f, in.Birth)
	recordID, found, err := s.find(c, w, f)
	switch {
	case errors.Is(err, vaccination.ErrInvalid):
		return RowsOut{}, web.Invalid(web.FieldError{Field: "family_name", Key: "desk.error.query"})
	case err != nil:
		return RowsOut{}, problem(err)
	}
	if recordID != "" {
		r, err := s.issued(c.Std(), s.Pool, w, recordID)
		if err != nil {
			return RowsOut{}, problem(err)
		}
		rows := []row{{Issued: r}}
		if err := s.finish(c, rows); err != nil {
			return RowsOut{}, err
		}
		return rowsOut(rows), nil
	}
	_, rows, err := s.rows(c, w, found)
	return rowsOut(rows), err
}

// CertificateOut is one of a dose's certificates.
type CertificateOut struct {
	Version   int        `json:"version"`
	State     string     `json:"state"`
	Problem   string     `json:"problem,omitempty" doc:"why it was refused, in words"`
	UVCI      string     `json:"uvci,omitempty"`
	HC1       string     `json:"hc1,omitempty" doc:"what the QR code says; of one that counts"`
	IssuedAt  *time.Time `json:"issued_at,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	Replaced  bool       `json:"replaced,omitempty"`
}

// RecordOut is a dose with its certificates.
type RecordOut struct {
	DoseJSON
	ID           string           `json:"id"`
	Version      int              `json:"version" doc:"to be named by who corrects it"`
	Basis        string           `json:"basis" enum:"given,seen"`
	DoseNumber   int              `json:"dose_number"`
	DosesTotal   int              `json:"doses_total"`
	Removed      bool             `json:"removed,omitempty"`
	Certificates []CertificateOut `json:"certificates" doc:"the newest first"`
	Files        []string         `json:"files,omitempty" doc:"addresses of the certificate that counts: PDF, QR code, text"`
}

func (s *Service) apiShow(c *web.Ctx, in RecordIn) (RecordOut, error) {
	_, r, p, err := s.open(c, in.ID)
	if err != nil {
		return RecordOut{}, err
	}
	dose, _ := sameDose(r)
	out := RecordOut{
		ID: r.ID, Version: r.Version, Basis: string(r.Basis), DoseNumber: r.DoseNumber, DosesTotal: r.DosesTotal, Removed: r.Removed(), Certificates: []CertificateOut{},
		DoseJSON: DoseJSON{
			r.Patient.FamilyName, r.Patient.GivenName, r.Patient.PassportFamily, r.Patient.PassportGiven, r.Patient.Birth.String(), r.ProductID, r.LotNumber, dose, r.Day.Format(time.DateOnly),
		},
	}
	for _, x := range p.Versions {
		o := CertificateOut{Version: x.Version, State: string(x.State), Replaced: x.Replaced}
		if x.State == certificate.StateRefused {
			o.Problem = c.T("desk.refused." + x.Problem)
		}
		if x.HC1 != "" {
			o.UVCI, o.IssuedAt = x.Entry().ID, &x.IssuedAt
		}
		if x.Ready() {
			o.HC1 = x.HC1
		}
		if !x.RevokedAt.IsZero() {
			o.RevokedAt = &x.RevokedAt
		}
		out.Certificates = append(out.Certificates, o)
	}
	if p.Ready {
		for _, kind := range []string{certificate.FilePDF, certificate.FilePNG, certificate.FileText} {
			out.Files = append(out.Files, "/issuer/issued/"+r.ID+"/"+kind)
		}
	}
	return out, nil
}

// CorrectIn is a dose as it should be.
type CorrectIn struct {
	ID string `json:"-" path:"id"`
	DoseJSON
	Version int    `json:"version" doc:"of the dose that was looked at"`
	Reason  string `json:"reason" maxlen:"300"`
}

func (s *Service) apiCorrect(c *web.Ctx, in CorrectIn) (StateOut, error) {
	w, r, _, err := s.open(c, in.ID)
	if err != nil {
		return StateOut{}, err
	}
	f := in.form("version", strconv.Itoa(in.Version), "reason", in.Reason)
	correct, _ := correction(c, f, r)
	if !f.OK() {
		return StateOut{}, wrong(f)
	}
	if err := s.Keys.Fresh(c.Std(), c, action); err != nil {
		return StateOut{}, err
	}
	if err := s.Correct(c.Std(), w, correct); err != nil {
		return StateOut{}, refused(err, takeCorrection)
	}
	return s.apiState(c, RecordIn{in.ID})
}

// RevokeIn takes a certificate back.
type RevokeIn struct {
	ID     string `json:"-" path:"id"`
	Reason string `json:"reason" enum:"holder,lot,fraud"`
}

func (s *Service) apiRevoke(c *web.Ctx, in RevokeIn) (StateOut, error) {
	w, err := s.who(c)
	if err != nil {
		return StateOut{}, err
	}
	why := revocation.Reason(in.Reason)
	if !slices.Contains(Reasons, why) {
		return StateOut{}, web.Invalid(web.FieldError{Field: "reason", Key: "desk.error.why"})
	}
	if err := s.Keys.Fresh(c.Std(), c, action); err != nil {
		return StateOut{}, err
	}
	if err := s.Revoke(c.Std(), w, in.ID, why); err != nil {
		return StateOut{}, refused(err, take)
	}
	return s.apiState(c, RecordIn{in.ID})
}
