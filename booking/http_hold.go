package booking

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

func joinIDs(ids []int64) string {
	parts := make([]string, len(ids))
	for i, n := range ids {
		parts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(parts, ",")
}

func parseIDs(s string) ([]int64, error) {
	var out []int64
	for _, part := range strings.Split(s, ",") {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || len(out) == 9 {
			return nil, ErrInvalid
		}
		out = append(out, n)
	}
	return out, nil
}

// postHold holds what was chosen. Pressing twice holds once: the page carries
// its own key.
func (s *Service) postHold(c *web.Ctx) error {
	f := c.Form()
	centreID, day := f.Get("centre"), f.Get("day")
	slots, err := parseIDs(f.Get("slots"))
	if err != nil {
		f.Fail("slots", "booking.error.choose")
		return s.pageTimes(c, f, centreID, day, nil)
	}
	if f.Get("one") != "" && !slices.Contains(waiveReasons, f.Get("waive")) {
		f.Fail("waive", "booking.error.waive")
		return s.pageTimes(c, f, centreID, day, nil)
	}
	second, err := s.Companion(c.Std(), c.User.ID)
	if err != nil {
		return err
	}
	var series Series
	req := HoldRequest{PersonID: c.User.ID, Channel: Web, SlotIDs: slots, Key: pageKey(f.Get("key"), slots), Actor: c.Actor(), Role: string(web.RoleCitizen)}
	if f.Get("one") != "" {
		req.Waive = f.Get("waive")
	}
	if second != nil {
		series, err = s.HoldTogether(c.Std(), req, second.ID)
	} else {
		series, err = s.Hold(c.Std(), req)
	}
	var theirs *CompanionError
	if errors.As(err, &theirs) {
		return problem(err)
	}
	var taken *TakenError
	switch {
	case errors.As(err, &taken):
		v := &takenView{Key: id.New()}
		for _, choice := range taken.Alternatives {
			v.Choices = append(v.Choices, viewChoice(c, choice))
		}
		return s.pageTimes(c, f, centreID, day, v)
	case errors.Is(err, ErrAlreadyBooked):
		return c.See("/appointments") // shows what they have
	case err != nil:
		return problem(err)
	case series.State == StateCancelled || series.State == StateExpired:
		// The page was sent a second time after its hold had ended.
		return problem(ErrHoldExpired)
	case series.State == StateConfirmed || series.State == StateEnded:
		return c.See("/appointments")
	}
	s.stay(c, series)
	return c.See("/appointments/held")
}

// stay keeps the pass of the waiting room while the series is held: who gives
// it back or loses it may choose again.
func (s *Service) stay(c *web.Ctx, series Series) {
	if s.Extend != nil && series.State == StateHeld {
		s.Extend(c, series.HoldUntil)
	}
}

// pageKey is the key of one choice on a page: pressing the same one twice holds
// once, while another one on a page that is still open is a hold of its own.
func pageKey(key string, slots []int64) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key + " " + joinIDs(slots)))
	return "page " + hex.EncodeToString(sum[:])
}

// pathSegment keeps only what a centre's id or a date can hold.
func pathSegment(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') {
			return r
		}
		return -1
	}, s)
}

// heldView is the check before the confirmation.
type heldView struct {
	seriesView
	Until    time.Time
	UntilISO string
	Second   string // case number of the second person; "" = alone
}

func (s *Service) showHeld(c *web.Ctx) error {
	person, series, err := s.mine(c)
	if err != nil {
		return err
	}
	if series == nil || series.State != StateHeld {
		return c.See("/appointments")
	}
	v, err := s.seriesView(c, *series, person)
	if err != nil {
		return err
	}
	offer, err := s.offerIn(c.Std(), series)
	if err != nil {
		return err
	}
	if offer != nil {
		return c.Page("booking/offer", offerView{seriesView: v, State: "open", Until: offer.Until, Action: "/appointments/offer", ID: offer.ID})
	}
	view := heldView{seriesView: v, Until: series.HoldUntil, UntilISO: series.HoldUntil.UTC().Format(time.RFC3339)}
	if view.Second, err = s.second(c, *series); err != nil {
		return err
	}
	return c.Page("booking/held", view)
}

// second is the case number of the person who was booked together with the
// reader, or nothing: only who typed the number sees it.
func (s *Service) second(c *web.Ctx, series Series) (string, error) {
	other, err := s.partner(c.Std(), s.Pool, series)
	if err != nil || other == nil || series.BookedBy != c.Actor() {
		return "", err
	}
	person, err := s.Citizens.Person(c.Std(), s.Pool, other.PersonID)
	if err != nil {
		return "", problem(err)
	}
	return companionNumber(&person), nil
}

func (s *Service) postConfirm(c *web.Ctx) error {
	_, err := s.Confirm(c.Std(), c.Form().Get("series"), c.User.ID, "")
	if errors.Is(err, ErrHoldExpired) {
		return s.pageExpired(c)
	}
	if err != nil {
		return problem(err)
	}
	if s.Release != nil {
		s.Release(c)
	}
	if err := s.SetCompanion(c.Std(), c.User.ID, ""); err != nil {
		return err
	}
	return c.See("/appointments")
}

// expiredView says that the time was over, and where to hold the same again.
type expiredView struct {
	Centre centreRef
	Choice *choiceView
	Key    string
}

// pageExpired says that the hold has ended, and offers the same places again
// when they are still free.
func (s *Service) pageExpired(c *web.Ctx) error {
	c.Status(410)
	view := expiredView{Key: id.New()}
	series, err := s.SeriesByID(c.Std(), s.Pool, c.Form().Get("series"), c.User.ID)
	if errors.Is(err, ErrNotFound) {
		return c.Page("booking/expired", view)
	}
	if err != nil {
		return err
	}
	if _, err := s.expire(c.Std(), s.Now(), nil, c.User.ID); err != nil {
		return err
	}
	if a, err := s.Availability(c.Std()); err == nil {
		if at := a.Centre(series.CentreID); at != nil {
			view.Centre = centreRef{at.ID, at.Name, at.City}
		}
	}
	var choice Choice
	for _, a := range series.Appointments {
		choice.Times = append(choice.Times, OfferTime{SlotID: a.SlotID, Start: a.Start})
	}
	choice.CentreID, choice.ProductID, choice.FirstDose = series.CentreID, series.ProductID, series.Appointments[0].DoseNumber
	v := viewChoice(c, choice)
	if choice.Times[0].Start.After(c.Now) {
		view.Choice = &v
	}
	return c.Page("booking/expired", view)
}

// cancelView asks before appointments are given back.
type cancelView struct {
	seriesView
	Open  int
	Later int  // the dose from which on the later ones can be given back alone; 0 = there is but one
	Last  bool // that dose is the last one
}

func (s *Service) showCancel(c *web.Ctx) error {
	person, series, err := s.mine(c)
	if err != nil {
		return err
	}
	if series == nil || series.State != StateConfirmed {
		return c.See("/appointments")
	}
	v, err := s.seriesView(c, *series, person)
	if err != nil {
		return err
	}
	view := cancelView{seriesView: v}
	for _, a := range series.Visits() {
		if a.State != StateConfirmed {
			continue
		}
		if view.Open++; view.Open == 2 {
			view.Later = a.DoseNumber
		}
	}
	view.Last = view.Open == 2
	return c.Page("booking/cancel", view)
}

// postCancel gives a series back: a held one without a question, a confirmed
// one after the page that asks.
func (s *Service) postCancel(c *web.Ctx) error {
	seriesID := c.Form().Get("series")
	series, err := s.SeriesByID(c.Std(), s.Pool, seriesID, c.User.ID)
	if err != nil {
		return problem(err)
	}
	from := 1
	if typed := c.Form().Get("from"); typed != "" {
		if from, err = strconv.Atoi(typed); err != nil || from < 1 {
			return problem(ErrInvalid)
		}
	}
	if err := s.CancelFrom(c.Std(), seriesID, c.User.ID, from, By{c.Actor(), string(web.RoleCitizen)}); err != nil {
		return problem(err)
	}
	if series.State == StateHeld {
		c.Flash("booking.flash.released")
		return c.See("/appointments/at/" + series.CentreID + "?day=" + clock.Day(series.Appointments[0].Start).Format(time.DateOnly))
	}
	if from > 1 {
		c.Flash("booking.flash.later_cancelled")
		return c.See("/appointments")
	}
	c.Flash("booking.flash.cancelled")
	return c.See("/my-case")
}

// confirmedPaper is the confirmation of the person who is logged in.
func (s *Service) confirmedPaper(c *web.Ctx) (paper, error) {
	person, series, err := s.mine(c)
	if err != nil {
		return paper{}, err
	}
	if series == nil || series.State == StateHeld {
		return paper{}, web.NotFound()
	}
	return s.paperOf(c.Std(), s.Pool, *series, person, c.Lang)
}

func (s *Service) showSheet(c *web.Ctx) error {
	p, err := s.confirmedPaper(c)
	if err != nil {
		return err
	}
	body, err := p.sheet(s.Notify.Sender(), c.Now)
	if err != nil {
		return err
	}
	return c.Download("application/pdf", c.T("booking.paper.file")+".pdf", body)
}

func (s *Service) showCalendar(c *web.Ctx) error {
	p, err := s.confirmedPaper(c)
	if err != nil {
		return err
	}
	return c.Download("text/calendar; charset=utf-8", c.T("booking.paper.file")+".ics", []byte(p.calendar(c.Now)))
}
