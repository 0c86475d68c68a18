package web

import (
	"strconv"
	"time"
)

// Int reads a whole number from low to high. When there is none it notes key as
// the field's error and returns 0; the text gets Low and High.
func (f *Form) Int(name string, low, high int, key string) int {
	n, err := strconv.Atoi(f.Get(name))
	if err != nil || n < low || n > high {
		f.Fail(name, key, "Low", low, "High", high)
		return 0
	}
	return n
}

// Day reads a calendar day as <input type="date"> sends it (2021-01-08), in the
// form of clock.Day. When there is none it notes key as the field's error and
// returns the zero time.
func (f *Form) Day(name, key string) time.Time {
	d, err := time.Parse(time.DateOnly, f.Get(name))
	if err != nil || d.Year() < 2000 || d.Year() > 2199 {
		f.Fail(name, key)
		return time.Time{}
	}
	return d
}
