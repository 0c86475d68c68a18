package brake

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTrips(t *testing.T) {
	t.Parallel()
	number, ratio := Threshold{Alarm: Crowd, AtLeast: 12}, Threshold{Alarm: OddHours, AtLeast: 15, Ratio: 0.4}
	for _, c := range []struct {
		name string
		t    Threshold
		m    Measure
		want bool
	}{
		{"eleven", number, Measure{Count: 11}, false},
		{"twelve", number, Measure{Count: 12}, true},
		{"few at night, all of them", ratio, Of(14, 14), false},
		{"two fifths at night", ratio, Of(20, 50), true},
		{"fewer than two fifths", ratio, Of(20, 51), false},
		{"of nothing", Threshold{Alarm: Appointments, AtLeast: 20, Ratio: 1.5}, Of(20, 0), true},
		{"a threshold of nothing never trips", Threshold{}, Measure{Count: 1000}, false},
	} {
		if c.t.Trips(c.m) != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
	}
}

func TestOdd(t *testing.T) {
	t.Parallel()
	for h := range 24 {
		if got := Odd(time.Date(2021, 7, 21, h, 59, 59, 0, time.UTC)); got != (h >= 22 || h < 5) {
			t.Errorf("%d o'clock: %v", h, got)
		}
	}
}

// Whatever comes when, a bucket never gives more than its burst and what has flowed in.
func TestBucketNeverGivesMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := Bucket{Burst: rapid.IntRange(1, 50).Draw(t, "burst"), Hourly: rapid.IntRange(1, 500).Draw(t, "hourly")}
		tokens, given, passed := float64(b.Burst), 0, time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			step := time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second
			passed += step
			tokens = b.Left(tokens, step)
			if tokens < 1 {
				if w := b.Wait(tokens); w <= 0 || b.Left(tokens, w) < 1 {
					t.Fatalf("told to wait %s with %f", w, tokens)
				}
				continue
			}
			tokens--
			given++
			if most := float64(b.Burst) + float64(b.Hourly)*passed.Hours() + 1e-6; float64(given) > most {
				t.Fatalf("%d given, at most %f", given, most)
			}
		}
	})
}
