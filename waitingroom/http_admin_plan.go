package waitingroom

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"impfportal/internal/web"
)

// planPage is the form of a room's plan.
type planPage struct {
	Room    Room
	Name    string
	Waiting int64
	Begun   bool // the pre-queue is under way: little can be changed
	Ends    bool // people wait in the line that a plan would end
	Open    bool
	Planned bool
	Steps   []planStep
	Changed bool // somebody else was quicker
	Orders  []web.Option
	Beacons []web.Option
}

func (s *Service) planPage(c *web.Ctx, v *view) planPage {
	r := *v.known.Load()
	p := planPage{
		Room: r, Name: r.Name.In(c.Lang), Waiting: s.waiting(r.ID), Begun: r.begun(), Open: r.Phase == Open || r.Phase == Paused,
		Planned: !r.Plan.Empty(), Steps: planSteps(c, r, s.roomNow()),
	}
	p.Ends = p.Waiting > 0 && !p.Begun
	for _, o := range []string{"arrival", "draw"} {
		p.Orders = append(p.Orders, web.Option{Value: o, Label: c.T("waitingroom.plan.order." + o), Hint: c.T("waitingroom.plan.order." + o + ".hint")})
	}
	for _, b := range []Beacon{DrandBeacon, LotteryBeacon, NoBeacon, LocalBeacon} {
		if b == DrandBeacon && !s.hasDrand() && r.Beacon != DrandBeacon {
			continue // not set up: it could not be used
		}
		p.Beacons = append(p.Beacons, web.Option{Value: string(b), Label: c.T("waitingroom.beacon." + string(b)), Hint: c.T("waitingroom.beacon." + string(b) + ".hint")})
	}
	return p
}

func planForm(r Room, drand bool) *web.Form {
	order, beacon := "arrival", r.Beacon
	switch {
	case r.Draw:
		order = "draw"
	case drand:
		beacon = DrandBeacon // the one to propose
	}
	return web.NewForm("prequeue_from", berlinText(r.Plan.PreQueueFrom), "opens_at", berlinText(r.Plan.OpensAt), "closes_at", berlinText(r.Plan.ClosesAt),
		"order", order, "beacon", string(beacon), "beacon_name", r.BeaconName, "version", strconv.FormatInt(r.Version, 10))
}

func (s *Service) showPlan(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	p := s.planPage(c, v)
	return c.PageForm("waitingroom/room_plan", planForm(p.Room, s.hasDrand()), p)
}

// postPlan saves the plan, or takes it back.
func (s *Service) postPlan(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	f, said := c.Form(), "waitingroom.plan.saved"
	plan, set := s.parsePlan(f, *v.known.Load())
	if f.Get("cancel") != "" {
		plan, set, said = Plan{}, Settings{Version: set.Version}, "waitingroom.plan.cancelled"
		f.Errors = nil
	}
	if f.OK() && f.Get("cancel") == "" && plan.Empty() && !v.known.Load().begun() {
		field := "opens_at"
		if phase := v.known.Load().Phase; phase == Open || phase == Paused {
			field = "closes_at"
		}
		f.Fail(field, "waitingroom.plan.error.nothing")
	}
	if f.OK() {
		_, err := s.SetPlan(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, plan, set)
		if p, ok := problemFields(err); ok {
			f.Errors = append(f.Errors, inWords(c, asAsked(p))...)
		} else if errors.Is(err, ErrChanged) {
			return s.planChanged(c, v, f)
		} else if err != nil {
			return problem(err)
		}
	}
	if !f.OK() {
		p := s.planPage(c, v)
		for _, e := range f.Errors {
			p.Ends = p.Ends || e.Field == "end_line"
		}
		return c.PageForm("waitingroom/room_plan", f, p)
	}
	c.Flash(said)
	return c.See("/admin/rooms/" + v.id)
}

// hasDrand reports whether the public random service is set up.
func (s *Service) hasDrand() bool { return len(s.draws.drand.URLs) > 0 }

// planFields are the fields of the page, in its order.
var planFields = []string{"prequeue_from", "opens_at", "closes_at", "order", "beacon", "beacon_name", "end_line"}

// asAsked brings problems into the order of the page, which asks for the order
// of places by one field.
func asAsked(p Problems) Problems {
	for i := range p {
		if p[i].Field == "draw" {
			p[i].Field = "order"
		}
	}
	slices.SortStableFunc(p, func(a, b web.FieldError) int {
		return slices.Index(planFields, a.Field) - slices.Index(planFields, b.Field)
	})
	return p
}

// planChanged shows the form again with everything that was typed, and what is
// set meanwhile beside it.
func (s *Service) planChanged(c *web.Ctx, v *view, f *web.Form) error {
	if err := s.load(c.Std()); err != nil {
		return err
	}
	p := s.planPage(c, v)
	p.Changed = true
	f.Set("version", strconv.FormatInt(p.Room.Version, 10))
	c.Status(http.StatusConflict)
	return c.PageForm("waitingroom/room_plan", f, p)
}

// parsePlan reads the form. Of an opening under way only what may still change
// is asked for.
func (s *Service) parsePlan(f *web.Form, r Room) (Plan, Settings) {
	when := func(name string) *time.Time {
		text := f.Get(name)
		if text == "" {
			return nil
		}
		t, wrong := berlinTime(text)
		if wrong != "" {
			f.Fail(name, wrong)
			return nil
		}
		return &t
	}
	p := Plan{PreQueueFrom: when("prequeue_from"), OpensAt: when("opens_at"), ClosesAt: when("closes_at")}
	set := Settings{EndLine: f.Get("end_line") != ""}
	set.Version, _ = strconv.ParseInt(f.Get("version"), 10, 64)
	if !r.begun() {
		draw, beacon, name := f.Get("order") == "draw", Beacon(f.Get("beacon")), f.Get("beacon_name")
		set.Draw, set.BeaconName = &draw, &name
		if beacon != "" {
			set.Beacon = &beacon
		}
	}
	return p, set
}
