package draw

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func testKey(n uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("test key"), n))
}

func TestPermutationIsABijection(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 5000).Draw(t, "n")
		p := newPermutation(testKey(rapid.Uint64().Draw(t, "key")), n, rounds)
		all := p.all()
		seen := make([]bool, n)
		for _, y := range all {
			if y >= n || seen[y] {
				t.Fatalf("n %d: %d is outside or met twice", n, y)
			}
			seen[y] = true
		}
		for range 20 {
			x := rapid.Uint64Range(0, n-1).Draw(t, "x")
			if y := p.forward(x); y != all[x] || p.back(y) != x {
				t.Fatalf("n %d: %d goes to %d, in the table to %d, and back to %d", n, x, y, all[x], p.back(y))
			}
		}
	})
}

func TestLotsWithGaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &Lot{Key: testKey(rapid.Uint64().Draw(t, "key"))}
		for range rapid.IntRange(0, 6).Draw(t, "stretches") {
			l.LastIndex += rapid.Int64Range(0, 200).Draw(t, "held")
			if gap := rapid.Int64Range(0, 100).Draw(t, "gap"); gap > 0 {
				if n := len(l.Gaps); n > 0 && l.Gaps[n-1][1] == l.LastIndex {
					l.Gaps[n-1][1] += gap
				} else {
					l.Gaps = append(l.Gaps, [2]int64{l.LastIndex + 1, l.LastIndex + gap})
				}
				l.LastIndex += gap
			}
		}
		var ok bool
		if l.Tickets, ok = count(l.LastIndex, l.Gaps); !ok {
			t.Fatalf("gaps %v up to %d", l.Gaps, l.LastIndex)
		}
		held := map[int64]int64{} // place -> index
		table := l.Places()
		for i := int64(1); i <= l.LastIndex; i++ {
			place, ok := l.Place(i)
			if !ok || place < 1 || place > max(1, l.Tickets) {
				t.Fatalf("index %d: place %d, %v", i, place, ok)
			}
			if _, in := l.rank(i); !in {
				continue // shares a place
			}
			if other, twice := held[place]; twice {
				t.Fatalf("%d and %d have place %d", other, i, place)
			}
			held[place] = i
			if back, ok := l.Index(place); !ok || back != i {
				t.Fatalf("place %d is of %d, back %d", place, i, back)
			}
			if table[0] != place {
				t.Fatalf("index %d: place %d, in the table %d", i, place, table[0])
			}
			table = table[1:]
		}
		if int64(len(held)) != l.Tickets || len(table) != 0 {
			t.Fatalf("%d places for %d tickets", len(held), l.Tickets)
		}
		for _, i := range []int64{-1, 0, l.LastIndex + 1, math.MaxInt64} {
			if place, ok := l.Place(i); ok {
				t.Errorf("index %d has place %d", i, place)
			}
		}
	})
}

// A placer is one way to give out places 0..n-1; the test of chance below must
// let the true one pass and refuse those that are not quite random.
type placer func(key [32]byte, n uint64) func(x uint64) uint64

func swapOrNot(rounds int) placer {
	return func(key [32]byte, n uint64) func(uint64) uint64 { return newPermutation(key, n, rounds).forward }
}

// naiveShuffle is the shuffle of a beginner: every card changes with any card,
// n^n equally likely ways for n! orders.
func naiveShuffle(key [32]byte, n uint64) func(uint64) uint64 {
	r := rand.New(rand.NewChaCha8(key))
	to := make([]uint64, n)
	for i := range to {
		to[i] = uint64(i)
	}
	for i := range to {
		j := r.Uint64N(n)
		to[i], to[j] = to[j], to[i]
	}
	return func(x uint64) uint64 { return to[x] }
}

// moduloBias is a proper shuffle that takes one byte modulo what is left.
func moduloBias(key [32]byte, n uint64) func(uint64) uint64 {
	r := rand.New(rand.NewChaCha8(key))
	to := make([]uint64, n)
	for i := range to {
		to[i] = uint64(i)
	}
	for i := n - 1; i > 0; i-- {
		j := r.Uint64() & 0xff % (i + 1)
		to[i], to[j] = to[j], to[i]
	}
	return func(x uint64) uint64 { return to[x] }
}

// deviation is how far counts are from equal shares, in standard deviations of
// the normal distribution (chi-square, Wilson and Hilferty 1931).
func deviation(counts []int, draws int) float64 {
	want := float64(draws) / float64(len(counts))
	var chi float64
	for _, c := range counts {
		chi += (float64(c) - want) * (float64(c) - want) / want
	}
	df := float64(len(counts) - 1)
	if df == 0 {
		return 0
	}
	return (math.Cbrt(chi/df) - (1 - 2/(9*df))) / math.Sqrt(2/(9*df))
}

// worst draws many times with fixed keys and returns the largest deviation of:
// the place of the first, a middle and the last index; who of a pair comes
// first; which of the orders of three indexes; for n up to 5 which of all orders.
func worst(place placer, n uint64, draws int) (z float64) {
	const bins = 100
	var (
		watch  = []uint64{0, n / 2, n - 1}
		width  = int(min(n, bins))
		places = make([][]int, len(watch))
		pair   = make([]int, 2)
		triple = make([]int, 6)
		orders = map[uint64]int{}
		even   = n%bins == 0 || n <= bins // bins of equal size only
	)
	for i := range places {
		places[i] = make([]int, width)
	}
	for d := range draws {
		shuffle, known := place(testKey(uint64(d)), n), map[uint64]uint64{}
		at := func(x uint64) uint64 {
			if _, ok := known[x]; !ok {
				known[x] = shuffle(x)
			}
			return known[x]
		}
		for i, x := range watch {
			y := at(x)
			if even {
				places[i][y*uint64(width)/n]++
			} else if y < n-n%bins { // the rest of a division is left out, in proportion
				places[i][y/(n/bins)]++
			}
		}
		if n > 1 {
			if at(0) < at(n-1) {
				pair[0]++
			} else {
				pair[1]++
			}
		}
		if n > 2 {
			a, b, c := at(0), at(1), at(2)
			i := 0
			for _, later := range []bool{a < b, a < c, b < c} {
				i = i*2 + map[bool]int{true: 1}[later]
			}
			triple[slices.Index([]int{0, 1, 3, 4, 6, 7}, i)]++
		}
		if n <= 5 {
			var code uint64
			for x := range n {
				code = code*8 + at(x)
			}
			orders[code]++
		}
	}
	for _, counts := range places {
		total := 0
		for _, c := range counts {
			total += c
		}
		z = max(z, math.Abs(deviation(counts, total)))
	}
	if n > 1 {
		z = max(z, math.Abs(deviation(pair, draws)))
	}
	if n > 2 {
		z = max(z, math.Abs(deviation(triple, draws)))
	}
	if n <= 5 {
		all := 1
		for i := 2; i <= int(n); i++ {
			all *= i
		}
		counts := make([]int, all)
		i := 0
		for _, c := range orders {
			counts[i] = c
			i++
		}
		z = max(z, math.Abs(deviation(counts, draws)))
	}
	return z
}

// The keys are fixed, so this never flakes. A true shuffle stays below 4.5
// deviations (once in 150,000 tries, with some 30 looks here); a broken one goes
// far beyond.
func TestDrawsShowNoBias(t *testing.T) {
	t.Parallel()
	const limit, draws = 4.5, 3_000
	for _, n := range []uint64{1, 2, 3, 4, 5, 100, 10007} {
		if z := worst(swapOrNot(rounds), n, draws); z > limit {
			t.Errorf("%d tickets: %.1f deviations", n, z)
		} else {
			t.Logf("%d tickets: %.1f deviations", n, z)
		}
	}
	for name, broken := range map[string]struct {
		place placer
		n     uint64
	}{
		"4 rounds, 100 tickets":               {swapOrNot(4), 100},
		"4 rounds, 10007 tickets":             {swapOrNot(4), 10007},
		"beginner's shuffle, 3 tickets":       {naiveShuffle, 3},
		"beginner's shuffle, 100 tickets":     {naiveShuffle, 100},
		"a byte modulo the rest, 100 tickets": {moduloBias, 100},
	} {
		if z := worst(broken.place, broken.n, draws); z <= limit {
			t.Errorf("%s passes as random with %.1f deviations: the test sees too little", name, z)
		} else {
			t.Logf("%s: %.0f deviations", name, z)
		}
	}
}

// One bit of seed or beacon, and everybody stands elsewhere.
func TestOneBitChangesTheOrder(t *testing.T) {
	t.Parallel()
	const n = 1000
	s := Subject{"registration", 3, 1}
	seed := testKey(1)
	value := testKey(2)
	order := func(seed, value [32]byte, tickets int64) []int64 {
		key := Key(s, seed, tickets, tickets, nil, BeaconDrand, "name", hexOf(value))
		return (&Lot{Tickets: n, LastIndex: n, Key: key}).Places()
	}
	first := order(seed, value, n)
	check := func(what string, other []int64) {
		same, moved := 0, 0.0
		for i := range first {
			if first[i] == other[i] {
				same++
			}
			moved += math.Abs(float64(first[i] - other[i]))
		}
		// By chance one keeps the place (Poisson), and one moves by n/3.
		if same > 8 || math.Abs(moved/n-n/3.0) > 30 {
			t.Errorf("%s: %d of %d keep their place, they move by %.0f", what, same, n, moved/n)
		}
	}
	for b := range 256 {
		changed := seed
		changed[b/8] ^= 1 << (b % 8)
		check("a bit of the seed", order(changed, value, n))
		changed = value
		changed[b/8] ^= 1 << (b % 8)
		check("a bit of the beacon", order(seed, changed, n))
	}
	check("one ticket more", order(seed, value, n+1))
}

func BenchmarkPlace(b *testing.B) {
	l := &Lot{Tickets: 1_000_000, LastIndex: 1_000_000, Key: testKey(1)}
	i := int64(0)
	for b.Loop() {
		i = i%l.Tickets + 1
		l.Place(i)
	}
}

func BenchmarkPlaces(b *testing.B) {
	l := &Lot{Tickets: 1_000_000, LastIndex: 1_000_000, Key: testKey(1)}
	for b.Loop() {
		l.Places()
	}
}
