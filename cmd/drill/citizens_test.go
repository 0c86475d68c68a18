package main

import (
	"testing"
	"time"

	"impfportal/waitingroom"
)

func at(seconds float64) time.Time {
	return time.Date(2021, 1, 11, 14, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func TestJoinInversions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   []joined
		want int
	}{
		{"nobody", nil, 0},
		{"in order", []joined{{at(0), at(1), 1}, {at(2), at(3), 2}}, 0},
		{"at the same time either way", []joined{{at(0), at(2), 2}, {at(1), at(3), 1}}, 0},
		{"the second one in front", []joined{{at(2), at(3), 1}, {at(0), at(1), 2}}, 1},
		{"two behind one", []joined{{at(0), at(1), 9}, {at(2), at(3), 7}, {at(2), at(4), 8}, {at(5), at(6), 10}}, 2},
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
		in   []doorAnswer
		want int
	}{
		{"waited before", []doorAnswer{{at(0), at(1), 5, wait}, {at(2), at(3), 6, in}, {at(4), at(5), 5, in}}, 0},
		{"at the same time", []doorAnswer{{at(0), at(2), 6, in}, {at(1), at(3), 5, wait}}, 0},
		{"overtaken", []doorAnswer{{at(0), at(1), 6, in}, {at(2), at(3), 5, wait}}, 1},
		{"behind", []doorAnswer{{at(0), at(1), 5, in}, {at(2), at(3), 6, wait}}, 0},
		{"full is not waiting", []doorAnswer{{at(0), at(1), 6, in}, {at(2), at(3), 5, full}}, 0},
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
	if count[noShow] != 400 || count[late] != 50 || count[last] != 50 || count[patient] != 500 {
		t.Errorf("kinds: %v", count)
	}
}
