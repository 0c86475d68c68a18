package web

import (
	"fmt"
	"time"

	"impfportal/internal/clock"
)

var (
	weekdaysDE = [...]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"}
	monthsDE   = [...]string{"", "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}
)

// FormatDate writes a day with weekday and year: "Montag, 11. Januar 2021",
// "Monday, 11 January 2021". A moment is taken in Berlin; midnight UTC, the
// form of a `date` column, stays that day.
func FormatDate(lang string, t time.Time) string {
	t = local(t)
	if lang == "en" {
		return t.Format("Monday, 2 January 2006")
	}
	return fmt.Sprintf("%s, %d. %s %d", weekdaysDE[t.Weekday()], t.Day(), monthsDE[t.Month()], t.Year())
}

// FormatDayShort writes "Mo., 11.01.2021", "Mon, 11 Jan 2021".
func FormatDayShort(lang string, t time.Time) string {
	t = local(t)
	if lang == "en" {
		return t.Format("Mon, 2 Jan 2006")
	}
	return fmt.Sprintf("%s., %s", weekdaysDE[t.Weekday()][:2], t.Format("02.01.2006"))
}

// FormatClock writes "14:00 Uhr", "2:00 p.m." is avoided: English says "14:00".
func FormatClock(lang string, t time.Time) string {
	s := t.In(clock.Berlin).Format("15:04")
	if lang == "en" {
		return s
	}
	return s + " Uhr"
}

// FormatDateTime writes day and time.
func FormatDateTime(lang string, t time.Time) string {
	sep := ", "
	if lang == "en" {
		sep = " at "
	}
	return FormatDate(lang, t.In(clock.Berlin)) + sep + FormatClock(lang, t)
}

// FormatNumber writes an integer with the language's separators.
func FormatNumber(lang string, n any) string {
	p := printers[lang]
	if p == nil {
		p = printers["de"]
	}
	return p.Sprint(n)
}

func local(t time.Time) time.Time {
	if t.Location() == time.UTC && t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 && t.Nanosecond() == 0 {
		return t
	}
	return t.In(clock.Berlin)
}
