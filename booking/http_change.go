package booking

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

// changeAll stands for all appointments of a series in addresses and forms.
const changeAll = "all"

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

// together says whether all appointments of a series can move at once: when none
// of them is over and none was given back.
func together(series Series, doses []int) bool {
	return len(doses) > 1 && len(series.Visits()) == len(doses) && !slices.ContainsFunc(series.Visits(), func(a Appointment) bool { return a.State != StateConfirmed })
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

// appointmentFor returns the confirmed appointment for a dose, or nil.
func appointmentFor(series Series, dose int) *Appointment {
	for i, a := range series.Appointments {
		if a.DoseNumber == dose && a.State == StateConfirmed {
			return &series.Appointments[i]
		}
	}
	return nil
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
	dose, _ := strconv.Atoi(what)
	all := what == changeAll
	if series == nil || !all && !slices.Contains(doses, dose) || all && !together(*series, doses) {
		return c.See("/appointments")
	}
	a, err := s.Availability(c.Std())
	if err != nil {
		return err
	}
	if centreID == "" || !all && bound(*series, dose) {
		centreID = series.CentreID
	}
	at := a.Centre(centreID)
	if at == nil {
		return web.NotFound()
	}
	view := timesView{
		Centre: centreRef{at.ID, at.Name, at.City}, Key: id.New(), Taken: taken, What: what,
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
	if all || !bound(*series, dose) {
		for _, near := range byDistance(a.list(), person.Address.Postcode) {
			view.Centres = append(view.Centres, web.Option{Value: near.ID, Label: near.Name})
		}
		f.Set("centre", centreID)
	}
	if all {
		err = s.fillAll(c, &view, *series, person)
	} else {
		err = s.fillOne(c, &view, *series, dose)
	}
	if err != nil {
		return problem(err)
	}
	if taken != nil {
		c.Status(http.StatusConflict)
	}
	return c.PageForm("booking/times", f, view)
}

// fillAll lists what all appointments together can move to.
func (s *Service) fillAll(c *web.Ctx, view *timesView, series Series, person citizen.Person) error {
	ents, err := s.wholeSeries(c.Std(), s.Pool, series, person)
	if err != nil {
		return err
	}
	set, err := readSettings(c.Std(), s.Pool)
	if err != nil {
		return err
	}
	today := clock.Day(c.Now)
	offers, err := s.offers(c.Std(), s.Pool, view.Centre.ID, Web, today, today.AddDate(0, 0, set.HorizonDays), ents)
	if err != nil {
		return err
	}
	free := map[time.Time]int{}
	for _, d := range offers {
		free[d.Day] += d.Free()
	}
	view.pickDay(free)
	view.Parts, view.Doses = partsOf(c, slices.DeleteFunc(offers, func(d OfferDay) bool { return !d.Day.Equal(view.Day) }))
	return nil
}

// fillOne lists what one appointment can move to.
func (s *Service) fillOne(c *web.Ctx, view *timesView, series Series, dose int) error {
	times, err := s.MoveOffers(c.Std(), s.Pool, series, dose, view.Centre.ID, Web)
	if err != nil {
		return err
	}
	free, onDay := map[time.Time]int{}, map[time.Time][]OfferTime{}
	for _, t := range times {
		day := clock.Day(t.Start)
		free[day] += t.Free
		onDay[day] = append(onDay[day], t)
	}
	view.pickDay(free)
	view.Parts, view.Doses = partsOf(c, []OfferDay{{Day: view.Day, CentreID: view.Centre.ID, ProductID: series.ProductID, FirstDose: dose, First: onDay[view.Day]}})
	return nil
}

// pickDay makes the strip of days; without a choice the first one is chosen.
func (v *timesView) pickDay(free map[time.Time]int) {
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

// movesOf reads what a form asks for.
func movesOf(series Series, doses []int, what string, slots []int64) ([]Move, error) {
	dose, _ := strconv.Atoi(what)
	switch {
	case what == changeAll && together(series, doses) && len(slots) == len(doses):
		moves := make([]Move, len(doses))
		for i, d := range doses {
			moves[i] = Move{d, slots[i]}
		}
		return moves, nil
	case slices.Contains(doses, dose) && len(slots) == 1:
		return []Move{{dose, slots[0]}}, nil
	}
	return nil, ErrInvalid
}

func (s *Service) postChangeCheck(c *web.Ctx) error {
	person, series, doses, err := s.changing(c)
	if err != nil {
		return err
	}
	if series == nil {
		return c.See("/appointments")
	}
	f := c.Form()
	what := pathSegment(f.Get("what"))
	slots, err := parseIDs(f.Get("slots"))
	if err != nil {
		f.Fail("slots", "booking.error.choose")
		return s.pageChangeTimes(c, f, what, pathSegment(f.Get("centre")), f.Get("day"), nil)
	}
	moves, err := movesOf(*series, doses, what, slots)
	if err != nil {
		return problem(err)
	}
	old, err := s.seriesView(c, *series, person)
	if err != nil {
		return err
	}
	after, err := s.preview(c.Std(), *series, moves)
	if err != nil {
		return problem(err)
	}
	paper, err := s.paperOf(c.Std(), s.Pool, after, person, c.Lang)
	if err != nil {
		return err
	}
	view := checkView{
		Old: old, Where: paper.Where(), What: what, Slots: joinIDs(slots), Key: f.Get("key"),
		Back: "/appointments/change/" + what + "?centre=" + after.CentreID,
	}
	for _, v := range after.Visits() {
		view.New = append(view.New, visitView{v, paper.DoseLabel(v)})
	}
	return c.Page("booking/changecheck", view)
}

// postChange swaps. Pressing twice swaps once: the page carries its own key.
func (s *Service) postChange(c *web.Ctx) error {
	_, series, doses, err := s.changing(c)
	if err != nil {
		return err
	}
	if series == nil {
		return c.See("/appointments")
	}
	f := c.Form()
	what := pathSegment(f.Get("what"))
	slots, err := parseIDs(f.Get("slots"))
	if err != nil {
		return problem(err)
	}
	moves, err := movesOf(*series, doses, what, slots)
	if err != nil {
		return problem(err)
	}
	_, err = s.Rebook(c.Std(), RebookRequest{
		PersonID: c.User.ID, SeriesID: series.ID, Channel: Web, Moves: moves, Key: f.Get("key"), Actor: c.Actor(), Role: string(web.RoleCitizen),
	})
	var taken *TakenError
	if errors.As(err, &taken) {
		v := &takenView{Key: id.New()}
		for _, choice := range taken.Alternatives {
			v.Choices = append(v.Choices, viewChoice(c, choice))
		}
		return s.pageChangeTimes(c, f, what, "", "", v)
	}
	if err != nil {
		return problem(err)
	}
	c.Flash("booking.flash.changed")
	return c.See("/appointments")
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
	times, err := s.MoveOffers(c.Std(), s.Pool, *series, in.Dose, in.Centre, Web)
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
