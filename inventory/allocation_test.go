package inventory

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

func (b *bundle) setPlan(p AllocationPlan) error {
	return b.try(func(tx pgx.Tx) error { return b.s.SetPlan(b.ctx, tx, p, b.by) })
}

// TestApportion: whole vials, nothing lost, nobody further from the exact share
// than a vial.
func TestApportion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 10_000).Draw(rt, "vials")
		w := rapid.SliceOfN(rapid.IntRange(0, 600_000), 1, 20).Draw(rt, "weights")
		total, sum := 0, 0
		for _, x := range w {
			total += x
		}
		for i, v := range apportion(n, w) {
			sum += v
			if v < 0 || (w[i] == 0 && v > 0) || (total > 0 && (v*total < n*w[i]-total || v*total > n*w[i]+total)) {
				rt.Fatalf("%d of %d for weight %d of %d", v, n, w[i], total)
			}
		}
		if (total > 0 && sum != n) || (total == 0 && sum != 0) {
			rt.Fatalf("sum %d of %d", sum, n)
		}
	})
}

// TestFill: every place gets what it should, of lots that hold it.
func TestFill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		lots := rapid.SliceOfN(rapid.IntRange(0, 500), 0, 6).Draw(rt, "lots")
		total := 0
		for _, v := range lots {
			total += v
		}
		want := apportion(rapid.IntRange(0, total).Draw(rt, "sent"), rapid.SliceOfN(rapid.IntRange(0, 100), 1, 15).Draw(rt, "weights"))
		used := make([]int, len(lots))
		for p, part := range fill(lots, want) {
			sum := 0
			for i, n := range part {
				if n < 0 {
					rt.Fatalf("negative: %v", part)
				}
				used[i] += n
				sum += n
			}
			if sum != want[p] {
				rt.Fatalf("place %d gets %d, wants %d", p, sum, want[p])
			}
		}
		for i := range used {
			if used[i] > lots[i] {
				rt.Fatalf("lot %d overdrawn: %d of %d", i, used[i], lots[i])
			}
		}
	})
}

func TestAllocationByPlan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden, team := CentrePlace("leipzig"), CentrePlace("dresden"), TeamPlace("t1")
	for name, c := range map[string]struct {
		p    AllocationPlan
		want error
	}{
		"unknown product":     {AllocationPlan{ProductID: "sputnik", Method: ByHand}, ErrNotFound},
		"unknown method":      {AllocationPlan{ProductID: "comirnaty", Method: "lots"}, ErrInvalid},
		"by hand, by itself":  {AllocationPlan{ProductID: "comirnaty", Method: ByHand, Automatic: true}, ErrInvalid},
		"no shares":           {AllocationPlan{ProductID: "comirnaty", Method: ByShares}, ErrInvalid},
		"unknown centre":      {AllocationPlan{ProductID: "comirnaty", Method: ByShares, Shares: []Share{{CentrePlace("atlantis"), 1}}}, ErrNotFound},
		"the central store":   {AllocationPlan{ProductID: "comirnaty", Method: ByShares, Shares: []Share{{Central, 1}}}, ErrInvalid},
		"the same one twice":  {AllocationPlan{ProductID: "comirnaty", Method: ByShares, Shares: []Share{{leipzig, 1}, {leipzig, 2}}}, ErrInvalid},
		"a weight of nothing": {AllocationPlan{ProductID: "comirnaty", Method: ByShares, Shares: []Share{{leipzig, 0}}}, ErrInvalid},
	} {
		if err := b.setPlan(c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	plan := AllocationPlan{ProductID: "comirnaty", Method: ByShares, Shares: []Share{{leipzig, 50}, {dresden, 30}, {team, 20}}}
	must(t, b.setPlan(plan))
	b.receive(Central, "comirnaty", "OLD", day(2021, 3, 1), 7)
	b.receive(Central, "comirnaty", "NEW", day(2021, 6, 1), 4)
	pv, err := b.s.PreviewAllocation(b.ctx, b.pool, plan, 0)
	if err != nil || pv.Central != 11 || pv.Left != 0 || len(pv.Amounts) != 3 {
		t.Fatalf("preview: %+v, %v", pv, err)
	}
	got := map[Place]int{}
	for _, a := range pv.Amounts {
		got[a.Place] = a.Vials
	}
	if got[leipzig]+got[dresden]+got[team] != 11 || got[team] != 2 || got[dresden] != 3 || got[leipzig] != 6 { // 5.5, 3.3, 2.2
		t.Errorf("amounts: %v", got)
	}
	if pv, err := b.s.PreviewAllocation(b.ctx, b.pool, plan, 5); err != nil || pv.Left != 5 {
		t.Errorf("five stay: %+v, %v", pv, err)
	}
	allocate := func(seen int, amounts ...Amount) error {
		return b.try(func(tx pgx.Tx) error { return b.s.Allocate(b.ctx, tx, "comirnaty", amounts, seen, "plan", b.by) })
	}
	for name, c := range map[string]struct {
		err, want error
	}{
		"the stock has changed": {allocate(10, pv.Amounts...), ErrStale},
		"more than there is":    {allocate(11, Amount{leipzig, 12}), ErrNotEnough},
		"nothing":               {allocate(11, Amount{leipzig, 0}), ErrInvalid},
		"negative":              {allocate(11, Amount{leipzig, 3}, Amount{dresden, -1}), ErrInvalid},
		"nowhere":               {allocate(11, Amount{CentrePlace("atlantis"), 3}), ErrNotFound},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	b.events()
	must(t, allocate(11, pv.Amounts...))
	if n := b.events(); n[leipzig] != 1 || n[dresden] != 1 || len(n) != 2 {
		t.Errorf("events: %v", n)
	}
	if l, d, m, c := b.stock(leipzig, "comirnaty", b.now).Vials, b.stock(dresden, "comirnaty", b.now).Vials, b.stock(team, "comirnaty", b.now).Vials, b.stock(Central, "comirnaty", b.now).Vials; l != 6 || d != 3 || m != 2 || c != 0 {
		t.Errorf("leipzig %d, dresden %d, team %d, central %d", l, d, m, c)
	}
	if err := allocate(11, pv.Amounts...); !errors.Is(err, ErrStale) {
		t.Errorf("confirmed twice: %v", err)
	}
	b.reconciled()
}

// Two people confirm the same preview: it is carried out once.
func TestAllocationIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	b.receive(Central, "comirnaty", "AB1", day(2021, 3, 1), 40)
	var sent, stale atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := b.try(func(tx pgx.Tx) error {
				return b.s.Allocate(b.ctx, tx, "comirnaty", []Amount{{leipzig, 10}}, 40, "plan", b.by)
			})
			switch {
			case err == nil:
				sent.Add(1)
			case errors.Is(err, ErrStale):
				stale.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.stock(leipzig, "comirnaty", b.now).Vials; sent.Load() != 1 || stale.Load() != 7 || n != 10 {
		t.Errorf("sent %d times, stale %d times, %d vials", sent.Load(), stale.Load(), n)
	}
	b.reconciled()
}

func TestAllocationByItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	b.receive(Central, "comirnaty", "KEPT", day(2021, 3, 1), 5)
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.SetPopulation(b.ctx, tx, census(map[string]int{"leipzig": 593_000, "dresden": 557_000, "pirna": 0}), b.by)
	}))
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: Central, Day: day(2021, 1, 18), Vials: 115})
	if p, err := b.s.Planned(b.ctx, b.pool, leipzig, "comirnaty", b.now); err != nil || len(p) != 0 {
		t.Errorf("planned without a plan: %+v, %v", p, err)
	}
	b.events()
	must(t, b.setPlan(AllocationPlan{ProductID: "comirnaty", Method: ByPopulation, Automatic: true}))
	if n := b.events(); len(n) != 13 {
		t.Errorf("%d centres were told of the plan, want 13", len(n))
	}
	if p, err := b.s.Planned(b.ctx, b.pool, leipzig, "comirnaty", b.now); err != nil || len(p) != 1 || p[0].Vials != 59 || p[0].ID != did {
		t.Errorf("planned by the plan: %+v, %v", p, err)
	}
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.ReceiveDelivery(b.ctx, tx, did, []ReceivedLot{{"EX1", day(2021, 5, 1), 100}, {"EX2", day(2021, 5, 2), 15}}, b.by)
	}))
	if l, d, c := b.stock(leipzig, "comirnaty", b.now).Vials, b.stock(dresden, "comirnaty", b.now).Vials, b.stock(Central, "comirnaty", b.now).Vials; l != 59 || d != 56 || c != 5 {
		t.Errorf("leipzig %d, dresden %d, central %d: what lay there before stays", l, d, c)
	}
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.SetPopulation(b.ctx, tx, census(map[string]int{"leipzig": 0, "dresden": 0}), b.by)
	}))
	b.receive(Central, "comirnaty", "EX3", day(2021, 5, 3), 10)
	if c := b.stock(Central, "comirnaty", b.now).Vials; c != 15 {
		t.Errorf("nobody has people: central %d, want 15", c)
	}
	b.reconciled()
}

// TestAReportedDeliveryIsSharedOutToo: an automatic plan knows no difference between
// what somebody receives and what follows from the report.
func TestAReportedDeliveryIsSharedOutToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	vials := func() [3]int {
		return [3]int{b.stock(leipzig, "spikevax", b.now).Vials, b.stock(dresden, "spikevax", b.now).Vials, b.stock(Central, "spikevax", b.now).Vials}
	}
	imported := func(text string) {
		t.Helper()
		if _, err := b.importText(text); err != nil {
			t.Fatal(err)
		}
	}
	imported("2021-01-05,Moderna,100") // before there is a plan
	must(t, b.setPlan(AllocationPlan{ProductID: "spikevax", Method: ByShares, Automatic: true, Shares: []Share{{leipzig, 3}, {dresden, 1}}}))
	b.events()
	imported("2021-01-08,Moderna,800\n2021-01-09,Moderna,-40\n2021-01-18,Moderna,200")
	if v := vials(); v != [3]int{60, 20, 6} { // what went back was of the lot that expires first
		t.Errorf("Leipzig, Dresden, central: %v", v)
	}
	if n := b.events(); n[leipzig] == 0 || len(n) != 13 {
		t.Errorf("told: %v", n)
	}
	if p, err := b.s.Planned(b.ctx, b.pool, leipzig, "spikevax", b.now); err != nil || len(p) != 1 || p[0].Vials != 15 {
		t.Errorf("promised: %+v, %v", p, err)
	}
	b.now = b.now.AddDate(0, 0, 7)
	if n, err := b.s.BookArrivals(b.ctx, b.now); err != nil || n != 1 {
		t.Fatalf("arrivals: %d, %v", n, err)
	}
	if v := vials(); v != [3]int{75, 25, 6} {
		t.Errorf("after the arrival: %v", v)
	}
	imported("2021-01-18,Moderna,240") // four vials more
	if v := vials(); v != [3]int{78, 26, 6} {
		t.Errorf("after a figure has grown: %v", v)
	}
	b.reconciled()
}

// TestEqualSharesOfADeliveryLeaveTheStore: it gives out what it promised.
func TestEqualSharesOfADeliveryLeaveTheStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receive(Central, "comirnaty", "KEPT", day(2021, 3, 1), 1000)
	b.receive(Central, "comirnaty", "SAME", day(2021, 5, 31), 50)
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: Central, Day: b.now, Vials: 135, EqualShares: true})
	p, err := b.s.Planned(b.ctx, b.pool, CentrePlace("leipzig"), "comirnaty", b.now)
	must(t, err)
	must(t, b.receiveInto(did, ReceivedLot{"NEW", day(2021, 5, 31), 100}, ReceivedLot{"SAME", day(2021, 5, 31), 35}))
	if l, c := b.stock(CentrePlace("leipzig"), "comirnaty", b.now).Vials, b.stock(Central, "comirnaty", b.now).Vials; len(p) != 1 || l != p[0].Vials || l != 10 || c != 1055 {
		t.Errorf("promised %+v, Leipzig %d, central %d", p, l, c)
	}
	b.reconciled()
}

// census is figures with a source.
func census(people map[string]int) Census {
	return Census{People: people, Source: "Landesamt, Fortschreibung", AsOf: day(2020, 12, 31)}
}
