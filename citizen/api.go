package citizen

import (
	"net/http"
	"time"

	"impfportal/internal/web"
	"impfportal/notify"
)

func (s *Service) apiRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodPost, Path: "/api/v1/registrations", Gate: "register", API: web.JSON("Register a person", s.apiRegister)},
		{Method: http.MethodPost, Path: "/api/v1/sessions", API: web.JSON("Log in with case number and secret", s.apiLogin)},
		{Method: http.MethodDelete, Path: "/api/v1/sessions", Roles: citizens, API: web.JSON("Log out", s.apiLogout)},
		{Method: http.MethodGet, Path: "/api/v1/me", Roles: citizens, API: web.JSON("Own data", s.apiMe)},
		{Method: http.MethodPatch, Path: "/api/v1/me", Roles: citizens, API: web.JSON("Change the own contact; fields that are left out stay", s.apiChange)},
		{Method: http.MethodDelete, Path: "/api/v1/me", Roles: citizens, API: web.JSON("Delete the own registration", s.apiDelete)},
		{Method: http.MethodPost, Path: "/api/v1/login-data/lost", API: web.JSON("Send new login data to the known contact; the answer is the same for everybody", s.apiLost)},
	}
}

type apiAddress struct {
	Street   string `json:"street,omitempty" maxlen:"100"`
	Extra    string `json:"extra,omitempty" maxlen:"100"`
	Postcode string `json:"postcode,omitempty" maxlen:"10"`
	City     string `json:"city,omitempty" maxlen:"100"`
	Country  string `json:"country,omitempty" doc:"ISO 3166 alpha-2; DE when left out"`
}

func (a apiAddress) address() notify.Address {
	return notify.Address{Street: a.Street, Extra: a.Extra, Postcode: a.Postcode, City: a.City, Country: a.Country}
}

func addressOut(a notify.Address) apiAddress {
	return apiAddress{Street: a.Street, Extra: a.Extra, Postcode: a.Postcode, City: a.City, Country: a.Country}
}

type apiPrior struct {
	Kind    string `json:"kind" enum:"dose,recovery"`
	Product string `json:"product,omitempty" doc:"product id; for kind dose"`
	Date    string `json:"date" doc:"YYYY-MM-DD"`
	Proof   string `json:"proof" enum:"pass,certificate,laboratory,authority"`
}

type apiRegistration struct {
	Programme      string     `json:"programme"`
	Group          string     `json:"group"`
	ProofReady     bool       `json:"proof_ready" doc:"the proof of the group will be brought along"`
	OnBehalf       bool       `json:"on_behalf,omitempty"`
	FamilyName     string     `json:"family_name" maxlen:"100"`
	GivenName      string     `json:"given_name" maxlen:"100" doc:"\"-\" for people with one name"`
	PassportFamily string     `json:"passport_family,omitempty" maxlen:"100"`
	PassportGiven  string     `json:"passport_given,omitempty" maxlen:"100"`
	Birth          string     `json:"birth" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
	Sex            string     `json:"sex" enum:"female,male,other,unknown"`
	Address        apiAddress `json:"address,omitzero"`
	Phone          string     `json:"phone,omitempty"`
	Email          string     `json:"email,omitempty" maxlen:"254"`
	Lang           string     `json:"lang,omitempty" enum:"de,en"`
	Prior          *apiPrior  `json:"prior,omitempty"`
}

type apiRegistered struct {
	CaseNumber string `json:"case_number"`
	Secret     string `json:"secret" doc:"handed out here and nowhere else again"`
}

// HTTPStatus implements web.WithStatus.
func (apiRegistered) HTTPStatus() int { return http.StatusCreated }

// apiFields are the names that fields have in the API where they differ from
// those of the form.
var apiFields = map[string]string{
	"street": "address.street", "address_extra": "address.extra", "postcode": "address.postcode", "city": "address.city",
	"country": "address.country", "prior": "prior.kind", "prior_product": "prior.product", "prior_date": "prior.date", "prior_proof": "prior.proof",
}

func apiProblem(err error) error {
	err = problem(err)
	if p, ok := err.(*web.Problem); ok { //nolint:errorlint // problem returns it bare
		for i, f := range p.Fields {
			if name := apiFields[f.Field]; name != "" {
				p.Fields[i].Field = name
			}
		}
	}
	return err
}

func (s *Service) apiRegister(c *web.Ctx, in apiRegistration) (apiRegistered, error) {
	if err := s.allowPass(c); err != nil {
		return apiRegistered{}, err
	}
	done, err := s.registerAPI(c, in, "", SessionKind)
	if err != nil {
		return apiRegistered{}, err
	}
	return apiRegistered{CaseNumber: done.CaseNumber, Secret: done.Secret}, nil
}

// registerAPI registers what came as JSON; errors are ready for the caller. key
// is as in RegisterDesk, "" = none.
func (s *Service) registerAPI(c *web.Ctx, in apiRegistration, key, by string) (Registered, error) {
	r := Registration{
		ProgrammeID: in.Programme, GroupCode: in.Group, ProofReady: in.ProofReady, OnBehalf: in.OnBehalf,
		FamilyName: in.FamilyName, GivenName: in.GivenName, PassportFamily: in.PassportFamily, PassportGiven: in.PassportGiven,
		Sex: in.Sex, Address: in.Address.address(), Phone: in.Phone, Email: in.Email, Lang: in.Lang,
	}
	if r.Lang == "" {
		r.Lang = c.Lang
	}
	var e Invalid
	var err error
	if in.Birth != "" {
		if r.Birth, err = ParsePartialDate(in.Birth); err != nil {
			e.add("birth", "date_impossible")
		}
	}
	if p := in.Prior; p != nil {
		r.Prior = &Prior{Kind: p.Kind, ProductID: p.Product, Proof: p.Proof}
		if p.Date != "" {
			day, err := ParsePartialDate(p.Date)
			if err != nil || !day.Full() {
				e.add("prior_date", "date_impossible")
			}
			r.Prior.Date = dayOf(day)
		}
	}
	if len(e) > 0 {
		return Registered{}, apiProblem(e)
	}
	s.fix(&r, key, by)
	done, err := s.Register(c.Std(), r, by)
	if err != nil {
		return Registered{}, apiProblem(err)
	}
	return done, nil
}

type apiCredentials struct {
	CaseNumber string `json:"case_number"`
	Secret     string `json:"secret"`
}

type apiSession struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// HTTPStatus implements web.WithStatus.
func (apiSession) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiLogin(c *web.Ctx, in apiCredentials) (apiSession, error) {
	f := web.NewForm("case_number", in.CaseNumber, "secret", in.Secret)
	p, err := s.CheckLogin(c, f)
	if err != nil {
		return apiSession{}, err
	}
	if !f.OK() {
		if f.Errors[0].Key == "citizen.error.login" {
			return apiSession{}, problem(ErrLogin)
		}
		return apiSession{}, web.Invalid(f.Errors...)
	}
	token, err := c.Login(c.Std(), user(p), SessionTTL)
	return apiSession{Token: token, ExpiresAt: c.Now.Add(SessionTTL)}, err
}

func (s *Service) apiLogout(c *web.Ctx, _ struct{}) (struct{}, error) {
	if s.Leave != nil {
		s.Leave(c)
	}
	return struct{}{}, c.Logout()
}

type apiPerson struct {
	CaseNumber     string     `json:"case_number"`
	Programme      string     `json:"programme"`
	Group          string     `json:"group"`
	FamilyName     string     `json:"family_name"`
	GivenName      string     `json:"given_name"`
	PassportFamily string     `json:"passport_family,omitempty"`
	PassportGiven  string     `json:"passport_given,omitempty"`
	Birth          string     `json:"birth"`
	Sex            string     `json:"sex"`
	Address        apiAddress `json:"address"`
	Phone          string     `json:"phone,omitempty"`
	Email          string     `json:"email,omitempty"`
	Lang           string     `json:"lang"`
	Prior          *apiPrior  `json:"prior,omitempty"`
	RegisteredAt   time.Time  `json:"registered_at"`
}

func personOut(p Person) apiPerson {
	out := apiPerson{
		CaseNumber: PrintCode(p.CaseNumber), Programme: p.ProgrammeID, Group: p.GroupCode, FamilyName: p.FamilyName, GivenName: p.GivenName,
		PassportFamily: p.PassportFamily, PassportGiven: p.PassportGiven, Birth: p.Birth.String(), Sex: p.Sex,
		Address: addressOut(p.Address), Phone: p.Phone, Email: p.Email, Lang: p.Lang, RegisteredAt: p.RegisteredAt,
	}
	if p.Prior != nil {
		out.Prior = &apiPrior{Kind: p.Prior.Kind, Product: p.Prior.ProductID, Date: p.Prior.Date.Format(time.DateOnly), Proof: p.Prior.Proof}
	}
	return out
}

func (s *Service) apiMe(c *web.Ctx, _ struct{}) (apiPerson, error) {
	p, err := s.me(c)
	return personOut(p), err
}

type apiContact struct {
	Address *apiAddress `json:"address,omitempty"`
	Phone   *string     `json:"phone,omitempty"`
	Email   *string     `json:"email,omitempty"`
	Lang    *string     `json:"lang,omitempty"`
}

func (s *Service) apiChange(c *web.Ctx, in apiContact) (apiPerson, error) {
	p, err := s.me(c)
	if err != nil {
		return apiPerson{}, err
	}
	ct := Contact{Address: p.Address, Phone: p.Phone, Email: p.Email, Lang: p.Lang}
	if in.Address != nil {
		ct.Address = in.Address.address()
	}
	for _, f := range []struct {
		to   *string
		from *string
	}{{&ct.Phone, in.Phone}, {&ct.Email, in.Email}, {&ct.Lang, in.Lang}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if p, err = s.ChangeContact(c.Std(), p.ID, ct, c.Actor(), string(web.RoleCitizen)); err != nil {
		return apiPerson{}, apiProblem(err)
	}
	return personOut(p), nil
}

func (s *Service) apiDelete(c *web.Ctx, _ struct{}) (struct{}, error) {
	if err := s.Delete(c.Std(), c.User.ID, c.Actor(), string(web.RoleCitizen)); err != nil {
		return struct{}{}, problem(err)
	}
	if s.Leave != nil {
		s.Leave(c)
	}
	return struct{}{}, c.Logout()
}

type apiLostRequest struct {
	CaseNumber string `json:"case_number,omitempty"`
	FamilyName string `json:"family_name,omitempty"`
	GivenName  string `json:"given_name,omitempty"`
	Birth      string `json:"birth,omitempty"`
}

type apiAccepted struct {
	Accepted bool `json:"accepted" doc:"always true: it says nothing about whether somebody is registered"`
}

// HTTPStatus implements web.WithStatus.
func (apiAccepted) HTTPStatus() int { return http.StatusAccepted }

func (s *Service) apiLost(c *web.Ctx, in apiLostRequest) (apiAccepted, error) {
	r := LostRequest{CaseNumber: in.CaseNumber, Family: in.FamilyName, Given: in.GivenName}
	var f web.Form
	if in.Birth != "" {
		var err error
		if r.Birth, err = ParsePartialDate(in.Birth); err != nil {
			f.Fail("birth", "citizen.error.date_impossible")
		}
	}
	if err := s.lost(c, r, &f); err != nil {
		return apiAccepted{}, err
	}
	if !f.OK() {
		return apiAccepted{}, web.Invalid(f.Errors...)
	}
	return apiAccepted{Accepted: true}, nil
}
