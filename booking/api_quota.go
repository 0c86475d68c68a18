package booking

import (
	"errors"
	"net/http"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// quotaAPI are quotas and their rules as JSON. Where :centre is "default" or
// "all", what is meant is what holds for every centre.
func (s *Service) quotaAPI() []web.Route {
	admin := []web.Role{web.RoleAdmin}
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/admin/quotas/:centre", Roles: admin, API: web.JSON("A centre's standing quotas (centre 'default': the default of all) and its lanes", s.apiQuotas)},
		{Method: http.MethodPut, Path: "/api/v1/admin/quotas/:centre", Roles: admin, API: web.JSON("Set standing quotas; the percentages add up to 100; null takes a centre's own away", s.apiSetShares)},
		{Method: http.MethodGet, Path: "/api/v1/admin/quotas/:centre/weeks/:from", Roles: admin, API: web.JSON("What each channel has and has taken on seven days", s.apiWeek)},
		{Method: http.MethodPost, Path: "/api/v1/admin/quotas/:centre/weeks/:from/copy", Roles: admin, API: web.JSON("Copy the exceptions of seven days to the next weeks, all or none", s.apiCopy)},
		{Method: http.MethodPut, Path: "/api/v1/admin/quotas/:centre/days/:day", Roles: admin, API: web.JSON("Set the quotas of one day; null takes the exception away", s.apiSetDay)},
		{Method: http.MethodPost, Path: "/api/v1/admin/quotas/:centre/shifts", Roles: admin, API: web.JSON("Move free places of a day from a channel to another", s.apiShift)},
		{Method: http.MethodPost, Path: "/api/v1/admin/quotas/:centre/undo", Roles: admin, API: web.JSON("Undo the last change of quotas (centre 'default': of the default)", s.apiUndo)},
		{Method: http.MethodGet, Path: "/api/v1/admin/quotas/:centre/releases", Roles: admin, API: web.JSON("Releases that concern a centre (centre 'all': those of every centre)", s.apiReleases)},
		{Method: http.MethodPut, Path: "/api/v1/admin/quotas/:centre/releases/:channel/:day", Roles: admin, API: web.JSON("Set the release of a channel for days from a day on", s.apiSetRelease)},
		{Method: http.MethodDelete, Path: "/api/v1/admin/quotas/:centre/releases/:channel/:day", Roles: admin, API: web.JSON("Take a release rule away", s.apiRemoveRelease)},
		{Method: http.MethodGet, Path: "/api/v1/admin/quotas/:centre/contingents", Roles: admin, API: web.JSON("Contingents of priority groups that concern a centre (centre 'all': those of every centre)", s.apiContingents)},
		{Method: http.MethodPost, Path: "/api/v1/admin/quotas/:centre/contingents", Roles: admin, API: web.JSON("Set places of a channel aside for a priority group until a moment", s.apiAddContingent)},
		{Method: http.MethodDelete, Path: "/api/v1/admin/contingents/:id", Roles: admin, API: web.JSON("End a contingent now", s.apiEndContingent)},
		{Method: http.MethodGet, Path: "/api/v1/admin/booking/openings", Roles: admin, API: web.JSON("When new days open", s.apiOpenings)},
		{Method: http.MethodPut, Path: "/api/v1/admin/booking/openings/:day", Roles: admin, API: web.JSON("Set when new days open, from a day on; without stages at midnight", s.apiSetOpening)},
		{Method: http.MethodDelete, Path: "/api/v1/admin/booking/openings/:day", Roles: admin, API: web.JSON("Take an opening rule away", s.apiRemoveOpening)},
	}
}

type quotaIn struct {
	Centre string `json:"-" path:"centre"`
}

// every is the centre of an address; "" for what holds for every centre.
func every(centreID string) string {
	if centreID == "default" || centreID == allCentres {
		return ""
	}
	return centreID
}

// QuotasOut is how a centre shares its days and stations out.
type QuotasOut struct {
	Shares map[string]int `json:"shares" doc:"percent by channel, of what the fixed places leave"`
	Places map[string]int `json:"places" doc:"fixed places by channel"`
	Own    bool           `json:"own" doc:"false: the default of all centres"`
	Lanes  []LaneOut      `json:"lanes"`
}

func (s *Service) apiQuotas(c *web.Ctx, in quotaIn) (QuotasOut, error) {
	out := QuotasOut{Shares: map[string]int{}, Places: map[string]int{}, Lanes: []LaneOut{}}
	channels, err := Channels(c.Std(), s.Pool)
	if err != nil {
		return out, err
	}
	quotas, own, err := standingQuotas(c.Std(), s.Pool, every(in.Centre), channels)
	if err != nil {
		return out, err
	}
	out.Own = own
	for channel, q := range quotas {
		out.Shares[string(channel)], out.Places[string(channel)] = q.Percent, q.Places
	}
	lanes, err := Lanes(c.Std(), s.Pool, every(in.Centre))
	for _, l := range lanes {
		out.Lanes = append(out.Lanes, LaneOut{l.ProductID, l.From.Format(time.DateOnly), l.Stations})
	}
	return out, err
}

// conflictJSON is why a change is refused.
type conflictJSON struct {
	CentreID  string `json:"centre_id"`
	ProductID string `json:"product_id"`
	Day       string `json:"day"`
	Channel   string `json:"channel"`
	Taken     int    `json:"taken"`
	Places    int    `json:"places" doc:"that the change would leave"`
}

type conflictsJSON struct {
	Conflicts []conflictJSON `json:"conflicts"`
}

func conflictsOut(list []Conflict) conflictsJSON {
	out := conflictsJSON{[]conflictJSON{}}
	for _, x := range list {
		out.Conflicts = append(out.Conflicts, conflictJSON{x.CentreID, x.ProductID, x.Day.Format(time.DateOnly), string(x.Channel), x.Taken, x.Places})
	}
	return out
}

// quotaProblem tells why a change of quotas is refused.
func quotaProblem(c *web.Ctx, err error, field string) error {
	if list := refusals(c, err); len(list) > 0 {
		p := web.Fail(http.StatusConflict, list[0].Key, list[0].Args...)
		var below *BelowTakenError
		if errors.As(err, &below) {
			p.Extra = conflictsOut(below.Conflicts)
		}
		return p
	}
	return apiAdminProblem(err, field)
}

func quotasFrom(shares, places map[string]int) Quotas {
	if shares == nil && places == nil {
		return nil
	}
	out := Quotas{}
	for ch, n := range shares {
		out[Channel(ch)] = Quota{Percent: n}
	}
	for ch, n := range places {
		out[Channel(ch)] = Quota{out[Channel(ch)].Percent, n}
	}
	return out
}

type sharesIn struct {
	Centre string         `json:"-" path:"centre"`
	Shares map[string]int `json:"shares" doc:"percent by channel, together 100"`
	Places map[string]int `json:"places,omitempty" doc:"fixed places by channel; they go first"`
	Reset  bool           `json:"reset,omitempty" doc:"take the centre's own quotas away"`
}

func (s *Service) apiSetShares(c *web.Ctx, in sharesIn) (QuotasOut, error) {
	if in.Shares == nil && !in.Reset {
		return QuotasOut{}, web.Invalid(web.FieldError{Field: "shares", Key: "web.error.required"})
	}
	quotas := quotasFrom(in.Shares, in.Places)
	if in.Reset {
		quotas = nil
	}
	if err := s.SetQuotas(c.Std(), every(in.Centre), quotas, byUser(c)); err != nil {
		return QuotasOut{}, quotaProblem(c, err, "shares")
	}
	return s.apiQuotas(c, quotaIn{in.Centre})
}

type daySharesIn struct {
	Centre    string         `json:"-" path:"centre"`
	Day       string         `json:"-" path:"day"`
	ProductID string         `json:"product_id,omitempty" doc:"empty = every product"`
	Shares    map[string]int `json:"shares"`
	Places    map[string]int `json:"places,omitempty"`
}

// futureDay reads a day of an address that is not past.
func futureDay(c *web.Ctx, text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Before(clock.Day(c.Now)) {
		return day, web.Invalid(web.FieldError{Field: "day", Key: "booking.error.day"})
	}
	return day, nil
}

func (s *Service) apiSetDay(c *web.Ctx, in daySharesIn) (struct{}, error) {
	day, err := futureDay(c, in.Day)
	if err != nil {
		return struct{}{}, err
	}
	err = s.SetDays(c.Std(), in.Centre, []DayQuota{{day, in.ProductID, quotasFrom(in.Shares, in.Places)}}, byUser(c))
	if err != nil {
		return struct{}{}, quotaProblem(c, err, "shares")
	}
	return struct{}{}, nil
}

type weekIn struct {
	Centre string `json:"-" path:"centre"`
	From   string `json:"-" path:"from"`
}

func weekFrom(text string) (time.Time, error) {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return d, web.Invalid(web.FieldError{Field: "from", Key: "booking.error.day"})
	}
	return d, nil
}

// WeekOut is how a centre's quotas of seven days are used.
type WeekOut struct {
	At   time.Time    `json:"at"`
	Days []WeekDayOut `json:"days"`
}

// WeekDayOut is one of them.
type WeekDayOut struct {
	Day         string               `json:"day"`
	Exception   bool                 `json:"exception"`
	OpenPercent int                  `json:"open_percent" doc:"how much of the day's places may be offered now"`
	Later       int                  `json:"later" doc:"later appointments on the day"`
	Channels    map[string]WeekUsage `json:"channels"`
}

// WeekUsage is what a channel has of a day; places, taken and free are first
// appointments.
type WeekUsage struct {
	Percent    int    `json:"percent"`
	Fixed      int    `json:"fixed"`
	Places     int    `json:"places"`
	Taken      int    `json:"taken"`
	Free       int    `json:"free"`
	ReleasedTo string `json:"released_to,omitempty"`
}

func (s *Service) apiWeek(c *web.Ctx, in weekIn) (WeekOut, error) {
	from, err := weekFrom(in.From)
	if err != nil {
		return WeekOut{}, err
	}
	w, err := s.liveWeek(c.Std(), in.Centre, from)
	if err != nil {
		return WeekOut{}, adminProblem(err)
	}
	out := WeekOut{At: w.At, Days: []WeekDayOut{}}
	for _, d := range w.Days {
		day := WeekDayOut{Day: d.Day.Format(time.DateOnly), Exception: d.Exception, OpenPercent: d.Open, Later: d.Later, Channels: map[string]WeekUsage{}}
		for _, x := range d.Cells {
			day.Channels[string(x.Channel)] = WeekUsage{x.Quota.Percent, x.Quota.Places, x.Places, x.Taken, x.Free, string(x.To)}
		}
		out.Days = append(out.Days, day)
	}
	return out, nil
}

type copyIn struct {
	Centre string `json:"-" path:"centre"`
	From   string `json:"-" path:"from"`
	Weeks  int    `json:"weeks" doc:"to so many weeks after it"`
	DryRun bool   `json:"dry_run,omitempty" doc:"change nothing, say what would change and what stands against it"`
}

// CopyOut says what a copy changes.
type CopyOut struct {
	Changed   int            `json:"changed" doc:"days"`
	Conflicts []conflictJSON `json:"conflicts" doc:"of a dry run"`
}

func (s *Service) apiCopy(c *web.Ctx, in copyIn) (CopyOut, error) {
	from, err := weekFrom(in.From)
	if err != nil {
		return CopyOut{}, err
	}
	if in.DryRun {
		days, against, err := s.PreviewCopy(c.Std(), in.Centre, from, in.Weeks)
		if err != nil {
			return CopyOut{}, quotaProblem(c, err, "weeks")
		}
		return CopyOut{len(days), conflictsOut(against).Conflicts}, nil
	}
	n, err := s.CopyWeek(c.Std(), in.Centre, from, in.Weeks, byUser(c))
	if err != nil {
		return CopyOut{}, quotaProblem(c, err, "weeks")
	}
	return CopyOut{n, []conflictJSON{}}, nil
}

type shiftIn struct {
	Centre    string `json:"-" path:"centre"`
	Day       string `json:"day"`
	ProductID string `json:"product_id,omitempty" doc:"empty = divided over the products by what is free"`
	From      string `json:"from"`
	To        string `json:"to"`
	Places    int    `json:"places"`
}

func (s *Service) apiShift(c *web.Ctx, in shiftIn) (struct{}, error) {
	day, err := futureDay(c, in.Day)
	if err != nil {
		return struct{}{}, err
	}
	err = s.MoveFree(c.Std(), Shift{
		CentreID: in.Centre, ProductID: in.ProductID, Day: day, From: Channel(in.From), To: Channel(in.To), Places: in.Places,
	}, byUser(c))
	if err != nil {
		return struct{}{}, quotaProblem(c, err, "places")
	}
	return struct{}{}, nil
}

func (s *Service) apiUndo(c *web.Ctx, in quotaIn) (struct{}, error) {
	if err := s.Undo(c.Std(), every(in.Centre), byUser(c)); err != nil {
		return struct{}{}, quotaProblem(c, err, "")
	}
	return struct{}{}, nil
}
