package hotline

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

// changeView is the page on which an agent moves appointments.
type changeView struct {
	Person   citizen.Person
	Series   *booking.Series
	What     string
	Whats    []web.Option
	Centres  []web.Option // one: the others stay there
	CentreID string
	Side     side
	choosing
}

// whatLabel names what can be changed.
func whatLabel(c *web.Ctx, series booking.Series, missing []int, what string) string {
	if what == booking.ChangeAll {
		return c.T("hotline.change.all")
	}
	dose, _ := strconv.Atoi(what)
	if slices.Contains(missing, dose) {
		return c.T("hotline.change.again", "Number", what)
	}
	return c.T("hotline.change.one", "Number", what)
}

func (s *Service) changeView(c *web.Ctx, what, centreID, day string) (v changeView, err error) {
	if v.Person, err = s.bookable(c.Std(), c.Params("id")); err != nil {
		return v, err
	}
	series, err := s.Booking.SeriesOf(c.Std(), s.Pool, v.Person.ID)
	if err != nil {
		return v, err
	}
	if series == nil || len(s.Booking.Changes(*series)) == 0 {
		return v, errNothingToChange
	}
	v.Series, v.Key = series, id.New()
	whats := s.Booking.Changes(*series)
	if v.What = what; !slices.Contains(whats, what) {
		v.What = whats[len(whats)-1] // all together, or the only one
	}
	for _, w := range whats {
		v.Whats = append(v.Whats, web.Option{Value: w, Label: whatLabel(c, *series, s.Booking.Missing(*series), w)})
	}
	if v.Side, err = s.side(c); err != nil {
		return v, err
	}
	v.CentreID = series.CentreID
	all, err := centre.List(c.Std(), s.Pool)
	if err != nil {
		return v, err
	}
	for _, x := range all {
		if x.ID != series.CentreID && !booking.FreeToMove(*series, v.What) {
			continue
		}
		if v.Centres = append(v.Centres, web.Option{Value: x.ID, Label: x.Name}); x.ID == centreID {
			v.CentreID = centreID
		}
	}
	offers, err := s.Booking.ChangeOffers(c.Std(), s.Pool, *series, v.What, v.CentreID, booking.Hotline)
	if err != nil {
		return v, err
	}
	v.Day, v.Days, v.Offers, err = s.daysOf(c, offers, day)
	return v, err
}

func (s *Service) showChange(c *web.Ctx) error {
	v, err := s.changeView(c, c.Query("what"), c.Query("centre"), c.Query("day"))
	if errors.Is(err, errNothingToChange) {
		return c.See(casePath(c))
	}
	if err != nil {
		return problem(err)
	}
	return c.PageForm("hotline/change", web.NewForm("what", v.What, "centre", v.CentreID, "day", isoDay(v.Day)), v)
}

// change swaps. Pressing twice swaps once: the page carries its own key.
func (s *Service) change(c *web.Ctx) error {
	f := c.Form()
	return s.chosen(c, f, "hotline.change.done", s.changeAgain, func(slots []int64) error {
		_, err := s.Rebook(c.Std(), c.Params("id"), f.Get("series"), f.Get("what"), slots, f.Get("key"), by(c))
		return err
	})
}

func (s *Service) changeAgain(c *web.Ctx, f *web.Form, near []booking.Choice) error {
	v, err := s.changeView(c, f.Get("what"), f.Get("centre"), f.Get("day"))
	if errors.Is(err, errNothingToChange) {
		return c.See(casePath(c))
	}
	if err != nil {
		return problem(err)
	}
	if err := s.instead(c, &v.choosing, near); err != nil {
		return err
	}
	f.Set("what", v.What)
	f.Set("centre", v.CentreID)
	return c.PageForm("hotline/change", f, v)
}

// slotsOf reads the slots of an offer, as offerOf writes them; nil when they are none.
func slotsOf(value string) (slots []int64) {
	for _, part := range strings.Split(value, ",") {
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			slots = append(slots, n)
		}
	}
	return slots
}

func (s *Service) cancel(c *web.Ctx) error {
	f := c.Form()
	if f.Get("sure") == "" {
		f.Fail("sure", "hotline.error.sure")
		return s.casePage(c, f)
	}
	from := 1
	if typed := f.Get("from"); typed != "" {
		var err error
		if from, err = strconv.Atoi(typed); err != nil {
			return problem(booking.ErrInvalid)
		}
	}
	if err := s.Cancel(c.Std(), c.Params("id"), f.Get("series"), from, by(c)); err != nil {
		return problem(err)
	}
	if from > 1 {
		c.Flash("hotline.cancelled_later")
	} else {
		c.Flash("hotline.cancelled")
	}
	return c.See(casePath(c))
}

func (s *Service) answer(c *web.Ctx) error {
	f := c.Form()
	said, err := s.Answer(c.Std(), c.Params("id"), f.Get("offer"), f.Get("answer"), by(c))
	if err != nil {
		return problem(err)
	}
	c.Flash("hotline.offer." + said)
	return c.See(casePath(c))
}

func (s *Service) takeProposal(c *web.Ctx) error {
	if err := s.TakeProposal(c.Std(), c.Params("id"), c.Form().Get("proposal"), by(c)); err != nil {
		return problem(err)
	}
	c.Flash("hotline.change.done")
	return c.See(casePath(c))
}

type movesIn struct {
	ID     string `json:"-" path:"id"`
	Series string `json:"-" path:"series"`
	What   string `json:"-" query:"what"` // a dose, or all
	Centre string `json:"-" query:"centre"`
}

func (s *Service) apiMoves(c *web.Ctx, in movesIn) (out offersOut, err error) {
	if _, err := s.bookable(c.Std(), in.ID); err != nil {
		return out, problem(err)
	}
	series, err := s.Booking.SeriesByID(c.Std(), s.Pool, in.Series, in.ID)
	if err != nil {
		return out, problem(err)
	}
	if in.Centre == "" {
		in.Centre = series.CentreID
	}
	out.Days = []booking.OfferDay{}
	if slices.Contains(s.Booking.Changes(*series), in.What) {
		if out.Days, err = s.Booking.ChangeOffers(c.Std(), s.Pool, *series, in.What, in.Centre, booking.Hotline); out.Days == nil {
			out.Days = []booking.OfferDay{}
		}
	}
	return out, problem(err)
}

type changeIn struct {
	ID      string  `json:"-" path:"id"`
	Series  string  `json:"-" path:"series"`
	What    string  `json:"what" doc:"the number of a dose, or all"`
	SlotIDs []int64 `json:"slot_ids" doc:"one slot per appointment, by dose"`
	Key     string  `json:"key" doc:"the same key moves once"`
}

// changedOut is a series after a change.
type changedOut struct {
	Series *seriesOut `json:"series"`
}

func (s *Service) apiChange(c *web.Ctx, in changeIn) (changedOut, error) {
	x, err := s.Rebook(c.Std(), in.ID, in.Series, in.What, in.SlotIDs, in.Key, by(c))
	if err != nil {
		return changedOut{}, problem(err)
	}
	return changedOut{series(&x)}, nil
}

type answerIn struct {
	ID     string `json:"-" path:"id"`
	Offer  string `json:"offer,omitempty" doc:"which one was read out; absent = the one that is open"`
	Answer string `json:"answer" enum:"accept,decline,remove"`
}

type answerOut struct {
	Answer string `json:"answer" enum:"accepted,declined,removed,unanswered" doc:"what holds: unanswered = too late"`
}

func (s *Service) apiAnswer(c *web.Ctx, in answerIn) (answerOut, error) {
	said, err := s.Answer(c.Std(), in.ID, in.Offer, in.Answer, by(c))
	return answerOut{said}, problem(err)
}

type proposalIn struct {
	ID       string `json:"-" path:"id"`
	Proposal string `json:"-" path:"proposal"`
}

func (s *Service) apiTakeProposal(c *web.Ctx, in proposalIn) (struct{}, error) {
	return struct{}{}, problem(s.TakeProposal(c.Std(), in.ID, in.Proposal, by(c)))
}
