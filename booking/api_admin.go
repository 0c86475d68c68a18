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
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/admin/quotas/:centre", Roles: admin, API: web.JSON("A centre's standing shares and its lanes", s.apiQuotas)},
		{Method: http.MethodPut, Path: "/api/v1/admin/quotas/:centre", Roles: admin, API: web.JSON("Set a centre's standing shares; they add up to 100", s.apiSetShares)},
		{Method: http.MethodPut, Path: "/api/v1/admin/quotas/:centre/days/:day", Roles: admin, API: web.JSON("Set the shares of one day; null takes the exception away", s.apiSetDay)},
		{Method: http.MethodPut, Path: "/api/v1/admin/capacity/:centre", Roles: admin, API: web.JSON("Set the stations of a product from a day on; -1 removes that day's row", s.apiSetLane)},
		{Method: http.MethodPatch, Path: "/api/v1/admin/booking/settings", Roles: admin, API: web.JSON("Change the settings of booking; what is left out stays", s.apiSetSettings)},
		{Method: http.MethodPost, Path: "/api/v1/admin/capacity/plan", Roles: admin, API: web.JSON("Plan all centres again", s.apiPlan)},
		{Method: http.MethodGet, Path: "/api/v1/admin/shortfalls", Roles: admin, API: web.JSON("Where more is booked than supply or stations carry", s.apiShortfalls)},
	}
}

type quotaIn struct {
	Centre string `json:"-" path:"centre"`
}

// QuotasOut is how a centre shares its days and stations out.
type QuotasOut struct {
	Shares map[string]int `json:"shares" doc:"percent by channel"`
	Lanes  []LaneOut      `json:"lanes"`
}

// LaneOut is how many stations work for a product from a day on.
type LaneOut struct {
	ProductID string `json:"product_id"`
	From      string `json:"from" doc:"YYYY-MM-DD"`
	Stations  int    `json:"stations"`
}

func (s *Service) apiQuotas(c *web.Ctx, in quotaIn) (QuotasOut, error) {
	out := QuotasOut{Shares: map[string]int{}, Lanes: []LaneOut{}}
	channels, err := Channels(c.Std(), s.Pool)
	if err != nil {
		return out, err
	}
	quotas, _, err := standingQuotas(c.Std(), s.Pool, in.Centre, channels)
	if err != nil {
		return out, err
	}
	for channel, q := range quotas {
		out.Shares[string(channel)] = q.Percent
	}
	lanes, err := Lanes(c.Std(), s.Pool, in.Centre)
	for _, l := range lanes {
		out.Lanes = append(out.Lanes, LaneOut{l.ProductID, l.From.Format(time.DateOnly), l.Stations})
	}
	return out, err
}

type sharesIn struct {
	Centre string         `json:"-" path:"centre"`
	Shares map[string]int `json:"shares" doc:"percent by channel, together 100"`
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

func (s *Service) apiSetShares(c *web.Ctx, in sharesIn) (QuotasOut, error) {
	if in.Shares == nil {
		return QuotasOut{}, web.Invalid(web.FieldError{Field: "shares", Key: "web.error.required"})
	}
	if err := s.SetShares(c.Std(), in.Centre, sharesFrom(in.Shares), byUser(c)); err != nil {
		return QuotasOut{}, apiAdminProblem(err, "shares")
	}
	return s.apiQuotas(c, quotaIn{in.Centre})
}

type daySharesIn struct {
	Centre    string         `json:"-" path:"centre"`
	Day       string         `json:"-" path:"day"`
	ProductID string         `json:"product_id,omitempty" doc:"empty = every product"`
	Shares    map[string]int `json:"shares"`
}

func (s *Service) apiSetDay(c *web.Ctx, in daySharesIn) (struct{}, error) {
	day, err := time.Parse(time.DateOnly, in.Day)
	if err != nil || day.Before(clock.Day(c.Now)) {
		return struct{}{}, web.Invalid(web.FieldError{Field: "day", Key: "booking.error.day"})
	}
	err = s.SetDayShares(c.Std(), in.Centre, in.ProductID, day, sharesFrom(in.Shares), byUser(c))
	if err != nil {
		return struct{}{}, apiAdminProblem(err, "shares")
	}
	return struct{}{}, nil
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
