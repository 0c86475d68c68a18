// Package clock tells the time: one Clock per process, so that drills and
// demos can shift it (PORTAL_CLOCK) and tests can set it. People's time is
// Europe/Berlin; storage is UTC. SQL never asks its own clock: it gets the time
// as a parameter.
package clock

import (
	"time"
	_ "time/tzdata" // the zone must not depend on the machine
)

// Clock returns the present time.
type Clock func() time.Time

// Berlin is the zone of everything that people read.
var Berlin = mustLoad("Europe/Berlin")

func mustLoad(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // tzdata is linked in: this cannot fail
	}
	return loc
}

// Shifted returns the system clock moved by offset (0 in production).
// Times are UTC and cut to microseconds, the resolution of Postgres, so that
// a time read back equals the time written.
func Shifted(offset time.Duration) Clock {
	return func() time.Time { return time.Now().Add(offset).UTC().Truncate(time.Microsecond) }
}

// Fixed returns a clock that stands still; for tests.
func Fixed(t time.Time) Clock {
	t = t.UTC().Truncate(time.Microsecond)
	return func() time.Time { return t }
}

// Day returns the calendar day of t in Berlin as midnight UTC, the form in
// which a Postgres `date` column is scanned.
func Day(t time.Time) time.Time {
	y, m, d := t.In(Berlin).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// At returns the moment of the Berlin wall clock hour:minute on day (a value
// as returned by Day). In the hour that daylight saving skips it returns the
// moment after the gap.
func At(day time.Time, hour, minute int) time.Time {
	y, m, d := day.Date()
	return time.Date(y, m, d, hour, minute, 0, 0, Berlin).UTC()
}
