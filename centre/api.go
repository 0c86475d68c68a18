package centre

import (
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// apiRoutes are the JSON operations: the same functions as the pages.
func (s *Service) apiRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/centres", API: web.JSON("List the active centres", s.apiList)},
		{Method: http.MethodGet, Path: "/api/v1/centres/:id", API: web.JSON("Read a centre with its opening hours of the next days", s.apiGet)},
		{Method: http.MethodPost, Path: "/api/v1/centres", Roles: admin, API: web.JSON("Add a centre", s.apiCreate)},
		{Method: http.MethodPut, Path: "/api/v1/centres/:id", Roles: admin, API: web.JSON("Change a centre", s.apiUpdate)},
		{Method: http.MethodPut, Path: "/api/v1/centres/:id/hours", Roles: admin, API: web.JSON("Set the weekday hours of a centre from a day on", s.apiWeek)},
		{Method: http.MethodPut, Path: "/api/v1/centres/:id/exceptions/:day", Roles: admin, API: web.JSON("Set the hours of one day", s.apiException)},
		{Method: http.MethodDelete, Path: "/api/v1/centres/:id/exceptions/:day", Roles: admin, API: web.JSON("Give a day the hours of its weekday back", s.apiRemoveException)},
	}
}

type centresOut struct {
	Centres []Centre `json:"centres"`
}

func (s *Service) apiList(c *web.Ctx, _ struct{}) (centresOut, error) {
	all, err := List(c.Std(), s.pool)
	return centresOut{all}, err
}

type getIn struct {
	ID   string `path:"id" json:"-"`
	Days int    `query:"days" json:"-" doc:"how many days from today on, 1 to 92; 14 without it"`
}

// dayOut is one day's opening hours.
type dayOut struct {
	Day    string     `json:"day"`
	Open   bool       `json:"open"`
	Opens  *time.Time `json:"opens"`
	Closes *time.Time `json:"closes"`
	Reason string     `json:"reason"`
}

type centreOut struct {
	Centre Centre   `json:"centre"`
	Days   []dayOut `json:"days"`
}

func (s *Service) apiGet(c *web.Ctx, in getIn) (centreOut, error) {
	if in.Days == 0 {
		in.Days = 14
	}
	if in.Days < 1 || in.Days > 92 {
		return centreOut{}, web.Invalid(web.FieldError{Field: "days", Key: "centre.error.number", Args: []any{"Low", 1, "High", 92}})
	}
	ce, err := Get(c.Std(), s.pool, in.ID)
	if err != nil {
		return centreOut{}, problem(err)
	}
	days, err := HoursBetween(c.Std(), s.pool, in.ID, c.Now, clock.Day(c.Now).AddDate(0, 0, in.Days-1))
	if err != nil {
		return centreOut{}, err
	}
	out := centreOut{Centre: ce}
	for _, d := range days {
		o := dayOut{Day: d.Day.Format(time.DateOnly), Open: d.Open, Reason: d.Reason}
		if d.Open {
			o.Opens, o.Closes = &d.Opens, &d.Closes
		}
		out.Days = append(out.Days, o)
	}
	return out, nil
}

// check holds a centre from the API against the rules of the page's form.
func check(ce Centre) error {
	if !idPattern.MatchString(ce.ID) || ce.ID == "new" || !postcodePattern.MatchString(ce.Postcode) || ce.Stations < 0 || ce.Stations > 200 ||
		ce.MinutesPerPerson < 1 || ce.MinutesPerPerson > 120 || ce.Lat < -90 || ce.Lat > 90 || ce.Lon < -180 || ce.Lon > 180 {
		return ErrInvalid
	}
	for _, w := range []string{ce.Name, ce.Street, ce.City} {
		if w == "" || len([]rune(w)) > 100 {
			return ErrInvalid
		}
	}
	return nil
}

func (s *Service) apiCreate(c *web.Ctx, in Centre) (struct{}, error) {
	if err := check(in); err != nil {
		return struct{}{}, problem(err)
	}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return Create(c.Std(), tx, c.Now, in, by(c)) }))
}

type updateIn struct {
	ID               string  `path:"id" json:"-"`
	Name             string  `json:"name"`
	Street           string  `json:"street"`
	Postcode         string  `json:"postcode"`
	City             string  `json:"city"`
	Lat              float64 `json:"lat"`
	Lon              float64 `json:"lon"`
	Stations         int     `json:"stations"`
	MinutesPerPerson int     `json:"minutes_per_person"`
	Active           bool    `json:"active"`
}

func (s *Service) apiUpdate(c *web.Ctx, in updateIn) (struct{}, error) {
	ce := Centre(in)
	if err := check(ce); err != nil {
		return struct{}{}, problem(err)
	}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return Update(c.Std(), tx, c.Now, ce, by(c)) }))
}

type spanIn struct {
	Opens  string `json:"opens" doc:"08:00, Berlin wall clock; empty with closes: closed"`
	Closes string `json:"closes" doc:"18:00; 00:00 is midnight at the end of the day"`
}

// span reads the hours as the page's form does.
func (in spanIn) span() (Span, error) {
	f := web.NewForm("opens", in.Opens, "closes", in.Closes)
	sp := readSpan(f, "opens", "closes")
	if !f.OK() {
		return sp, web.Invalid(f.Errors...)
	}
	return sp, nil
}

func parseDay(field, s string) (time.Time, error) {
	f := web.NewForm(field, s)
	d := f.Day(field, "centre.error.day")
	if !f.OK() {
		return d, web.Invalid(f.Errors...)
	}
	return d, nil
}

type weekIn struct {
	ID        string   `path:"id" json:"-"`
	ValidFrom string   `json:"valid_from" doc:"day as 2021-01-11"`
	Week      []spanIn `json:"week" doc:"seven days, Monday first"`
}

func (s *Service) apiWeek(c *web.Ctx, in weekIn) (struct{}, error) {
	from, err := parseDay("valid_from", in.ValidFrom)
	if err != nil {
		return struct{}{}, err
	}
	if len(in.Week) != 7 {
		return struct{}{}, web.Invalid(web.FieldError{Field: "week", Key: "centre.error.week"})
	}
	var week [7]Span
	for i, d := range in.Week {
		if week[i], err = d.span(); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetWeek(c.Std(), tx, c.Now, in.ID, from, week, by(c)) }))
}

type exceptionIn struct {
	ID     string `path:"id" json:"-"`
	Day    string `path:"day" json:"-"`
	Opens  string `json:"opens" doc:"08:00, Berlin wall clock; empty with closes: closed"`
	Closes string `json:"closes"`
	Reason string `json:"reason" maxlen:"100"`
}

func (s *Service) apiException(c *web.Ctx, in exceptionIn) (struct{}, error) {
	day, err := parseDay("day", in.Day)
	if err != nil {
		return struct{}{}, err
	}
	sp, err := spanIn{in.Opens, in.Closes}.span()
	if err != nil {
		return struct{}{}, err
	}
	e := Exception{Day: day, Span: sp, Reason: in.Reason}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetException(c.Std(), tx, c.Now, in.ID, e, by(c)) }))
}

type removeIn struct {
	ID  string `path:"id" json:"-"`
	Day string `path:"day" json:"-"`
}

func (s *Service) apiRemoveException(c *web.Ctx, in removeIn) (struct{}, error) {
	day, err := parseDay("day", in.Day)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, problem(pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return RemoveException(c.Std(), tx, c.Now, in.ID, day, by(c)) }))
}
