package waitingroom

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"impfportal/internal/clock"
)

// berlin is a moment of the Berlin wall clock in January 2021.
func berlin(day, hour, minute int) *time.Time {
	t := time.Date(2021, 1, day, hour, minute, 0, 0, clock.Berlin).UTC()
	return &t
}

func TestBerlinTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, wrong string }{
		{"2021-01-11T14:00", "2021-01-11T13:00:00Z", ""},
		{"2021-07-11T14:00", "2021-07-11T12:00:00Z", ""},
		{"2021-01-11T14:00:30", "2021-01-11T13:00:30Z", ""},
		{"11.1.2021 14:00", "2021-01-11T13:00:00Z", ""},
		{"11.01.2021, 14:00 Uhr", "2021-01-11T13:00:00Z", ""},
		{"2021-03-28T01:59", "2021-03-28T00:59:00Z", ""},
		{"2021-03-28T02:00", "", "waitingroom.plan.error.skipped"},
		{"2021-03-28T02:59", "", "waitingroom.plan.error.skipped"},
		{"2021-03-28T03:00", "2021-03-28T01:00:00Z", ""},
		{"2021-10-31T01:59", "2021-10-30T23:59:00Z", ""},
		{"2021-10-31T02:00", "", "waitingroom.plan.error.twice"},
		{"2021-10-31T02:59", "", "waitingroom.plan.error.twice"},
		{"2021-10-31T03:00", "2021-10-31T02:00:00Z", ""},
		{"2021-02-29T12:00", "", "waitingroom.plan.error.form"},
		{"14:00", "", "waitingroom.plan.error.form"},
		{"0021-01-11T14:00", "", "waitingroom.plan.error.past"},
		{"2921-01-11T14:00", "", "waitingroom.plan.error.far"},
		{"morgen", "", "waitingroom.plan.error.form"},
	} {
		got, wrong := berlinTime(c.text)
		if wrong != c.wrong || c.want != "" && got.Format(time.RFC3339) != c.want {
			t.Errorf("%s: %v %q, want %s %q", c.text, got, wrong, c.want, c.wrong)
		}
		if wrong == "" {
			if again, _ := berlinTime(berlinText(&got)); !again.Equal(got) {
				t.Errorf("%s: shown as %s", c.text, berlinText(&got))
			}
		}
	}
}

func TestPlanned(t *testing.T) {
	t.Parallel()
	now := *berlin(11, 12, 0)
	begun := Plan{OpensAt: berlin(11, 14, 0), ClosesAt: berlin(11, 18, 0)}
	for name, c := range map[string]struct {
		room  Room
		plan  Plan
		wrong []string
		phase Phase
	}{
		"whole":                  {Room{Phase: Closed}, Plan{berlin(11, 13, 30), berlin(11, 14, 0), berlin(11, 18, 0)}, nil, Scheduled},
		"drawn":                  {Room{Phase: Closed, Draw: true}, Plan{berlin(11, 13, 30), berlin(11, 14, 0), nil}, nil, Scheduled},
		"opening only":           {Room{Phase: Closed}, Plan{nil, berlin(11, 14, 0), nil}, nil, Scheduled},
		"closing an open room":   {Room{Phase: Open}, Plan{nil, nil, berlin(11, 18, 0)}, nil, Open},
		"next one of an open":    {Room{Phase: Paused}, Plan{berlin(12, 8, 0), berlin(12, 9, 0), nil}, nil, Paused},
		"cancel":                 {Room{Phase: Scheduled, Plan: begun}, Plan{}, nil, Closed},
		"from now on":            {Room{Phase: Closed}, Plan{berlin(11, 12, 0), berlin(11, 12, 5), nil}, nil, Scheduled},
		"opening past":           {Room{Phase: Closed}, Plan{nil, berlin(11, 11, 0), nil}, []string{"opens_at"}, ""},
		"pre-queue past":         {Room{Phase: Closed}, Plan{berlin(11, 11, 0), berlin(11, 14, 0), nil}, []string{"prequeue_from"}, ""},
		"pre-queue after":        {Room{Phase: Closed}, Plan{berlin(11, 15, 0), berlin(11, 14, 0), nil}, []string{"prequeue_from"}, ""},
		"pre-queue with it":      {Room{Phase: Closed}, Plan{berlin(11, 14, 0), berlin(11, 14, 0), nil}, []string{"prequeue_from"}, ""},
		"pre-queue only":         {Room{Phase: Closed}, Plan{berlin(11, 14, 0), nil, nil}, []string{"opens_at"}, ""},
		"closing only":           {Room{Phase: Closed}, Plan{nil, nil, berlin(11, 14, 0)}, []string{"opens_at"}, ""},
		"closing before":         {Room{Phase: Closed}, Plan{nil, berlin(11, 14, 0), berlin(11, 13, 0)}, []string{"closes_at"}, ""},
		"closing with it":        {Room{Phase: Closed}, Plan{nil, berlin(11, 14, 0), berlin(11, 14, 0)}, []string{"closes_at"}, ""},
		"closing past":           {Room{Phase: Open}, Plan{nil, nil, berlin(11, 11, 0)}, []string{"closes_at"}, ""},
		"open without pre-queue": {Room{Phase: Open}, Plan{nil, berlin(11, 14, 0), nil}, []string{"prequeue_from"}, ""},
		"draw without pre-queue": {Room{Phase: Closed, Draw: true}, Plan{nil, berlin(11, 14, 0), nil}, []string{"prequeue_from"}, ""},
		"wrong year":             {Room{Phase: Closed}, Plan{nil, ptr(now.AddDate(2, 0, 0)), nil}, []string{"opens_at"}, ""},
		"begun: later":           {Room{Phase: PreQueue, Plan: begun}, Plan{nil, berlin(11, 15, 0), berlin(11, 18, 0)}, nil, PreQueue},
		"begun: earlier":         {Room{Phase: PreQueue, Plan: begun}, Plan{nil, berlin(11, 13, 0), nil}, []string{"opens_at"}, ""},
		"begun: a week later":    {Room{Phase: PreQueue, Plan: begun}, Plan{nil, berlin(18, 14, 0), nil}, nil, PreQueue},
		"begun: far later":       {Room{Phase: PreQueue, Plan: begun}, Plan{nil, berlin(18, 14, 1), nil}, []string{"opens_at"}, ""},
		"begun: cancel":          {Room{Phase: PreQueue, Plan: begun}, Plan{}, []string{"opens_at"}, ""},
		"begun: again":           {Room{Phase: PreQueue, Plan: begun}, Plan{berlin(11, 13, 0), berlin(11, 14, 0), nil}, []string{"prequeue_from"}, ""},
		"begun by hand":          {Room{Phase: PreQueue}, Plan{nil, berlin(11, 13, 0), nil}, nil, PreQueue},
		"drawing: closing":       {Room{Phase: Drawing, Plan: Plan{ClosesAt: berlin(11, 18, 0)}}, Plan{nil, nil, berlin(11, 17, 0)}, nil, Drawing},
		"drawing: opening":       {Room{Phase: Drawing}, Plan{nil, berlin(11, 17, 0), nil}, []string{"opens_at"}, ""},
	} {
		got, err := c.room.planned(c.plan, now)
		var bad Problems
		errors.As(err, &bad)
		var fields []string
		for _, f := range bad {
			fields = append(fields, f.Field)
		}
		if !slices.Equal(fields, c.wrong) || err == nil && got.Phase != c.phase {
			t.Errorf("%s: %v, phase %s, want %v, %s", name, err, got.Phase, c.wrong, c.phase)
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	now := *berlin(11, 12, 0)
	past, future := berlin(11, 12, 0), berlin(11, 12, 1)
	for name, c := range map[string]struct {
		room Room
		want Phase // "" = nothing
	}{
		"nothing planned":         {Room{Phase: Closed}, ""},
		"not yet":                 {Room{Phase: Scheduled, Plan: Plan{future, berlin(11, 13, 0), nil}}, ""},
		"pre-queue":               {Room{Phase: Scheduled, Plan: Plan{past, future, nil}}, PreQueue},
		"ends an open line":       {Room{Phase: Open, Plan: Plan{past, future, nil}}, PreQueue},
		"ends a paused line":      {Room{Phase: Paused, Plan: Plan{past, future, nil}}, PreQueue},
		"one after the other":     {Room{Phase: Scheduled, Plan: Plan{past, past, past}}, PreQueue},
		"opens":                   {Room{Phase: PreQueue, Plan: Plan{nil, past, nil}}, Open},
		"draws":                   {Room{Phase: PreQueue, Draw: true, Plan: Plan{nil, past, past}}, Drawing},
		"opens without pre-queue": {Room{Phase: Scheduled, Plan: Plan{nil, past, nil}}, Open},
		"closes":                  {Room{Phase: Open, Plan: Plan{nil, nil, past}}, Closed},
		"closes a paused room":    {Room{Phase: Paused, Plan: Plan{nil, nil, past}}, Closed},
		"closes while drawing":    {Room{Phase: Drawing, Draw: true, Plan: Plan{nil, nil, past}}, Closed},
		"never out of a pause":    {Room{Phase: Paused, Plan: Plan{nil, past, nil}}, ""},
		"never past the draw":     {Room{Phase: Drawing, Draw: true, Plan: Plan{nil, past, nil}}, ""},
	} {
		got, ok := c.room.due(now)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: %s %v, want %q", name, got, ok, c.want)
		}
	}
}

// TestByHand: the valve beside the plan.
func TestByHand(t *testing.T) {
	t.Parallel()
	whole := Plan{berlin(11, 13, 0), berlin(11, 14, 0), berlin(11, 18, 0)}
	running := Plan{nil, berlin(11, 14, 0), berlin(11, 18, 0)}
	for name, c := range map[string]struct {
		room    Room
		to      Phase
		undrawn bool
		want    Phase // "" = refused
		plan    Plan
		epoch   int64
	}{
		"open early":             {Room{Phase: Scheduled, Plan: Plan{nil, berlin(11, 14, 0), nil}}, Open, false, Open, Plan{}, 1},
		"open meanwhile":         {Room{Phase: Scheduled, Plan: whole}, Open, false, Open, whole, 1},
		"close meanwhile":        {Room{Phase: Open, Plan: whole}, Closed, false, Scheduled, whole, 1},
		"begin the pre-queue":    {Room{Phase: Scheduled, Draw: true, Plan: whole}, PreQueue, false, PreQueue, running, 2},
		"pre-queue without plan": {Room{Phase: Closed}, PreQueue, false, PreQueue, Plan{}, 1},
		"draw without plan":      {Room{Phase: Closed, Draw: true}, PreQueue, false, "", Plan{}, 1},
		"open a pre-queue":       {Room{Phase: PreQueue, Plan: running}, Open, false, Open, Plan{nil, nil, berlin(11, 18, 0)}, 1},
		"never skip the draw":    {Room{Phase: PreQueue, Draw: true, Plan: running}, Open, true, Drawing, Plan{nil, nil, berlin(11, 18, 0)}, 1},
		"stop a pre-queue":       {Room{Phase: PreQueue, Draw: true, Plan: running}, Closed, true, Closed, Plan{}, 1},
		"open what was stopped":  {Room{Phase: Closed, Draw: true}, Open, true, Drawing, Plan{}, 1},
		"drawn, another planned": {Room{Phase: Scheduled, Plan: whole}, Open, true, Drawing, whole, 1},
		"undrawn again":          {Room{Phase: Closed}, PreQueue, true, "", Plan{}, 1},
		"stop a drawing":         {Room{Phase: Drawing, Draw: true, Plan: Plan{nil, nil, berlin(11, 18, 0)}}, Closed, true, Closed, Plan{}, 1},
		"cancel":                 {Room{Phase: Scheduled, Plan: whole}, Closed, false, Closed, Plan{}, 1},
		"close":                  {Room{Phase: Open, Plan: Plan{nil, nil, berlin(11, 18, 0)}}, Closed, false, Closed, Plan{}, 1},
		"pause":                  {Room{Phase: Open, Plan: Plan{nil, nil, berlin(11, 18, 0)}}, Paused, false, Paused, Plan{nil, nil, berlin(11, 18, 0)}, 1},
		"resume":                 {Room{Phase: Paused, Plan: whole}, Open, false, Open, whole, 1},
	} {
		c.room.Epoch = 1
		got, err := c.room.byHand(c.to, c.undrawn)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: not refused", name)
			}
			continue
		}
		samePlan := sameTime(got.Plan.PreQueueFrom, c.plan.PreQueueFrom) && sameTime(got.Plan.OpensAt, c.plan.OpensAt) && sameTime(got.Plan.ClosesAt, c.plan.ClosesAt)
		if err != nil || got.Phase != c.want || !samePlan || got.Epoch != c.epoch {
			t.Errorf("%s: %s, %+v, line %d, %v", name, got.Phase, got.Plan, got.Epoch, err)
		}
	}
}

// TestPlanModel: whoever looks how often, and whatever is done by hand, a plan
// begins its line once, never opens a drawn pre-queue without its draw, never
// ends a pause, and is over in the end.
func TestPlanModel(t *testing.T) {
	t.Parallel()
	start := *berlin(11, 12, 0)
	rapid.Check(t, func(rt *rapid.T) {
		minute := func(n int) *time.Time { t := start.Add(time.Duration(n) * time.Minute); return &t }
		r := Room{ID: "r", Phase: Closed, Epoch: 1, Generation: 1, Draw: rapid.Bool().Draw(rt, "draw")}
		from := rapid.IntRange(0, 20).Draw(rt, "from")
		opens := from + rapid.IntRange(1, 20).Draw(rt, "opens")
		p := Plan{minute(from), minute(opens), nil}
		if rapid.Bool().Draw(rt, "closes") {
			p.ClosesAt = minute(opens + rapid.IntRange(1, 20).Draw(rt, "close"))
		}
		r, err := r.planned(p, start)
		if err != nil {
			rt.Fatal(err)
		}
		drawn, now := false, start
		for range 30 {
			now = now.Add(time.Duration(rapid.IntRange(0, 240).Draw(rt, "seconds")) * time.Second)
			before := r
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0: // by hand
				to := rapid.SampledFrom([]Phase{PreQueue, Open, Paused, Closed}).Draw(rt, "to")
				if to != r.Phase && slices.Contains(mayFollow[r.Phase], to) {
					if after, err := r.byHand(to, r.Draw && r.Epoch == 2 && !drawn); err == nil {
						r = after
					}
				}
			case 1: // the draw is over
				if r.Phase == Drawing {
					r, drawn = r.enter(Open), true
				}
			default:
				for {
					next, ok := r.step(now)
					if !ok {
						break
					}
					if r.Phase == Paused && next.Phase == Open {
						rt.Fatalf("a pause was ended by itself")
					}
					r = next
				}
				if _, at := r.nextStep(); !at.IsZero() && !at.After(now) {
					rt.Fatalf("%s at %v is still due at %v", r.Phase, at, now)
				}
			}
			if r.Epoch > 2 || r.Epoch < before.Epoch || r.Generation != r.Epoch {
				rt.Fatalf("line %d, generation %d", r.Epoch, r.Generation)
			}
			if r.Draw && r.Epoch == 2 && !drawn && (r.Phase == Open || r.Phase == Paused) {
				rt.Fatalf("open without its draw, from %s", before.Phase)
			}
			if (r.Phase == Scheduled) != (r.Plan.opens() && (r.Phase == Scheduled || r.Phase == Closed)) {
				rt.Fatalf("%s with %+v", r.Phase, r.Plan)
			}
		}
		for { // nobody looks for a day
			next, ok := r.step(start.AddDate(0, 0, 1))
			if !ok {
				break
			}
			r = next
		}
		if r.Plan.opens() || p.ClosesAt != nil && r.Plan.ClosesAt != nil {
			rt.Fatalf("left of the plan in phase %s: %+v", r.Phase, r.Plan)
		}
	})
}

func TestNiceTop(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]float64{0: 2, 1: 2, 2: 2, 3: 4, 9: 10, 10: 10, 11: 20, 61: 80, 5000: 6000, 100_000: 100_000} {
		if got := niceTop(v); got != want {
			t.Errorf("%g: %g, want %g", v, got, want)
		}
	}
}
