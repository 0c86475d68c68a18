package booking

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Kinds of changes that can be undone.
const (
	changeStanding = "standing"
	changeDays     = "days"
	changeShift    = "shift"
)

// standingState is what the log knows of standing quotas; Quotas nil = the default.
type standingState struct {
	Quotas Quotas `json:"quotas"`
}

// dayState is what the log knows of a day.
type dayState struct {
	Day       string `json:"day"`
	ProductID string `json:"product_id,omitempty"`
	Quotas    Quotas `json:"quotas"`
}

// SetShares sets the standing quotas of a centre in percent; see SetQuotas.
func (s *Service) SetShares(ctx context.Context, centreID string, shares Shares, by By) error {
	return s.SetQuotas(ctx, centreID, shares.Quotas(), by)
}

// SetQuotas sets the standing quotas of a centre, or ("") the default of all
// centres that have none of their own; nil takes a centre's own away. The places
// follow within seconds. ErrInvalid when the percentages do not add up to 100;
// *BelowTakenError when a channel would have less than it has taken.
func (s *Service) SetQuotas(ctx context.Context, centreID string, quotas Quotas, by By) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		return s.setStanding(ctx, tx, centreID, quotas, by, "booking.shares", true)
	})
}

func (s *Service) setStanding(ctx context.Context, tx pgx.Tx, centreID string, quotas Quotas, by By, action string, log bool) error {
	if err := lockQuotas(ctx, tx); err != nil {
		return err
	}
	channels, err := Channels(ctx, tx)
	if err != nil {
		return err
	}
	if quotas != nil || centreID == "" {
		if err := checkQuotas(channels, quotas); err != nil {
			return err
		}
	}
	before := standingState{}
	old, own, err := standingQuotas(ctx, tx, centreID, channels)
	if err != nil {
		return err
	}
	if own || centreID == "" {
		before.Quotas = old
	}
	next := quotas
	if next == nil {
		if next, _, err = standingQuotas(ctx, tx, "", channels); err != nil {
			return err
		}
	}
	if err := s.refuseBelowTaken(ctx, tx, centreID, channels, func(b *quotaBook) bool {
		if centreID == "" && b.own {
			return false
		}
		b.standing = next
		return true
	}); err != nil {
		return err
	}
	if err := writeStanding(ctx, tx, centreID, channels, quotas); err != nil {
		return err
	}
	return s.noteChange(ctx, tx, centreID, changeStanding, action, before, standingState{quotas}, by, log)
}

func writeStanding(ctx context.Context, tx pgx.Tx, centreID string, channels []ChannelRule, quotas Quotas) error {
	if centreID != "" {
		if _, err := tx.Exec(ctx, `DELETE FROM booking.share WHERE centre_id = $1`, centreID); err != nil || quotas == nil {
			return err
		}
	}
	sql := `INSERT INTO booking.share (centre_id, channel, percent, places) VALUES ($1, $2, $3, $4)`
	if centreID == "" {
		sql = `UPDATE booking.channel SET default_percent = $3, default_places = $4 WHERE id = $2 AND $1 = ''`
	}
	for _, c := range channels {
		if _, err := tx.Exec(ctx, sql, centreID, c.ID, quotas[c.ID].Percent, quotas[c.ID].Places); err != nil {
			return err
		}
	}
	return nil
}

// SetDayShares sets the shares of one day in percent; see SetDays.
func (s *Service) SetDayShares(ctx context.Context, centreID, productID string, day time.Time, shares Shares, by By) error {
	return s.SetDays(ctx, centreID, []DayQuota{{day, productID, shares.Quotas()}}, by)
}

// SetDays sets the exceptions of a centre's days, all or none; Quotas nil takes
// an exception away. Errors as those of SetQuotas, and ErrInvalid for days that
// are past.
func (s *Service) SetDays(ctx context.Context, centreID string, days []DayQuota, by By) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		return s.setDays(ctx, tx, centreID, days, by, "booking.shares-day", true)
	})
}

func (s *Service) setDays(ctx context.Context, tx pgx.Tx, centreID string, days []DayQuota, by By, action string, log bool) error {
	if err := lockQuotas(ctx, tx); err != nil {
		return err
	}
	channels, err := Channels(ctx, tx)
	if err != nil {
		return err
	}
	today := clock.Day(s.Now())
	for _, d := range days {
		if d.Day.Before(today) {
			return fmt.Errorf("%w: %s is past", ErrInvalid, d.Day.Format(time.DateOnly))
		}
		if d.Quotas != nil {
			if err := checkQuotas(channels, d.Quotas); err != nil {
				return err
			}
		}
	}
	if _, err := centre.Get(ctx, tx, centreID); err != nil {
		return err
	}
	if err := s.refuseBelowTaken(ctx, tx, centreID, channels, func(b *quotaBook) bool { b.except(days); return true }); err != nil {
		return err
	}
	old, err := exceptions(ctx, tx, centreID, today)
	if err != nil {
		return err
	}
	var before, after []dayState
	for _, d := range days {
		before = append(before, dayState{d.Day.Format(time.DateOnly), d.ProductID, old[dayProduct{d.Day, d.ProductID}]})
		after = append(after, dayState{d.Day.Format(time.DateOnly), d.ProductID, d.Quotas})
		if err := writeDay(ctx, tx, centreID, channels, d); err != nil {
			return err
		}
	}
	return s.noteChange(ctx, tx, centreID, changeDays, action, before, after, by, log)
}

func writeDay(ctx context.Context, tx pgx.Tx, centreID string, channels []ChannelRule, d DayQuota) error {
	_, err := tx.Exec(ctx, `DELETE FROM booking.share_day WHERE centre_id = $1 AND product_id = $2 AND day = $3`, centreID, d.ProductID, d.Day)
	if err != nil || d.Quotas == nil {
		return err
	}
	for _, c := range channels {
		if _, err := tx.Exec(ctx, `INSERT INTO booking.share_day (centre_id, product_id, day, channel, percent, places) VALUES ($1, $2, $3, $4, $5, $6)`,
			centreID, d.ProductID, d.Day, c.ID, d.Quotas[c.ID].Percent, d.Quotas[c.ID].Places); err != nil {
			return err
		}
	}
	return nil
}

// except sets exceptions in the book.
func (b *quotaBook) except(days []DayQuota) {
	b.exceptions = maps.Clone(b.exceptions)
	for _, d := range days {
		key := dayProduct{d.Day, d.ProductID}
		if delete(b.exceptions, key); d.Quotas != nil {
			b.exceptions[key] = d.Quotas
		}
	}
}

// noteChange writes the change into the audit and (log) into the list of what
// can be undone, and asks for the plans.
func (s *Service) noteChange(ctx context.Context, tx pgx.Tx, centreID, kind, action string, before, after any, by By, log bool) error {
	now := s.Now()
	if log {
		from, err := json.Marshal(before)
		if err != nil {
			return err
		}
		to, err := json.Marshal(after)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO booking.quota_change (centre_id, kind, at, actor, before, after) VALUES ($1, $2, $3, $4, $5, $6)`,
			centreID, kind, now, by.Actor, from, to); err != nil {
			return err
		}
	}
	if err := audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: action, Subject: quotaSubject(centreID), Before: before, After: after,
	}); err != nil {
		return err
	}
	return wantPlans(ctx, tx, centreID)
}

// Undo takes back the last change of a centre's quotas, or ("") of the default,
// and says what it was. ErrNotFound when there is none; ErrState when something
// else has changed the same since; *BelowTakenError or *NotFreeError when people
// have booked on the strength of it.
func (s *Service) Undo(ctx context.Context, centreID string, by By) error {
	var shifts []Shift
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := lockQuotas(ctx, tx); err != nil {
			return err
		}
		last, err := lastChange(ctx, tx, centreID)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE booking.quota_change SET undone_at = $2 WHERE id = $1`, last.ID, s.Now()); err != nil {
			return err
		}
		const action = "booking.quota-undo"
		switch last.Kind {
		case changeStanding:
			var before standingState
			if err := json.Unmarshal(last.before, &before); err != nil {
				return err
			}
			return s.setStanding(ctx, tx, centreID, before.Quotas, by, action, false)
		case changeDays:
			var before []dayState
			if err := json.Unmarshal(last.before, &before); err != nil {
				return err
			}
			days, err := last.days(before, clock.Day(s.Now()))
			if err != nil {
				return err
			}
			return s.setDays(ctx, tx, centreID, days, by, action, false)
		case changeShift:
			if err := json.Unmarshal(last.after, &shifts); err != nil {
				return err
			}
			return s.unshift(ctx, tx, shifts, by)
		}
		return ErrState
	})
	if err != nil {
		return err
	}
	s.replanShifted(ctx, shifts)
	return nil
}

// QuotaChange is a change that could be undone.
type QuotaChange struct {
	ID     int64
	Kind   string
	At     time.Time
	Actor  string
	before []byte
	after  []byte
}

// days are the days of the change that are not past yet.
func (QuotaChange) days(list []dayState, today time.Time) ([]DayQuota, error) {
	var out []DayQuota
	for _, d := range list {
		day, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			return nil, err
		}
		if !day.Before(today) {
			out = append(out, DayQuota{day, d.ProductID, d.Quotas})
		}
	}
	sortDays(out)
	return out, nil
}

func sortDays(list []DayQuota) {
	slices.SortFunc(list, func(a, b DayQuota) int {
		return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.ProductID, b.ProductID))
	})
}

// lastChange returns the last change that is not undone, or ErrNotFound.
func lastChange(ctx context.Context, q pg.Querier, centreID string) (QuotaChange, error) {
	var c QuotaChange
	err := q.QueryRow(ctx, `
		SELECT id, kind, at, actor, before, after FROM booking.quota_change
		WHERE centre_id = $1 AND undone_at IS NULL ORDER BY id DESC LIMIT 1`, centreID).
		Scan(&c.ID, &c.Kind, &c.At, &c.Actor, &c.before, &c.after)
	if pg.NoRows(err) {
		return c, ErrNotFound
	}
	return c, err
}
