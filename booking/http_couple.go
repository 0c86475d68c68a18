package booking

import (
	"net/http"

	"impfportal/citizen"
	"impfportal/internal/web"
)

func (s *Service) coupleRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/appointments/together", Roles: citizens, Handle: s.showTogether},
		{Method: http.MethodPost, Path: "/appointments/together", Roles: citizens, Handle: s.postTogether},
		{Method: http.MethodPost, Path: "/appointments/together/alone", Roles: citizens, Handle: s.postAlone},
	}
}

func (s *Service) showTogether(c *web.Ctx) error {
	return c.PageForm("booking/together", web.NewForm(), nil)
}

// postTogether takes the login data of the second person. Nothing of that person
// is shown, here or later, but the case number that was typed.
func (s *Service) postTogether(c *web.Ctx) error {
	f := c.Form()
	second, err := s.Citizens.CheckLogin(c, f)
	if err != nil {
		return err
	}
	if f.OK() && second.ID == c.User.ID {
		f.Fail("case_number", "booking.error.yourself")
	}
	if !f.OK() {
		f.Set("secret", "")
		return c.PageForm("booking/together", f, nil)
	}
	if err := s.SetCompanion(c.Std(), c.User.ID, second.ID); err != nil {
		return problem(err)
	}
	return c.See("/appointments")
}

func (s *Service) postAlone(c *web.Ctx) error {
	if err := s.SetCompanion(c.Std(), c.User.ID, ""); err != nil {
		return err
	}
	return c.See("/appointments")
}

// mayBook returns what the person, or with a second one both together, may book.
func (s *Service) mayBook(c *web.Ctx, person citizen.Person) (ents []Entitlement, second *citizen.Person, err error) {
	if second, err = s.Companion(c.Std(), person.ID); err != nil {
		return nil, nil, err
	}
	if second == nil {
		ents, err = s.entitlements(c.Std(), s.Pool, person)
		return ents, nil, err
	}
	ents, _, _, err = s.coupleEntitlements(c.Std(), person, *second)
	return ents, second, err
}

// companionNumber is what pages show of a second person.
func companionNumber(p *citizen.Person) string {
	if p == nil {
		return ""
	}
	return citizen.PrintCode(p.CaseNumber)
}
