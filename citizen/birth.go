package citizen

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// PartialDate is a birth date of which day, or day and month, may be unknown
// (0): papers of many people state only a year. Month 0 means Day 0.
type PartialDate struct{ Year, Month, Day int }

// ErrDate says that a text is no date that exists.
var ErrDate = errors.New("citizen: no such date")

// ParsePartialDate reads "1950", "1950-03" or "1950-03-14" (as in the EU
// certificate's `dob`). It returns ErrDate for days that do not exist.
func ParsePartialDate(s string) (PartialDate, error) {
	s = strings.TrimSpace(s)
	parts := strings.Split(s, "-")
	if len(parts) > 3 {
		return PartialDate{}, ErrDate
	}
	var n [3]int
	for i, p := range parts {
		if want := []int{4, 2, 2}[i]; len(p) != want || strings.Trim(p, "0123456789") != "" {
			return PartialDate{}, ErrDate
		}
		n[i], _ = strconv.Atoi(p)
		if n[i] == 0 {
			return PartialDate{}, ErrDate
		}
	}
	d := PartialDate{n[0], n[1], n[2]}
	if !d.exists() {
		return PartialDate{}, ErrDate
	}
	return d, nil
}

// exists reports whether the known parts make a day, month or year of the
// Gregorian calendar.
func (d PartialDate) exists() bool {
	switch {
	case d.Year < 1 || d.Year > 9999 || d.Month < 0 || d.Month > 12 || d.Day < 0 || d.Day > 31:
		return false
	case d.Month == 0:
		return d.Day == 0
	case d.Day == 0:
		return true
	}
	return time.Date(d.Year, time.Month(d.Month), d.Day, 0, 0, 0, 0, time.UTC).Day() == d.Day
}

// IsZero reports whether nothing is known.
func (d PartialDate) IsZero() bool { return d == PartialDate{} }

// Full reports whether the day is known.
func (d PartialDate) Full() bool { return d.Day != 0 }

// Earliest is the first day that it can be (UTC midnight).
func (d PartialDate) Earliest() time.Time {
	return time.Date(d.Year, time.Month(max(d.Month, 1)), max(d.Day, 1), 0, 0, 0, 0, time.UTC)
}

// Latest is the last day that it can be (UTC midnight). Age limits count from
// here, so that nobody is taken for older than they are.
func (d PartialDate) Latest() time.Time {
	switch {
	case d.Month == 0:
		return time.Date(d.Year, 12, 31, 0, 0, 0, 0, time.UTC)
	case d.Day == 0:
		return time.Date(d.Year, time.Month(d.Month)+1, 0, 0, 0, 0, 0, time.UTC)
	}
	return d.Earliest()
}

// Compatible reports whether both may be the same day.
func (d PartialDate) Compatible(o PartialDate) bool {
	return d.Year == o.Year && (d.Month == 0 || o.Month == 0 || d.Month == o.Month) &&
		(d.Day == 0 || o.Day == 0 || d.Day == o.Day)
}

// String is the form that ParsePartialDate reads; "" when nothing is known.
func (d PartialDate) String() string {
	switch {
	case d.IsZero():
		return ""
	case d.Month == 0:
		return fmt.Sprintf("%04d", d.Year)
	case d.Day == 0:
		return fmt.Sprintf("%04d-%02d", d.Year, d.Month)
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
}

// German is the form that people here read: "14.03.1950", "03.1950", "1950".
func (d PartialDate) German() string {
	switch {
	case d.IsZero():
		return ""
	case d.Month == 0:
		return fmt.Sprintf("%04d", d.Year)
	case d.Day == 0:
		return fmt.Sprintf("%02d.%04d", d.Month, d.Year)
	}
	return fmt.Sprintf("%02d.%02d.%04d", d.Day, d.Month, d.Year)
}

// MarshalText makes the JSON form the one of String.
func (d PartialDate) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the form of String; "" is the zero value.
func (d *PartialDate) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*d = PartialDate{}
		return nil
	}
	*d, err = ParsePartialDate(string(b))
	return err
}
