// Package brake decides from numbers alone whether an alarm about an issuer
// trips. The thresholds are dated rows of the database; counting is the caller's.
//
//	crowd         many persons got a certificate from one issuer within a minute
//	names         one operator issued for many persons within a quarter of an hour
//	odd_hours     much of a day's work was done at night (22 to 5 o'clock)
//	lot_fast      most doses of a large lot were certified within a day
//	appointments  more certificates than the issuer had appointments that day
//	repeat        one person got many certificates from one issuer
//	seen_day      one operator certified many doses given elsewhere in a day
//	seen_usual    far more of them than operators of such issuers do on a median day
//	lot_over      more doses of a lot than the issuer received (no threshold: one is too many)
package brake

import "time"

// The alarms.
const (
	Crowd        = "crowd"
	Names        = "names"
	OddHours     = "odd_hours"
	LotFast      = "lot_fast"
	Appointments = "appointments"
	Repeat       = "repeat"
	SeenDay      = "seen_day"
	SeenUsual    = "seen_usual"
	LotOver      = "lot_over"
)

// Threshold says when an alarm trips.
type Threshold struct {
	Alarm   string
	AtLeast int           // certificates or persons; fewer never trip
	Ratio   float64       // of part to whole; 0 = the number alone counts
	Window  time.Duration // how far back is counted
}

// Measure is what was counted in the window: a number, and for ratios the whole
// that it is a part of.
type Measure struct {
	Count int     `json:"count"`
	Of    int     `json:"of,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
	Lot   string  `json:"lot,omitempty"`
}

// Trips tells whether m trips the alarm. A ratio to nothing (no dose declared, no
// appointment) trips as soon as the number does: more than nothing is any ratio.
func (t Threshold) Trips(m Measure) bool {
	if t.AtLeast < 1 || m.Count < t.AtLeast {
		return false
	}
	return t.Ratio <= 0 || float64(m.Count) >= t.Ratio*float64(m.Of)
}

// Of makes a measure of a part and its whole.
func Of(part, whole int) Measure {
	m := Measure{Count: part, Of: whole}
	if whole > 0 {
		m.Ratio = float64(part) / float64(whole)
	}
	return m
}

// Odd tells whether a moment on the local clock counts as night.
func Odd(t time.Time) bool { return t.Hour() >= 22 || t.Hour() < 5 }

// Bucket is a token bucket: Burst certificates at once, Hourly more every hour.
type Bucket struct{ Burst, Hourly int }

// Left is what stands in a bucket that had tokens so long ago.
func (b Bucket) Left(tokens float64, ago time.Duration) float64 {
	return min(float64(b.Burst), tokens+float64(b.Hourly)*max(ago, 0).Hours())
}

// Wait is how long it takes until a bucket with these tokens has a whole one,
// in full seconds.
func (b Bucket) Wait(tokens float64) time.Duration {
	if tokens >= 1 || b.Hourly <= 0 {
		return 0
	}
	d := time.Duration((1 - tokens) / float64(b.Hourly) * float64(time.Hour))
	d = d.Truncate(time.Second) + time.Second
	if b.Left(tokens, d) < 1 { // rounded down by the last bit
		d += time.Second
	}
	return d
}
