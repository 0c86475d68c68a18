package booking

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// ReleaseRule says that what From has not used of a day flows to To, DaysBefore
// days before at AtMinute. It holds for the days from FromDay on, until the next
// rule of the same centre and channel.
type ReleaseRule struct {
	CentreID   string    // "" = every centre that has none of its own for From
	From       Channel   //
	FromDay    time.Time // as clock.Day
	To         Channel   // "" = nothing flows
	DaysBefore int       //
	AtMinute   int       // of the day in Berlin, 0 to 1439
}

// moment is when the rule takes effect for a day.
func (r ReleaseRule) moment(day time.Time) time.Time {
	return clock.At(day.AddDate(0, 0, -r.DaysBefore), r.AtMinute/60, r.AtMinute%60)
}

// Releases returns the rules that concern a centre, its own and the default
// ones, in the order of channel and day; centreID "" only the default ones.
func Releases(ctx context.Context, q pg.Querier, centreID string) ([]ReleaseRule, error) {
	rows, err := q.Query(ctx, `
		SELECT centre_id, from_channel, from_day, coalesce(to_channel, ''), days_before, at_minute FROM booking.release_rule
		WHERE centre_id IN ('', $1) ORDER BY from_channel, centre_id, from_day`, centreID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ReleaseRule])
}

// release returns the rule in force for a channel on a day.
func (b *quotaBook) release(ch Channel, day time.Time) (rule ReleaseRule, ok bool) {
	for _, r := range b.releases { // by centre, the default ones first, then by day: the last one that fits
		if r.From == ch && !r.FromDay.After(day) {
			rule, ok = r, true
		}
	}
	return rule, ok && rule.To != ""
}

// flows says by channel who gets what it has not used of a day, as it is now;
// nil when nothing flows. Where two channels have released to each other, the
// later release counts. What the receiver cannot book any more stays where it is.
func (b *quotaBook) flows(day, now time.Time) []int {
	type fired struct {
		at       time.Time
		from, to int
	}
	var list []fired
	for i, ch := range b.channels {
		r, ok := b.release(ch.ID, day)
		if !ok || now.Before(r.moment(day)) {
			continue
		}
		to := b.index[r.To]
		if daysBetween(b.today, day) >= b.channels[to].LeadDays {
			list = append(list, fired{r.moment(day), i, to})
		}
	}
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(x, y fired) int { return x.at.Compare(y.at) })
	receiver := make([]int, len(b.channels))
	for i := range receiver {
		receiver[i] = i
	}
	for _, f := range list {
		to := receiver[f.to]
		if to == f.from {
			to = f.to
		}
		for c := range receiver {
			if receiver[c] == f.from {
				receiver[c] = to
			}
		}
	}
	return receiver
}

// SetRelease sets the rule of a channel from a day on, in the place of the one
// that begins on the same day. ErrInvalid when the receiver is no channel that
// people book over, or could not use the places any more at that time.
func (s *Service) SetRelease(ctx context.Context, r ReleaseRule, by By) error {
	channels, err := Channels(ctx, s.Pool)
	if err != nil {
		return err
	}
	r.FromDay = clock.Day(r.FromDay)
	from := slices.IndexFunc(channels, func(c ChannelRule) bool { return c.ID == r.From })
	to := slices.IndexFunc(channels, func(c ChannelRule) bool { return c.ID == r.To })
	switch {
	case from < 0 || r.To != "" && (to < 0 || to == from || !channels[to].Bookable):
		return fmt.Errorf("%w: release from %q to %q", ErrInvalid, r.From, r.To)
	case r.To != "" && r.DaysBefore < channels[to].LeadDays:
		return fmt.Errorf("%w: %s books at least %d days ahead", ErrInvalid, r.To, channels[to].LeadDays)
	}
	return s.changeReleases(ctx, r.CentreID, by, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO booking.release_rule (centre_id, from_channel, from_day, to_channel, days_before, at_minute)
			VALUES ($1, $2, $3, nullif($4, ''), $5, $6)
			ON CONFLICT (centre_id, from_channel, from_day) DO UPDATE
			SET to_channel = excluded.to_channel, days_before = excluded.days_before, at_minute = excluded.at_minute`,
			r.CentreID, r.From, r.FromDay, r.To, r.DaysBefore, r.AtMinute)
		if pg.Violates(err, "release_days") || pg.Violates(err, "release_minute") {
			return fmt.Errorf("%w: time of a release", ErrInvalid)
		}
		return err
	})
}

// RemoveRelease takes a rule away; the one before it is in force again.
// ErrNotFound when there is none.
func (s *Service) RemoveRelease(ctx context.Context, centreID string, from Channel, fromDay time.Time, by By) error {
	return s.changeReleases(ctx, centreID, by, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM booking.release_rule WHERE centre_id = $1 AND from_channel = $2 AND from_day = $3`, centreID, from, clock.Day(fromDay))
		if err == nil && tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return err
	})
}

func (s *Service) changeReleases(ctx context.Context, centreID string, by By, change func(tx pgx.Tx) error) error {
	return s.changeRules(ctx, centreID, "booking.releases", by, func(tx pgx.Tx) (any, error) { return ownReleases(ctx, tx, centreID) }, change)
}

// changeRules changes rules of a centre, or ("") of all, alone among changes of
// quotas; the record has what list returns before and after, and what follows from
// the rules is planned anew.
func (s *Service) changeRules(ctx context.Context, centreID, action string, by By, list func(tx pgx.Tx) (any, error), change func(tx pgx.Tx) error) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if centreID != "" {
			if _, err := centre.Get(ctx, tx, centreID); err != nil {
				return err
			}
		}
		if err := lockQuotas(ctx, tx); err != nil {
			return err
		}
		before, err := list(tx)
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, err := list(tx)
		if err != nil {
			return err
		}
		if err := audit.Write(ctx, tx, s.Now(), audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: action, Subject: quotaSubject(centreID), Before: before, After: after,
		}); err != nil {
			return err
		}
		return wantPlans(ctx, tx, centreID)
	})
}

func ownReleases(ctx context.Context, q pg.Querier, centreID string) ([]ReleaseRule, error) {
	list, err := Releases(ctx, q, centreID)
	return slices.DeleteFunc(list, func(r ReleaseRule) bool { return r.CentreID != centreID }), err
}

// wantPlans asks for new plans of what is planned at a centre, or ("") everywhere.
func wantPlans(ctx context.Context, q pg.Querier, centreID string) error {
	_, err := q.Exec(ctx, `UPDATE booking.plan SET wanted = wanted + 1 WHERE $1 IN ('', centre_id)`, centreID)
	return err
}

// lockQuotas lets one change of quotas run at a time, so that two that are
// right each cannot be wrong together. Bookings do not wait for it.
func lockQuotas(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('booking.quotas', 0))`)
	return err
}

// quotaSubject is what the audit calls the quotas of a centre, or of all.
func quotaSubject(centreID string) string {
	if centreID == "" {
		return "booking"
	}
	return "centre:" + centreID
}
