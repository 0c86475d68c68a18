package booking

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

func (s *Service) changeRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/appointments/change", Roles: citizens, Handle: s.showChange},
		{Method: http.MethodGet, Path: "/appointments/change/:what", Roles: citizens, Handle: s.showChangeTimes},
		{Method: http.MethodPost, Path: "/appointments/change/check", Roles: citizens, Handle: s.postChangeCheck},
		{Method: http.MethodPost, Path: "/appointments/change", Roles: citizens, Handle: s.postChange},
		{Method: http.MethodGet, Path: "/api/v1/appointments/:series/moves", Roles: citizens, API: web.JSON("To which times one of my appointments can move", s.apiMoves)},
		{Method: http.MethodPost, Path: "/api/v1/appointments/:series/change", Roles: citizens, API: web.JSON("Move appointments by a swap: the old places stay until the new ones are certain", s.apiChange)},
	}
}

// changing returns what the person has and may change, or nil.
func (s *Service) changing(c *web.Ctx) (citizen.Person, *Series, []int, error) {
	person, series, err := s.mine(c)
	if err != nil || series == nil || series.State != StateConfirmed {
		return person, nil, nil, err
	}
	doses := s.Movable(*series)
	if len(doses) == 0 {
		return person, nil, nil, nil
	}
	return person, series, doses, nil
}

// changeView asks which appointment is to be changed.
type changeView struct {
	seriesView
	Doses []changeDose
	All   bool
}

type changeDose struct {
	Dose  int
	Label string
	Gone  bool // was given back: it is booked again
}

func (s *Service) showChange(c *web.Ctx) error {
	person, series, doses, err := s.changing(c)
	if err != nil {
		return err
	}
	if series == nil {
		return c.See("/appointments")
	}
	if len(doses) == 1 {
		return c.See("/appointments/change/" + strconv.Itoa(doses[0]))
	}
	v, err := s.seriesView(c, *series, person)
	if err != nil {
		return err
	}
	view := changeView{seriesView: v, All: together(*series, doses)}
	for _, d := range doses {
		view.Doses = append(view.Doses, changeDose{d, c.T("booking.dose", "Number", d), appointmentFor(*series, d) == nil})
	}
	return c.Page("booking/change", view)
}

func (s *Service) showChangeTimes(c *web.Ctx) error {
	return s.pageChangeTimes(c, web.NewForm(), c.Params("what"), c.Query("centre"), c.Query("day"), nil)
}

// pageChangeTimes shows the days and times to which an appointment, or all of
// them, can move.
func (s *Service) pageChangeTimes(c *web.Ctx, f *web.Form, what, centreID, wanted string, taken *takenView) error {
	person, series, doses, err := s.changing(c)
	if err != nil {
		return err
	}
	if series == nil || !slices.Contains(changes(*series, doses), what) {
		return c.See("/appointments")
	}
	a, err := s.Availability(c.Std())
	if err != nil {
		return err
	}
	free := FreeToMove(*series, what)
	dose, _ := strconv.Atoi(what)
	if centreID == "" || !free {
		centreID = series.CentreID
	}
	at := a.Centre(centreID)
	if at == nil {
		return web.NotFound()
	}
	view := timesView{
		Centre: centreRef{at.ID, at.Name, at.City}, Key: id.New(), Taken: taken, What: what,
		Adds:   slices.Contains(s.Missing(*series), dose),
		Action: "/appointments/change/check", Base: "/appointments/change/" + what + "?centre=" + at.ID + "&day=",
	}
	if view.Day, err = time.Parse(time.DateOnly, wanted); err != nil {
		view.Day = time.Time{}
	}
	now, err := s.seriesView(c, *series, person)
	if err != nil {
		return err
	}
	view.Old = &now
	if free {
		for _, near := range byDistance(a.list(), person.Address.Postcode) {
			view.Centres = append(view.Centres, web.Option{Value: near.ID, Label: near.Name})
		}
		f.Set("centre", centreID)
	}
	offers, err := s.ChangeOffers(c.Std(), s.Pool, *series, what, centreID, Web)
	if err != nil {
		return problem(err)
	}
	view.pickDay(offers)
	view.Parts, view.Doses = partsOf(c, slices.DeleteFunc(offers, func(d OfferDay) bool { return !d.Day.Equal(view.Day) }))
	if taken != nil {
		c.Status(http.StatusConflict)
	}
	return c.PageForm("booking/times", f, view)
}

// pickDay makes the strip of days; without a choice the first one is chosen.
func (v *timesView) pickDay(offers []OfferDay) {
	free := map[time.Time]int{}
	for _, d := range offers {
		free[d.Day] += d.Free()
	}
	for day, n := range free {
		v.Days = append(v.Days, dayLink{Day: day, Free: n})
	}
	slices.SortFunc(v.Days, func(a, b dayLink) int { return a.Day.Compare(b.Day) })
	if v.Day.IsZero() && len(v.Days) > 0 {
		v.Day = v.Days[0].Day
	}
	for i := range v.Days {
		v.Days[i].Current = v.Days[i].Day.Equal(v.Day)
	}
}

// checkView shows how it is and how it would be.
type checkView struct {
	Old    seriesView
	New    []visitView
	Centre centreRef
	Where  string
	What   string
	Slots  string
	Key    string
	Back   string
}

// askedChange is what a form of these pages asks for.
type askedChange struct {
	person citizen.Person
	series *Series
	what   string
	slots  []int64
	moves  []Move
}

// withChange reads such a form and goes on with do; without anything to change
// there is nothing to do, and without a choice the page says what is missing.
func (s *Service) withChange(c *web.Ctx, do func(f *web.Form, a askedChange) error) error {
	person, series, doses, err := s.changing(c)
	if err != nil {
		return err
	}
	if series == nil {
		return c.See("/appointments")
	}
	f := c.Form()
	a := askedChange{person: person, series: series, what: pathSegment(f.Get("what"))}
	if a.slots, err = parseIDs(f.Get("slots")); err != nil {
		f.Fail("slots", "booking.error.choose")
		return s.pageChangeTimes(c, f, a.what, pathSegment(f.Get("centre")), f.Get("day"), nil)
	}
	if a.moves, err = movesOf(*series, doses, a.what, a.slots); err != nil {
		return problem(err)
	}
	return do(f, a)
}

func (s *Service) postChangeCheck(c *web.Ctx) error {
	return s.withChange(c, func(f *web.Form, a askedChange) error {
		old, err := s.seriesView(c, *a.series, a.person)
		if err != nil {
			return err
		}
		after, err := s.preview(c.Std(), *a.series, a.moves)
		if err != nil {
			return problem(err)
		}
		paper, err := s.paperOf(c.Std(), s.Pool, after, a.person, c.Lang)
		if err != nil {
			return err
		}
		view := checkView{
			Old: old, Where: paper.Where(), What: a.what, Slots: joinIDs(a.slots), Key: f.Get("key"),
			Back: "/appointments/change/" + a.what + "?centre=" + after.CentreID,
		}
		for _, v := range after.Visits() {
			view.New = append(view.New, visitView{v, paper.DoseLabel(v)})
		}
		return c.Page("booking/changecheck", view)
	})
}

// postChange swaps. Pressing twice swaps once: the page carries its own key.
func (s *Service) postChange(c *web.Ctx) error {
	return s.withChange(c, func(f *web.Form, a askedChange) error {
		changed, err := s.Rebook(c.Std(), RebookRequest{
			PersonID: c.User.ID, SeriesID: a.series.ID, Channel: Web, Moves: a.moves, Key: f.Get("key"), Actor: c.Actor(), Role: string(web.RoleCitizen),
		})
		var taken *TakenError
		if errors.As(err, &taken) {
			v := &takenView{Key: id.New()}
			for _, choice := range taken.Alternatives {
				v.Choices = append(v.Choices, viewChoice(c, choice))
			}
			return s.pageChangeTimes(c, f, a.what, "", "", v)
		}
		if err != nil {
			return problem(err)
		}
		if len(changed.Visits()) > len(a.series.Visits()) {
			c.Flash("booking.flash.added")
		} else {
			c.Flash("booking.flash.changed")
		}
		return c.See("/appointments")
	})
}

// MovesIn asks where an appointment can go.
type MovesIn struct {
	Series string `json:"-" path:"series"`
	Dose   int    `json:"-" query:"dose"`
	Centre string `json:"-" query:"centre"` // empty = where it is now
}

// MovesOut lists the times.
type MovesOut struct {
	Times []OfferTime `json:"times"`
}

func (s *Service) apiMoves(c *web.Ctx, in MovesIn) (MovesOut, error) {
	series, err := s.SeriesByID(c.Std(), s.Pool, in.Series, c.User.ID)
	if err != nil {
		return MovesOut{}, problem(err)
	}
	if in.Centre == "" {
		in.Centre = series.CentreID
	}
	times, err := s.MoveOffers(c.Std(), s.Pool, *series, in.Dose, in.Centre, Web, time.Time{})
	if err != nil {
		return MovesOut{}, problem(err)
	}
	if times == nil {
		times = []OfferTime{}
	}
	return MovesOut{times}, nil
}

// ChangeIn moves appointments of a series.
type ChangeIn struct {
	Series string   `json:"-" path:"series"`
	Moves  []MoveIn `json:"moves"`
	Key    string   `json:"key" doc:"made by the caller; the same key moves once"`
}

// MoveIn is one appointment and its new time.
type MoveIn struct {
	Dose   int   `json:"dose"`
	SlotID int64 `json:"slot_id"`
}

func (s *Service) apiChange(c *web.Ctx, in ChangeIn) (SeriesOut, error) {
	req := RebookRequest{PersonID: c.User.ID, SeriesID: in.Series, Channel: Web, Key: in.Key, Actor: c.Actor(), Role: string(web.RoleCitizen)}
	for _, m := range in.Moves {
		req.Moves = append(req.Moves, Move(m))
	}
	series, err := s.Rebook(c.Std(), req)
	if err != nil {
		return SeriesOut{}, problem(err)
	}
	return seriesOut(series), nil
}
