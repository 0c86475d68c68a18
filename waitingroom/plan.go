package waitingroom

import (
	"strings"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// This file decides what a planned opening does and what may be planned;
// nothing in it knows Postgres, Redis or the present time. schedule.go carries
// it out.
//
// A [Plan] holds what is still to come: each step takes its own time out of the
// plan. So a room that was closed by hand in the middle of a planned opening is
// not opened again by the rest of it.
//
//	PreQueueFrom  closed, scheduled, open, paused -> pre-queue, with a new line
//	OpensAt       pre-queue -> drawing (the order is drawn) or open; closed, scheduled -> open
//	ClosesAt      every other phase -> closed
//
// A room whose pre-queue or opening is still to come, and which is not open
// meanwhile, is scheduled; without such a plan it is closed.

// maxPlanAhead bounds how far ahead an opening may be planned: beyond it lies a
// mistyped year.
const maxPlanAhead = 366 * 24 * time.Hour

// maxDelay bounds by how much an opening is moved to later at a time while people
// hold places of its pre-queue: it cannot be moved back, and neither can the
// value that its draw waits for.
const maxDelay = 7 * 24 * time.Hour

// planSlack is how far in the past the begin of a pre-queue may lie when it is
// planned: people type whole minutes, and "now" is one of them.
const planSlack = time.Minute

// Problems are the fields of a change that cannot be, each with a text for
// people.
type Problems []web.FieldError

func (p Problems) Error() string {
	parts := make([]string, len(p))
	for i, f := range p {
		parts[i] = f.Field + ": " + f.Key
	}
	return "waitingroom: " + strings.Join(parts, ", ")
}

func (p *Problems) add(field, key string, args ...any) {
	*p = append(*p, web.FieldError{Field: field, Key: key, Args: args})
}

// err returns p, or nil when nothing is wrong.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Empty reports whether nothing is planned.
func (p Plan) Empty() bool { return p.PreQueueFrom == nil && p.OpensAt == nil && p.ClosesAt == nil }

// opens reports whether an opening is still to come.
func (p Plan) opens() bool { return p.PreQueueFrom != nil || p.OpensAt != nil }

// sameTime reports whether both are the same moment, or none.
func sameTime(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

// utc returns the plan as it is stored.
func (p Plan) utc() Plan {
	for _, t := range []**time.Time{&p.PreQueueFrom, &p.OpensAt, &p.ClosesAt} {
		if *t != nil {
			u := (*t).UTC().Truncate(time.Microsecond)
			*t = &u
		}
	}
	return p
}

// nextStep returns the phase that the plan brings next and when; a zero time
// means that nothing is to come.
func (r Room) nextStep() (Phase, time.Time) {
	switch p := r.Plan; {
	case p.PreQueueFrom != nil:
		return PreQueue, *p.PreQueueFrom
	case p.OpensAt != nil && r.Phase == PreQueue && r.Draw:
		return Drawing, *p.OpensAt
	case p.OpensAt != nil && (r.Phase == PreQueue || r.Phase == Closed || r.Phase == Scheduled):
		return Open, *p.OpensAt
	case p.ClosesAt != nil:
		return Closed, *p.ClosesAt
	}
	return "", time.Time{}
}

// due returns the phase that the plan demands at now, if any.
func (r Room) due(now time.Time) (Phase, bool) {
	phase, at := r.nextStep()
	return phase, !at.IsZero() && !now.Before(at)
}

// step takes the next step of the plan if it is due. Whoever comes late takes
// them one after the other, so nothing is jumped over.
func (r Room) step(now time.Time) (Room, bool) {
	phase, ok := r.due(now)
	if !ok {
		return r, false
	}
	return r.enter(phase), true
}

// enter goes to a phase of the plan, and takes out of it what has happened.
func (r Room) enter(phase Phase) Room {
	switch phase {
	case PreQueue:
		if r.Plan.PreQueueFrom != nil {
			r.Plan.PreQueueFrom = nil
			r.Epoch++
			r.Generation++
		}
	case Drawing, Open:
		r.Plan.OpensAt = nil
	case Closed:
		r.Plan = Plan{}
	}
	r.Phase = phase
	return r
}

// opened returns the room after a step of its plan as it may be. undrawn says that its
// line began with a pre-queue whose draw is not over: it is drawn first, whatever
// the settings say by now.
func (r Room) opened(next Room, undrawn bool) Room {
	if undrawn && next.Phase == Open && next.Epoch == r.Epoch {
		return r.enter(Drawing)
	}
	return next
}

// byHand returns the room after an administrator has set the phase to. undrawn
// says that this line began with a pre-queue whose draw is not over: then the
// room opens by way of the draw and in no other.
func (r Room) byHand(to Phase, undrawn bool) (Room, error) {
	planned := r.Plan.PreQueueFrom != nil // another opening than the one that may be under way
	switch to {
	case PreQueue:
		if (r.Draw || undrawn) && !planned {
			return r, FieldProblem{"phase", "waitingroom.plan.error.draw_needs_plan"}
		}
		return r.enter(PreQueue), nil
	case Open:
		switch {
		case r.Phase == Paused:
			r.Phase = Open
		case undrawn && planned:
			r.Phase = Drawing // the other opening stays as it was planned
		case undrawn:
			return r.enter(Drawing), nil
		case planned:
			r.Phase = Open // the line of before goes on until its end
		default:
			return r.enter(Open), nil
		}
		return r, nil
	case Closed:
		if planned && (r.Phase == Open || r.Phase == Paused) {
			r.Phase = Closed
			return r.settle(), nil
		}
		return r.enter(Closed), nil
	}
	r.Phase = to
	return r, nil
}

// settle makes the phase of a room that is shut say whether an opening is
// planned.
func (r Room) settle() Room {
	if r.Phase == Closed || r.Phase == Scheduled {
		r.Phase = Closed
		if r.Plan.opens() {
			r.Phase = Scheduled
		}
	}
	return r
}

// begun reports whether an opening is under way whose terms no longer change.
func (r Room) begun() bool { return r.Phase == PreQueue || r.Phase == Drawing }

// planned returns the room with a plan, or Problems. A plan without any time
// cancels what was planned.
func (r Room) planned(p Plan, now time.Time) (Room, error) {
	var bad Problems
	p = p.utc()
	if r.begun() {
		r.checkBegun(p, &bad)
	} else {
		r.checkComing(p, now, &bad)
	}
	moved := func(t, old *time.Time) bool { return t != nil && !sameTime(t, old) }
	if moved(p.OpensAt, r.Plan.OpensAt) && !p.OpensAt.After(now) {
		bad.add("opens_at", "waitingroom.plan.error.past")
	}
	if c := p.ClosesAt; c != nil {
		switch {
		case !c.After(now) && moved(c, r.Plan.ClosesAt):
			bad.add("closes_at", "waitingroom.plan.error.past")
		case p.OpensAt != nil && !c.After(*p.OpensAt):
			bad.add("closes_at", "waitingroom.plan.error.closes_order")
		}
	}
	fields := []string{"prequeue_from", "opens_at", "closes_at"}
	for i, t := range []*time.Time{p.PreQueueFrom, p.OpensAt, p.ClosesAt} {
		if t != nil && t.Sub(now) > maxPlanAhead {
			bad.add(fields[i], "waitingroom.plan.error.far")
		}
	}
	if err := bad.err(); err != nil {
		return r, err
	}
	r.Plan = p
	return r.settle(), nil
}

// checkBegun: once people hold places of a pre-queue, its opening may only be
// moved to later.
func (r Room) checkBegun(p Plan, bad *Problems) {
	if p.PreQueueFrom != nil {
		bad.add("prequeue_from", "waitingroom.plan.error.begun")
	}
	switch old := r.Plan.OpensAt; {
	case r.Phase == Drawing && p.OpensAt != nil:
		bad.add("opens_at", "waitingroom.plan.error.drawing")
	case old != nil && p.OpensAt == nil:
		bad.add("opens_at", "waitingroom.plan.error.keep")
	case old != nil && p.OpensAt.Before(*old):
		bad.add("opens_at", "waitingroom.plan.error.later")
	case old != nil && p.OpensAt.Sub(*old) > maxDelay:
		bad.add("opens_at", "waitingroom.plan.error.later_far")
	}
}

func (r Room) checkComing(p Plan, now time.Time, bad *Problems) {
	open := r.Phase == Open || r.Phase == Paused
	switch {
	case p.PreQueueFrom != nil && p.OpensAt == nil:
		bad.add("opens_at", "waitingroom.plan.error.opens_missing")
	case p.PreQueueFrom == nil && p.OpensAt == nil && p.ClosesAt != nil && !open:
		bad.add("opens_at", "waitingroom.plan.error.opens_missing")
	case p.PreQueueFrom == nil && p.OpensAt != nil && open:
		bad.add("prequeue_from", "waitingroom.plan.error.is_open")
	case p.PreQueueFrom == nil && p.OpensAt != nil && r.Draw:
		bad.add("prequeue_from", "waitingroom.plan.error.draw_needs")
	}
	if q := p.PreQueueFrom; q != nil {
		if q.Before(now.Add(-planSlack)) && !sameTime(q, r.Plan.PreQueueFrom) {
			bad.add("prequeue_from", "waitingroom.plan.error.past")
		}
		if p.OpensAt != nil && !q.Before(*p.OpensAt) {
			bad.add("prequeue_from", "waitingroom.plan.error.prequeue_order")
		}
	}
}

// The forms in which a Berlin time may be typed; browsers send the first.
var wallForms = []string{
	"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2.1.2006 15:04", "2.1.2006, 15:04", "2.1.2006, 15:04 Uhr", "2.1.2006 15:04 Uhr",
}

// berlinTime reads a time of the Berlin wall clock. It returns the key of a
// text when there is no such time: not typed in a known form, left out in the
// night when summer time begins, or there twice in the night when it ends.
func berlinTime(text string) (at time.Time, wrong string) {
	var wall time.Time
	err := error(nil)
	for _, form := range wallForms {
		if wall, err = time.Parse(form, text); err == nil {
			break
		}
	}
	switch {
	case err != nil:
		return time.Time{}, "waitingroom.plan.error.form"
	case wall.Year() < 2000:
		return time.Time{}, "waitingroom.plan.error.past"
	case wall.Year() > 2199:
		return time.Time{}, "waitingroom.plan.error.far"
	}
	var found []time.Time
	for _, offset := range []time.Duration{time.Hour, 2 * time.Hour} { // CET, CEST
		t := wall.Add(-offset)
		if _, seconds := t.In(clock.Berlin).Zone(); seconds == int(offset.Seconds()) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return time.Time{}, "waitingroom.plan.error.skipped"
	case 1:
		return found[0], ""
	}
	return time.Time{}, "waitingroom.plan.error.twice"
}

// berlinText writes a time as the browser's field wants it; "" for none.
func berlinText(t *time.Time) string {
	if t == nil {
		return ""
	}
	t2 := t.In(clock.Berlin)
	if t2.Second() != 0 {
		return t2.Format("2006-01-02T15:04:05")
	}
	return t2.Format("2006-01-02T15:04")
}
