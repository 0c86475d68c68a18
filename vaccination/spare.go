package vaccination

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/internal/web"
)

// What is left over in opened vials at the end of a day (Restdosen) goes to people
// on the waiting list who said that they can come on the same day: the site calls
// one after the other, in the order of group and draw (booking.CallNext). A name and
// a telephone number are shown while that person is being called, and to nobody
// before or after; the name once more to who records their dose (called.go).

func (s *Service) spareRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/site/leftover/:product", Roles: site, Handle: s.showSpare},
		{Method: "POST", Path: "/site/leftover/:product", Roles: site, Handle: s.postSpareNext},
		{Method: "POST", Path: "/site/leftover/:product/calls/:call", Roles: site, Handle: s.postSpareCall},
		{Method: "GET", Path: "/site/leftover/:product/calls/:call", Roles: site, Handle: s.showCalled},
		{Method: "POST", Path: "/site/leftover/:product/calls/:call/dose", Roles: site, Handle: s.postCalledDose},
		{Method: "GET", Path: "/api/v1/site/leftovers/:product", Roles: site, API: web.JSON("Leftover doses of today, and who was called about them", s.apiSpare)},
		{Method: "POST", Path: "/api/v1/site/leftovers/:product/calls", Roles: site, API: web.JSON("Whom to call next about a leftover dose", s.apiSpareNext)},
		{Method: "POST", Path: "/api/v1/site/leftovers/:product/calls/:call", Roles: site, API: web.JSON("Note what came of a call", s.apiSpareCall)},
		{Method: "POST", Path: "/api/v1/site/leftovers/:product/calls/:call/dose", Roles: site, API: web.JSON("Record the dose of somebody who has come after a call", s.apiCalledDose)},
	}
}

// spareCall is a call as the site sees it; name and number while it is open.
type spareCall struct {
	booking.LeftoverCall
	Name  string `json:"name,omitempty" doc:"while the person is being called"`
	Phone string `json:"phone,omitempty" doc:"E.164, while the person is being called"`
}

// spare is what is left over of a product, and who was called.
type spare struct {
	Leftover
	Calls  []spareCall `json:"calls"`
	Notice string      `json:"-"` // key of a text: why nobody was called
	came   int         // people who have come after a call
	There  int         `json:"there" doc:"people who have come after a call and are not vaccinated yet"`
}

// there counts who has come after a call and has had no dose yet. Where the dose was
// recorded as that of just somebody without an appointment, one such since then counts.
func there(calls []booking.LeftoverCall, visitors []Visitor, productID string) int {
	var given []time.Time // in order
	for _, v := range visitors {
		if v.WalkIn && !v.called && v.ProductID == productID {
			given = append(given, v.Time)
		}
	}
	slices.SortFunc(given, time.Time.Compare)
	n := 0
	for _, c := range calls {
		if c.State != booking.CallCame || c.Given {
			continue
		}
		if i := slices.IndexFunc(given, func(t time.Time) bool { return !t.Before(*c.EndedAt) }); i >= 0 {
			given = slices.Delete(given, i, i+1)
		} else {
			n++
		}
	}
	return n
}

// Open returns the calls that wait for their outcome.
func (p spare) Open() []spareCall {
	return slices.DeleteFunc(slices.Clone(p.Calls), func(c spareCall) bool { return c.State != booking.CallOpen })
}

// May reports whether somebody else may be called: a dose is left for them.
func (p spare) May() bool { return len(p.Open())+p.There < p.Left }

func (s *Service) spareOf(c *web.Ctx, ce centre.Centre, productID string) (out spare, err error) {
	d, err := s.Today(c.Std(), s.pool, ce.ID, c.Now)
	if err != nil {
		return out, err
	}
	i := slices.IndexFunc(d.Stock, func(l Leftover) bool { return l.ProductID == productID })
	if i < 0 {
		return out, web.NotFound()
	}
	out = spare{Leftover: d.Stock[i], Calls: []spareCall{}}
	calls, err := booking.LeftoverCalls(c.Std(), s.pool, ce.ID, productID, c.Now)
	if err != nil {
		return out, err
	}
	out.There = there(calls, d.Visitors, productID)
	var open []string
	for _, x := range calls {
		switch x.State {
		case booking.CallOpen:
			open = append(open, x.PersonID)
		case booking.CallCame:
			out.came++
		}
	}
	people, err := s.citizen.People(c.Std(), s.pool, open)
	if err != nil {
		return out, err
	}
	for _, x := range calls {
		call := spareCall{LeftoverCall: x}
		if p, ok := people[x.PersonID]; ok && x.State == booking.CallOpen {
			call.Name, call.Phone = p.FullName(), p.Phone
		}
		out.Calls = append(out.Calls, call)
	}
	return out, nil
}

// spareProblem says what an error means for the site.
func spareProblem(err error) error {
	switch {
	case errors.Is(err, booking.ErrEnoughCalled):
		return web.Fail(http.StatusConflict, "vaccination.spare.enough")
	case errors.Is(err, booking.ErrNobodyToCall):
		return web.Fail(http.StatusConflict, "vaccination.spare.nobody")
	case errors.Is(err, booking.ErrNotFound):
		return web.NotFound()
	case errors.Is(err, booking.ErrState):
		return web.Fail(http.StatusConflict, "vaccination.spare.ended")
	case errors.Is(err, booking.ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "web.error.invalid")
	}
	return err
}

func siteBy(c *web.Ctx) booking.By { return booking.By{Actor: c.Actor(), Role: role(c)} }

func (s *Service) spareNext(c *web.Ctx, ce centre.Centre, productID string) (spareCall, error) {
	p, err := s.spareOf(c, ce, productID)
	if err != nil {
		return spareCall{}, err
	}
	call, err := s.booking.CallNext(c.Std(), ce.ID, productID, p.Left-p.There, p.came, siteBy(c))
	if err != nil {
		return spareCall{}, spareProblem(err)
	}
	person, err := s.citizen.Person(c.Std(), s.pool, call.PersonID)
	return spareCall{call, person.FullName(), person.Phone}, err
}

func (s *Service) showSpare(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error { return s.renderSpare(c, ce, "") })
}

func (s *Service) renderSpare(c *web.Ctx, ce centre.Centre, notice string) error {
	p, err := s.spareOf(c, ce, c.Params("product"))
	if err != nil {
		return err
	}
	if p.Notice = notice; notice != "" {
		c.Status(http.StatusConflict)
	}
	c.Set("Cache-Control", "no-store")
	return c.Page("vaccination/spare", p)
}

func (s *Service) postSpareNext(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error {
		if _, err := s.spareNext(c, ce, c.Params("product")); err != nil {
			var p *web.Problem
			if !errors.As(err, &p) || p.Status != http.StatusConflict {
				return err
			}
			return s.renderSpare(c, ce, p.Key)
		}
		return c.See("/site/leftover/" + c.Params("product"))
	})
}

func (s *Service) postSpareCall(c *web.Ctx) error {
	return s.page(c, func(ce centre.Centre) error {
		outcome := c.Form().Get("outcome")
		if err := s.booking.CallEnded(c.Std(), c.Params("call"), ce.ID, outcome, siteBy(c)); err != nil {
			return spareProblem(err)
		}
		if outcome == booking.CallCame {
			return c.See(calledPath(c.Params("product"), c.Params("call")))
		}
		return c.See("/site/leftover/" + c.Params("product"))
	})
}

type spareIn struct {
	Centre  string `json:"-" query:"centre" doc:"centre id; needed by accounts of all centres"`
	Product string `json:"-" path:"product"`
}

func (s *Service) apiSpare(c *web.Ctx, in spareIn) (spare, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return spare{}, err
	}
	return s.spareOf(c, ce, in.Product)
}

func (s *Service) apiSpareNext(c *web.Ctx, in spareIn) (spareCall, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return spareCall{}, err
	}
	return s.spareNext(c, ce, in.Product)
}

type spareCallIn struct {
	Centre  string `json:"-" query:"centre" doc:"centre id; needed by accounts of all centres"`
	Product string `json:"-" path:"product"`
	Call    string `json:"-" path:"call"`
	Outcome string `json:"outcome" enum:"came,not_reached,declined"`
}

// spareDone says when it was noted.
type spareDone struct {
	At time.Time `json:"at"`
}

func (s *Service) apiSpareCall(c *web.Ctx, in spareCallIn) (spareDone, error) {
	ce, err := s.apiCentre(c, in.Centre)
	if err != nil {
		return spareDone{}, err
	}
	return spareDone{c.Now.UTC()}, spareProblem(s.booking.CallEnded(c.Std(), in.Call, ce.ID, in.Outcome, siteBy(c)))
}
