package booking

import "slices"

// How the places of a day are divided. This file decides, and does nothing
// else, as plan.go does.

// planGroup is a contingent of a priority group: a part of a channel's places
// that only the group may take. It has places of its own.
type planGroup struct {
	Channel int // index of the channel
	Code    Channel
}

// planKept is what a contingent has of a day: so many places, or so many
// percent of its channel's.
type planKept struct {
	Percent, Places int
}

// planShift is N places of a day that an administrator moved by hand.
type planShift struct {
	Day, From, To int // channels
	N             int
}

// unshift is the input as if nothing had been shifted: what the receiver of a
// shift has taken counts for the channel that gave it away, as far as the shift
// goes. moves is what is left of the shifts, between the channels that have the
// places of that day.
func (in planInput) unshift() (out planInput, moves []planShift) {
	out = in
	out.Taken = slices.Clone(in.Taken)
	for _, s := range in.Shifts {
		taken := slices.Clone(out.Taken[s.Day])
		sold := min(s.N, taken[s.To])
		taken[s.To] -= sold
		taken[s.From] += sold
		out.Taken[s.Day] = taken
		s.From, s.To, s.N = in.receiver(s.Day, s.From), in.receiver(s.Day, s.To), s.N-sold
		if s.N > 0 && s.From != s.To && s.Day >= in.Channels[s.To].Lead {
			moves = append(moves, s)
		}
	}
	return out, moves
}

// shift gives series of a plan to the channels that they were moved to.
func (in planInput) shift(list []planCarry, moves []planShift) []planCarry {
	for _, m := range moves {
		for i := range list {
			c := &list[i]
			n := min(m.N, c.N)
			if n == 0 || c.Days[0] != m.Day || c.Channel != m.From {
				continue
			}
			c.N -= n
			m.N -= n
			list = append(list, planCarry{Channel: m.To, Days: c.Days, N: n})
		}
	}
	return slices.DeleteFunc(list, func(c planCarry) bool { return c.N == 0 })
}

// everybody is the Group of places that anybody may take over their channel.
const everybody = -1

// pot is what is divided: the quotas of one channel, or of several that flow
// into one. Places go first, the rest by percent. Places may be negative: that
// many were shifted away from what the channel has by percent.
type pot struct {
	Percent, Places int
	Taken           int
	Limit           int // of new places; negative = none
}

// pots sets together by day and channel what belongs together: the quota of a
// channel whose free places flow to another one is that one's, with what it has
// taken.
func (in planInput) pots(day int, taken []int) []pot {
	out := make([]pot, len(in.Channels))
	for c := range in.Channels {
		to := in.receiver(day, c)
		out[to].Percent += in.Shares[day][c]
		out[to].Taken += taken[c]
		if in.Places != nil {
			out[to].Places += in.Places[day][c]
		}
	}
	return out
}

// receiver is the channel that gets what channel c has not used on a day.
func (in planInput) receiver(day, c int) int {
	if in.Flows == nil || in.Flows[day] == nil {
		return c
	}
	return in.Flows[day][c]
}

// need is how many of its fixed places a pot still lacks.
func (p pot) need() int {
	n := max(0, p.Places-p.Taken)
	if p.Limit >= 0 {
		n = min(n, p.Limit)
	}
	return n
}

// splitPots divides x new places: first what is missing of the fixed places,
// in proportion when x does not suffice for all of it, then the rest by percent,
// counted with what is taken beyond the fixed places (splitDay). The parts add
// up to x unless the limits and the fixed numbers do not allow it.
func splitPots(x int, pots []pot) []int {
	needs, shares, taken, limits := make([]int, len(pots)), make([]int, len(pots)), make([]int, len(pots)), make([]int, len(pots))
	for i, p := range pots {
		needs[i] = p.need()
		shares[i], taken[i], limits[i] = p.Percent, max(0, p.Taken-p.Places), p.Limit
		if p.Limit > 0 {
			limits[i] -= needs[i]
		}
	}
	if missing := sum(needs); missing >= x {
		return apportion(x, needs)
	}
	parts := splitDay(x-sum(needs), shares, taken, limits)
	for i := range parts {
		parts[i] += needs[i]
	}
	return parts
}

// goals says what each pot would have of total places if nothing were taken.
// The goals of pots with a limit of 0 are 0: nobody can use them.
func goals(total int, pots []pot) []int {
	fixed, percent := make([]int, len(pots)), make([]int, len(pots))
	away := 0
	for i, p := range pots {
		if p.Limit != 0 {
			fixed[i], percent[i] = max(0, p.Places), p.Percent
			away += min(0, p.Places)
		}
	}
	if sum(fixed) >= total {
		return apportion(total, fixed)
	}
	out := apportion(total-sum(fixed)-away, percent)
	for i, p := range pots {
		if p.Limit != 0 {
			out[i] = max(0, out[i]+p.Places)
		}
	}
	return out
}

// divide gives each contingent its part of the new series of its channel, and
// sets aside what is not open yet. What a contingent does not get is
// everybody's: nothing is lost and nothing invented.
func (in planInput) divide(list []planCarry) []planCarry {
	type key struct{ day, channel int }
	byDay := map[key][]planCarry{}
	var order []key
	for _, c := range list {
		k := key{c.Days[0], c.Channel}
		if byDay[k] == nil {
			order = append(order, k)
		}
		byDay[k] = append(byDay[k], c)
	}
	var out []planCarry
	for _, k := range order {
		fresh := 0
		for _, c := range byDay[k] {
			fresh += c.N
		}
		rest := byDay[k]
		for _, p := range in.parts(k.day, k.channel, fresh) {
			for p.n > 0 {
				take := min(p.n, rest[0].N)
				out = append(out, planCarry{Channel: k.channel, Group: p.group, Days: rest[0].Days, N: take, Closed: p.closed})
				p.n -= take
				if rest[0].N -= take; rest[0].N == 0 {
					rest = rest[1:]
				}
			}
		}
	}
	return out
}

// part is a number of new series of a channel's day.
type part struct {
	group  int
	n      int
	closed bool
}

// parts divides the new series of a channel's day over its contingents and
// everybody, and each into what is open and what is not.
func (in planInput) parts(day, channel, fresh int) []part {
	total := fresh + in.Taken[day][channel]
	var out []part
	add := func(group, n, taken int) {
		open := n
		if in.Open != nil {
			open = min(n, max(0, (in.Open[day]*(n+taken)+99)/100-taken))
		}
		out = append(out, part{group, open, false}, part{group, n - open, true})
	}
	rest, general := fresh, in.Taken[day][channel]
	for g, group := range in.Groups {
		if group.Channel != channel {
			continue
		}
		taken := in.GroupTaken[day][g]
		general -= taken
		want := in.Kept[day][g].Places + total*in.Kept[day][g].Percent/100 - taken
		n := max(0, min(want, rest))
		rest -= n
		add(g, n, taken)
	}
	add(everybody, rest, general)
	return out
}
