package booking

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Stage lets Percent of the places of the new days be booked from AtMinute on.
type Stage struct {
	AtMinute int `json:"at_minute"` // of the day in Berlin
	Percent  int `json:"percent"`   // of the day's places, together with the stages before
}

// OpeningRule says when new days open: on its weekdays, in stages. It holds for
// the openings from FromDay on, until the next rule. Without stages a day opens at
// midnight of the day on which it comes within the horizon.
type OpeningRule struct {
	FromDay  time.Time
	Weekdays []time.Weekday
	Stages   []Stage // ascending; the last one opens all
}

func (r OpeningRule) on(day time.Weekday) bool {
	for _, w := range r.Weekdays {
		if w == day {
			return true
		}
	}
	return false
}

// mask is the set of weekdays as it is stored: bit 0 is Monday.
func mask(days []time.Weekday) (m int) {
	for _, w := range days {
		m |= 1 << ((int(w) + 6) % 7)
	}
	return m
}

func unmask(m int) (days []time.Weekday) {
	for i := range 7 {
		if m&(1<<i) != 0 {
			days = append(days, time.Weekday((i+1)%7))
		}
	}
	return days
}

// openings are the rules in the order of their days.
type openings []OpeningRule

// Openings returns the rules for the opening of new days, by day.
func Openings(ctx context.Context, q pg.Querier) ([]OpeningRule, error) {
	rows, err := q.Query(ctx, `SELECT from_day, weekdays, at_minutes, percents FROM booking.opening ORDER BY from_day`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r OpeningRule, err error) {
		var weekdays int
		var minutes, percents []int
		err = row.Scan(&r.FromDay, &weekdays, &minutes, &percents)
		r.Weekdays = unmask(weekdays)
		for i := range minutes {
			r.Stages = append(r.Stages, Stage{minutes[i], percents[i]})
		}
		return r, err
	})
}

// at returns the rule in force for the openings on a day.
func (o openings) at(day time.Time) (rule OpeningRule) {
	for _, r := range o {
		if !r.FromDay.After(day) {
			rule = r
		}
	}
	return rule
}

// percent says how much of a day's places may be offered now. The day opens on
// the first opening at which it lies within the horizon.
func (o openings) percent(day, now time.Time, horizon int) int {
	if len(o) == 0 {
		return 100
	}
	today := clock.Day(now)
	for on := day.AddDate(0, 0, 1-horizon); !on.After(today); on = on.AddDate(0, 0, 1) {
		rule := o.at(on)
		switch {
		case len(rule.Stages) == 0:
			return 100
		case !rule.on(on.Weekday()):
			continue
		case on.Before(today):
			return 100
		}
		open := 0
		for _, st := range rule.Stages {
			if !now.Before(clock.At(on, st.AtMinute/60, st.AtMinute%60)) {
				open = st.Percent
			}
		}
		return open
	}
	return 0
}

// next returns the next moment after now at which places open; zero when no rule
// names one.
func (o openings) next(now time.Time) time.Time {
	today := clock.Day(now)
	for i := range 8 { // each weekday, and today's again
		on := today.AddDate(0, 0, i)
		rule := o.at(on)
		if !rule.on(on.Weekday()) {
			continue
		}
		for _, st := range rule.Stages {
			if at := clock.At(on, st.AtMinute/60, st.AtMinute%60); at.After(now) {
				return at
			}
		}
	}
	return time.Time{}
}

// stage adds to a plan's input how much of its days is open.
func (o openings) stage(in *planInput, today, now time.Time, days, horizon int) {
	all := true
	open := make([]int, days)
	for i := range open {
		open[i] = o.percent(today.AddDate(0, 0, i), now, horizon)
		all = all && open[i] == 100
	}
	if !all {
		in.Open = open
	}
}

// maxStages bounds the stages of a rule.
const maxStages = 6

// openingFault is what is wrong with a rule, and where.
type openingFault struct {
	Stage int    // index; -1 = of the rule as a whole
	What  string // time, percent, all, weekdays, stages
}

// wrong finds everything that is wrong with a rule, in the order of its stages: both
// time and percentage rise from one to the next, the last one opens all, and it names
// weekdays and stages, or neither.
func (r OpeningRule) wrong() (out []openingFault) {
	if len(r.Stages) > 0 && len(r.Weekdays) == 0 {
		out = append(out, openingFault{-1, "weekdays"})
	}
	if len(r.Stages) == 0 && len(r.Weekdays) > 0 {
		out = append(out, openingFault{-1, "stages"})
	}
	before := Stage{AtMinute: -1}
	for i, st := range r.Stages {
		if st.AtMinute <= before.AtMinute || st.AtMinute > 1439 {
			out = append(out, openingFault{i, "time"})
		}
		switch {
		case st.Percent <= before.Percent || st.Percent > 100:
			out = append(out, openingFault{i, "percent"})
		case i == len(r.Stages)-1 && st.Percent != 100:
			out = append(out, openingFault{i, "all"})
		}
		before = st
	}
	return out
}

// SetOpening sets the rule for openings from a day on, in the place of the one
// that begins on the same day. ErrInvalid unless its stages ascend to 100 percent
// and it names a weekday, or has neither. What is taken stays; free places of days
// that are not open by the new rule are withdrawn until they are.
func (s *Service) SetOpening(ctx context.Context, r OpeningRule, by By) error {
	r.FromDay = clock.Day(r.FromDay)
	if wrong := r.wrong(); len(r.Stages) > maxStages || len(wrong) > 0 {
		return fmt.Errorf("%w: opening rule: %v", ErrInvalid, wrong)
	}
	minutes, percents := []int{}, []int{}
	for _, st := range r.Stages {
		minutes, percents = append(minutes, st.AtMinute), append(percents, st.Percent)
	}
	return s.changeOpenings(ctx, by, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO booking.opening (from_day, weekdays, at_minutes, percents) VALUES ($1, $2, $3, $4)
			ON CONFLICT (from_day) DO UPDATE SET weekdays = excluded.weekdays, at_minutes = excluded.at_minutes, percents = excluded.percents`,
			r.FromDay, mask(r.Weekdays), minutes, percents)
		return err
	})
}

// RemoveOpening takes a rule away; the one before it is in force again.
// ErrNotFound when there is none.
func (s *Service) RemoveOpening(ctx context.Context, fromDay time.Time, by By) error {
	return s.changeOpenings(ctx, by, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM booking.opening WHERE from_day = $1`, clock.Day(fromDay))
		if err == nil && tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return err
	})
}

func (s *Service) changeOpenings(ctx context.Context, by By, change func(tx pgx.Tx) error) error {
	return s.changeRules(ctx, "", "booking.openings", by, func(tx pgx.Tx) (any, error) { return Openings(ctx, tx) }, change)
}

// NextOpening returns the next moment at which new appointments open by rule;
// zero when there is none.
func (s *Service) NextOpening(ctx context.Context, q pg.Querier) (time.Time, error) {
	rules, err := Openings(ctx, q)
	return openings(rules).next(s.Now()), err
}
