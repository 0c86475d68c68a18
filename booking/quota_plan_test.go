package booking

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawQuotas adds fixed places, shifts, releases, contingents and stages.
func drawQuotas(t *rapid.T, in *planInput) {
	n, days := len(in.Channels), len(in.Capacity)
	if rapid.Bool().Draw(t, "places set") {
		for range days {
			in.Places = append(in.Places, rapid.SliceOfN(rapid.IntRange(-5, 15), n, n).Draw(t, "places"))
		}
	}
	if rapid.Bool().Draw(t, "flows") {
		for range days {
			to := make([]int, n)
			for c := range to {
				to[c] = c
			}
			from, into := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "into")
			to[from] = into
			in.Flows = append(in.Flows, to)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "contingents") {
		in.Groups = append(in.Groups, planGroup{Channel: rapid.IntRange(0, n-1).Draw(t, "of"), Code: "x"})
	}
	for day := range days {
		var kept []planKept
		var taken []int
		left := slices.Clone(in.Taken[day])
		for _, g := range in.Groups {
			kept = append(kept, planKept{rapid.IntRange(0, 60).Draw(t, "kept percent"), rapid.IntRange(0, 9).Draw(t, "kept places")})
			taken = append(taken, rapid.IntRange(0, left[g.Channel]).Draw(t, "taken of it"))
			left[g.Channel] -= taken[len(taken)-1]
		}
		in.Kept, in.GroupTaken = append(in.Kept, kept), append(in.GroupTaken, taken)
	}
	if rapid.Bool().Draw(t, "stages") {
		in.Open = rapid.SliceOfN(rapid.IntRange(0, 100), days, days).Draw(t, "open")
	}
}

func drawPots(t *rapid.T) []pot {
	var pots []pot
	for range rapid.IntRange(1, 5).Draw(t, "pots") {
		pots = append(pots, pot{
			Percent: rapid.IntRange(0, 100).Draw(t, "percent"), Places: rapid.IntRange(-20, 50).Draw(t, "places"),
			Taken: rapid.IntRange(0, 200).Draw(t, "taken"), Limit: rapid.IntRange(-1, 100).Draw(t, "limit"),
		})
	}
	return pots
}

func TestPotsNeverLoseOrInventAPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pots := drawPots(t)
		x := rapid.IntRange(0, 500).Draw(t, "places")
		parts := splitPots(x, pots)
		can, unlimited := 0, false
		for i, p := range pots {
			if parts[i] < 0 || p.Limit >= 0 && parts[i] > p.Limit || p.Percent == 0 && parts[i] > max(0, p.Places-p.Taken) {
				t.Fatalf("pot %d gets %d: %+v", i, parts[i], pots)
			}
			switch {
			case p.Percent == 0:
				can += p.need()
			case p.Limit < 0:
				unlimited = true
			default:
				can += p.Limit
			}
		}
		want := x
		if !unlimited {
			want = min(x, can)
		}
		if sum(parts) != want {
			t.Fatalf("%d of %d divided, want %d: %+v", sum(parts), x, want, pots)
		}
	})
}

// TestWhatThePlanCarriesIsDivided: with quotas of every kind the plan carries as
// much as with one channel that may have everything, and each day's series are
// those of the plan without contingents and stages.
func TestWhatThePlanCarriesIsDivided(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawPlan(t)
		plain := in
		plain.Groups, plain.Open = nil, nil
		type key struct{ day, channel int }
		count := func(res planResult) map[key]int {
			out := map[key]int{}
			for _, c := range res.Carry {
				out[key{c.Days[0], c.Channel}] += c.N
			}
			return out
		}
		full, without := makePlan(in), makePlan(plain)
		a, b := count(full), count(without)
		if len(a) != len(b) {
			t.Fatalf("%v and %v", a, b)
		}
		for k, n := range a {
			if b[k] != n {
				t.Fatalf("day %d channel %d: %d with contingents and stages, %d without", k.day, k.channel, n, b[k])
			}
		}
		for day := range in.Horizon {
			for c := range in.Channels {
				open, fresh := 0, 0
				group := make([]int, len(in.Groups))
				for _, x := range full.Carry {
					if x.Days[0] != day || x.Channel != c {
						continue
					}
					if fresh += x.N; !x.Closed {
						open += x.N
					}
					if x.Group != everybody {
						group[x.Group] += x.N
						if in.Groups[x.Group].Channel != c {
							t.Fatalf("a contingent of channel %d has places of channel %d", in.Groups[x.Group].Channel, c)
						}
					}
				}
				if in.Open == nil && open != fresh {
					t.Fatalf("day %d: %d of %d open without stages", day, open, fresh)
				}
				for g, n := range group {
					total := fresh + in.Taken[day][c]
					if most := in.Kept[day][g].Places + total*in.Kept[day][g].Percent/100; n > max(0, most-in.GroupTaken[day][g]) {
						t.Fatalf("day %d: a contingent gets %d new of %d, has taken %d", day, n, most, in.GroupTaken[day][g])
					}
				}
			}
		}

		// One channel that may have everything carries as much, where all may book at once.
		one := in
		for c := range in.Channels {
			in.Channels[c].Lead = 0
		}
		for day := range in.Shares {
			in.Shares[day][0] = max(1, in.Shares[day][0])
		}
		one.Places, one.Flows, one.Groups, one.Open, one.Channels = nil, nil, nil, nil, []planChannel{{}}
		one.Shares, one.Taken = nil, nil
		for day := range in.Shares {
			one.Shares, one.Taken = append(one.Shares, []int{100}), append(one.Taken, []int{sum(in.Taken[day])})
		}
		mine, its := map[int]int{}, map[int]int{}
		for _, c := range makePlan(in).Carry {
			mine[c.Days[0]] += c.N
		}
		for _, c := range makePlan(one).Carry {
			its[c.Days[0]] += c.N
		}
		for day := range in.Horizon {
			if mine[day] != its[day] {
				t.Fatalf("day %d: %d over all channels, the plan carries %d", day, mine[day], its[day])
			}
		}
	})
}

func TestPotsOfADay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		x    int
		pots []pot
		want []int
	}{
		{"places first, the rest by percent", 100, []pot{{Percent: 70, Limit: -1}, {Places: 20, Limit: -1}, {Percent: 30, Limit: -1}}, []int{56, 20, 24}},
		{"too few for the fixed places", 10, []pot{{Percent: 100, Limit: -1}, {Places: 20, Limit: -1}, {Places: 5, Limit: -1}}, []int{0, 8, 2}},
		{"fixed places that are taken", 100, []pot{{Percent: 100, Limit: -1}, {Places: 20, Taken: 15, Limit: -1}}, []int{95, 5}},
		{"shifted: ten from the first to the second", 100, []pot{{Percent: 70, Places: -10, Limit: -1}, {Percent: 30, Places: 10, Limit: -1}}, []int{60, 40}},
		{"shifted, and then sold", 75, []pot{{Percent: 70, Places: -10, Limit: -1}, {Percent: 30, Places: 10, Taken: 25, Limit: -1}}, []int{60, 15}},
		{"shifted to one without a share", 50, []pot{{Percent: 100, Places: -5, Taken: 10, Limit: -1}, {Places: 5, Limit: -1}}, []int{45, 5}},
		{"flowed together, fixed and percent, much sold", 35, []pot{{Percent: 70, Places: 20, Taken: 85, Limit: -1}, {Percent: 30, Limit: -1}}, []int{5, 30}},
	} {
		if got := splitPots(c.x, c.pots); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhatIsReleasedFlowsToTheOther(t *testing.T) {
	t.Parallel()
	in := planInput{
		Horizon: 2, Legs: 1, Channels: []planChannel{{}, {}, {}}, Capacity: []int{95, 95}, Supply: []planBatch{{0, 99, 1000}},
		Shares: [][]int{{70, 30, 0}, {70, 30, 0}}, Taken: [][]int{{0, 5, 0}, {0, 5, 0}}, Flows: [][]int{{0, 0, 2}, nil},
	}
	got := map[[2]int]int{}
	for _, c := range makePlan(in).Carry {
		got[[2]int{c.Days[0], c.Channel}] += c.N
	}
	if got[[2]int{0, 0}] != 95 || got[[2]int{0, 1}] != 0 || got[[2]int{1, 0}] != 70 || got[[2]int{1, 1}] != 25 {
		t.Errorf("%v", got)
	}
}

func TestGoalsAreTheSharesWhenNothingIsTaken(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pots := drawPots(t)
		for i := range pots {
			pots[i].Taken, pots[i].Limit, pots[i].Places = 0, -1, max(0, pots[i].Places)
		}
		n := rapid.IntRange(0, 500).Draw(t, "places")
		if got, want := goals(n, pots), splitPots(n, pots); !slices.Equal(got, want) {
			t.Fatalf("%v, divided %v: %+v", got, want, pots)
		}
	})
}

// What is moved by hand changes hands on its day, also when vaccine is short and
// one of the channels books later days only; the other days stay as they are.
func TestAShiftIsOfItsDay(t *testing.T) {
	t.Parallel()
	const days, on, lead = 45, 6, 5
	for _, doses := range []int{400, 800, 1600, 8000} {
		plan := func(n, sold int) [][2]int {
			in := planInput{
				Horizon: 20, Legs: 2, MinDays: 21, MaxDays: 42, PlanDays: 21, Supply: []planBatch{{0, 100, doses}},
				Channels: []planChannel{{0}, {lead}}, Committed: make([]int, days), Returning: make([]int, days),
			}
			for range days {
				in.Capacity = append(in.Capacity, 100)
				in.Shares, in.Places, in.Taken = append(in.Shares, []int{50, 50}), append(in.Places, []int{0, 0}), append(in.Taken, []int{0, 0})
			}
			in.Capacity[on] -= sold
			in.Taken[on][0] = sold
			in.Supply[0].Doses -= 2 * sold
			if n > 0 {
				in.Shifts = []planShift{{on, 1, 0, n}}
			}
			out := make([][2]int, in.Horizon)
			out[on][0] = sold
			for _, c := range makePlan(in).Carry {
				out[c.Days[0]][c.Channel] += c.N
			}
			return out
		}
		want := plan(0, 0)
		moved := min(20, want[on][1])
		want[on][0] += moved
		want[on][1] -= moved
		for _, sold := range []int{0, 5} {
			got := plan(moved, min(sold, moved))
			if got[on] != want[on] || sold == 0 && !slices.Equal(got, want) {
				t.Errorf("%d doses, %d sold of %d:\n%v, want\n%v", doses, sold, moved, got, want)
			}
		}
	}
}
