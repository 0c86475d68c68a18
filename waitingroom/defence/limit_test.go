package defence

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"impfportal/internal/redistest"
)

var (
	ctx      = context.Background()
	midday   = time.Date(2021, 1, 11, 13, 0, 0, 0, time.UTC)
	hospital = netip.MustParseAddr("198.51.100.7")
)

func watches(t *testing.T, rdb redis.UniversalClient, n int, l Limits) (out []*Watch) {
	t.Helper()
	for i := range n {
		out = append(out, NewWatch(rdb, "wr:{test}:", fmt.Sprint("replica", i), l))
	}
	return out
}

func exchange(t *testing.T, now time.Time, ws ...*Watch) (last Seen) {
	t.Helper()
	for _, w := range ws {
		var err error
		if last, err = w.Exchange(ctx, now); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// 3,000 people behind one address come in the same minute; who is refused comes
// again when told.
func TestHospitalIsInTheLineWithinMinutes(t *testing.T) {
	t.Parallel()
	ws := watches(t, redistest.New(t), 3, Limits{})
	nets := Networks(hospital)
	at := make([]time.Time, 3000) // when each tries next
	for i := range at {
		at[i] = midday.Add(time.Duration(i) * time.Minute / 3000)
	}
	free, proven, inLine := 0, 0, 0
	for s := 0; inLine < len(at); s++ {
		now := midday.Add(time.Duration(s) * time.Second)
		if s > 150 {
			t.Fatalf("only %d have a place after %d seconds", inLine, s)
		}
		for i := range at {
			if at[i].IsZero() || at[i].After(now) {
				continue
			}
			switch standing, wait := ws[i%3].Join(at[i], nets, true); standing {
			case Refused:
				if wait <= 0 || wait > 2*time.Minute {
					t.Fatalf("come again in %v", wait)
				}
				at[i] = at[i].Add(max(wait, 5*time.Second))
			case Prove:
				proven++
				inLine++
				at[i] = time.Time{}
			default:
				free++
				inLine++
				at[i] = time.Time{}
			}
		}
		exchange(t, now.Add(time.Second), ws...)
	}
	if free < 120 || free > 3*120+120 {
		t.Errorf("%d without proof; the limit is 120 at once and 60 a minute, for three replicas that do not know of each other yet", free)
	}
	if proven < 2000 {
		t.Errorf("%d with proof", proven)
	}
}

// A network never gets more than the replicas' bursts and the rate, whatever
// the order of arrivals and exchanges.
func TestHardLimitOverReplicas(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	limits := Limits{Soft: 60, SoftBurst: 3, Hard: 2, Wide: 2}
	burst, perSecond := 6, 2.0
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		n := rapid.IntRange(1, 3).Draw(t, "replicas")
		var ws []*Watch
		for i := range n {
			ws = append(ws, NewWatch(rdb, fmt.Sprintf("wr:{%d}:", round), fmt.Sprint(i), limits))
		}
		addr, factor := hospital, 1
		if rapid.Bool().Draw(t, "IPv6") {
			addr = netip.MustParseAddr("2001:db8::1")
		}
		now, admitted := midday, 0
		seconds := rapid.IntRange(1, 20).Draw(t, "seconds")
		for range seconds {
			for range rapid.IntRange(0, 40).Draw(t, "joins") {
				nets := Networks(addr)
				if standing, wait := ws[rapid.IntRange(0, n-1).Draw(t, "replica")].Join(now, nets, true); standing != Refused {
					admitted++
				} else if wait <= 0 {
					t.Fatal("refused without a time to come again")
				}
			}
			now = now.Add(time.Second)
			for _, w := range ws {
				if _, err := w.Exchange(ctx, now); err != nil {
					t.Fatal(err)
				}
			}
		}
		if most := n*burst*factor + int(perSecond*float64(seconds))*factor; admitted > most {
			t.Fatalf("%d replicas let %d through in %d seconds, the bound is %d", n, admitted, seconds, most)
		}
	})
}

func TestWideNetworksHaveMore(t *testing.T) {
	t.Parallel()
	m := NewMeter(Limits{Soft: 60, SoftBurst: 5, Hard: 2, Wide: 3})
	count := func(addr func(i int) string) (n int) {
		for i := range 1000 {
			if st, _ := m.Join(midday, Networks(netip.MustParseAddr(addr(i))), true); st != Refused {
				n++
			}
		}
		return n
	}
	if n := count(func(int) string { return "2001:db8:1:1::1" }); n != 10 {
		t.Errorf("a /64 gets %d at once, want 10", n)
	}
	if n := count(func(i int) string { return fmt.Sprintf("2001:db8:1:%x::1", 2+i%50) }); n != 20 {
		t.Errorf("the rest of its /48 gets %d, want 30 less the 10", n)
	}
	if n := count(func(int) string { return "192.0.2.1" }); n != 10 {
		t.Errorf("a /24 gets %d, want 10", n)
	}
	if m.Peek(midday, Networks(netip.MustParseAddr("192.0.2.200"))) != Refused {
		t.Error("a neighbour's address is another network")
	}
}

func TestFetchesAndWrongSolutionsAreLimited(t *testing.T) {
	t.Parallel()
	ws := watches(t, redistest.New(t), 2, Limits{})
	nets := Networks(hospital)
	fetched, wrong := 0, 0
	for range 10_000 {
		if ws[0].Fetch(midday, nets) <= 0 {
			fetched++
		}
		if ws[0].Wrong(midday, nets) <= 0 {
			wrong++
		}
	}
	if fetched != 4800 || wrong != 120 {
		t.Errorf("%d fetched, %d wrong", fetched, wrong)
	}
	// Neither takes anybody's place away; and the other replica knows of both.
	if st := ws[0].Peek(midday, nets); st != Free {
		t.Errorf("standing %v", st)
	}
	exchange(t, midday.Add(time.Second), ws...)
	for range 120 / untold { // now it asks for this network
		if ws[1].Wrong(midday.Add(time.Second), nets) > 0 {
			t.Error("refused before it can know")
		}
	}
	exchange(t, midday.Add(2*time.Second), ws...)
	if ws[1].Wrong(midday.Add(2*time.Second), nets) <= 0 {
		t.Error("the other replica does not know of the wrong solutions")
	}
}

// A machine's own address and an unknown one have no limit: behind a proxy
// that is not configured, everybody would share it.
func TestNobodysNetworkIsNotLimited(t *testing.T) {
	t.Parallel()
	m := NewMeter(Limits{Soft: 1, SoftBurst: 1, Hard: 1})
	for range 1000 {
		if st, _ := m.Join(midday, Networks(netip.MustParseAddr("127.0.0.1")), true); st != Free {
			t.Fatal("limited")
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	w := watches(t, redistest.New(t), 1, Limits{})[0]
	for i := range 100_000 {
		w.Join(midday.Add(time.Duration(i)*10*time.Millisecond), Networks(v4(uint32(i)<<8)), true)
	}
	if len(w.nets) > maxNetworks || len(w.slots) > maxSlots {
		t.Errorf("%d networks, %d slots", len(w.nets), len(w.slots))
	}
	r := w.take(midday)
	if len(r.top) > reported {
		t.Errorf("%d networks reported", len(r.top))
	}
	w.take(midday.Add(time.Hour))
	if len(w.nets) != 0 {
		t.Errorf("%d networks are remembered for ever", len(w.nets))
	}
}

// Of a broad rush Redis is told sums only; and of a network that comes to an
// eighth of its burst, all that came, from the time it came.
func TestSmallNetworksStayWithTheReplica(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	ws := watches(t, rdb, 2, Limits{})
	for i := range 20_000 {
		ws[i%2].Join(midday, Networks(v4(uint32(i)<<8)), true)
	}
	now := midday.Add(time.Second)
	seen := exchange(t, now, ws...)
	if n := seen.Signals.Networks; n < 19_000 || n > 21_000 {
		t.Errorf("%d distinct networks", n)
	}
	if keys := rdb.Keys(ctx, "*:l:*").Val(); len(keys) != 0 {
		t.Errorf("%d networks have buckets", len(keys))
	}
	// One join in two seconds, at each replica: never above the rate.
	for s := range 240 {
		now = now.Add(time.Second)
		if st, _ := ws[s%2].Join(now, Networks(hospital), true); st != Free {
			t.Fatalf("second %d: %v", s, st)
		}
		exchange(t, now, ws...)
	}
	// Two in a second at each of them are four times the rate.
	proven := 0
	for range 240 {
		now = now.Add(time.Second)
		for _, w := range append(ws, ws...) {
			if st, _ := w.Join(now, Networks(hospital), true); st != Free {
				proven++
			}
		}
		exchange(t, now, ws...)
	}
	if free := 4*240 - proven; free > 2*(240+120+120/untold) {
		t.Errorf("%d of %d were asked for nothing; the limit is one a second at each replica, and the bursts", free, 4*240)
	}
}

// What Redis holds of networks lives 15 minutes at most, whatever the settings.
func TestNothingOfANetworkIsKeptLong(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	for i, l := range []Limits{{}, {Soft: 1, SoftBurst: 1000, Hard: 1}} {
		w := NewWatch(rdb, fmt.Sprintf("wr:{%d}:", i), "r", l)
		for range 10_000 {
			w.Join(midday, Networks(hospital), true)
			w.Wrong(midday, Networks(hospital))
		}
		exchange(t, midday, w)
	}
	keys := rdb.Keys(ctx, "*").Val()
	found := false
	for _, key := range keys {
		if ttl := rdb.TTL(ctx, key).Val(); ttl <= 0 || ttl > keepLimit {
			t.Errorf("%s lives %v", key, ttl)
		}
		found = found || strings.Contains(key, "198.51.100.0/24")
		if strings.Contains(key, hospital.String()) {
			t.Errorf("%s names an address", key)
		}
	}
	if !found {
		t.Error("the test looks at nothing")
	}
}

// lossy answers some commands with an error after Redis has carried them out.
type lossy struct{ lose func() bool }

func (l lossy) DialHook(next redis.DialHook) redis.DialHook { return next }
func (l lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && l.lose() {
			err = errors.New("the answer is lost")
			cmd.SetErr(err)
		}
		return err
	}
}

func (l lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// An exchange that is repeated because its answer was lost counts once.
func TestLostAnswersCountOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	lost := 0
	rdb.AddHook(lossy{func() bool { lost++; return lost%2 == 1 && lost < 12 }})
	w := NewWatch(rdb, "wr:{test}:", "r", Limits{Soft: 1, SoftBurst: untold}) // every join is told
	for i := range 1000 {
		w.Join(midday, Networks(v4(uint32(i)<<8)), true)
	}
	w.Join(midday, Networks(hospital), false)
	now := midday
	var seen Seen
	for try := 0; ; try++ {
		now = now.Add(time.Second)
		var err error
		if seen, err = w.Exchange(ctx, now); err == nil {
			break
		}
		if try > 30 {
			t.Fatal(err)
		}
	}
	if seen.Signals.Joins != 1001 || seen.Signals.Keyless != 1 || seen.Signals.Placed != 1001 {
		t.Errorf("%+v", seen.Signals)
	}
	if n := seen.Signals.Networks; n < 950 || n > 1050 {
		t.Errorf("%d distinct networks", n)
	}
	tat, err := rdb.HGet(ctx, "wr:{test}:d:l:198.51.100.0/24", "0").Int64()
	if left := time.UnixMicro(tat).Sub(midday); err != nil || left > 2*time.Minute {
		t.Errorf("one join fills the bucket for %v (%v)", left, err)
	}
}

func TestVerdictIsSharedAndHeld(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	ws := watches(t, rdb, 3, Limits{})
	if seen := exchange(t, midday, ws...); seen.Held.On {
		t.Fatal("a verdict without a finding")
	}
	reasons := []Reason{{Code: Keyless, Value: 0.9, Threshold: keylessShare, Weight: 2, Found: true}}
	held, err := ws[0].Keep(ctx, Held{Began: midday, Last: midday, Reasons: reasons}, midday)
	if err != nil || !held.On || !held.Began.Equal(midday) {
		t.Fatalf("%+v, %v", held, err)
	}
	// Another replica finds it too, later: the beginning stays.
	later := midday.Add(10 * time.Second)
	if held, err = ws[1].Keep(ctx, Held{Began: later, Last: later, Reasons: reasons}, later); err != nil || !held.Began.Equal(midday) || !held.Last.Equal(later) {
		t.Fatalf("%+v, %v", held, err)
	}
	for _, w := range ws {
		if seen := exchange(t, later, w); !seen.Held.On || !seen.Held.Began.Equal(midday) || len(seen.Held.Reasons) != 1 || seen.Held.Reasons[0] != reasons[0] {
			t.Errorf("%+v", seen.Held)
		}
	}
	if seen := exchange(t, later.Add(Hold-time.Second), ws...); !seen.Held.On {
		t.Error("over before its time")
	}
	after := later.Add(Hold)
	if seen := exchange(t, after, ws...); seen.Held.On {
		t.Error("never over")
	}
	// An old memory does not bring it back; a new finding begins anew.
	if held, err = ws[2].Keep(ctx, Held{Began: midday, Last: later}, after); err != nil || held.On {
		t.Errorf("%+v, %v", held, err)
	}
	if held, err = ws[2].Keep(ctx, Held{Began: after, Last: after}, after); err != nil || !held.Began.Equal(after) {
		t.Errorf("%+v, %v", held, err)
	}
}

// However the places without proof are spread over the replicas, and whenever
// they are taken, together they are not more than what doc.go says.
func TestPlacesWithoutProofOverReplicas(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	for _, n := range []int{1, 2, 4, 8} {
		ws := make([]*Watch, n)
		for i := range ws {
			ws[i] = NewWatch(rdb, fmt.Sprintf("wr:{%d}:", n), fmt.Sprint(i), Limits{})
		}
		now, free, minutes := midday, 0, 4
		for s := range 60 * minutes {
			for _, w := range ws { // every ten seconds all that every replica gives
				for s%10 == 9 && w.Peek(now, Networks(hospital)) == Free {
					w.Join(now, Networks(hospital), true)
					free++
				}
			}
			now = now.Add(time.Second)
			exchange(t, now, ws...)
		}
		if most := n*(120+120/untold) + 60*minutes; free > most {
			t.Errorf("%d replicas gave %d places without proof in %d minutes, at most %d", n, free, minutes, most)
		}
	}
}

// A few who came long before a burst do not make it look old.
func TestOldArrivalsDoNotHideABurst(t *testing.T) {
	t.Parallel()
	w := watches(t, redistest.New(t), 1, Limits{})[0]
	now := midday
	free := func() (n int) {
		for w.Peek(now, Networks(hospital)) == Free {
			w.Join(now, Networks(hospital), true)
			n++
		}
		return n
	}
	w.Join(now, Networks(hospital), true)
	for range 58 {
		now = now.Add(time.Second)
		exchange(t, now, w)
	}
	first := free()
	now = now.Add(time.Second)
	exchange(t, now, w)
	if again := free(); first != 120 || again > 1 {
		t.Errorf("%d at once, and %d a second later", first, again)
	}
}

// When the room's clock goes back nobody is refused for what lies in its future.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	for _, joins := range []int{1, 100, 3000} { // kept here, told to Redis, above the hard limit
		rdb := redistest.New(t)
		w := NewWatch(rdb, "wr:{test}:", "r", Limits{})
		for range joins {
			w.Join(midday, Networks(hospital), true)
		}
		exchange(t, midday.Add(time.Second), w)
		back := midday.Add(-time.Hour)
		if st, wait := w.Join(back, Networks(hospital), true); st != Free {
			t.Errorf("after %d joins and an hour back: %v, %v", joins, st, wait)
		}
		exchange(t, back.Add(time.Second), w)
		if st, wait := w.Join(back.Add(2*time.Second), Networks(hospital), true); st != Free {
			t.Errorf("after %d joins, once Redis was asked: %v, %v", joins, st, wait)
		}
	}
}
