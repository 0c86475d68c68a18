package mobileteams

import (
	"net/http"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/vaccination"
)

// The JSON operations call the same functions as the pages.
func (s *Service) api() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/api/v1/teams", Roles: dispatch, API: web.JSON("The active teams", s.apiTeams)},
		{Method: "GET", Path: "/api/v1/teams/board", Roles: dispatch, API: web.JSON("Visits from a day on", s.apiBoard)},
		{Method: "GET", Path: "/api/v1/teams/facilities", Roles: dispatch, API: web.JSON("All facilities", s.apiFacilities)},
		{Method: "POST", Path: "/api/v1/teams/facilities", Roles: dispatch, API: web.JSON("Enter a facility", s.apiAddFacility)},
		{Method: "POST", Path: "/api/v1/teams/visits", Roles: dispatch, API: web.JSON("Enter a visit", s.apiPlan)},
		{Method: "GET", Path: "/api/v1/teams/visits/:id", Roles: dispatch, API: web.JSON("One visit and what its team carries", s.apiVisit)},
		{Method: "POST", Path: "/api/v1/teams/visits/:id/assign", Roles: dispatch, API: web.JSON("Give a visit to a team, or (empty) take it away", s.apiAssign)},
		{Method: "POST", Path: "/api/v1/teams/visits/:id/load", Roles: dispatch, API: web.JSON("Move vials from the centre into the team's box", s.apiLoad).Repeatable()},
		{Method: "POST", Path: "/api/v1/teams/visits/:id/back", Roles: dispatch, API: web.JSON("Move vials from the team's box back to the centre", s.apiBack).Repeatable()},
		{Method: "POST", Path: "/api/v1/teams/visits/:id/discard", Roles: dispatch, API: web.JSON("Write off the doses of an opened vial", s.apiDiscard).Repeatable()},
		{Method: "POST", Path: "/api/v1/teams/visits/:id/discard-vials", Roles: dispatch, API: web.JSON("Write off the closed vials of the box that may not be used any more", s.apiDiscardLate).Repeatable()},
		{Method: "POST", Path: "/api/v1/teams/visits/:id/cancel", Roles: dispatch, API: web.JSON("Call a visit off", s.apiCancel)},
		{Method: "GET", Path: "/api/v1/teams/today", Roles: team, API: web.JSON("The team's visits of today and its box", s.apiToday)},
		{Method: "GET", Path: "/api/v1/teams/today/:id/people", Roles: team, API: web.JSON("Who was vaccinated at a visit of today", s.apiPeople)},
		{Method: "POST", Path: "/api/v1/teams/today/:id/start", Roles: team, API: web.JSON("The team is on its way", s.apiStart)},
		{Method: "POST", Path: "/api/v1/teams/today/:id/finish", Roles: team, API: web.JSON("The visit is done", s.apiFinish)},
		{Method: "POST", Path: "/api/v1/teams/today/:id/doses", Roles: team, API: web.JSON("Record a dose at a visit", s.apiGive)},
	}
}

// none is the input of an operation that needs none.
type none struct{}

type visitIn struct {
	ID string `json:"-" path:"id"`
}

type teamsOut struct {
	Teams []Team `json:"teams"`
}

func (s *Service) apiTeams(c *web.Ctx, _ none) (teamsOut, error) {
	t, err := s.Teams(c.Std(), s.pool)
	return teamsOut{list(t)}, err
}

// list makes an empty list of nil: JSON says [] then.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

type boardIn struct {
	From string `json:"-" query:"from" doc:"YYYY-MM-DD; today when empty"`
	Days int    `json:"-" query:"days" doc:"1 to 60; 14 when empty"`
}

type visitsOut struct {
	Visits []Visit `json:"visits"`
}

func (s *Service) apiBoard(c *web.Ctx, in boardIn) (visitsOut, error) {
	from, days := clock.Day(c.Now), boardDays
	if in.From != "" {
		t, err := time.Parse(time.DateOnly, in.From)
		if err != nil {
			return visitsOut{}, web.Invalid(web.FieldError{Field: "from", Key: "web.error.date"})
		}
		from = t
	}
	if in.Days != 0 {
		days = min(max(in.Days, 1), 60)
	}
	v, err := s.Board(c.Std(), s.pool, from, days)
	return visitsOut{list(v)}, err
}

type facilitiesOut struct {
	Facilities []Facility `json:"facilities"`
}

func (s *Service) apiFacilities(c *web.Ctx, _ none) (facilitiesOut, error) {
	f, err := s.Facilities(c.Std(), s.pool)
	return facilitiesOut{list(f)}, err
}

type facilityIn struct {
	Name     string `json:"name"`
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
	City     string `json:"city"`
	Phone    string `json:"phone,omitempty"`
}

type idOut struct {
	ID string `json:"id"`
}

// HTTPStatus makes it a 201.
func (idOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiAddFacility(c *web.Ctx, in facilityIn) (idOut, error) {
	newID, err := s.AddFacility(c.Std(), c.Now, Facility{Name: in.Name, Street: in.Street, Postcode: in.Postcode, City: in.City, Phone: in.Phone},
		c.Actor(), string(web.RoleDispatcher))
	return idOut{newID}, problem(err)
}

type planIn struct {
	FacilityID string    `json:"facility_id"`
	CentreID   string    `json:"centre_id" doc:"gives the doses, takes leftovers back"`
	ProductID  string    `json:"product_id"`
	StartsAt   time.Time `json:"starts_at"`
	People     int       `json:"people" doc:"expected"`
}

func (s *Service) apiPlan(c *web.Ctx, in planIn) (idOut, error) {
	newID, err := s.Plan(c.Std(), c.Now, NewVisit{
		FacilityID: in.FacilityID, CentreID: in.CentreID, ProductID: in.ProductID,
		StartsAt: in.StartsAt.UTC(), People: in.People,
	}, c.Actor(), string(web.RoleDispatcher))
	return idOut{newID}, problem(err)
}

type boxJSON struct {
	LotID     string `json:"lot_id"`
	Number    string `json:"number"`
	ProductID string `json:"product_id"`
	Expiry    string `json:"expiry"`
	Vials     int    `json:"vials"`
	OpenDoses int    `json:"open_doses"`
	Doses     int    `json:"doses"`

	Due      int        `json:"due,omitempty" doc:"doses of a vial that was opened too long ago"`
	OpenedAt *time.Time `json:"opened_at,omitempty" doc:"of the oldest opened vial"`
	Until    *time.Time `json:"carry_until,omitempty" doc:"until then the closed vials may be in the box"`
	Late     int        `json:"late,omitempty" doc:"closed vials that may not be used any more"`
	LateWhy  string     `json:"late_why,omitempty" enum:"blocked,expired,carried,thawed"`
}

func boxes(box []BoxLot) []boxJSON {
	out := make([]boxJSON, len(box))
	for i, l := range box {
		out[i] = boxJSON{l.LotID, l.Number, l.ProductID, l.Expiry.Format(time.DateOnly), l.Vials, l.OpenDoses, l.Doses, l.Due, l.OpenedAt, l.Until, l.Late, l.LateWhy}
	}
	return out
}

type visitOut struct {
	Visit Visit     `json:"visit"`
	Box   []boxJSON `json:"box" doc:"what the team carries"`
}

func (s *Service) apiVisit(c *web.Ctx, in visitIn) (visitOut, error) {
	v, err := s.Visit(c.Std(), s.pool, in.ID)
	if err != nil {
		return visitOut{}, problem(err)
	}
	out := visitOut{Visit: v, Box: []boxJSON{}}
	if v.TeamID != "" {
		box, err := s.Box(c.Std(), s.pool, v.TeamID, c.Now)
		if err != nil {
			return visitOut{}, err
		}
		out.Box = boxes(box)
	}
	return out, nil
}

type assignIn struct {
	ID     string `json:"-" path:"id"`
	TeamID string `json:"team_id" doc:"empty = no team"`
}

func (s *Service) apiAssign(c *web.Ctx, in assignIn) (struct{}, error) {
	if in.TeamID == "" {
		return struct{}{}, problem(s.Unassign(c.Std(), c.Now, in.ID, c.Actor(), string(web.RoleDispatcher)))
	}
	return struct{}{}, problem(s.Assign(c.Std(), c.Now, in.ID, in.TeamID, c.Actor(), string(web.RoleDispatcher)))
}

type carryIn struct {
	ID    string `json:"-" path:"id"`
	LotID string `json:"lot_id"`
	Vials int    `json:"vials"`
}

func (s *Service) apiLoad(c *web.Ctx, in carryIn) (struct{}, error) {
	return struct{}{}, problem(s.Load(c.Std(), c.Now, in.ID, in.LotID, in.Vials, c.Actor(), inventory.RequestOf(c)))
}

func (s *Service) apiBack(c *web.Ctx, in carryIn) (struct{}, error) {
	return struct{}{}, problem(s.BringBack(c.Std(), c.Now, in.ID, in.LotID, in.Vials, c.Actor(), inventory.RequestOf(c)))
}

type discardIn struct {
	ID    string `json:"-" path:"id"`
	LotID string `json:"lot_id"`

	Doses    int        `json:"doses" doc:"open doses as they were seen; when there are others now nothing is discarded"`
	OpenedAt *time.Time `json:"opened_at,omitempty" doc:"when the vial was opened, as it was seen"`
}

func (s *Service) apiDiscard(c *web.Ctx, in discardIn) (struct{}, error) {
	return struct{}{}, problem(s.Discard(c.Std(), c.Now, in.ID, in.LotID, inventory.OpenRest{Doses: in.Doses, OpenedAt: in.OpenedAt}, c.Actor(), inventory.RequestOf(c)))
}

type cancelIn struct {
	ID     string `json:"-" path:"id"`
	Reason string `json:"reason" enum:"quarantine,consent,vaccine,team,other"`
}

func (s *Service) apiCancel(c *web.Ctx, in cancelIn) (struct{}, error) {
	return struct{}{}, problem(s.Cancel(c.Std(), c.Now, in.ID, in.Reason, c.Actor(), string(web.RoleDispatcher)))
}

type todayOut struct {
	Visits []Visit   `json:"visits"`
	Box    []boxJSON `json:"box"`
	Doses  int       `json:"doses" doc:"left in the box"`
}

func (s *Service) apiToday(c *web.Ctx, _ none) (todayOut, error) {
	teamID, err := teamOf(c)
	if err != nil {
		return todayOut{}, err
	}
	v, err := s.TeamDay(c.Std(), s.pool, teamID, clock.Day(c.Now))
	if err != nil {
		return todayOut{}, err
	}
	box, doses, err := s.boxOf(c, teamID)
	return todayOut{list(v), boxes(box), doses}, err
}

type personJSON struct {
	RecordID   string    `json:"record_id"`
	FamilyName string    `json:"family_name"`
	GivenName  string    `json:"given_name"`
	Birth      string    `json:"birth"`
	DoseNumber int       `json:"dose_number"`
	LotNumber  string    `json:"lot_number"`
	GivenAt    time.Time `json:"given_at"`
}

type peopleOut struct {
	People []personJSON `json:"people"`
}

func (s *Service) apiPeople(c *web.Ctx, in visitIn) (peopleOut, error) {
	v, err := s.ownVisit(c, in.ID)
	if err != nil {
		return peopleOut{}, err
	}
	records, err := s.People(c.Std(), s.pool, v)
	out := peopleOut{People: []personJSON{}}
	for _, r := range records {
		out.People = append(out.People, personJSON{r.ID, r.Patient.FamilyName, r.Patient.GivenName, r.Patient.Birth.String(), r.DoseNumber, r.LotNumber, r.GivenAt.UTC()})
	}
	return out, err
}

func (s *Service) apiStart(c *web.Ctx, in visitIn) (struct{}, error) {
	v, err := s.ownVisit(c, in.ID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(s.Start(c.Std(), c.Now, v.ID, v.TeamID, c.Actor(), string(web.RoleTeam)))
}

func (s *Service) apiFinish(c *web.Ctx, in visitIn) (struct{}, error) {
	v, err := s.ownVisit(c, in.ID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(s.Finish(c.Std(), c.Now, v.ID, v.TeamID, c.Actor(), string(web.RoleTeam)))
}

type giveIn struct {
	ID     string                 `json:"-" path:"id"`
	Person vaccination.PersonJSON `json:"person"`
	vaccination.DoseJSON
}

func (s *Service) apiGive(c *web.Ctx, in giveIn) (vaccination.RecordedJSON, error) {
	v, err := s.ownVisit(c, in.ID)
	if err != nil {
		return vaccination.RecordedJSON{}, err
	}
	d, err := in.Form()
	if err != nil {
		return vaccination.RecordedJSON{}, err
	}
	patient, prior, err := in.Person.Read(v.Day)
	if err != nil {
		return vaccination.RecordedJSON{}, err
	}
	recordID, err := s.Give(c.Std(), c.Now, Dose{
		Key: d.Key, VisitID: v.ID, TeamID: v.TeamID, Patient: patient, DoseNumber: in.Person.DoseNumber, Prior: prior, Recovered: in.Person.Recovered,
		LotID: d.LotID, Consent: d.Consent, Forms: d.Forms, Override: d.Override, Actor: c.Actor(), Role: string(web.RoleTeam),
	})
	return vaccination.RecordedJSON{RecordID: recordID}, problem(err)
}

type discardLateIn struct {
	ID    string `json:"-" path:"id"`
	LotID string `json:"lot_id"`
	Vials int    `json:"vials" doc:"as they were seen ('late'); when there are others now nothing is discarded"`
}

func (s *Service) apiDiscardLate(c *web.Ctx, in discardLateIn) (struct{}, error) {
	return struct{}{}, problem(s.DiscardLate(c.Std(), c.Now, in.ID, in.LotID, in.Vials, c.Actor(), inventory.RequestOf(c)))
}
