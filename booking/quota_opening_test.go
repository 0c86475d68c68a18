package booking

import (
	"errors"
	"strings"
	"testing"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/id"
)

var daily = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}

func TestHowMuchOfADayIsOpen(t *testing.T) {
	t.Parallel()
	// Mondays at 14:00; from 1 March every day, half at 08:00, the rest at 18:00; from 1 April at midnight.
	rules := openings{
		{FromDay: day(2021, 1, 4), Weekdays: []time.Weekday{time.Monday}, Stages: []Stage{{14 * 60, 100}}},
		{FromDay: day(2021, 3, 1), Weekdays: daily, Stages: []Stage{{8 * 60, 50}, {18 * 60, 100}}},
		{FromDay: day(2021, 4, 1)},
	}
	const horizon = 14
	for _, c := range []struct {
		day  time.Time
		now  time.Time
		want int
	}{
		{day(2021, 1, 17), clock.At(day(2021, 1, 4), 13, 59), 0},
		{day(2021, 1, 17), clock.At(day(2021, 1, 4), 14, 0), 100}, // Monday + 13
		{day(2021, 1, 18), clock.At(day(2021, 1, 5), 9, 0), 0},    // within the horizon since today, but no Monday
		{day(2021, 1, 24), clock.At(day(2021, 1, 11), 13, 59), 0},
		{day(2021, 1, 18), clock.At(day(2021, 1, 11), 13, 59), 0},
		{day(2021, 1, 18), clock.At(day(2021, 1, 11), 14, 0), 100},
		{day(2021, 1, 25), clock.At(day(2021, 1, 11), 14, 0), 0}, // beyond the horizon
		{day(2021, 1, 10), clock.At(day(2021, 1, 4), 0, 0), 100}, // opened before there was a rule
		{day(2021, 3, 23), clock.At(day(2021, 3, 10), 7, 59), 0},
		{day(2021, 3, 23), clock.At(day(2021, 3, 10), 8, 0), 50},
		{day(2021, 3, 23), clock.At(day(2021, 3, 10), 17, 59), 50},
		{day(2021, 3, 23), clock.At(day(2021, 3, 10), 18, 0), 100},
		{day(2021, 3, 22), clock.At(day(2021, 3, 10), 0, 0), 100},
		{day(2021, 4, 10), clock.At(day(2021, 3, 28), 8, 0).Add(-time.Second), 0}, // the clocks have changed
		{day(2021, 4, 10), time.Date(2021, 3, 28, 6, 0, 0, 0, time.UTC), 50},
		{day(2021, 4, 15), clock.At(day(2021, 4, 2), 0, 0), 100},
	} {
		if got := rules.percent(c.day, c.now, horizon); got != c.want {
			t.Errorf("%s at %s: %d, want %d", c.day.Format(time.DateOnly), c.now.In(clock.Berlin), got, c.want)
		}
	}
	for _, c := range []struct{ now, want time.Time }{
		{clock.At(day(2021, 1, 4), 14, 0), clock.At(day(2021, 1, 11), 14, 0)},
		{clock.At(day(2021, 1, 11), 13, 0), clock.At(day(2021, 1, 11), 14, 0)},
		{clock.At(day(2021, 3, 27), 20, 0), time.Date(2021, 3, 28, 6, 0, 0, 0, time.UTC)},
		{clock.At(day(2021, 3, 28), 9, 0), time.Date(2021, 3, 28, 16, 0, 0, 0, time.UTC)},
		{clock.At(day(2021, 4, 1), 9, 0), time.Time{}},
	} {
		if got := rules.next(c.now); !got.Equal(c.want) {
			t.Errorf("after %s: %s, want %s", c.now, got, c.want)
		}
	}
}

func TestNewDaysOpenInStagesAtTheMinute(t *testing.T) {
	t.Parallel()
	b := wide(t)
	b.webOnly(leipzig)
	today := clock.Day(b.now()) // Monday, 14:00
	b.ok(b.s.SetOpening(b.ctx, OpeningRule{FromDay: today, Weekdays: daily, Stages: []Stage{{15 * 60, 50}, {18*60 + 30, 100}}}, admin))
	b.worker()
	on := today.AddDate(0, 0, 58) // a Wednesday that opened yesterday: before the rule
	full := b.places(on).total()
	last := today.AddDate(0, 0, 59)
	if got := b.places(last).total(); got != 0 || full == 0 {
		t.Fatalf("%d places of a day that is not open; the day before has %d", got, full)
	}
	if days, err := b.s.offers(b.ctx, b.pool, leipzig, Web, last, last, single(janssen)); err != nil || len(days) != 0 {
		t.Errorf("offered before it opens: %+v, %v", days, err)
	}
	at := func(hour, minute, want int) {
		t.Helper()
		b.at(clock.At(today, hour, minute).Add(-time.Second))
		b.worker()
		before := b.places(last).total()
		b.at(clock.At(today, hour, minute))
		b.worker()
		if got := b.places(last).total(); got != want || before >= want {
			t.Errorf("at %d:%02d %d places, a second before %d; want %d", hour, minute, got, before, want)
		}
	}
	at(15, 0, full/2)
	b.sell(Web, last, 5)
	b.replan(leipzig, janssen)
	if got := b.places(last)[Web]; got != [2]int{full / 2, 5} {
		t.Errorf("after five were sold: %v", got)
	}
	// Half is open: what the web has taken of it is less than half of all.
	b.sell(Web, last, full/2-5)
	b.ok(b.s.SetDays(b.ctx, leipzig, []DayQuota{{Day: last, Quotas: Quotas{Web: {Percent: 60}, Hotline: {Percent: 40}}}}, admin))
	var below *BelowTakenError
	if err := b.s.SetDays(b.ctx, leipzig, []DayQuota{{Day: last, Quotas: Quotas{Web: {Percent: 45}, Hotline: {Percent: 55}}}}, admin); !errors.As(err, &below) {
		t.Errorf("below what is taken: %v", err)
	}
	at(18, 30, full)
	b.sound()
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.openings'`); n != 1 {
		t.Errorf("%d audit entries", n)
	}
	b.ok(b.s.RemoveOpening(b.ctx, today, admin))
	if err := b.s.RemoveOpening(b.ctx, today, admin); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	for _, bad := range []OpeningRule{
		{Weekdays: daily},
		{Stages: []Stage{{0, 100}}},
		{Weekdays: daily, Stages: []Stage{{0, 99}}},
		{Weekdays: daily, Stages: []Stage{{60, 50}, {60, 100}}},
		{Weekdays: daily, Stages: []Stage{{0, 50}, {60, 50}, {70, 100}}},
		{Weekdays: daily, Stages: []Stage{{1440, 100}}},
	} {
		if err := b.s.SetOpening(b.ctx, bad, admin); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestPagesSayWhenNewAppointmentsOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ok(b.s.SetOpening(b.ctx, OpeningRule{FromDay: b.now(), Weekdays: []time.Weekday{time.Monday}, Stages: []Stage{{15 * 60, 100}}}, admin))
	_, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	app := b.app()
	if ans := app.Get("/api/v1/availability"); !strings.Contains(ans.Body, `"next_opening":"2021-01-11T14:00:00Z"`) {
		t.Errorf("%s", ans.Body)
	}
	p := b.person()
	app.LoginAs(citizenUser(p))
	if ans := app.Get("/appointments"); !strings.Contains(ans.Body, "Neue Termine gibt es ab Montag, 11. Januar 2021, 15:00 Uhr.") {
		t.Errorf("%s", ans.Body)
	}
}

func TestTheLeadOfTheHotlineHoldsAtOnce(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := clock.Day(b.now()).AddDate(0, 0, 7)
	b.sell(Hotline, on, 1)
	days, err := b.s.offers(b.ctx, b.pool, leipzig, Hotline, on, on, single(janssen))
	b.ok(err)
	b.ok(b.s.SetSettings(b.ctx, SettingsUpdate{LeadDays: map[Channel]int{Hotline: 8}}, admin))
	// Before any plan was made.
	if got, err := b.s.offers(b.ctx, b.pool, leipzig, Hotline, on, on, single(janssen)); err != nil || len(got) != 0 {
		t.Errorf("still offered: %v, %v", got, err)
	}
	person := id.New()
	_, err = b.s.take(b.ctx, takeRequest{
		ProgrammeID: "covid-19", Entitlements: single(janssen),
		HoldRequest: HoldRequest{PersonID: person, Channel: Hotline, SlotIDs: []int64{days[0].First[0].SlotID}, Key: "k", Actor: "staff:x", Role: "agent"},
	})
	if !errors.Is(err, ErrNotEligible) {
		t.Errorf("still taken: %v", err)
	}
	b.worker()
	if got := b.places(on); got[Hotline] != [2]int{1, 1} {
		t.Errorf("after the plan: %v", got)
	}
}
