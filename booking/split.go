package booking

import "sort"

// apportion divides n whole places over the weights by the method of the
// largest remainder (Hamilton): nobody gets less than the whole part of the
// exact share, the rest goes one by one to the largest fractions, ties to the
// earlier weight. The parts always add up to n; only when every weight is zero
// (nobody to give to) all parts are zero.
func apportion(n int, weights []int) []int {
	parts := make([]int, len(weights))
	total := sum(weights)
	if total <= 0 || n <= 0 {
		return parts
	}
	type rest struct{ index, remainder int }
	rests := make([]rest, 0, len(weights))
	given := 0
	for i, w := range weights {
		parts[i] = n * w / total
		given += parts[i]
		rests = append(rests, rest{i, n * w % total})
	}
	sort.SliceStable(rests, func(a, b int) bool { return rests[a].remainder > rests[b].remainder })
	for i := 0; given < n; i++ {
		parts[rests[i].index]++
		given++
	}
	return parts
}

// splitDay divides x new places of one day over the channels so that taken
// plus new comes as near to the shares as it can: what a channel has taken
// stays its own, even above its share, and then the others share what is left.
// No channel gets more than its limit (a negative limit means none). Channels
// with a share of zero get nothing. The parts add up to x unless the limits do
// not allow it.
func splitDay(x int, shares, taken, limits []int) []int {
	parts := make([]int, len(shares))
	over := make([]bool, len(shares)) // holds more than its share: gets nothing for now
	full := make([]bool, len(shares)) // has all that its limit allows
	for i := range shares {
		full[i] = shares[i] <= 0 || limits[i] == 0
	}
	for x > 0 {
		weights := make([]int, len(shares))
		goal := x
		for i := range shares {
			if !full[i] && !over[i] {
				weights[i] = shares[i]
				goal += taken[i]
			}
		}
		if sum(weights) == 0 {
			return parts // every limit is reached
		}
		alloc := apportion(goal, weights)
		again := false
		for i := range alloc {
			if weights[i] > 0 && alloc[i] < taken[i] {
				over[i], again = true, true
			}
		}
		if again {
			continue
		}
		for i := range alloc {
			if weights[i] > 0 && limits[i] > 0 && alloc[i]-taken[i] > limits[i] {
				parts[i], x = limits[i], x-limits[i]
				full[i], again = true, true
			}
		}
		if again {
			clear(over) // what a limit leaves over goes to those who held too much, too
			continue
		}
		for i := range alloc {
			if weights[i] > 0 {
				parts[i] = alloc[i] - taken[i]
			}
		}
		return parts
	}
	return parts
}

func sum(list []int) int {
	total := 0
	for _, n := range list {
		total += n
	}
	return total
}

// evenly lays n places over the weights so that they lie as regularly as the
// weights allow: after each weight the sum so far is the exact share, rounded
// down. The parts add up to n; for n up to the sum of the weights no part is
// more than its weight.
func evenly(n int, weights []int) []int {
	parts := make([]int, len(weights))
	total := sum(weights)
	if total <= 0 || n <= 0 {
		return parts
	}
	before, so := 0, 0
	for i, w := range weights {
		so += w
		upTo := n * so / total
		parts[i], before = upTo-before, upTo
	}
	return parts
}

// spread lays n places of one kind (leg, first day, channel) over the slots of
// one day. room is what each slot can still take, have the free places of this
// kind that the slots offer already. It keeps what is offered where it is, so
// that a slot somebody is looking at does not vanish without need; what is
// missing goes where there is room, in proportion; what is too much leaves in
// proportion. The parts add up to n when the room allows it, and never exceed
// the room of a slot.
func spread(n int, room, have []int) []int {
	keep := make([]int, len(room))
	kept := 0
	for i := range room {
		keep[i] = max(0, min(room[i], have[i]))
		kept += keep[i]
	}
	if n <= kept {
		return evenly(n, keep)
	}
	spare := make([]int, len(room))
	total := 0
	for i := range room {
		spare[i] = max(0, room[i]-keep[i])
		total += spare[i]
	}
	for i, extra := range evenly(min(n-kept, total), spare) {
		keep[i] += extra
	}
	return keep
}
