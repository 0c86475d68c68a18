package booking

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

var citizens = []web.Role{web.RoleCitizen}

// Routes are the pages and operations of booking. Only choosing and holding
// wait in line; own appointments are there at any time.
func (s *Service) Routes() []web.Route {
	routes := []web.Route{
		{Method: http.MethodGet, Path: "/appointments", Roles: citizens, Nav: "booking.nav.appointments", Handle: s.showAppointments},
		{Method: http.MethodPost, Path: "/appointments/near", Roles: citizens, Handle: s.postNear},
		{Method: http.MethodGet, Path: "/appointments/at/:centre", Roles: citizens, Gate: "hold", Handle: s.showTimes},
		{Method: http.MethodPost, Path: "/appointments/hold", Roles: citizens, Gate: "hold", Handle: s.postHold},
		{Method: http.MethodGet, Path: "/appointments/held", Roles: citizens, Handle: s.showHeld},
		{Method: http.MethodPost, Path: "/appointments/confirm", Roles: citizens, Handle: s.postConfirm},
		{Method: http.MethodGet, Path: "/appointments/cancel", Roles: citizens, Handle: s.showCancel},
		{Method: http.MethodPost, Path: "/appointments/cancel", Roles: citizens, Handle: s.postCancel},
		{Method: http.MethodGet, Path: "/appointments/confirmation.pdf", Roles: citizens, Handle: s.showSheet},
		{Method: http.MethodGet, Path: "/appointments/calendar.ics", Roles: citizens, Handle: s.showCalendar},
	}
	return slices.Concat(routes, s.changeRoutes(), s.coupleRoutes(), s.feedRoutes(), s.adminRoutes(), s.waitingRoutes(), s.drawRoutes(), s.ownRoutes(), s.proposalRoutes(), s.movedRoutes(), s.apiRoutes(), s.adminAPI())
}

// problem turns the errors of this package into what a caller is told.
func problem(err error) error {
	var not *IneligibleError
	var taken *TakenError
	var second *CompanionError
	mine := func(status int, key string) *web.Problem {
		return &web.Problem{Status: status, Key: key, Link: "/appointments", LinkKey: "booking.nav.appointments"}
	}
	switch {
	case errors.As(err, &second) && errors.Is(err, ErrAlreadyBooked):
		return mine(http.StatusConflict, "booking.error.companion.already")
	case errors.As(err, &second):
		return mine(http.StatusForbidden, "booking.error.companion.not")
	case errors.As(err, &taken):
		p := mine(http.StatusConflict, "booking.error.taken")
		p.Extra = takenJSON{Alternatives: choicesJSON(taken.Alternatives)}
		return p
	case errors.Is(err, ErrSlotTaken):
		return mine(http.StatusConflict, "booking.error.taken")
	case errors.Is(err, ErrAlreadyBooked):
		return mine(http.StatusConflict, "booking.error.already")
	case errors.Is(err, ErrKeyReused):
		return mine(http.StatusConflict, "booking.error.key")
	case errors.Is(err, ErrHoldExpired):
		return mine(http.StatusGone, "booking.error.expired")
	case errors.As(err, &not):
		return mine(http.StatusForbidden, "booking.error.not."+not.Reason)
	case errors.Is(err, ErrNotFound), errors.Is(err, citizen.ErrNotFound):
		return web.NotFound()
	case errors.Is(err, ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "web.error.invalid")
	case errors.Is(err, ErrTooOften):
		return mine(http.StatusTooManyRequests, "booking.error.too_often")
	case errors.Is(err, ErrState):
		return mine(http.StatusConflict, "booking.error.state")
	}
	return err
}

// visitView is one appointment as a page shows it.
type visitView struct {
	Appointment
	Label string // "1. Impfung"
}

// seriesView is a series as a page shows it.
type seriesView struct {
	paper
	Visits    []visitView
	Reference string
	Minutes   int   // of a hold: that are left, rounded up
	Missing   []int // doses whose appointment was given back and can be booked again
	First     bool
}

func (s *Service) seriesView(c *web.Ctx, series Series, person citizen.Person) (seriesView, error) {
	p, err := s.paperOf(c.Std(), s.Pool, series, person, c.Lang)
	if err != nil {
		return seriesView{}, err
	}
	v := seriesView{paper: p, Reference: PrintReference(series.Reference), Missing: s.Missing(series)}
	for _, a := range series.Visits() {
		v.Visits = append(v.Visits, visitView{a, p.DoseLabel(a)})
	}
	if left := series.HoldUntil.Sub(c.Now); left > 0 {
		v.Minutes = int((left + time.Minute - 1) / time.Minute)
	}
	return v, nil
}

// yoursView is what is booked.
type yoursView struct {
	seriesView
	Second string // case number of the second person who was booked, too; "" = alone
	Moved  []movedView
}

// MovedDoses is how many appointments were moved and not seen.
func (v yoursView) MovedDoses() (n int) {
	for _, m := range v.Moved {
		n += len(m.Moves)
	}
	return n
}

// mine returns the person who is logged in and what concerns them now.
func (s *Service) mine(c *web.Ctx) (citizen.Person, *Series, error) {
	person, err := s.Citizens.Person(c.Std(), s.Pool, c.User.ID)
	if err != nil {
		return person, nil, problem(err)
	}
	series, err := s.SeriesOf(c.Std(), s.Pool, c.User.ID)
	return person, series, err
}

// centresView lists the centres by distance with what is free there.
type centresView struct {
	Centres  []centreView
	Postcode string
	Refused  string    // why nothing can be booked now; "" = may book
	Next     time.Time // nothing is free: when new appointments open; zero = no rule says so
	Second   string    // case number of a second person who comes along; "" = alone
	Last     *seriesView
}

type centreView struct {
	nearCentre
	Free  int
	First time.Time // first day with something free
}

func (s *Service) showAppointments(c *web.Ctx) error {
	person, series, err := s.mine(c)
	if err != nil {
		return err
	}
	if series != nil && series.State == StateHeld {
		return c.See("/appointments/held")
	}
	if series != nil && series.State == StateConfirmed {
		v, err := s.seriesView(c, *series, person)
		if err != nil {
			return err
		}
		second, err := s.second(c, *series)
		if err != nil {
			return err
		}
		moved, err := s.movedOf(c, series)
		if err != nil {
			return err
		}
		return c.Page("booking/yours", yoursView{v, second, moved})
	}
	return s.pageCentres(c, person, series, person.Address.Postcode)
}

// postNear shows the centres by the distance from another postcode. It is a
// POST because a postcode belongs in no address.
func (s *Service) postNear(c *web.Ctx) error {
	person, series, err := s.mine(c)
	if err != nil {
		return err
	}
	if series != nil && series.State != StateEnded {
		return c.See("/appointments")
	}
	return s.pageCentres(c, person, series, c.Form().Get("postcode"))
}

func (s *Service) pageCentres(c *web.Ctx, person citizen.Person, series *Series, postcode string) error {
	view := centresView{Postcode: postcode}
	if series != nil {
		last, err := s.seriesView(c, *series, person)
		if err != nil {
			return err
		}
		view.Last = &last
	}
	ents, second, err := s.mayBook(c, person)
	view.Second = companionNumber(second)
	var not *IneligibleError
	var theirs *CompanionError
	if errors.As(err, &theirs) {
		view.Refused = "booking.error.companion.not"
		return c.PageForm("booking/centres", c.Form(), view)
	}
	if errors.As(err, &not) {
		view.Refused = "booking.error.not." + not.Reason
		return c.PageForm("booking/centres", c.Form(), view)
	}
	if err != nil {
		return problem(err)
	}
	a, err := s.Availability(c.Std())
	if err != nil {
		return err
	}
	form := c.Form()
	if _, known := whereIs(postcode); postcode != "" && !known {
		if c.Method() == http.MethodPost {
			form.Fail("postcode", "booking.error.postcode")
		}
	}
	form.Set("postcode", postcode)
	free, err := s.freeDays(c.Std(), s.Pool, a, "", Web, ents)
	if err != nil {
		return err
	}
	for _, near := range byDistance(a.list(), postcode) {
		cv := centreView{nearCentre: near}
		for _, d := range free[near.ID] {
			if cv.Free += d.Free; cv.First.IsZero() {
				cv.First = d.Day
			}
		}
		view.Centres = append(view.Centres, cv)
	}
	// Where something is free comes first; among those the nearest.
	slices.SortStableFunc(view.Centres, func(x, y centreView) int {
		switch {
		case (x.Free > 0) == (y.Free > 0):
			return 0
		case x.Free > 0:
			return -1
		}
		return 1
	})
	if len(view.Centres) > 0 && view.Centres[0].Free == 0 {
		view.Next = a.Next
	}
	return c.PageForm("booking/centres", form, view)
}

// timesView is the choice of a day and a time at a centre.
type timesView struct {
	Centre centreRef
	Days   []dayLink
	Day    time.Time
	Parts  []dayPart
	Key    string
	Doses  int // appointments of a series here
	Taken  *takenView
	Action string // where the form goes
	Base   string // address of a day, without the day
	Second string // case number of a second person who comes along; "" = alone
	MayOne bool   // the first dose can be booked alone
	One    bool   // it is chosen
	Waive  string // why, as it was sent; the alternatives send it again
	Why    []web.Option
	// Of a change only:
	What    string // a dose, or ChangeAll; "" = a new booking
	Old     *seriesView
	Adds    bool         // the dose has no appointment: it is booked again
	Centres []web.Option // where else it may move; none = it stays at its centre
}

type centreRef struct{ ID, Name, City string }

type dayLink struct {
	Day     time.Time
	Free    int
	Current bool
}

// dayPart is a part of the day (morning, noon, afternoon) with its times.
type dayPart struct {
	Name    string
	Choices []choiceView
	Open    bool
}

type choiceView struct {
	Choice
	Labels []string // of each appointment: "1. Impfung"
	Value  string   // the slots, as the form sends them
}

type takenView struct {
	Choices []choiceView
	Key     string
}

func (s *Service) showTimes(c *web.Ctx) error {
	return s.pageTimes(c, web.NewForm(), c.Params("centre"), c.Query("day"), nil)
}

// pageTimes shows days and times of a centre; with taken it says that what was
// chosen is gone, and offers the nearest in the same answer.
func (s *Service) pageTimes(c *web.Ctx, f *web.Form, centreID, wanted string, taken *takenView) error {
	person, series, err := s.mine(c)
	if err != nil {
		return err
	}
	if series != nil && (series.State == StateHeld || series.State == StateConfirmed) {
		return c.See("/appointments")
	}
	a, err := s.Availability(c.Std())
	if err != nil {
		return err
	}
	at := a.Centre(centreID)
	if at == nil {
		return web.NotFound()
	}
	ents, second, err := s.mayBook(c, person)
	if err != nil {
		return problem(err)
	}
	view := timesView{
		Centre: centreRef{at.ID, at.Name, at.City}, Key: id.New(), Taken: taken, Second: companionNumber(second),
		Action: "/appointments/hold", Base: "/appointments/at/" + at.ID + "?day=",
	}
	if one := waivable(ents); len(one) > 0 && second == nil {
		view.MayOne, view.Waive, view.Why = true, f.Get("waive"), WaiveOptions(c)
		if view.One = c.Query("one") != "" || f.Get("one") != ""; view.One {
			ents = one
			view.Base = "/appointments/at/" + at.ID + "?one=1&day="
		}
	}
	free, err := s.freeDays(c.Std(), s.Pool, a, centreID, Web, ents)
	if err != nil {
		return err
	}
	for _, d := range free[centreID] {
		view.Days = append(view.Days, dayLink{Day: d.Day, Free: d.Free})
	}
	if d, err := time.Parse(time.DateOnly, wanted); err == nil {
		view.Day = d
	} else if len(view.Days) > 0 {
		view.Day = view.Days[0].Day
	}
	for i := range view.Days {
		view.Days[i].Current = view.Days[i].Day.Equal(view.Day)
	}
	if !view.Day.IsZero() {
		offers, err := s.offers(c.Std(), s.Pool, centreID, Web, view.Day, view.Day, ents)
		if err != nil {
			return problem(err)
		}
		if second != nil {
			offers = forTwo(offers)
		}
		view.Parts, view.Doses = partsOf(c, offers)
	}
	if taken != nil {
		c.Status(http.StatusConflict)
	}
	return c.PageForm("booking/times", f, view)
}

// partsOf sets the times of a day in parts. Where two products are free at the
// same time one is shown: the vaccine cannot be chosen, it is named.
func partsOf(c *web.Ctx, offers []OfferDay) (parts []dayPart, doses int) {
	byStart := map[time.Time]Choice{}
	for _, d := range offers {
		for _, t := range d.First {
			choice, ok := d.Choice(t.SlotID)
			if old, seen := byStart[t.Start]; ok && (!seen || choice.Times[0].Free > old.Times[0].Free) {
				byStart[t.Start] = choice
			}
		}
	}
	var starts []time.Time
	for start := range byStart {
		starts = append(starts, start)
	}
	slices.SortFunc(starts, time.Time.Compare)
	for _, start := range starts {
		name := "booking.part." + partOf(start)
		if n := len(parts); n == 0 || parts[n-1].Name != name {
			parts = append(parts, dayPart{Name: name, Open: n == 0})
		}
		last := &parts[len(parts)-1]
		last.Choices = append(last.Choices, viewChoice(c, byStart[start]))
		doses = max(doses, len(byStart[start].Times))
	}
	return parts, doses
}

func viewChoice(c *web.Ctx, choice Choice) choiceView {
	v := choiceView{Choice: choice, Value: joinIDs(choice.SlotIDs())}
	for i := range choice.Times {
		v.Labels = append(v.Labels, c.T("booking.dose", "Number", choice.FirstDose+i))
	}
	return v
}

// list returns the centres of the picture.
func (a *Availability) list() []centre.Centre {
	out := make([]centre.Centre, len(a.Centres))
	for i, c := range a.Centres {
		out[i] = c.Centre
	}
	return out
}
