package booking

import (
	"net/http"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

func (s *Service) apiRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/appointments", Roles: citizens, API: web.JSON("My appointments", s.apiMine)},
		{Method: http.MethodGet, Path: "/api/v1/appointments/offers", Roles: citizens, Gate: "hold", API: web.JSON("What I could hold at a centre", s.apiOffers)},
		{Method: http.MethodPost, Path: "/api/v1/appointments/hold", Roles: citizens, Gate: "hold", API: web.JSON("Hold all appointments of a series", s.apiHold)},
		{Method: http.MethodPost, Path: "/api/v1/appointments/:series/confirm", Roles: citizens, API: web.JSON("Confirm what is held", s.apiConfirm)},
		{Method: http.MethodPost, Path: "/api/v1/appointments/:series/cancel", Roles: citizens, API: web.JSON("Give appointments back, all or those from a dose on", s.apiCancel)},
	}
}

// AvailabilityOut is the public picture.
type AvailabilityOut struct {
	At      time.Time         `json:"at" doc:"when it changed last; it is looked at every second"`
	Centres []AvailableCentre `json:"centres"`
	Next    *time.Time        `json:"next_opening,omitempty" doc:"when new appointments open"`
}

// AvailableCentre is a centre and what is free there over the web.
type AvailableCentre struct {
	ID       string             `json:"id"`
	Name     string             `json:"name"`
	Street   string             `json:"street"`
	Postcode string             `json:"postcode"`
	City     string             `json:"city"`
	Lat      float64            `json:"lat"`
	Lon      float64            `json:"lon"`
	Free     int                `json:"free" doc:"series (all appointments together) that are free"`
	Products []AvailableProduct `json:"products"`
}

// AvailableProduct is what is free of one product.
type AvailableProduct struct {
	ProductID string         `json:"product_id"`
	Free      int            `json:"free"`
	Days      []AvailableDay `json:"days"`
}

// AvailableDay is how many series that start on a day are free.
type AvailableDay struct {
	Day  string `json:"day" doc:"YYYY-MM-DD in Berlin"`
	Free int    `json:"free"`
}

func availabilityOut(a *Availability) AvailabilityOut {
	out := AvailabilityOut{At: a.At, Centres: []AvailableCentre{}}
	if !a.Next.IsZero() {
		out.Next = &a.Next
	}
	for _, at := range a.Centres {
		ac := AvailableCentre{
			ID: at.ID, Name: at.Name, Street: at.Street, Postcode: at.Postcode, City: at.City, Lat: at.Lat, Lon: at.Lon,
			Free: at.Free, Products: []AvailableProduct{},
		}
		for _, p := range at.Products {
			ap := AvailableProduct{ProductID: p.ProductID, Free: p.Free, Days: []AvailableDay{}}
			for _, d := range p.Days {
				ap.Days = append(ap.Days, AvailableDay{d.Day.Format(time.DateOnly), d.Free})
			}
			ac.Products = append(ac.Products, ap)
		}
		out.Centres = append(out.Centres, ac)
	}
	return out
}

// SeriesOut is a series as its person sees it.
type SeriesOut struct {
	ID           string           `json:"id"`
	State        string           `json:"state" doc:"held, confirmed, cancelled, expired or ended"`
	Reference    string           `json:"reference"`
	ProgrammeID  string           `json:"programme_id"`
	CentreID     string           `json:"centre_id"`
	ProductID    string           `json:"product_id"`
	Waived       string           `json:"waived,omitempty" doc:"why the doses after the first were waived"`
	HoldUntil    *time.Time       `json:"hold_until,omitempty" doc:"held only: confirm before"`
	Appointments []AppointmentOut `json:"appointments"`
}

// AppointmentOut is one visit.
type AppointmentOut struct {
	ID         string    `json:"id"`
	DoseNumber int       `json:"dose_number"`
	Start      time.Time `json:"start"`
	State      string    `json:"state" doc:"held, confirmed, cancelled, expired, here, done or missed"`
}

func seriesOut(s Series) SeriesOut {
	out := SeriesOut{
		ID: s.ID, State: s.State, Reference: PrintReference(s.Reference), ProgrammeID: s.ProgrammeID, CentreID: s.CentreID, ProductID: s.ProductID, Waived: s.Waived,
		Appointments: []AppointmentOut{},
	}
	if s.State == StateHeld {
		out.HoldUntil = &s.HoldUntil
	}
	for _, a := range s.Appointments {
		out.Appointments = append(out.Appointments, AppointmentOut{a.ID, a.DoseNumber, a.Start, a.State})
	}
	return out
}

// MineOut is what somebody has; series is absent when they have nothing.
type MineOut struct {
	Series *SeriesOut `json:"series,omitempty"`
	Moved  []MovedOut `json:"moved,omitempty" doc:"moves by the centre that were not acknowledged"`
}

// MovedOut is a move because of a shortfall; the person has not said that they know.
type MovedOut struct {
	ID    string     `json:"id" doc:"to acknowledge it"`
	Cause string     `json:"cause" doc:"doses or stations: what there was too little of"`
	From  string     `json:"from,omitempty" doc:"name of the centre of before, when it is another one now"`
	Times []MoveTime `json:"times"`
}

// MoveTime is one appointment that was moved.
type MoveTime struct {
	Old *time.Time `json:"old,omitempty" doc:"absent when it is deleted by now"`
	New time.Time  `json:"new"`
}

func (s *Service) apiMine(c *web.Ctx, _ struct{}) (MineOut, error) {
	found, err := s.SeriesOf(c.Std(), s.Pool, c.User.ID)
	if err != nil || found == nil {
		return MineOut{}, err
	}
	moved, err := s.movedOf(c, found)
	if err != nil {
		return MineOut{}, err
	}
	out := seriesOut(*found)
	mine := MineOut{Series: &out}
	for _, m := range moved {
		mo := MovedOut{ID: m.ID, Cause: m.Cause, From: m.From}
		for _, row := range m.Moves {
			t := MoveTime{New: row.New}
			if !row.Old.IsZero() {
				t.Old = &row.Old
			}
			mo.Times = append(mo.Times, t)
		}
		mine.Moved = append(mine.Moved, mo)
	}
	return mine, nil
}

// OffersIn asks for the offers of a centre.
type OffersIn struct {
	Centre string `json:"-" query:"centre"`
	From   string `json:"-" query:"from"` // YYYY-MM-DD; empty = today
	To     string `json:"-" query:"to"`   // YYYY-MM-DD; empty = From
	One    bool   `json:"-" query:"one"`  // the first dose alone, where the rules allow it
}

// OffersOut lists offers by day.
type OffersOut struct {
	Days []OfferDayOut `json:"days"`
}

// OfferDayOut is what of one product can be held for series that start on a day:
// one of first, and one of each list of later.
type OfferDayOut struct {
	Day       string        `json:"day"`
	ProductID string        `json:"product_id"`
	FirstDose int           `json:"first_dose"`
	First     []OfferTime   `json:"first"`
	Later     [][]OfferTime `json:"later"`
}

// maxOfferDays bounds one answer.
const maxOfferDays = 31

func (s *Service) apiOffers(c *web.Ctx, in OffersIn) (OffersOut, error) {
	person, err := s.Citizens.Person(c.Std(), s.Pool, c.User.ID)
	if err != nil {
		return OffersOut{}, problem(err)
	}
	from, to := clock.Day(c.Now), time.Time{}
	for _, f := range []struct {
		name, text string
		day        *time.Time
	}{{"from", in.From, &from}, {"to", in.To, &to}} {
		if f.text == "" {
			continue
		}
		if *f.day, err = time.Parse(time.DateOnly, f.text); err != nil {
			return OffersOut{}, web.Invalid(web.FieldError{Field: f.name, Key: "booking.error.day"})
		}
	}
	if to.IsZero() {
		to = from
	}
	if n := daysBetween(from, to); n < 0 || n >= maxOfferDays {
		return OffersOut{}, web.Invalid(web.FieldError{Field: "to", Key: "booking.error.days", Args: []any{"Days", maxOfferDays}})
	}
	list, err := s.Offers(c.Std(), s.Pool, OfferQuery{Person: person, CentreID: in.Centre, Channel: Web, From: from, To: to, One: in.One})
	if err != nil {
		return OffersOut{}, problem(err)
	}
	out := OffersOut{Days: []OfferDayOut{}}
	for _, d := range list {
		o := OfferDayOut{Day: d.Day.Format(time.DateOnly), ProductID: d.ProductID, FirstDose: d.FirstDose, First: d.First, Later: d.Later}
		out.Days = append(out.Days, o)
	}
	return out, nil
}

// HoldIn asks for a series.
type HoldIn struct {
	SlotIDs []int64 `json:"slot_ids" doc:"one per appointment, the first one first"`
	Key     string  `json:"key" doc:"made by the caller; the same key gets the same series again"`
	Waive   string  `json:"waive,omitempty" doc:"medical, elsewhere or own: the first dose alone, and why the others are waived; where the rules allow it"`
	// With holds the same for a second person, for both or for neither.
	With *WithIn `json:"with,omitempty" doc:"a second person who comes along: the same for both, or nothing"`
}

// WithIn is the login data of a second person.
type WithIn struct {
	CaseNumber string `json:"case_number"`
	Secret     string `json:"secret"`
}

// takenJSON stands in the answer to a hold that came too late.
type takenJSON struct {
	Alternatives []choiceJSON `json:"alternatives"`
}

type choiceJSON struct {
	CentreID  string      `json:"centre_id"`
	ProductID string      `json:"product_id"`
	Times     []OfferTime `json:"times"`
}

func choicesJSON(list []Choice) []choiceJSON {
	out := []choiceJSON{}
	for _, c := range list {
		out = append(out, choiceJSON{c.CentreID, c.ProductID, c.Times})
	}
	return out
}

func (s *Service) apiHold(c *web.Ctx, in HoldIn) (SeriesOut, error) {
	req := HoldRequest{PersonID: c.User.ID, Channel: Web, SlotIDs: in.SlotIDs, Key: in.Key, Actor: c.Actor(), Role: string(web.RoleCitizen), Waive: in.Waive}
	if in.With != nil {
		return s.apiHoldTogether(c, req, *in.With)
	}
	series, err := s.Hold(c.Std(), req)
	if err != nil {
		return SeriesOut{}, problem(err)
	}
	s.stay(c, series)
	return seriesOut(series), nil
}

func (s *Service) apiHoldTogether(c *web.Ctx, req HoldRequest, with WithIn) (SeriesOut, error) {
	f := web.NewForm("case_number", with.CaseNumber, "secret", with.Secret)
	second, err := s.Citizens.CheckLogin(c, f)
	if err != nil {
		return SeriesOut{}, err
	}
	if !f.OK() {
		return SeriesOut{}, web.Invalid(f.Errors...)
	}
	series, err := s.HoldTogether(c.Std(), req, second.ID)
	if err != nil {
		return SeriesOut{}, problem(err)
	}
	s.stay(c, series)
	return seriesOut(series), nil
}

// SeriesIn names a series in the address.
type SeriesIn struct {
	Series string `json:"-" path:"series"`
}

func (s *Service) apiConfirm(c *web.Ctx, in SeriesIn) (SeriesOut, error) {
	series, err := s.Confirm(c.Std(), in.Series, c.User.ID, "")
	if err != nil {
		return SeriesOut{}, problem(err)
	}
	if s.Release != nil {
		s.Release(c)
	}
	return seriesOut(series), nil
}

// CancelIn says what is given back.
type CancelIn struct {
	Series   string `json:"-" path:"series"`
	FromDose int    `json:"-" query:"from_dose"` // that one and the later ones; absent = all
}

func (s *Service) apiCancel(c *web.Ctx, in CancelIn) (SeriesOut, error) {
	if in.FromDose < 0 {
		return SeriesOut{}, problem(ErrInvalid)
	}
	if err := s.CancelFrom(c.Std(), in.Series, c.User.ID, max(1, in.FromDose), By{c.Actor(), string(web.RoleCitizen)}); err != nil {
		return SeriesOut{}, problem(err)
	}
	series, err := s.SeriesByID(c.Std(), s.Pool, in.Series, c.User.ID)
	if err != nil {
		return SeriesOut{}, problem(err)
	}
	return seriesOut(*series), nil
}
