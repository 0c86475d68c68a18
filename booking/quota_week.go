package booking

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// weekDays is how many days an administrator sees and copies at a time.
const weekDays = 7

// WeekCell is what a channel has of a day. Places, Taken and Free count first
// appointments, with those of contingents.
type WeekCell struct {
	Channel             Channel
	Quota               Quota
	Places, Taken, Free int
	To                  Channel // gets what is free, by a release that has taken effect; "" = nobody
	Kept                []WeekGroup
}

// WeekGroup is a contingent of the day that has places.
type WeekGroup struct {
	Group         string
	Places, Taken int
}

// WeekDay is a day of a centre.
type WeekDay struct {
	Day       time.Time
	Exception bool
	Products  []string // that have an exception of their own
	Open      int      // percent of the day's places that may be offered
	Beyond    bool     // not within the horizon yet
	Cells     []WeekCell
	Sum       WeekCell
	Later     int // later appointments on the day
}

// Week is how a centre's quotas of seven days are used, as of At.
type Week struct {
	Centre   centre.Centre
	From     time.Time
	At       time.Time
	Channels []ChannelRule
	Standing Quotas
	Own      bool // Standing is the centre's own, not the default
	Days     []WeekDay
}

// Monday returns the Monday of a day's week.
func Monday(day time.Time) time.Time { return day.AddDate(0, 0, -(int(day.Weekday())+6)%7) }

// Week reads seven days of a centre.
func (s *Service) Week(ctx context.Context, q pg.Querier, centreID string, from time.Time) (Week, error) {
	now := s.Now()
	w := Week{From: from, At: now}
	var err error
	if w.Centre, err = centre.Get(ctx, q, centreID); err != nil {
		return w, err
	}
	if w.Channels, err = Channels(ctx, q); err != nil {
		return w, err
	}
	book, err := s.quotaBook(ctx, q, w.Centre, w.Channels, clock.Day(now))
	if err != nil {
		return w, err
	}
	if book.exceptions, err = exceptions(ctx, q, centreID, from); err != nil {
		return w, err
	}
	set, err := readSettings(ctx, q)
	if err != nil {
		return w, err
	}
	w.Standing, w.Own = book.standing, book.own
	for i := range weekDays {
		d := WeekDay{Day: from.AddDate(0, 0, i)}
		d.Open = book.openings.percent(d.Day, now, set.HorizonDays)
		d.Beyond = daysBetween(book.today, d.Day) >= set.HorizonDays
		for key := range book.exceptions {
			switch {
			case !key.day.Equal(d.Day):
			case key.product == "":
				d.Exception = true
			default:
				d.Products = append(d.Products, key.product)
			}
		}
		slices.Sort(d.Products)
		quotas, flows := book.quotas(d.Day, ""), book.flows(d.Day, now)
		for n, ch := range w.Channels {
			cell := WeekCell{Channel: ch.ID, Quota: quotas[ch.ID]}
			if flows != nil && flows[n] != n {
				cell.To = w.Channels[flows[n]].ID
			}
			d.Cells = append(d.Cells, cell)
		}
		w.Days = append(w.Days, d)
	}
	return w, w.count(ctx, q, book)
}

// count fills in what the days have and what of it is taken.
func (w *Week) count(ctx context.Context, q pg.Querier, book *quotaBook) error {
	rows, err := q.Query(ctx, `
		SELECT s.day, p.channel, p.leg, sum(p.places)::int, sum(p.taken)::int, coalesce(sum(p.places - p.taken) FILTER (WHERE s.start_at > $4), 0)::int
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
		WHERE s.centre_id = $1 AND s.product_id = ANY (ARRAY(SELECT id FROM programme.product))
		  AND s.start_at >= $2 AND s.start_at < $3 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
		w.Centre.ID, clock.At(w.From, 0, 0), clock.At(w.From.AddDate(0, 0, weekDays), 0, 0), w.At)
	if err != nil {
		return err
	}
	var (
		day                 time.Time
		ch                  Channel
		leg                 int
		places, taken, free int
	)
	_, err = pgx.ForEachRow(rows, []any{&day, &ch, &leg, &places, &taken, &free}, func() error {
		d := &w.Days[daysBetween(w.From, day)]
		if leg > 1 {
			d.Later += taken
			return nil
		}
		i, ok := book.index[ch.base()]
		if !ok {
			return nil
		}
		cell := &d.Cells[i]
		for _, x := range []*WeekCell{cell, &d.Sum} {
			x.Places += places
			x.Taken += taken
			x.Free += free
		}
		if base := ch.base(); base != ch && places > 0 {
			cell.Kept = append(cell.Kept, WeekGroup{string(ch[len(base)+1:]), places, taken})
		}
		return nil
	})
	return err
}

// maxCopyWeeks bounds how far a week is copied.
const maxCopyWeeks = 26

// copyOf says what changes when the exceptions of a week are copied to the next
// weeks: days without an exception in the week have none there either.
func (s *Service) copyOf(ctx context.Context, q pg.Querier, centreID string, from time.Time, weeks int) ([]DayQuota, error) {
	if weeks < 1 || weeks > maxCopyWeeks {
		return nil, fmt.Errorf("%w: %d weeks", ErrInvalid, weeks)
	}
	all, err := exceptions(ctx, q, centreID, from)
	if err != nil {
		return nil, err
	}
	today := clock.Day(s.Now())
	var out []DayQuota
	for i := range weekDays * weeks {
		source, target := from.AddDate(0, 0, i%weekDays), from.AddDate(0, 0, i+weekDays)
		if target.Before(today) {
			continue
		}
		products := map[string]bool{}
		for key := range all {
			if key.day.Equal(source) || key.day.Equal(target) {
				products[key.product] = true
			}
		}
		for p := range products {
			want := all[dayProduct{source, p}]
			if !sameQuotas(want, all[dayProduct{target, p}]) {
				out = append(out, DayQuota{target, p, want})
			}
		}
	}
	sortDays(out)
	return out, nil
}

func sameQuotas(a, b Quotas) bool {
	if (a == nil) != (b == nil) {
		return false
	}
	for _, x := range []struct{ a, b Quotas }{{a, b}, {b, a}} {
		for ch, q := range x.a {
			if x.b[ch] != q {
				return false
			}
		}
	}
	return true
}

// PreviewCopy says what copying a week would change, and what stands against it.
func (s *Service) PreviewCopy(ctx context.Context, centreID string, from time.Time, weeks int) ([]DayQuota, []Conflict, error) {
	days, err := s.copyOf(ctx, s.Pool, centreID, from, weeks)
	if err != nil {
		return nil, nil, err
	}
	channels, err := Channels(ctx, s.Pool)
	if err != nil {
		return nil, nil, err
	}
	against, err := s.conflicts(ctx, s.Pool, centreID, channels, func(b *quotaBook) bool { b.except(days); return true })
	return days, against, err
}

// CopyWeek copies the exceptions of the week that begins on from to the next
// weeks, all or none. Errors as those of SetDays; it returns how many days changed.
func (s *Service) CopyWeek(ctx context.Context, centreID string, from time.Time, weeks int, by By) (changed int, err error) {
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := lockQuotas(ctx, tx); err != nil {
			return err
		}
		days, err := s.copyOf(ctx, tx, centreID, from, weeks)
		if err != nil || len(days) == 0 {
			return err
		}
		changed = len(days)
		return s.setDays(ctx, tx, centreID, days, by, "booking.quota-copy", true)
	})
	return changed, err
}
