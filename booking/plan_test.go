package booking

import (
	"testing"

	"pgregory.net/rapid"
)

func TestApportion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n       int
		weights []int
		want    []int
	}{
		{10, []int{70, 30}, []int{7, 3}},
		{7, []int{70, 30, 0}, []int{5, 2, 0}},
		{1, []int{50, 50}, []int{1, 0}},
		{2, []int{34, 33, 33}, []int{1, 1, 0}},
		{5, []int{0, 0}, []int{0, 0}},
		{0, []int{1, 2}, []int{0, 0}},
		{100, []int{1, 1, 1}, []int{34, 33, 33}},
	} {
		got := apportion(c.n, c.weights)
		for i := range c.want {
			if got[i] != c.want[i] {
				t.Errorf("apportion(%d, %v) = %v, want %v", c.n, c.weights, got, c.want)
				break
			}
		}
	}
}

func TestSplittingNeverLosesOrInventsAPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "channels")
		shares := rapid.SliceOfN(rapid.IntRange(0, 100), n, n).Draw(t, "shares")
		taken := rapid.SliceOfN(rapid.IntRange(0, 400), n, n).Draw(t, "taken")
		limits := rapid.SliceOfN(rapid.IntRange(-1, 300), n, n).Draw(t, "limits")
		x := rapid.IntRange(0, 1000).Draw(t, "places")
		parts := splitDay(x, shares, taken, limits)
		can, unlimited := 0, false
		for i := range parts {
			if parts[i] < 0 || (limits[i] >= 0 && parts[i] > limits[i]) || (shares[i] == 0 && parts[i] > 0) {
				t.Fatalf("part %d of %v: shares %v, limits %v", i, parts, shares, limits)
			}
			if shares[i] > 0 {
				if limits[i] < 0 {
					unlimited = true
				} else {
					can += limits[i]
				}
			}
		}
		want := x
		if !unlimited {
			want = min(x, can)
		}
		if sum(parts) != want {
			t.Fatalf("splitDay(%d, %v, %v, %v) = %v: %d places, want %d", x, shares, taken, limits, parts, sum(parts), want)
		}
	})
}

func TestAChannelKeepsItsShareAfterOthersHaveBooked(t *testing.T) {
	t.Parallel()
	// 700 of 1,000 are gone over the web; the 300 left are the hotline's.
	got := splitDay(300, []int{70, 30}, []int{700, 0}, []int{-1, -1})
	if got[0] != 0 || got[1] != 300 {
		t.Errorf("got %v", got)
	}
}

func TestSpreadKeepsWhatIsOffered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "slots")
		room := rapid.SliceOfN(rapid.IntRange(-3, 12), n, n).Draw(t, "room")
		have := rapid.SliceOfN(rapid.IntRange(0, 12), n, n).Draw(t, "have")
		total, kept := 0, 0
		for i, r := range room {
			total += max(0, r)
			kept += max(0, min(r, have[i]))
		}
		places := rapid.IntRange(0, 60).Draw(t, "places")
		got := spread(places, room, have)
		for i := range got {
			if got[i] < 0 || got[i] > max(0, room[i]) {
				t.Fatalf("slot %d gets %d of %d", i, got[i], room[i])
			}
			if places >= kept && got[i] < min(room[i], have[i]) {
				t.Fatalf("slot %d had %d and gets %d although there is enough", i, have[i], got[i])
			}
		}
		if sum(got) != min(places, total) {
			t.Fatalf("%d of %d placed", sum(got), places)
		}
	})
}

func drawPlan(t *rapid.T) planInput {
	in := planInput{
		Horizon: rapid.IntRange(1, 20).Draw(t, "horizon"),
		Legs:    rapid.IntRange(1, 3).Draw(t, "legs"),
	}
	in.MinDays = rapid.IntRange(1, 6).Draw(t, "min")
	in.PlanDays = in.MinDays + rapid.IntRange(0, 4).Draw(t, "plan")
	in.MaxDays = in.PlanDays + rapid.IntRange(0, 4).Draw(t, "max")
	days := in.Horizon + (in.Legs-1)*in.MaxDays
	in.Capacity = rapid.SliceOfN(rapid.IntRange(0, 30), days, days).Draw(t, "capacity")
	for i := range rapid.IntRange(0, 4).Draw(t, "batches") {
		from := 0
		if i > 0 {
			from = rapid.IntRange(0, days).Draw(t, "from")
		}
		in.Supply = append(in.Supply, planBatch{From: from, Until: from + rapid.IntRange(0, days).Draw(t, "good"), Doses: rapid.IntRange(0, 200).Draw(t, "doses")})
	}
	in.Committed = rapid.SliceOfN(rapid.IntRange(0, 5), days, days).Draw(t, "committed")
	n := rapid.IntRange(1, 3).Draw(t, "channels")
	for range n {
		in.Channels = append(in.Channels, planChannel{Lead: rapid.SampledFrom([]int{0, 0, 5}).Draw(t, "lead")})
	}
	for range days {
		in.Shares = append(in.Shares, rapid.SliceOfN(rapid.IntRange(0, 100), n, n).Draw(t, "shares"))
		in.Taken = append(in.Taken, rapid.SliceOfN(rapid.IntRange(0, 10), n, n).Draw(t, "taken"))
	}
	drawQuotas(t, &in)
	return in
}

// replay takes a plan apart again, by a way of counting that is not the plan's.
func replay(t *rapid.T, in planInput, res planResult) *planState {
	st := newPlanState(in)
	st.commit(in.Committed)
	start := sum(dosesOf(st.supply))
	used := 0
	for _, c := range res.Carry {
		if len(c.Days) != in.Legs || c.N <= 0 {
			t.Fatalf("half a series: %+v", c)
		}
		p := in.pots(c.Days[0], in.Taken[c.Days[0]])[c.Channel]
		if c.Days[0] < in.Channels[c.Channel].Lead || p.Percent == 0 && p.Places <= p.Taken || c.Days[0] >= in.Horizon {
			t.Fatalf("channel %d has no right to day %d", c.Channel, c.Days[0])
		}
		for i := 1; i < len(c.Days); i++ {
			if d := c.Days[i] - c.Days[i-1]; d < in.MinDays || d > in.MaxDays {
				t.Fatalf("%d days between the appointments %v", d, c.Days)
			}
		}
		if st.carries(c.Days) < c.N {
			t.Fatalf("no doses for %+v", c)
		}
		st.take(c.Days, c.N)
		used += c.N * in.Legs
	}
	for day, c := range st.capacity {
		if c < 0 {
			t.Fatalf("day %d is overfull by %d", day, -c)
		}
	}
	if sum(dosesOf(st.supply)) != start-used || res.Left != start-used {
		t.Fatalf("%d doses, %d used, %d left", start, used, res.Left)
	}
	return st
}

func dosesOf(batches []planBatch) []int {
	var list []int
	for _, b := range batches {
		list = append(list, b.Doses)
	}
	return list
}

func TestPlanPromisesNothingTwiceAndKeepsNothingBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawPlan(t)
		res := makePlan(in)
		st := replay(t, in, res)
		for _, c := range res.Carry {
			st.taken[c.Days[0]][c.Channel] += c.N
		}
		// Nothing more fits for anybody.
		for day := range in.Horizon {
			for c, ch := range in.Channels {
				p := in.pots(day, st.taken[day])[c]
				if day < ch.Lead || p.Percent == 0 && p.Places <= p.Taken || st.capacity[day] == 0 {
					continue
				}
				if more := st.route(in, day, 1); len(more) > 0 {
					t.Fatalf("one more series would fit: %+v", more)
				}
			}
		}
	})
}

func TestPlanCarriesHalfTheDoses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doses := rapid.IntRange(0, 9999).Draw(t, "doses")
		in := planInput{
			Horizon: 60, Legs: 2, MinDays: 21, PlanDays: 28, MaxDays: 42,
			Supply: []planBatch{{0, 1000, doses}}, Channels: []planChannel{{}, {Lead: 5}},
		}
		for range 60 + 42 {
			in.Capacity = append(in.Capacity, 400)
			in.Shares = append(in.Shares, []int{70, 30})
			in.Taken = append(in.Taken, []int{0, 0})
		}
		got := map[int]int{}
		res := makePlan(in)
		for _, c := range res.Carry {
			got[c.Channel] += c.N
		}
		if got[0]+got[1] != doses/2 || res.Left != doses%2 {
			t.Fatalf("%d doses: %v, %d left", doses, got, res.Left)
		}
		// The hotline has its share although it may not book the first days.
		if want := doses / 2 * 30 / 100; got[1] < want-60 || got[1] > want+60 {
			t.Fatalf("hotline: %d of %d, want about %d", got[1], doses/2, want)
		}
	})
}

func TestPlanSecondDoseIsReservedWithTheFirst(t *testing.T) {
	t.Parallel()
	in := planInput{
		Horizon: 10, Legs: 2, MinDays: 3, PlanDays: 3, MaxDays: 3, Channels: []planChannel{{}},
		Supply: []planBatch{{0, 99, 5}, {4, 99, 6}},
	}
	for range 13 {
		in.Capacity = append(in.Capacity, 100)
		in.Shares = append(in.Shares, []int{100})
		in.Taken = append(in.Taken, []int{0})
	}
	byDay := map[int]int{}
	for _, c := range makePlan(in).Carry {
		byDay[c.Days[0]] += c.N
	}
	// Five doses today are two pairs; the delivery of day 4 does not lend its
	// doses to today; the odd dose waits for it.
	if byDay[0] != 2 || byDay[4] != 3 || len(byDay) != 2 {
		t.Errorf("got %v", byDay)
	}
}

func TestPlanMovesThePartnerToAnOpenDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		capacity map[int]int // partner days
		want     map[int]int
	}{
		{"the planned day", map[int]int{14: 9}, map[int]int{14: 4}},
		{"closed: the next open one", map[int]int{16: 9}, map[int]int{16: 4}},
		{"full: the rest on the next", map[int]int{14: 3, 15: 9}, map[int]int{14: 3, 15: 1}},
		{"beyond the limit: an earlier one", map[int]int{18: 9, 12: 9}, map[int]int{12: 4}},
		{"none within the limits", map[int]int{18: 9, 9: 9}, map[int]int{}},
	} {
		in := planInput{
			Horizon: 1, Legs: 2, MinDays: 10, PlanDays: 14, MaxDays: 17, Channels: []planChannel{{}},
			Supply: []planBatch{{0, 99, 8}}, Capacity: make([]int, 20), Shares: [][]int{{100}}, Taken: [][]int{{0}},
		}
		in.Capacity[0] = 50
		for day, n := range c.capacity {
			in.Capacity[day] = n
		}
		got := map[int]int{}
		for _, carry := range makePlan(in).Carry {
			got[carry.Days[1]] += carry.N
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
		for day, n := range c.want {
			if got[day] != n {
				t.Errorf("%s: %v", c.name, got)
			}
		}
	}
}

func TestPlanNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	res := makePlan(planInput{
		Horizon: 3, Legs: 1, Channels: []planChannel{{}}, Capacity: []int{5, 5, 5},
		Supply: []planBatch{{0, 0, 4}, {2, 9, 10}}, Committed: []int{2, 3, 4},
		Shares: [][]int{{100}, {100}, {100}}, Taken: [][]int{{0}, {0}, {0}},
	})
	// Day 1 has nothing: the first batch is good today only, the second comes on day 2.
	if res.Short[0] != 0 || res.Short[1] != 3 || res.Short[2] != 0 {
		t.Errorf("short %v", res.Short)
	}
}
