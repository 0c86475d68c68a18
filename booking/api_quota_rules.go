package booking

import (
	"errors"
	"time"

	"impfportal/internal/web"
	"impfportal/programme"
)

// ReleaseOut is a release rule.
type ReleaseOut struct {
	CentreID   string `json:"centre_id" doc:"empty = every centre without one of its own"`
	From       string `json:"from"`
	FromDay    string `json:"from_day" doc:"for days from this one on"`
	To         string `json:"to" doc:"empty = nothing flows"`
	DaysBefore int    `json:"days_before"`
	At         string `json:"at" doc:"HH:MM in Berlin"`
}

// ReleasesOut lists release rules.
type ReleasesOut struct {
	Releases []ReleaseOut `json:"releases"`
}

func (s *Service) apiReleases(c *web.Ctx, in quotaIn) (ReleasesOut, error) {
	out := ReleasesOut{[]ReleaseOut{}}
	list, err := Releases(c.Std(), s.Pool, every(in.Centre))
	for _, r := range list {
		out.Releases = append(out.Releases, ReleaseOut{r.CentreID, string(r.From), r.FromDay.Format(time.DateOnly), string(r.To), r.DaysBefore, clockOf(r.AtMinute)})
	}
	return out, err
}

type releaseIn struct {
	Centre     string `json:"-" path:"centre"`
	Channel    string `json:"-" path:"channel"`
	Day        string `json:"-" path:"day"`
	To         string `json:"to" doc:"empty = nothing flows"`
	DaysBefore int    `json:"days_before"`
	At         string `json:"at,omitempty" doc:"HH:MM in Berlin; empty = 00:00"`
}

// minuteIn reads a time of the day of a request.
func minuteIn(text, field string) (int, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, web.Invalid(web.FieldError{Field: field, Key: "booking.error.time"})
	}
	return t.Hour()*60 + t.Minute(), nil
}

func (s *Service) apiSetRelease(c *web.Ctx, in releaseIn) (ReleasesOut, error) {
	day, err := futureDay(c, in.Day)
	if err != nil {
		return ReleasesOut{}, err
	}
	r := ReleaseRule{CentreID: every(in.Centre), From: Channel(in.Channel), FromDay: day, To: Channel(in.To), DaysBefore: in.DaysBefore}
	if r.AtMinute, err = minuteIn(in.At, "at"); err != nil {
		return ReleasesOut{}, err
	}
	if err := s.SetRelease(c.Std(), r, byUser(c)); err != nil {
		return ReleasesOut{}, apiAdminProblem(err, "to")
	}
	return s.apiReleases(c, quotaIn{in.Centre})
}

type releaseKey struct {
	Centre  string `json:"-" path:"centre"`
	Channel string `json:"-" path:"channel"`
	Day     string `json:"-" path:"day"`
}

func (s *Service) apiRemoveRelease(c *web.Ctx, in releaseKey) (struct{}, error) {
	day, err := time.Parse(time.DateOnly, in.Day)
	if err != nil {
		return struct{}{}, web.NotFound()
	}
	if err := s.RemoveRelease(c.Std(), every(in.Centre), Channel(in.Channel), day, byUser(c)); err != nil {
		return struct{}{}, apiAdminProblem(err, "")
	}
	return struct{}{}, nil
}

// ContingentJSON is a contingent of a priority group.
type ContingentJSON struct {
	ID          int64     `json:"id"`
	CentreID    string    `json:"centre_id" doc:"empty = every centre"`
	ProductID   string    `json:"product_id" doc:"empty = every product"`
	Channel     string    `json:"channel"`
	ProgrammeID string    `json:"programme_id"`
	Group       string    `json:"group"`
	FromDay     string    `json:"from_day" doc:"days of the first appointment"`
	ToDay       string    `json:"to_day"`
	Percent     int       `json:"percent" doc:"of the channel's day; this or places"`
	Places      int       `json:"places" doc:"a day"`
	Until       time.Time `json:"until" doc:"from then on what is free is everybody's"`
}

// ContingentsOut lists contingents.
type ContingentsOut struct {
	Contingents []ContingentJSON `json:"contingents"`
}

func (s *Service) apiContingents(c *web.Ctx, in quotaIn) (ContingentsOut, error) {
	out := ContingentsOut{[]ContingentJSON{}}
	list, err := Contingents(c.Std(), s.Pool, every(in.Centre), c.Now)
	for _, k := range list {
		out.Contingents = append(out.Contingents, ContingentJSON{
			k.ID, k.CentreID, k.ProductID, string(k.Channel), k.ProgrammeID, k.Group,
			k.FromDay.Format(time.DateOnly), k.ToDay.Format(time.DateOnly), k.Percent, k.Places, k.Until.UTC(),
		})
	}
	return out, err
}

type contingentIn struct {
	Centre      string    `json:"-" path:"centre"`
	ProductID   string    `json:"product_id,omitempty" doc:"empty = every product"`
	Channel     string    `json:"channel"`
	ProgrammeID string    `json:"programme_id"`
	Group       string    `json:"group"`
	FromDay     string    `json:"from_day" doc:"days of the first appointment"`
	ToDay       string    `json:"to_day"`
	Percent     int       `json:"percent,omitempty" doc:"of the channel's day; this or places"`
	Places      int       `json:"places,omitempty" doc:"a day"`
	Until       time.Time `json:"until" doc:"from then on what is free is everybody's"`
}

func (s *Service) apiAddContingent(c *web.Ctx, in contingentIn) (ContingentsOut, error) {
	k := Contingent{
		CentreID: every(in.Centre), ProductID: in.ProductID, Channel: Channel(in.Channel), ProgrammeID: in.ProgrammeID, Group: in.Group,
		Percent: in.Percent, Places: in.Places, Until: in.Until,
	}
	var err error
	for _, f := range []struct {
		name, text string
		day        *time.Time
	}{{"from_day", in.FromDay, &k.FromDay}, {"to_day", in.ToDay, &k.ToDay}} {
		if *f.day, err = time.Parse(time.DateOnly, f.text); err != nil {
			return ContingentsOut{}, web.Invalid(web.FieldError{Field: f.name, Key: "booking.error.day"})
		}
	}
	_, err = s.AddContingent(c.Std(), k, byUser(c))
	if errors.Is(err, programme.ErrNotFound) {
		return ContingentsOut{}, web.Invalid(web.FieldError{Field: "group", Key: "web.error.invalid"})
	}
	if err != nil {
		return ContingentsOut{}, apiAdminProblem(err, "")
	}
	return s.apiContingents(c, quotaIn{in.Centre})
}

type contingentKey struct {
	ID int64 `json:"-" path:"id"`
}

func (s *Service) apiEndContingent(c *web.Ctx, in contingentKey) (struct{}, error) {
	if err := s.EndContingent(c.Std(), in.ID, byUser(c)); err != nil {
		return struct{}{}, apiAdminProblem(err, "")
	}
	return struct{}{}, nil
}

// OpeningJSON is a rule for the opening of new days.
type OpeningJSON struct {
	FromDay  string      `json:"from_day" doc:"for openings from this day on"`
	Weekdays []int       `json:"weekdays" doc:"0 = Sunday"`
	Stages   []StageJSON `json:"stages" doc:"empty = at midnight"`
}

// StageJSON lets so many percent of a day's places be booked from a time on.
type StageJSON struct {
	At      string `json:"at" doc:"HH:MM in Berlin"`
	Percent int    `json:"percent" doc:"together with the stages before; the last one 100"`
}

// OpeningsOut lists the rules and says when places open next.
type OpeningsOut struct {
	Openings []OpeningJSON `json:"openings"`
	Next     *time.Time    `json:"next,omitempty"`
}

func (s *Service) apiOpenings(c *web.Ctx, _ struct{}) (OpeningsOut, error) {
	out := OpeningsOut{Openings: []OpeningJSON{}}
	rules, err := Openings(c.Std(), s.Pool)
	for _, r := range rules {
		o := OpeningJSON{r.FromDay.Format(time.DateOnly), []int{}, []StageJSON{}}
		for _, w := range r.Weekdays {
			o.Weekdays = append(o.Weekdays, int(w))
		}
		for _, st := range r.Stages {
			o.Stages = append(o.Stages, StageJSON{clockOf(st.AtMinute), st.Percent})
		}
		out.Openings = append(out.Openings, o)
	}
	if next := openings(rules).next(c.Now); !next.IsZero() {
		out.Next = &next
	}
	return out, err
}

type openingIn struct {
	Day      string      `json:"-" path:"day"`
	Weekdays []int       `json:"weekdays" doc:"0 = Sunday"`
	Stages   []StageJSON `json:"stages"`
}

func (s *Service) apiSetOpening(c *web.Ctx, in openingIn) (OpeningsOut, error) {
	day, err := futureDay(c, in.Day)
	if err != nil {
		return OpeningsOut{}, err
	}
	r := OpeningRule{FromDay: day}
	for _, w := range in.Weekdays {
		if w < 0 || w > 6 {
			return OpeningsOut{}, web.Invalid(web.FieldError{Field: "weekdays", Key: "web.error.invalid"})
		}
		r.Weekdays = append(r.Weekdays, time.Weekday(w))
	}
	for _, st := range in.Stages {
		minute, err := minuteIn(st.At, "stages")
		if err != nil {
			return OpeningsOut{}, err
		}
		r.Stages = append(r.Stages, Stage{minute, st.Percent})
	}
	if err := s.SetOpening(c.Std(), r, byUser(c)); err != nil {
		return OpeningsOut{}, apiAdminProblem(err, "stages")
	}
	return s.apiOpenings(c, struct{}{})
}

type openingKey struct {
	Day string `json:"-" path:"day"`
}

func (s *Service) apiRemoveOpening(c *web.Ctx, in openingKey) (struct{}, error) {
	day, err := time.Parse(time.DateOnly, in.Day)
	if err != nil {
		return struct{}{}, web.NotFound()
	}
	if err := s.RemoveOpening(c.Std(), day, byUser(c)); err != nil {
		return struct{}{}, apiAdminProblem(err, "")
	}
	return struct{}{}, nil
}
