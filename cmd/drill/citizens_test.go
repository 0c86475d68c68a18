package main

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"impfportal/waitingroom"
)

func at(seconds float64) time.Time {
	return time.Date(2021, 1, 11, 14, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func sec(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func TestJoinInversions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   []joined
		want int
	}{
		{"nobody", nil, 0},
		{"in order", []joined{{sec(0), sec(1), 1}, {sec(2), sec(3), 2}}, 0},
		{"at the same time either way", []joined{{sec(0), sec(2), 2}, {sec(1), sec(3), 1}}, 0},
		{"the second one in front", []joined{{sec(2), sec(3), 1}, {sec(0), sec(1), 2}}, 1},
		{"two behind one", []joined{{sec(0), sec(1), 9}, {sec(2), sec(3), 7}, {sec(2), sec(4), 8}, {sec(5), sec(6), 10}}, 2},
	} {
		if got := joinInversions(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestDoorInversions(t *testing.T) {
	t.Parallel()
	const in, wait, full = waitingroom.Admitted, waitingroom.Wait, waitingroom.Full
	for _, c := range []struct {
		name string
		in   []knocked
		want int
	}{
		{"waited before", []knocked{{doorAnswer{sec(0), sec(1), wait}, 5}, {doorAnswer{sec(2), sec(3), in}, 6}, {doorAnswer{sec(4), sec(5), in}, 5}}, 0},
		{"at the same time", []knocked{{doorAnswer{sec(0), sec(2), in}, 6}, {doorAnswer{sec(1), sec(3), wait}, 5}}, 0},
		{"overtaken", []knocked{{doorAnswer{sec(0), sec(1), in}, 6}, {doorAnswer{sec(2), sec(3), wait}, 5}}, 1},
		{"behind", []knocked{{doorAnswer{sec(0), sec(1), in}, 5}, {doorAnswer{sec(2), sec(3), wait}, 6}}, 0},
		{"full is not waiting", []knocked{{doorAnswer{sec(0), sec(1), in}, 6}, {doorAnswer{sec(2), sec(3), full}, 5}}, 0},
	} {
		if got := doorInversions(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestMostInside(t *testing.T) {
	t.Parallel()
	stays := []stay{{at(0), at(10)}, {at(1), at(5)}, {at(5), at(7)}, {at(6), at(8)}}
	for _, c := range []struct{ bound, most, violations int }{{3, 3, 0}, {2, 3, 1}, {1, 3, 3}} {
		most, violations := mostInside(stays, c.bound)
		if most != c.most || violations != c.violations {
			t.Errorf("bound %d: most %d, %d violations", c.bound, most, violations)
		}
	}
}

func TestMostWithin(t *testing.T) {
	t.Parallel()
	stays := []stay{{from: at(60)}, {from: at(0)}, {from: at(1)}, {from: at(59)}}
	for _, c := range []struct{ limit, most, violations int }{{3, 3, 0}, {2, 3, 2}} {
		most, violations := mostWithin(stays, time.Minute, c.limit)
		if most != c.most || violations != c.violations {
			t.Errorf("limit %d: most %d, %d violations", c.limit, most, violations)
		}
	}
}

func TestKindsOfCitizens(t *testing.T) {
	t.Parallel()
	count := map[kind]int{}
	for i := range 1000 {
		count[kindOf(i)]++
	}
	if count[noShow] != 400 || count[late] != 50 || count[last] != 50 || count[patient] != 250 || count[reloads] != 100 ||
		count[returns] != 50 || count[copies] != 50 || count[comesBack] != 50 {
		t.Errorf("kinds: %v", count)
	}
}

func TestInsideAt(t *testing.T) {
	t.Parallel()
	stays := []stay{{at(1), at(10)}, {at(2), at(5)}, {at(3), at(7)}}
	got, reached := insideAt(stays, []time.Time{at(0), at(1), at(4), at(6), at(11)}, 3)
	if want := []int{0, 1, 3, 2, 0}; !slices.Equal(got, want) || !reached.Equal(at(3)) {
		t.Errorf("inside %v, reached %v", got, reached)
	}
	if _, reached := insideAt(stays, []time.Time{at(20)}, 4); !reached.IsZero() {
		t.Errorf("four were inside at %v", reached)
	}
}

// The advice allows the average of what everybody does at the shortest
// distance, however long the line is.
func TestPollsAllowed(t *testing.T) {
	t.Parallel()
	state := func(phase waitingroom.Phase, waiting int64, fast float64) waitingroom.State {
		return waitingroom.State{Phase: phase, Waiting: waiting, Pace: waitingroom.Pace{Fast: fast}, Poll: waitingroom.PollAdvice{Near: 3, Far: 30, Spread: 0.5}}
	}
	for _, c := range []struct {
		name string
		in   waitingroom.State
		want float64
	}{
		{"nobody", state(waitingroom.Open, 0, 60), 0},
		{"all near", state(waitingroom.Open, 9, 60), 9 / 3.0 / 0.5},
		{"nobody knows the pace", state(waitingroom.Open, 300, 0), 300 / 30 / 0.5},
		{"before the draw", state(waitingroom.PreQueue, 60, 60), 60 / 30 / 0.5},
	} {
		if got := pollsAllowed(c.in); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	near, far := pollsAllowed(state(waitingroom.Open, 1000, 60)), pollsAllowed(state(waitingroom.Open, 1300, 60))
	if want := 300 / 30 / 0.5; math.Abs(far-near-want) > 1e-6 {
		t.Errorf("300 people far behind add %v polls, want %v", far-near, want)
	}
}

func TestJar(t *testing.T) {
	t.Parallel()
	var j jar
	for _, header := range []string{"wr_key=k; path=/; HttpOnly", "a=1", "wr_key=l; max-age=60", "b=2", "a=; expires=Thu, 01 Jan 1970 00:00:01 GMT", "c=3; Max-Age=0", "nonsense"} {
		j.set([]byte(header))
	}
	if want := (jar{{keyCookie, "l"}, {"b", "2"}}); !slices.Equal(j, want) {
		t.Errorf("jar %v, want %v", j, want)
	}
	if got := j.only("b", "x"); len(got) != 1 || got[0].value != "2" {
		t.Errorf("only b: %v", got)
	}
	x := exchange{method: "POST", path: "/x", client: "192.0.2.1", jar: &j, body: "{}"}
	want := "POST /x HTTP/1.1\r\nHost: portal\r\nX-Real-IP: 192.0.2.1\r\nCookie: wr_key=l; b=2\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	if got := string(x.write(nil)); got != want {
		t.Errorf("%q", got)
	}
}

// Everybody has an address of their own, and no two of a hundred share a network.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	networks := map[netip.Prefix]int{}
	for i := range 20_000 {
		a, err := netip.ParseAddr(clientAddress(i))
		if err != nil || a.IsPrivate() || a.IsLoopback() {
			t.Fatalf("%d: %v %v", i, a, err)
		}
		n, _ := a.Prefix(24)
		if networks[n]++; networks[n] > 3 {
			t.Fatalf("%d people share %v", networks[n], n)
		}
	}
}

func TestBearable(t *testing.T) {
	t.Parallel()
	var none *faults
	if none.bearable(sec(5), sec(4)) {
		t.Error("a day without faults bears one")
	}
	f := &faults{}
	if f.bearable(sec(5), sec(4)) {
		t.Error("bearable before the first fault")
	}
	f.away.Store(1)
	if !f.bearable(sec(99), sec(1)) {
		t.Error("not bearable while it lasts")
	}
	f.away.Store(0)
	f.over.Store(int64(sec(100)))
	for _, c := range []struct {
		now, first float64
		want       bool
	}{{105, 90, true}, {111, 90, false}, {112, 103, true}, {114, 103, false}} {
		if got := f.bearable(sec(c.now), sec(c.first)); got != c.want {
			t.Errorf("at %v since %v: %v", c.now, c.first, got)
		}
	}
}
