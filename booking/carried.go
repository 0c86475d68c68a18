package booking

import (
	"math"
	"slices"
)

// Carried says how many series of legs appointments, planDays apart, could begin
// today if the doses at hand were all there is and stations had no limit, once
// the promised doses (by day, 0 = today) are kept back; short is how many of the
// promised ones are not there. It is the plan's own answer.
func Carried(doses int, promised []int, legs, planDays int) (series, short int) {
	days := max(len(promised), planDays*(legs-1)+1)
	in := planInput{
		Horizon: 1, Legs: legs, MinDays: planDays, MaxDays: planDays, PlanDays: planDays,
		Capacity:  slices.Repeat([]int{math.MaxInt32}, days),
		Supply:    []planBatch{{From: 0, Until: days, Doses: doses}},
		Committed: append(slices.Clone(promised), make([]int, days-len(promised))...),
		Channels:  []planChannel{{}},
	}
	for range days {
		in.Shares, in.Taken = append(in.Shares, []int{100}), append(in.Taken, []int{0})
	}
	plan := makePlan(in)
	for _, c := range plan.Carry {
		series += c.N
	}
	for _, n := range plan.Short {
		short += n
	}
	return series, short
}
