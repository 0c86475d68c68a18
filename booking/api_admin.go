package booking

import (
	"errors"
	"net/http"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// adminAPI are the administrators' settings as JSON.
func (s *Service) adminAPI() []web.Route {
	admin := []web.Role{web.RoleAdmin}
	return append(s.quotaAPI(), []web.Route{
		{Method: http.MethodPut, Path: "/api/v1/admin/capacity/:centre", Roles: admin, API: web.JSON("Set the stations of a product from a day on; -1 removes that day's row", s.apiSetLane)},
		{Method: http.MethodPatch, Path: "/api/v1/admin/booking/settings", Roles: admin, API: web.JSON("Change the settings of booking; what is left out stays", s.apiSetSettings)},
		{Method: http.MethodPost, Path: "/api/v1/admin/capacity/plan", Roles: admin, API: web.JSON("Plan all centres again", s.apiPlan)},
		{Method: http.MethodGet, Path: "/api/v1/admin/shortfalls", Roles: admin, API: web.JSON("Where more is booked than supply or stations carry", s.apiShortfalls)},
	}...)
}

// LaneOut is how many stations work for a product from a day on.
type LaneOut struct {
	ProductID string `json:"product_id"`
	From      string `json:"from" doc:"YYYY-MM-DD"`
	Stations  int    `json:"stations"`
}

func sharesFrom(in map[string]int) Shares {
	if in == nil {
		return nil
	}
	out := Shares{}
	for channel, percent := range in {
		out[Channel(channel)] = percent
	}
	return out
}

// apiAdminProblem tells which field of a setting cannot be.
func apiAdminProblem(err error, field string) error {
	if errors.Is(err, ErrInvalid) {
		return web.Invalid(web.FieldError{Field: field, Key: "web.error.invalid"})
	}
	return adminProblem(err)
}

type laneIn struct {
	Centre    string `json:"-" path:"centre"`
	ProductID string `json:"product_id"`
	From      string `json:"from" doc:"YYYY-MM-DD, today or later"`
	Stations  int    `json:"stations"`
}

func (s *Service) apiSetLane(c *web.Ctx, in laneIn) (QuotasOut, error) {
	from, err := time.Parse(time.DateOnly, in.From)
	if err != nil || from.Before(clock.Day(c.Now)) {
		return QuotasOut{}, web.Invalid(web.FieldError{Field: "from", Key: "booking.error.day"})
	}
	err = s.SetLane(c.Std(), Lane{CentreID: in.Centre, ProductID: in.ProductID, From: from, Stations: in.Stations}, byUser(c))
	if err != nil {
		return QuotasOut{}, apiAdminProblem(err, "stations")
	}
	return s.apiQuotas(c, quotaIn{in.Centre})
}

type settingsIn struct {
	HorizonDays int            `json:"horizon_days,omitempty"`
	HoldMinutes int            `json:"hold_minutes,omitempty"`
	SlotMinutes int            `json:"slot_minutes,omitempty"`
	MarginDays  *int           `json:"delivery_margin_days,omitempty"`
	LeadDays    map[string]int `json:"lead_days,omitempty" doc:"least days between booking and appointment, by channel"`
}

func (s *Service) apiSetSettings(c *web.Ctx, in settingsIn) (struct{}, error) {
	u := SettingsUpdate{HorizonDays: in.HorizonDays, HoldMinutes: in.HoldMinutes, SlotMinutes: in.SlotMinutes, DeliveryMarginDays: in.MarginDays}
	if in.LeadDays != nil {
		u.LeadDays = sharesFrom(in.LeadDays)
	}
	if err := s.SetSettings(c.Std(), u, byUser(c)); err != nil {
		return struct{}{}, apiAdminProblem(err, "")
	}
	return struct{}{}, nil
}

// PlanOut names the progress of a plan.
type PlanOut struct {
	Progress string `json:"progress" doc:"address of the page that shows how far it is"`
}

// HTTPStatus says that the work has begun.
func (PlanOut) HTTPStatus() int { return http.StatusAccepted }

func (s *Service) apiPlan(c *web.Ctx, _ struct{}) (PlanOut, error) {
	id, err := s.planInBackground(c)
	return PlanOut{"/admin/progress/" + id}, err
}

// ShortfallsOut lists shortfalls.
type ShortfallsOut struct {
	Shortfalls []Shortfall `json:"shortfalls"`
}

func (s *Service) apiShortfalls(c *web.Ctx, _ struct{}) (ShortfallsOut, error) {
	list, err := Shortfalls(c.Std(), s.Pool)
	if list == nil {
		list = []Shortfall{}
	}
	return ShortfallsOut{list}, err
}
