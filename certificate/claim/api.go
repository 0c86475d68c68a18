package claim

import (
	"errors"
	"net/http"
	"time"

	"impfportal/certificate"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/vaccination"
)

// The JSON operations call the same functions as the pages.
func (s *Service) api() []web.Route {
	const summary = "Make the code with which somebody without a login gets their certificate; one that was made before opens nothing any more"
	return []web.Route{
		{Method: http.MethodPost, Path: "/api/v1/certificates/claim", API: web.JSON("The certificates that a claim code and a birth date open, newest first", s.apiOpen)},
		{Method: http.MethodPost, Path: "/api/v1/site/records/:id/claim", Roles: site, API: web.JSON(summary, s.apiMake)},
		{Method: http.MethodPost, Path: "/api/v1/teams/records/:id/claim", Roles: team, API: web.JSON(summary, s.apiMake)},
	}
}

type openIn struct {
	Code  string `json:"code"`
	Birth string `json:"birth" doc:"of the treatment record: YYYY, YYYY-MM or YYYY-MM-DD"`
}

type openOut struct {
	Certificates []certificate.JSON `json:"certificates"`
}

func (s *Service) apiOpen(c *web.Ctx, in openIn) (openOut, error) {
	out := openOut{Certificates: []certificate.JSON{}}
	var birth vaccination.PartialDate
	if err := birth.UnmarshalText([]byte(in.Birth)); err != nil {
		return out, web.Invalid(web.FieldError{Field: "birth", Key: "vaccination.error.birth"})
	}
	list, err := s.Open(c.Std(), in.Code, birth)
	switch {
	case errors.Is(err, ErrTypo):
		return out, web.Invalid(web.FieldError{Field: "code", Key: "claim.error.typo"})
	case errors.Is(err, ErrNoClaim):
		return out, web.Invalid(web.FieldError{Field: "code", Key: "claim.error.none"})
	case err != nil:
		return out, err
	}
	for _, x := range list {
		out.Certificates = append(out.Certificates, s.Certificates.JSON(x, true))
	}
	return out, nil
}

type makeIn struct {
	ID   string       `json:"-" path:"id"`
	Post *addressJSON `json:"post,omitempty" doc:"where the code goes by letter; without it it is in the answer"`
}

// OptionalBody lets the code be made without a body: it is then in the answer.
func (makeIn) OptionalBody() {}

type addressJSON struct {
	Extra    string `json:"extra,omitempty"`
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
	City     string `json:"city"`
}

type makeOut struct {
	Code    string    `json:"code,omitempty" doc:"as it is printed; empty when it goes by letter"`
	Address string    `json:"address" doc:"of the page that takes it"`
	Until   time.Time `json:"until"`
}

// HTTPStatus makes it a 201.
func (makeOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiMake(c *web.Ctx, in makeIn) (makeOut, error) {
	r, err := s.record(c, in.ID)
	if err != nil {
		return makeOut{}, err
	}
	var to *notify.Address
	if a := in.Post; a != nil {
		to = addressOf(r, a.Extra, a.Street, a.Postcode, a.City)
		if missing := lacking(*to); len(missing) > 0 {
			return makeOut{}, web.Invalid(missing...)
		}
	}
	printed, err := s.issue(c, r, to)
	if err != nil {
		return makeOut{}, err
	}
	if to != nil {
		printed = ""
	}
	return makeOut{printed, s.address(), c.Now.Add(life).UTC()}, nil
}
