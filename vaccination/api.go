package vaccination

import (
	"errors"
	"net/http"
	"time"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

// The JSON operations call the same functions as the pages.
func (s *Service) api() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/api/v1/site/day", Roles: site, API: web.JSON("Today's list of a centre and its doses", s.apiDay)},
		{Method: "POST", Path: "/api/v1/site/find", Roles: site, API: web.JSON("Find somebody of today's list by reference, or by name and birth date", s.apiFind)},
		{Method: "GET", Path: "/api/v1/site/appointments/:id", Roles: site, API: web.JSON("The card of a person: what is to be given, warnings, lots", s.apiCard)},
		{Method: "POST", Path: "/api/v1/site/appointments/:id/here", Roles: site, API: web.JSON("Check somebody in", s.apiHere)},
		{Method: "POST", Path: "/api/v1/site/appointments/:id/missed", Roles: site, API: web.JSON("Note that somebody did not come", s.apiMissed)},
		{Method: "POST", Path: "/api/v1/site/appointments/:id/dose", Roles: site, API: web.JSON("Record the dose of an appointment", s.apiDose)},
		{Method: "POST", Path: "/api/v1/site/walk-ins", Roles: site, API: web.JSON("Record a dose for somebody without an appointment", s.apiWalkIn)},
		{Method: "GET", Path: "/api/v1/site/records/:id", Roles: site, API: web.JSON("A record of today", s.apiRecord)},
	}
}

// apiCentre is centreOf for JSON: the centre stands in the call.
func (s *Service) apiCentre(c *web.Ctx, chosen string) (centre.Centre, error) {
	ce, err := s.centreOf(c, chosen)
	if errors.Is(err, errChoose) {
		return ce, web.Invalid(web.FieldError{Field: "centre", Key: "vaccination.error.centre"})
	}
	return ce, err
}

type dayIn struct {
	Centre string `json:"-" query:"centre" doc:"centre id; needed by accounts of all centres"`
}

type dayOut struct {
	Centre   string        `json:"centre"`
	Day      string        `json:"day"`
	Visitors []visitorJSON `json:"visitors"`
	Stock    []Leftover    `json:"stock"`
}

type visitorJSON struct {
	AppointmentID string    `json:"appointment_id,omitempty"`
	RecordID      string    `json:"record_id,omitempty"`
	FamilyName    string    `json:"family_name" doc:"empty when the registration was deleted"`
	GivenName     string    `json:"given_name"`
	Birth         string    `json:"birth" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
	Time          time.Time `json:"time" doc:"of the appointment; of the dose for a walk-in"`
	State         State     `json:"state" enum:"expected,here,vaccinated,missed"`
	WalkIn        bool      `json:"walk_in"`
	ProductID     string    `json:"product_id"`
	DoseNumber    int       `json:"dose_number"`
}

func visitors(vs []Visitor) []visitorJSON {
	out := make([]visitorJSON, len(vs))
	for i, v := range vs {
		out[i] = visitorJSON{v.AppointmentID, v.RecordID, v.FamilyName, v.GivenName, v.Birth.String(), v.Time.UTC(), v.State, v.WalkIn, v.ProductID, v.DoseNumber}
	}
	return out
}

func (s *Service) apiDay(c *web.Ctx, in dayIn) (dayOut, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return dayOut{}, err
	}
	d, err := s.Today(c.Std(), s.pool, ce.ID, c.Now)
	if err != nil {
		return dayOut{}, err
	}
	return dayOut{Centre: ce.ID, Day: d.Date.Format(time.DateOnly), Visitors: visitors(d.Visitors), Stock: list(d.Stock)}, nil
}

// list makes an empty list of nil: JSON says [] then.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

type findIn struct {
	Centre     string `json:"centre,omitempty"`
	Code       string `json:"code,omitempty" doc:"reference as typed, or the text of the QR code"`
	FamilyName string `json:"family_name,omitempty"`
	GivenName  string `json:"given_name,omitempty"`
	Birth      string `json:"birth,omitempty" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
}

type findOut struct {
	Visitors []visitorJSON `json:"visitors"`
}

func (s *Service) apiFind(c *web.Ctx, in findIn) (findOut, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return findOut{}, err
	}
	q := Query{Code: in.Code, Family: in.FamilyName, Given: in.GivenName}
	if err := q.Birth.UnmarshalText([]byte(in.Birth)); err != nil {
		return findOut{}, web.Invalid(web.FieldError{Field: "birth", Key: "vaccination.error.birth"})
	}
	found, err := s.Find(c.Std(), s.pool, ce.ID, c.Now, q)
	switch {
	case errors.Is(err, ErrCode):
		return findOut{}, web.Invalid(web.FieldError{Field: "code", Key: "vaccination.error.code"})
	case errors.Is(err, ErrInvalid):
		return findOut{}, web.Invalid(web.FieldError{Field: "family_name", Key: "vaccination.error.query"})
	}
	return findOut{visitors(found)}, err
}

type appointmentIn struct {
	ID     string `json:"-" path:"id"`
	Centre string `json:"-" query:"centre"`
}

type lotJSON struct {
	ID        string `json:"id"`
	Number    string `json:"number"`
	Expiry    string `json:"expiry"`
	Vials     int    `json:"vials"`
	OpenDoses int    `json:"open_doses"`
}

type priorJSON struct {
	ProductID string `json:"product_id,omitempty"`
	Day       string `json:"day" doc:"YYYY-MM-DD"`
}

type cardOut struct {
	Visitor       visitorJSON `json:"visitor"`
	DosesTotal    int         `json:"doses_total"`
	CheckIdentity bool        `json:"check_identity" doc:"perhaps registered twice: look at the identity card with care; check-in and dose are possible"`
	Prior         *priorJSON  `json:"prior,omitempty"`
	Warnings      []Warning   `json:"warnings" doc:"what the dose would break; refused without an override"`
	Lots          []lotJSON   `json:"lots" doc:"the one to use first"`
	Forms         []string    `json:"forms" doc:"versions of the forms that may be signed, newest first"`
}

func (s *Service) apiCard(c *web.Ctx, in appointmentIn) (cardOut, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return cardOut{}, err
	}
	card, err := s.Card(c.Std(), s.pool, ce.ID, in.ID, c.Now)
	if err != nil {
		return cardOut{}, Problem(err)
	}
	out := cardOut{Visitor: visitors([]Visitor{card.Visitor})[0], DosesTotal: card.DosesTotal, CheckIdentity: card.CheckIdentity, Warnings: list(card.Warnings), Lots: []lotJSON{}, Forms: []string{}}
	if card.Prior != nil {
		out.Prior = &priorJSON{card.Prior.ProductID, card.Prior.Day.Format(time.DateOnly)}
	}
	for _, l := range card.Lots {
		out.Lots = append(out.Lots, lotJSON{l.ID, l.Number, l.Expiry.Format(time.DateOnly), l.Vials, l.OpenDoses})
	}
	for _, f := range card.Forms {
		out.Forms = append(out.Forms, f.Format(time.DateOnly))
	}
	return out, nil
}

func (s *Service) apiHere(c *web.Ctx, in appointmentIn) (struct{}, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, Problem(s.Here(c.Std(), ce.ID, in.ID, c.Now, c.Actor(), role(c)))
}

func (s *Service) apiMissed(c *web.Ctx, in appointmentIn) (struct{}, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, Problem(s.Missed(c.Std(), ce.ID, in.ID, c.Now, c.Actor(), role(c)))
}

// OverrideJSON names the warnings that are accepted.
type OverrideJSON struct {
	Rules  []string `json:"rules" doc:"codes of the warnings"`
	Reason string   `json:"reason"`
}

// DoseJSON is the part that every dose has.
type DoseJSON struct {
	Key      string        `json:"key" doc:"made by the client; the same key gives the same record"`
	LotID    string        `json:"lot_id"`
	Consent  bool          `json:"consent" doc:"anamnesis and consent form are at hand, signed"`
	Forms    string        `json:"forms" doc:"their date ('Stand'), YYYY-MM-DD"`
	Override *OverrideJSON `json:"override,omitempty"`
}

// Form checks the part and returns it as the pages do.
func (d DoseJSON) Form() (DoseForm, error) {
	out := DoseForm{Key: d.Key, LotID: d.LotID, Consent: d.Consent}
	var err error
	if out.Forms, err = time.Parse(time.DateOnly, d.Forms); err != nil {
		return out, Problem(ErrForms)
	}
	if d.Key == "" {
		return out, web.Invalid(web.FieldError{Field: "key", Key: "web.error.required"})
	}
	if !id.Valid(d.LotID) {
		return out, Problem(ErrWrongLot)
	}
	if d.Override != nil {
		out.Override = &Override{Rules: d.Override.Rules, Reason: d.Override.Reason}
	}
	return out, nil
}

// RecordedJSON is the answer to a recorded dose.
type RecordedJSON struct {
	RecordID string `json:"record_id"`
}

// HTTPStatus makes it a 201.
func (RecordedJSON) HTTPStatus() int { return http.StatusCreated }

type apiDoseIn struct {
	ID     string `json:"-" path:"id"`
	Centre string `json:"centre,omitempty"`
	PassportJSON
	DoseJSON
}

// PassportJSON is the spelling of the passport, for people whose registration is known.
type PassportJSON struct {
	Passport *struct {
		Family string `json:"family_name,omitempty"`
		Given  string `json:"given_name,omitempty"`
	} `json:"passport,omitempty" doc:"the name as the passport spells it, where it differs; without it the registration's counts"`
}

func (p PassportJSON) read() *Passport {
	if p.Passport == nil {
		return nil
	}
	return &Passport{Family: p.Passport.Family, Given: p.Passport.Given}
}

func (s *Service) apiDose(c *web.Ctx, in apiDoseIn) (RecordedJSON, error) {
	return s.apiGive(c, in.Centre, in.DoseJSON, func(dose *RecordDose) {
		dose.AppointmentID, dose.Channel, dose.Passport = in.ID, ByAppointment, in.read()
	})
}

// apiGive is postRecord for JSON.
func (s *Service) apiGive(c *web.Ctx, chosen string, in DoseJSON, whose func(*RecordDose)) (RecordedJSON, error) {
	ce, err := s.apiCentre(c, chosen)
	if err != nil {
		return RecordedJSON{}, err
	}
	d, err := in.Form()
	if err != nil {
		return RecordedJSON{}, err
	}
	dose := d.given(c, ce)
	whose(&dose)
	recordID, err := s.Record(c.Std(), dose)
	return RecordedJSON{recordID}, Problem(err)
}

// PersonJSON are the details of a person without a registration.
type PersonJSON struct {
	FamilyName     string     `json:"family_name"`
	GivenName      string     `json:"given_name,omitempty"`
	PassportFamily string     `json:"passport_family,omitempty"`
	PassportGiven  string     `json:"passport_given,omitempty"`
	Birth          string     `json:"birth" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
	Sex            string     `json:"sex" doc:"female, male, other, unknown"`
	Postcode       string     `json:"postcode,omitempty"`
	Email          string     `json:"email,omitempty"`
	Phone          string     `json:"phone,omitempty"`
	Lang           string     `json:"lang,omitempty"`
	DoseNumber     int        `json:"dose_number"`
	Prior          *priorJSON `json:"prior,omitempty" doc:"the dose before this one, as the vaccination pass says"`
	Recovered      bool       `json:"recovered,omitempty" doc:"a proven recovery: one dose completes the series"`
}

// Read checks the details and returns them as the pages do. day is today in Berlin.
func (p PersonJSON) Read(day time.Time) (Patient, *PriorDose, error) {
	out := Patient{
		FamilyName: p.FamilyName, GivenName: p.GivenName, PassportFamily: p.PassportFamily, PassportGiven: p.PassportGiven,
		Sex: p.Sex, Postcode: p.Postcode, Contact: Contact{Email: p.Email, Phone: p.Phone, Lang: p.Lang},
	}
	_ = out.Birth.UnmarshalText([]byte(p.Birth)) // what is no date stays the zero date, which Clean refuses
	fields := out.Clean(day)
	if p.DoseNumber < 1 || p.DoseNumber > maxDoses {
		fields = append(fields, web.FieldError{Field: "dose_number", Key: "vaccination.error.dose_number"})
	}
	var prior *PriorDose
	if p.Prior != nil {
		t, err := time.Parse(time.DateOnly, p.Prior.Day)
		if err != nil || t.After(day) {
			fields = append(fields, web.FieldError{Field: "prior", Key: "vaccination.error.prior"})
		}
		prior = &PriorDose{ProductID: p.Prior.ProductID, Day: t}
	}
	if len(fields) > 0 {
		return out, nil, web.Invalid(fields...)
	}
	return out, prior, nil
}

type walkInIn struct {
	Centre string     `json:"centre,omitempty"`
	Person PersonJSON `json:"person"`
	DoseJSON
}

func (s *Service) apiWalkIn(c *web.Ctx, in walkInIn) (RecordedJSON, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return RecordedJSON{}, err
	}
	d, err := in.Form()
	if err != nil {
		return RecordedJSON{}, err
	}
	patient, prior, err := in.Person.Read(clock.Day(c.Now))
	if err != nil {
		return RecordedJSON{}, err
	}
	productID, err := productOf(c.Std(), s.pool, d.LotID)
	if err != nil {
		return RecordedJSON{}, Problem(err)
	}
	dose := d.given(c, ce)
	dose.Channel, dose.Patient, dose.ProductID, dose.Prior = WalkIn, patient, productID, prior
	dose.DoseNumber, dose.Recovered = in.Person.DoseNumber, in.Person.Recovered
	recordID, err := s.Record(c.Std(), dose)
	return RecordedJSON{recordID}, Problem(err)
}

type recordOut struct {
	ID         string     `json:"id"`
	ProductID  string     `json:"product_id"`
	LotNumber  string     `json:"lot_number"`
	DoseNumber int        `json:"dose_number"`
	DosesTotal int        `json:"doses_total"`
	GivenAt    time.Time  `json:"given_at"`
	Channel    Channel    `json:"channel"`
	Next       *time.Time `json:"next_appointment,omitempty"`
}

func (s *Service) apiRecord(c *web.Ctx, in appointmentIn) (recordOut, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return recordOut{}, err
	}
	r, next, err := s.Given(c.Std(), s.pool, ce.ID, in.ID, c.Now)
	if err != nil {
		return recordOut{}, Problem(err)
	}
	return recordOut{r.ID, r.ProductID, r.LotNumber, r.DoseNumber, r.DosesTotal, r.GivenAt, r.Channel, next}, nil
}
