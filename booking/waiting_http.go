package booking

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/web"
)

var agents = []web.Role{web.RoleAgent}

func (s *Service) waitingRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/appointments/waiting", Roles: citizens, Handle: s.showWaiting},
		{Method: http.MethodPost, Path: "/appointments/waiting", Roles: citizens, Handle: s.postWaiting},
		{Method: http.MethodPost, Path: "/appointments/waiting/withdraw", Roles: citizens, Handle: s.postWithdraw},
		{Method: http.MethodPost, Path: "/appointments/offer", Roles: citizens, Handle: s.postOwnOffer},

		// The same for somebody on the telephone.
		{Method: http.MethodGet, Path: "/hotline/persons/:id/waiting", Roles: agents, Handle: s.showWaiting},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/waiting", Roles: agents, Handle: s.postWaiting},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/waiting/withdraw", Roles: agents, Handle: s.postWithdraw},

		// The link of an offer: its token opens this offer and nothing else.
		{Method: http.MethodGet, Path: "/offers/:token", Handle: s.showOffer},
		{Method: http.MethodPost, Path: "/offers/:token", Handle: s.postOffer},

		{Method: http.MethodGet, Path: "/admin/waiting", Roles: admins, Nav: "booking.nav.waiting", NavGroup: "web.nav.appointments", Handle: s.showWaitingAdmin},
		{Method: http.MethodPost, Path: "/admin/waiting", Roles: admins, Handle: s.postWaitingAdmin},

		{Method: http.MethodGet, Path: "/api/v1/appointments/waiting", Roles: citizens, API: web.JSON("My entry on the waiting list", s.apiWaiting)},
		{Method: http.MethodPut, Path: "/api/v1/appointments/waiting", Roles: citizens, API: web.JSON("Wait for an appointment, or change what I wish", s.apiWait)},
		{Method: http.MethodDelete, Path: "/api/v1/appointments/waiting", Roles: citizens, API: web.JSON("Leave the waiting list", s.apiWithdraw)},
		{Method: http.MethodPut, Path: "/api/v1/hotline/persons/:id/waiting", Roles: agents, API: web.JSON("Put a caller on the waiting list, or change their wishes", s.apiWaitFor)},
		{Method: http.MethodDelete, Path: "/api/v1/hotline/persons/:id/waiting", Roles: agents, API: web.JSON("Take a caller off the waiting list", s.apiWithdrawFor)},
		{Method: http.MethodGet, Path: "/api/v1/hotline/offers", Roles: agents, API: web.JSON("Offers that wait for an answer, those to be called first", s.apiCalls)},
		{Method: http.MethodPost, Path: "/api/v1/hotline/offers/:offer/answer", Roles: agents, API: web.JSON("Note what a person answered to an offer", s.apiCall)},
		{Method: http.MethodGet, Path: "/api/v1/admin/waiting", Roles: admins, API: web.JSON("The waiting list in figures, and its settings", s.apiWaitingAdmin)},
		{Method: http.MethodPatch, Path: "/api/v1/admin/waiting", Roles: admins, API: web.JSON("Change when places return and how they are offered", s.apiWaitingRules)},
	}
}

// waitingFor says whose entry a request is about: the citizen's own, or that of
// the person an agent names.
func waitingFor(c *web.Ctx) (personID, base, via string, ch Channel, by By) {
	if c.User.Kind == citizen.SessionKind {
		return c.User.ID, "/appointments/waiting", viaAccount, Web, By{c.Actor(), string(web.RoleCitizen)}
	}
	personID = c.Params("id")
	return personID, "/hotline/persons/" + personID + "/waiting", viaCall, Hotline, By{c.Actor(), string(web.RoleAgent)}
}

// waitingView is the page on which wishes are entered, seen and changed.
type waitingView struct {
	Base     string
	Agent    bool
	Person   citizen.Person // whose page an agent has before them
	Entry    *Waiting
	Offer    *seriesView // that waits for an answer
	OfferID  string
	Until    time.Time
	Booked   bool
	Free     *freeNow // what they could book at this moment; nil = nothing
	Refused  string   // why nobody can wait; "" = may
	Centres  []checkItem
	Weekdays []checkItem
	Parts    []checkItem
	Within   []web.Option
	Notices  []web.Option
}

// checkItem is one box to tick.
type checkItem struct {
	Value, Label string
	Checked      bool
}

func (s *Service) showWaiting(c *web.Ctx) error {
	personID, _, _, _, _ := waitingFor(c)
	f := web.NewForm()
	entry, err := WaitingOf(c.Std(), s.Pool, citizenID(personID))
	if err != nil {
		return err
	}
	if entry == nil {
		f.Set("weekdays", "1", "2", "3", "4", "5", "6", "7")
		f.Set("parts", dayParts...)
		f.Set("notice", "1")
	} else {
		f.Set("centres", entry.Centres...)
		f.Set("parts", entry.Parts...)
		var days []string
		for _, d := range entry.Weekdays {
			days = append(days, strconv.Itoa(d))
		}
		f.Set("weekdays", days...)
		f.Set("notice", strconv.Itoa(entry.NoticeDays))
		for name, d := range map[string]*time.Time{"earliest": entry.Earliest, "latest": entry.Latest} {
			if d != nil {
				f.Set(name, d.Format(time.DateOnly))
			}
		}
	}
	return s.pageWaiting(c, f)
}

func (s *Service) pageWaiting(c *web.Ctx, f *web.Form) error {
	ctx := c.Std()
	personID, base, _, ch, _ := waitingFor(c)
	person, err := s.Citizens.Person(ctx, s.Pool, personID)
	if err != nil {
		return problem(err)
	}
	v := waitingView{Base: base, Agent: c.User.Kind != citizen.SessionKind, Person: person}
	if v.Entry, err = WaitingOf(ctx, s.Pool, personID); err != nil {
		return err
	}
	series, err := s.SeriesOf(ctx, s.Pool, personID)
	if err != nil {
		return err
	}
	if series != nil {
		v.Booked = series.State == StateConfirmed
		o, err := s.offerIn(ctx, series)
		if err != nil {
			return err
		}
		if o != nil {
			offer, err := s.seriesView(c, *series, person)
			if err != nil {
				return err
			}
			v.Offer, v.OfferID, v.Until = &offer, o.ID, o.Until
		}
	}
	ents, err := s.entitlements(ctx, s.Pool, person)
	var not *IneligibleError
	switch {
	case errors.As(err, &not):
		if not.Reason != ReasonGroup {
			v.Refused = "booking.error.not." + not.Reason
			if v.Agent {
				v.Refused = "booking.waiting.agent.not." + not.Reason
			}
		}
	case err != nil:
		return err
	case series == nil || series.State == StateEnded:
		if v.Free, err = s.freeFor(c, person, v.Entry, ch, ents); err != nil {
			return err
		}
	}
	all, err := centre.List(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, near := range byDistance(all, person.Address.Postcode) {
		label := near.Name
		if near.Kilometres > 0 {
			label += " (" + c.T("booking.km", "Km", near.Kilometres) + ")"
		}
		v.Centres = append(v.Centres, checkItem{near.ID, label, slices.Contains(f.All("centres"), near.ID)})
	}
	for d := 1; d <= 7; d++ {
		n := strconv.Itoa(d)
		v.Weekdays = append(v.Weekdays, checkItem{n, c.T("booking.weekday." + n), slices.Contains(f.All("weekdays"), n)})
	}
	for _, p := range dayParts {
		v.Parts = append(v.Parts, checkItem{p, c.T("booking.part." + p), slices.Contains(f.All("parts"), p)})
	}
	v.Within = []web.Option{{Value: "", Label: c.T("booking.waiting.within_none")}}
	for _, km := range []int{15, 30, 50, 100} {
		v.Within = append(v.Within, web.Option{Value: strconv.Itoa(km), Label: c.T("booking.waiting.within_km", "Km", km)})
	}
	sameDay := "booking.waiting.notice_none"
	if v.Agent {
		sameDay = "booking.waiting.agent.notice_none"
	}
	v.Notices = []web.Option{{Value: "0", Label: c.T(sameDay)}}
	for _, n := range []int{1, 2, 3, 7, 14} {
		v.Notices = append(v.Notices, web.Option{Value: strconv.Itoa(n), Label: c.T("booking.waiting.notice_days", "Count", n)})
	}
	return c.PageForm("booking/waiting", f, v)
}

// citizenID keeps what is no id away from the database.
func citizenID(s string) string {
	if len(s) != 36 {
		return "00000000-0000-0000-0000-000000000000"
	}
	return s
}

func (s *Service) postWaiting(c *web.Ctx) error {
	personID, base, _, ch, by := waitingFor(c)
	person, err := s.Citizens.Person(c.Std(), s.Pool, personID)
	if err != nil {
		return problem(err)
	}
	f := c.Form()
	w := Wishes{Centres: f.All("centres"), Parts: f.All("parts")}
	if km, err := strconv.Atoi(f.Get("within")); err == nil && km > 0 {
		all, err := centre.List(c.Std(), s.Pool)
		if err != nil {
			return err
		}
		for _, near := range byDistance(all, person.Address.Postcode) {
			if near.Kilometres > 0 && near.Kilometres <= km {
				w.Centres = append(w.Centres, near.ID)
			}
		}
	}
	if len(w.Centres) == 0 {
		f.Fail("centres", "booking.error.waiting_centres")
	}
	for _, d := range f.All("weekdays") {
		if n, err := strconv.Atoi(d); err == nil {
			w.Weekdays = append(w.Weekdays, n)
		}
	}
	if len(w.Weekdays) == 0 {
		f.Fail("weekdays", "booking.error.waiting_weekdays")
	}
	if len(w.Parts) == 0 {
		f.Fail("parts", "booking.error.waiting_parts")
	}
	for _, x := range []struct {
		name string
		day  **time.Time
	}{{"earliest", &w.Earliest}, {"latest", &w.Latest}} {
		if f.Get(x.name) != "" {
			if d := f.Day(x.name, "booking.error.day"); !d.IsZero() {
				*x.day = &d
			}
		}
	}
	if w.Earliest != nil && w.Latest != nil && w.Earliest.After(*w.Latest) {
		f.Fail("latest", "booking.error.waiting_latest")
	}
	w.NoticeDays = f.Int("notice", 0, 60, "booking.error.number")
	if !f.OK() {
		return s.pageWaiting(c, f)
	}
	if _, err := s.PutOnList(c.Std(), personID, w, ch, by); err != nil {
		return problem(err)
	}
	c.Flash("booking.flash.waiting")
	return c.See(base)
}

func (s *Service) postWithdraw(c *web.Ctx) error {
	personID, base, via, _, by := waitingFor(c)
	if _, err := s.Citizens.Person(c.Std(), s.Pool, personID); err != nil {
		return problem(err)
	}
	if err := s.Withdraw(c.Std(), personID, via, by); err != nil {
		return problem(err)
	}
	c.Flash("booking.flash.withdrawn")
	return c.See(base)
}

// limitOffer is how often one network may open or answer links of offers. The
// token has 256 random bits: the limit keeps noise down, it protects no secret.
var limitOffer = redis_rate.Limit{Rate: 60, Burst: 60, Period: time.Minute}

// offerOf returns the offer of a link. A link that is none, or whose offer is
// deleted, gets the same answer.
func (s *Service) offerOf(c *web.Ctx) (waitingOffer, error) {
	c.Set("Referrer-Policy", "no-referrer")
	c.Set("Cache-Control", "no-store")
	if s.Limiter != nil {
		r, err := s.Limiter.Allow(c.Std(), "booking:offer:"+c.Network(), limitOffer)
		if err != nil {
			s.Log.Warn("rate limit not checked", "err", err) // Redis is away: the token guards alone
		} else if r.Allowed == 0 {
			c.Set("Retry-After", strconv.Itoa(int(r.RetryAfter.Seconds())+1))
			return waitingOffer{}, web.Fail(http.StatusTooManyRequests, "booking.error.too_many")
		}
	}
	o, err := offerByToken(c.Std(), s.Pool, c.Params("token"))
	if errors.Is(err, ErrNotFound) {
		return o, &web.Problem{Status: http.StatusNotFound, Key: "booking.error.offer", Link: "/appointments/waiting", LinkKey: "booking.waiting.title"}
	}
	return o, err
}

// offerView is what somebody with the link sees: no name, nothing of the case.
type offerView struct {
	seriesView
	State  string // "open" or what became of it
	Until  time.Time
	Action string // where the answer goes
	ID     string // of the offer, where the address does not tell it
}

func (s *Service) showOffer(c *web.Ctx) error {
	o, err := s.offerOf(c)
	if err != nil {
		return err
	}
	return s.pageOffer(c, o)
}

func (s *Service) pageOffer(c *web.Ctx, o waitingOffer) error {
	series, err := s.SeriesByID(c.Std(), s.Pool, o.SeriesID, o.PersonID)
	if err != nil {
		return problem(err)
	}
	// The person's own data is not shown: the view gets none.
	v := offerView{State: o.Answer, Until: o.Until, Action: "/offers/" + c.Params("token")}
	if v.seriesView, err = s.seriesView(c, *series, citizen.Person{Lang: c.Lang}); err != nil {
		return err
	}
	v.seriesView.Reference = ""
	switch {
	case v.State != "":
	case series.State == StateConfirmed || series.State == StateEnded:
		v.State = OfferAccepted
	case series.State == StateCancelled:
		v.State = OfferDeclined
	case !o.Open(c.Now) || series.State != StateHeld:
		v.State = OfferUnanswered
	default:
		v.State = "open"
	}
	if v.State == OfferUnanswered {
		c.Status(http.StatusGone)
	}
	return c.Page("booking/offer", v)
}

// offerIn returns the offer that a held series is, or nil: it is held by the person,
// or nothing is.
func (s *Service) offerIn(ctx context.Context, series *Series) (*OpenOffer, error) {
	if series == nil || series.State != StateHeld {
		return nil, nil
	}
	o, err := OpenOfferOf(ctx, s.Pool, series.PersonID, s.Now())
	if err != nil || o == nil || o.SeriesID != series.ID {
		return nil, err
	}
	return o, nil
}

// postOwnOffer answers the offer of the person who is logged in: who accepts has
// booked, there is nothing more to confirm.
func (s *Service) postOwnOffer(c *web.Ctx) error {
	f := c.Form()
	o, err := s.answerFor(c.Std(), f.Get("offer"), c.User.ID, f.Get("answer"), viaAccount, By{c.Actor(), string(web.RoleCitizen)})
	if err != nil {
		return problem(err)
	}
	if o.Answer != OfferAccepted {
		return s.pageOffer(c, o)
	}
	if s.Release != nil {
		s.Release(c)
	}
	return c.See("/appointments")
}

func (s *Service) postOffer(c *web.Ctx) error {
	o, err := s.offerOf(c)
	if err != nil {
		return err
	}
	after, err := s.answerOffer(c.Std(), o.ID, c.Form().Get("answer"), viaLink, By{"citizen:" + o.PersonID, string(web.RoleCitizen)})
	if err != nil {
		return problem(err)
	}
	return s.pageOffer(c, after)
}
