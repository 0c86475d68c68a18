package mobileteams

import (
	"errors"
	"strconv"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/programme"
	"impfportal/vaccination"
)

// teamOf returns the team of a team's account. An account without one sees
// nothing.
func teamOf(c *web.Ctx) (string, error) {
	if !id.Valid(c.User.Scope) {
		return "", web.Forbidden()
	}
	return c.User.Scope, nil
}

type todayPage struct {
	Stops []Visit
	Next  *Visit // the first stop that is not done
	Box   []BoxLot
	Doses int
}

func (s *Service) showToday(c *web.Ctx) error {
	teamID, err := teamOf(c)
	if err != nil {
		return err
	}
	var p todayPage
	if p.Stops, err = s.TeamDay(c.Std(), s.pool, teamID, clock.Day(c.Now)); err != nil {
		return err
	}
	for i := range p.Stops {
		if p.Stops[i].State != Done {
			p.Next = &p.Stops[i]
			break
		}
	}
	if p.Box, p.Doses, err = s.boxOf(c, teamID); err != nil {
		return err
	}
	return c.Page("mobileteams/today", p)
}

func (s *Service) boxOf(c *web.Ctx, teamID string) (box []BoxLot, doses int, err error) {
	box, err = s.Box(c.Std(), s.pool, teamID, c.Now)
	for _, l := range box {
		doses += l.Doses
	}
	return box, doses, err
}

// ownVisit returns a visit of the caller's team and of today; any other does
// not exist for it.
func (s *Service) ownVisit(c *web.Ctx, visitID string) (Visit, error) {
	teamID, err := teamOf(c)
	if err != nil {
		return Visit{}, err
	}
	v, err := s.Visit(c.Std(), s.pool, visitID)
	if err != nil {
		return Visit{}, problem(err)
	}
	if v.TeamID != teamID || !v.Day.Equal(clock.Day(c.Now)) {
		return Visit{}, web.NotFound()
	}
	return v, nil
}

type stopPage struct {
	Visit
	Product  string
	Given    []vaccination.Record
	Lots     []web.Option
	Forms    []web.Option
	Priors   []web.Option
	Key      string
	Warnings []vaccination.Warning
	Doses    int // left in the box
}

func (s *Service) showStop(c *web.Ctx) error { return s.renderStop(c, &web.Form{}, nil) }

func (s *Service) renderStop(c *web.Ctx, f *web.Form, warnings []vaccination.Warning) error {
	v, err := s.ownVisit(c, c.Params("id"))
	if err != nil {
		return err
	}
	p := stopPage{Visit: v, Warnings: warnings, Key: f.Get("key")}
	if p.Key == "" {
		p.Key = id.New()
	}
	product, err := programme.ProductByID(c.Std(), s.pool, v.ProductID)
	if err != nil {
		return err
	}
	p.Product = product.Name
	if p.Given, err = s.People(c.Std(), s.pool, v); err != nil {
		return err
	}
	box, doses, err := s.boxOf(c, v.TeamID)
	if err != nil {
		return err
	}
	p.Doses = doses
	for _, l := range box {
		if l.ProductID == v.ProductID && l.Doses > 0 {
			p.Lots = append(p.Lots, web.Option{Value: l.LotID, Label: c.T("mobileteams.box.lot", "Number", l.Number, "Open", l.OpenDoses, "Vials", l.Vials)})
		}
	}
	stands, err := vaccination.FormsOn(c.Std(), s.pool, v.ProductID, v.Day)
	if err != nil {
		return err
	}
	p.Forms = vaccination.FormsOptions(c, stands)
	p.Priors = []web.Option{{Label: c.T("vaccination.prior.none")}, {Value: v.ProductID, Label: product.Name}}
	return c.PageForm("mobileteams/stop", f, p)
}

func (s *Service) postStart(c *web.Ctx) error {
	v, err := s.ownVisit(c, c.Params("id"))
	if err != nil {
		return err
	}
	if err := s.Start(c.Std(), c.Now, v.ID, v.TeamID, c.Actor(), string(web.RoleTeam)); err != nil {
		return problem(err)
	}
	return c.See("/teams/today/" + v.ID)
}

func (s *Service) postFinish(c *web.Ctx) error {
	v, err := s.ownVisit(c, c.Params("id"))
	if err != nil {
		return err
	}
	if err := s.Finish(c.Std(), c.Now, v.ID, v.TeamID, c.Actor(), string(web.RoleTeam)); err != nil {
		return problem(err)
	}
	c.Flash("mobileteams.flash.finished")
	return c.See("/teams/today")
}

func (s *Service) postDose(c *web.Ctx) error {
	v, err := s.ownVisit(c, c.Params("id"))
	if err != nil {
		return err
	}
	f := c.Form()
	in := vaccination.ReadDoseForm(f)
	patient := vaccination.PatientForm(f, v.Day, "de")
	prior := vaccination.PriorForm(f, c.Now)
	number, err := strconv.Atoi(f.Get("dose_number"))
	if err != nil || number < 1 || number > 9 {
		f.Fail("dose_number", "vaccination.error.dose_number")
	}
	var warnings []vaccination.Warning
	if f.OK() {
		_, err := s.Give(c.Std(), c.Now, Dose{
			Key: in.Key, VisitID: v.ID, TeamID: v.TeamID, Patient: patient, DoseNumber: number, Prior: prior, Recovered: f.Get("recovered") != "",
			LotID: in.LotID, Consent: in.Consent, Forms: in.Forms, Override: in.Override, Actor: c.Actor(), Role: string(web.RoleTeam),
		})
		if err == nil {
			c.Flash("mobileteams.flash.given")
			return c.See("/teams/today/" + v.ID)
		}
		if warnings, err = shown(f, err); err != nil {
			return err
		}
	}
	return s.renderStop(c, f, warnings)
}

// shown puts an error of Give into the form and returns the warnings to accept.
func shown(f *web.Form, err error) ([]vaccination.Warning, error) {
	var (
		warn  *vaccination.WarningsError
		given *vaccination.AlreadyGivenError
	)
	if errors.As(err, &warn) || errors.As(err, &given) {
		return vaccination.Shown(f, err)
	}
	return nil, into(f, err)
}
