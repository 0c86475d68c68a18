package booking

import "slices"

// This file decides, and does nothing else: numbers in, numbers out. Days are
// counted from today (0). replan.go reads the numbers from the database and
// carries the answer out.

// planBatch is vaccine of one product at one centre: doses that can be used
// from day From to day Until, both included.
type planBatch struct {
	From, Until int
	Doses       int
}

// planChannel is a way to book: new places are of use to it only from day Lead
// on (the hotline's papers go by post).
type planChannel struct {
	Lead int
}

// planInput is what one product at one centre has and may do.
type planInput struct {
	Horizon                    int           // a series may start on the days 0..Horizon-1
	Legs                       int           // appointments of a series
	MinDays, MaxDays, PlanDays int           // days between two consecutive appointments: limits, and the distance to aim at
	Capacity                   []int         // persons whom the stations can take by day, less everything taken; closed days are 0
	Supply                     []planBatch   // doses at hand and planned
	Committed                  []int         // doses that active appointments need, by day
	Returning                  []int         // doses of places that nobody has and that are not free yet, by day
	Channels                   []planChannel // in order of rank
	Shares                     [][]int       // percent by day and channel, of what the fixed places leave
	Places                     [][]int       // fixed places by day and channel, see pot; nil = none
	Shifts                     []planShift   // by hand, in their order
	Flows                      [][]int       // by day and channel: the channel that gets what is not used; nil = itself
	Taken                      [][]int       // first appointments taken by day and channel, with its contingents
	Groups                     []planGroup   // contingents
	Kept                       [][]planKept  // by day and contingent
	GroupTaken                 [][]int       // first appointments taken by day and contingent
	Open                       []int         // percent of a day's places that may be offered now; nil = all
}

// planCarry is N series of one channel that start on Days[0] and have their
// later appointments on Days[1:].
type planCarry struct {
	Channel int
	Group   int // index of the contingent, or everybody
	Days    []int
	N       int
	Closed  bool // planned, but its day is not open yet
}

// planResult is what can be promised.
type planResult struct {
	Carry []planCarry
	Short []int // by day: doses that active appointments need and that are not there
	Gone  int   // doses of returning places that are not there
	Left  int   // doses that nobody is promised
}

// makePlan says how many new series the stock and the stations carry.
//
// What active appointments need is taken from the stock first, oldest supply
// first, then what returning places will need. A new series starts on day d only with doses that are there on d for
// all its appointments: the second dose is reserved with the first. The days
// are filled in order; the later appointment lies PlanDays after the one
// before, on the next open day up to MaxDays when that day is closed or full,
// else on the nearest one before it down to MinDays.
//
// The quotas of the channels (quota_plan.go) hold on every day, counted with
// what is taken. A
// channel cannot use places before its lead. When vaccine is short its share
// waits for the first days that it can book (else those who may come at once
// would take everything); when only the stations are short its unused share of
// the next days goes to the others. In the end nothing that could be offered to
// somebody stays back. What was shifted by hand changes hands on its day and on
// no other.
func makePlan(in planInput) planResult {
	asked := in
	in, moves := in.unshift()
	st := newPlanState(in)
	res := planResult{Short: st.commit(in.Committed)}
	res.Gone = sum(st.commit(in.Returning))

	ideal := st.clone()
	budgets := make([]int, len(in.Channels))
	for _, c := range ideal.fill(in, nil, false) {
		budgets[c.Channel] += c.N
	}
	// Without a lead nobody can be faster than another.
	if ideal.scarce && slices.ContainsFunc(in.Channels, func(c planChannel) bool { return c.Lead > 0 }) {
		res.Carry = st.fill(in, budgets, true)
	}
	res.Carry = asked.divide(in.shift(append(res.Carry, st.fill(in, nil, true)...), moves))
	for _, b := range st.supply {
		res.Left += b.Doses
	}
	return res
}

// planState is what is still free while the plan is made.
type planState struct {
	capacity []int
	supply   []planBatch
	taken    [][]int
	scarce   bool // some day could have taken more than the supply carried
}

func newPlanState(in planInput) *planState {
	st := &planState{
		capacity: append([]int(nil), in.Capacity...),
		supply:   append([]planBatch(nil), in.Supply...),
	}
	for _, t := range in.Taken {
		st.taken = append(st.taken, append([]int(nil), t...))
	}
	return st
}

func (st *planState) clone() *planState {
	return newPlanState(planInput{Capacity: st.capacity, Supply: st.supply, Taken: st.taken})
}

// commit takes the doses of active appointments out of the supply and returns
// what is missing by day. The earliest supply goes first: a later delivery must
// not free the dose that was reserved with a first appointment.
func (st *planState) commit(need []int) []int {
	short := make([]int, len(need))
	for day, n := range need {
		for n > 0 {
			best := -1
			for i, b := range st.supply {
				if b.Doses == 0 || b.From > day || b.Until < day {
					continue
				}
				if best < 0 || b.From < st.supply[best].From || (b.From == st.supply[best].From && b.Until < st.supply[best].Until) {
					best = i
				}
			}
			if best < 0 {
				short[day] = n
				break
			}
			take := min(n, st.supply[best].Doses)
			st.supply[best].Doses -= take
			n -= take
		}
	}
	return short
}

// fill goes through the days and places what fits. With budgets no channel gets
// more than its own; with leads no channel gets places before its lead.
func (st *planState) fill(in planInput, budgets []int, leads bool) []planCarry {
	var out []planCarry
	for day := 0; day < in.Horizon && day < len(st.capacity); day++ {
		limit := st.capacity[day]
		pots := in.pots(day, st.taken[day])
		total, free := 0, false
		for c, ch := range in.Channels {
			p := &pots[c]
			p.Limit = -1
			switch {
			case leads && day < ch.Lead:
				p.Limit = 0
			case budgets != nil:
				p.Limit = budgets[c]
			}
			if p.Percent <= 0 {
				p.Limit = p.need()
			}
			if p.Limit < 0 {
				free = true
			} else {
				total += p.Limit
			}
		}
		if !free {
			limit = min(limit, total)
		}
		if limit <= 0 {
			continue
		}
		routes := st.route(in, day, limit)
		x := 0
		for _, r := range routes {
			x += r.N
		}
		for c, n := range splitPots(x, pots) {
			st.taken[day][c] += n
			if budgets != nil {
				budgets[c] -= n
			}
			for i := 0; n > 0; i++ {
				if take := min(n, routes[i].N); take > 0 {
					routes[i].N -= take
					n -= take
					out = append(out, planCarry{Channel: c, Days: routes[i].Days, N: take})
				}
			}
		}
	}
	return out
}

// route finds the days of up to limit series that start on day, and takes their
// capacity and doses.
func (st *planState) route(in planInput, day, limit int) []planCarry {
	var routes []planCarry
	var walk func(path []int, limit int) int
	walk = func(path []int, limit int) int {
		last := path[len(path)-1]
		limit = min(limit, st.capacity[last])
		if limit <= 0 {
			return 0
		}
		if len(path) == in.Legs {
			n := min(limit, st.carries(path))
			if n < limit {
				st.scarce = true
			}
			if n > 0 {
				st.take(path, n)
				routes = append(routes, planCarry{Days: append([]int(nil), path...), N: n})
			}
			return n
		}
		placed := 0
		for _, next := range nextDays(last, in.MinDays, in.PlanDays, in.MaxDays, len(st.capacity)) {
			placed += walk(append(path, next), min(limit-placed, st.capacity[last]))
			if placed == limit {
				break
			}
		}
		return placed
	}
	walk([]int{day}, limit)
	return routes
}

// nextDays lists the days for the appointment after the one on day, best first.
func nextDays(day, minDays, planDays, maxDays, end int) []int {
	var days []int
	for n := planDays; n <= maxDays && day+n < end; n++ {
		days = append(days, day+n)
	}
	for n := planDays - 1; n >= minDays && n > 0; n-- {
		if day+n < end {
			days = append(days, day+n)
		}
	}
	return days
}

// carries says how many series with appointments on these days the supply
// carries: every dose must be there on the first day and still be good on its
// own. What is good on a later day is good on an earlier one, so it is enough
// to count from the end.
func (st *planState) carries(path []int) int {
	n := -1
	for i, day := range path {
		usable := 0
		for _, b := range st.supply {
			if b.From <= path[0] && b.Until >= day {
				usable += b.Doses
			}
		}
		if c := usable / (len(path) - i); n < 0 || c < n {
			n = c
		}
	}
	return n
}

// take removes capacity and doses of n series; what expires first is used first.
func (st *planState) take(path []int, n int) {
	for _, day := range path {
		st.capacity[day] -= n
		for need := n; need > 0; {
			best := -1
			for i, b := range st.supply {
				if b.Doses > 0 && b.From <= path[0] && b.Until >= day && (best < 0 || b.Until < st.supply[best].Until) {
					best = i
				}
			}
			if best < 0 {
				panic("booking: plan takes more doses than there are")
			}
			take := min(need, st.supply[best].Doses)
			st.supply[best].Doses -= take
			need -= take
		}
	}
}
