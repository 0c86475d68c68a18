package defence

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"impfportal/internal/redistest"
)

// arrival is one request for a place in a trace.
type arrival struct {
	at   time.Duration
	addr netip.Addr
	key  bool
	// what came of a solution that it brought: 0 none, 1 counted, 2 refused
	solution int
}

// poisson spreads n arrivals over d independently, more of them early when
// front > 1.
func poisson(r *rand.Rand, n int, d time.Duration, front float64, one func() arrival) []arrival {
	out := repeat(n, one)
	for i := range out {
		out[i].at = time.Duration(math.Pow(r.Float64(), front) * float64(d))
	}
	return out
}

func repeat(n int, one func() arrival) []arrival {
	out := make([]arrival, n)
	for i := range out {
		out[i] = one()
	}
	return out
}

// clockwork spreads n arrivals evenly, each late or early by up to jitter.
func clockwork(r *rand.Rand, n int, d, jitter time.Duration, one func() arrival) []arrival {
	out := repeat(n, one)
	for i := range out {
		out[i].at = time.Duration(i)*d/time.Duration(n) + time.Duration((2*r.Float64()-1)*float64(jitter))
	}
	return out
}

func v4(n uint32) netip.Addr {
	n += 1 << 24
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// everybody is the population: half of it on mobile phones behind 300 networks
// of three carriers, the rest at home, some with IPv6; three in a thousand keep
// no cookies.
func everybody(r *rand.Rand) func() arrival {
	return func() arrival {
		a := arrival{key: r.IntN(1000) > 2}
		switch p := r.IntN(10); {
		case p < 5:
			a.addr = v4(uint32(r.IntN(300))<<8 | uint32(r.IntN(256)))
		case p < 7:
			var b [16]byte
			b[0], b[1], b[4], b[5], b[7] = 0x20, 0x03, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))
			a.addr = netip.AddrFrom16(b)
		default:
			a.addr = v4(1<<28 + uint32(r.IntN(1<<24)))
		}
		return a
	}
}

func from(addr func() netip.Addr, key bool) func() arrival {
	return func() arrival { return arrival{addr: addr(), key: key} }
}

// play lets replicas see a trace, round robin, and exchange once a second; it
// returns the last signals and whether any second said machines.
func play(t *testing.T, trace []arrival, seconds int) (last Signals, machines bool, verdict Verdict) {
	t.Helper()
	rdb := redistest.New(t)
	var replicas []*Watch
	for i := range 3 {
		replicas = append(replicas, NewWatch(rdb, "wr:{test}:", fmt.Sprint("replica", i), Limits{}))
	}
	slices.SortFunc(trace, func(a, b arrival) int { return int(a.at - b.at) })
	start := time.Date(2021, 1, 11, 13, 0, 0, 0, time.UTC)
	next := 0
	for s := 1; s <= seconds; s++ {
		for ; next < len(trace) && trace[next].at < time.Duration(s)*time.Second; next++ {
			a, w := trace[next], replicas[next%len(replicas)]
			nets := Networks(a.addr)
			w.Join(start.Add(a.at), nets, a.key)
			switch a.solution {
			case 1:
				w.Proven()
			case 2:
				w.Wrong(start.Add(a.at), nets)
			}
		}
		for i, w := range replicas {
			seen, err := w.Exchange(context.Background(), start.Add(time.Duration(s)*time.Second+time.Duration(i)*100*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			last = seen.Signals
		}
		if v := Judge(last); v.Machines || !machines {
			verdict, machines = v, machines || v.Machines
		}
	}
	return last, machines, verdict
}

func TestJudgeTraces(t *testing.T) {
	t.Parallel()
	minute := time.Minute
	one := func(a netip.Addr) func() netip.Addr { return func() netip.Addr { return a } }
	hospital := netip.MustParseAddr("198.51.100.7")
	for name, c := range map[string]struct {
		trace func(r *rand.Rand) []arrival
		want  bool
		found []Code
	}{
		"an opening: 100,000 within a minute, most of them early": {
			func(r *rand.Rand) []arrival { return poisson(r, 100_000, minute, 2, everybody(r)) }, false, nil,
		},
		"the same, evenly": {
			func(r *rand.Rand) []arrival { return poisson(r, 100_000, minute, 1, everybody(r)) }, false, nil,
		},
		"a crowd that the servers' own pace makes regular": {
			func(r *rand.Rand) []arrival { return clockwork(r, 30_000, minute, 0, everybody(r)) }, false, []Code{Regular},
		},
		"a hospital: 3,000 behind one address in one minute, and hardly anybody else": {
			func(r *rand.Rand) []arrival {
				return append(poisson(r, 3000, minute, 1.5, from(one(hospital), true)), poisson(r, 100, minute, 1, everybody(r))...)
			}, false, []Code{Concentrated},
		},
		"a school class behind one address": {
			func(r *rand.Rand) []arrival { return poisson(r, 28, 20*time.Second, 1, from(one(hospital), true)) }, false, nil,
		},
		"a quiet evening": {
			func(r *rand.Rand) []arrival { return poisson(r, 60, minute, 1, everybody(r)) }, false, nil,
		},
		"programs without cookies, too few to do harm": {
			func(r *rand.Rand) []arrival { return poisson(r, 100, minute, 1, from(one(hospital), false)) }, false, nil,
		},
		"clockwork over three networks, with keys": {
			func(r *rand.Rand) []arrival {
				return clockwork(r, 3000, minute, 5*time.Millisecond, from(func() netip.Addr { return v4(uint32(r.IntN(3))<<8 | uint32(r.IntN(256))) }, true))
			}, true, []Code{Regular, Concentrated},
		},
		"slow clockwork over three networks": {
			func(r *rand.Rand) []arrival {
				return clockwork(r, 360, minute, 20*time.Millisecond, from(func() netip.Addr { return v4(uint32(r.IntN(3)) << 8) }, true))
			}, true, []Code{Regular, Concentrated},
		},
		"clockwork that begins in the middle of a quiet evening": {
			func(r *rand.Rand) []arrival {
				bots := clockwork(r, 2000, 40*time.Second, 5*time.Millisecond, from(func() netip.Addr { return v4(uint32(r.IntN(3)) << 8) }, true))
				for i := range bots {
					bots[i].at += 20 * time.Second
				}
				return append(bots, poisson(r, 60, minute, 1, everybody(r))...)
			}, true, []Code{Regular, Concentrated},
		},
		"a flood without keys from everywhere": {
			func(r *rand.Rand) []arrival {
				return poisson(r, 6000, minute, 1, from(func() netip.Addr { return v4(r.Uint32N(1 << 30)) }, false))
			}, true, []Code{Keyless},
		},
		"a flood without keys during an opening": {
			func(r *rand.Rand) []arrival {
				return append(poisson(r, 10_000, minute, 1, from(func() netip.Addr { return v4(r.Uint32N(1 << 30)) }, false)), poisson(r, 30_000, minute, 2, everybody(r))...)
			}, true, []Code{Keyless},
		},
		"wrong solutions from few networks": {
			func(r *rand.Rand) []arrival {
				return poisson(r, 1000, minute, 1, func() arrival {
					return arrival{addr: v4(uint32(r.IntN(2)) << 8), key: true, solution: 1 + r.IntN(2)}
				})
			}, true, []Code{Concentrated, Refusals},
		},
		"an old browser in a school: wrong solutions among many": {
			func(r *rand.Rand) []arrival {
				return poisson(r, 1000, minute, 1, func() arrival {
					a := everybody(r)()
					a.solution = 1 + r.IntN(2)
					return a
				})
			}, false, []Code{Refusals},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace := c.trace(rand.New(rand.NewPCG(1, 2)))
			signals, machines, v := play(t, trace, 63)
			if machines != c.want {
				t.Errorf("machines: %v, want %v\n%+v\n%+v", machines, c.want, signals, v)
			}
			var found []Code
			for _, r := range v.Reasons {
				if r.Found {
					found = append(found, r.Code)
				}
			}
			if !slices.Equal(found, c.found) {
				t.Errorf("found %q, want %q\n%+v\n%+v", found, c.found, signals, v.Reasons)
			}
		})
	}
}

// Independent arrivals are practically never taken for clockwork.
func TestDispersionOfPeople(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		windows, perMinute int
		most               float64 // share of minutes that look like clockwork
	}{{60, 200, 2e-4}, {60, 1000, 2e-4}, {600, 2000, 0}, {600, 50_000, 0}} {
		const minutes = 20_000
		false_, sum := 0, 0.0
		rounds := minutes * 60 / c.windows
		for range rounds {
			counts := make([]int64, c.windows)
			for i := range counts {
				counts[i] = draw(r, float64(c.perMinute)/float64(c.windows))
			}
			d := Disperse(counts)
			sum += d.Index
			if d.Index <= regularIndex {
				false_++
			}
		}
		if got := float64(false_) / float64(rounds); got > c.most {
			t.Errorf("%d windows, %d a minute: %g of the minutes look like clockwork", c.windows, c.perMinute, got)
		}
		if mean := sum / float64(rounds); mean < 0.8 || mean > 1.2 {
			t.Errorf("%d windows, %d a minute: the index is %.2f on average, not about 1", c.windows, c.perMinute, mean)
		}
	}
}

// draw returns a number of independent arrivals.
func draw(r *rand.Rand, mean float64) (n int64) {
	if mean > 50 {
		return max(0, int64(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	for p := r.ExpFloat64(); p < mean; p += r.ExpFloat64() {
		n++
	}
	return n
}

func drawSignals(t *rapid.T) Signals {
	n := func(name string, most int64) int64 { return rapid.Int64Range(-1, most).Draw(t, name) }
	dispersion := func(name string) Dispersion {
		return Disperse(rapid.SliceOfN(rapid.Int64Range(0, 1000), 0, 700).Draw(t, name))
	}
	s := Signals{
		Joins: n("joins", 1e6), Keyless: n("keyless", 1e6), Proven: n("proven", 1e6), Refused: n("refused", 1e6),
		Placed: n("placed", 1e6), Networks: n("networks", 1e6), Fine: dispersion("fine"), Coarse: dispersion("coarse"),
	}
	for range rapid.IntRange(0, 5).Draw(t, "top") {
		s.Top = append(s.Top, Share{"x", n("share", 1e6)})
	}
	return s
}

func TestJudgeBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSignals(t)
		v := Judge(s)
		if again := Judge(s); fmt.Sprint(again) != fmt.Sprint(v) {
			t.Fatal("the same signals, another verdict")
		}
		score := 0
		for i, r := range v.Reasons {
			if r.Code != Codes[i] || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Value < 0 || r.Code != Regular && r.Value > 1 {
				t.Fatalf("reason %+v", r)
			}
			if r.Found {
				score += r.Weight
				if (r.Code == Regular) != (r.Value <= r.Threshold) && r.Value != r.Threshold {
					t.Fatalf("found on the wrong side of its threshold: %+v", r)
				}
			}
		}
		if score != v.Score || v.Machines != (score >= MachineScore) || len(v.Reasons) != len(Codes) {
			t.Fatalf("%+v", v)
		}
		if s.Joins < MinJoins && (v.Machines || v.Score > 0) {
			t.Fatal("judged on too few")
		}
		// One more request without a key never acquits.
		s.Joins, s.Keyless = max(s.Joins, 0)+1, min(max(s.Keyless, 0), max(s.Joins, 0))+1
		more := s
		more.Joins, more.Keyless = s.Joins+1000, s.Keyless+1000
		if Judge(s).Machines && !Judge(more).Machines {
			t.Fatal("more requests without a key acquit")
		}
	})
}
