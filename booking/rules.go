package booking

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// ChannelRule is a channel as it is set.
type ChannelRule struct {
	ID             Channel `json:"id"`
	Bookable       bool    `json:"bookable"`
	LeadDays       int     `json:"lead_days"` // least distance between booking and appointment
	DefaultPercent int     `json:"default_percent"`
	DefaultPlaces  int     `json:"default_places"`
}

// Channels returns all channels in their order.
func Channels(ctx context.Context, q pg.Querier) ([]ChannelRule, error) {
	rows, err := q.Query(ctx, `SELECT id, bookable, lead_days, default_percent, default_places FROM booking.channel ORDER BY position, id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ChannelRule])
}

func readSettings(ctx context.Context, q pg.Querier) (settings, error) {
	var s settings
	err := q.QueryRow(ctx, `SELECT horizon_days, hold_minutes, slot_minutes, delivery_margin_days FROM booking.setting`).
		Scan(&s.HorizonDays, &s.HoldMinutes, &s.SlotMinutes, &s.DeliveryMarginDays)
	return s, err
}

// By is who does something, for the audit.
type By struct{ Actor, Role string }

// Lane says how many stations of a centre work for a product from a day on.
type Lane struct {
	CentreID  string    `json:"centre_id"`
	ProductID string    `json:"product_id"`
	From      time.Time `json:"from"` // as clock.Day
	Stations  int       `json:"stations"`
}

// Lanes returns the lanes of a centre by product and day.
func Lanes(ctx context.Context, q pg.Querier, centreID string) ([]Lane, error) {
	rows, err := q.Query(ctx, `SELECT centre_id, product_id, from_day, stations FROM booking.lane WHERE centre_id = $1 ORDER BY product_id, from_day`, centreID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Lane])
}

// SetLane sets the stations of a product from a day on; -1 removes the row of
// that day. ErrInvalid when the lanes of a day would need more stations than
// the centre has.
func (s *Service) SetLane(ctx context.Context, l Lane, by By) error {
	l.From = clock.Day(l.From)
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		c, err := centre.Get(ctx, tx, l.CentreID)
		if err != nil {
			return err
		}
		// One change of a centre's lanes at a time, or two could pass together.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('booking.lane:' || $1, 0))`, l.CentreID); err != nil {
			return err
		}
		before, err := Lanes(ctx, tx, l.CentreID)
		if err != nil {
			return err
		}
		if l.Stations < 0 {
			_, err = tx.Exec(ctx, `DELETE FROM booking.lane WHERE centre_id = $1 AND product_id = $2 AND from_day = $3`, l.CentreID, l.ProductID, l.From)
		} else {
			_, err = tx.Exec(ctx, `
				INSERT INTO booking.lane (centre_id, product_id, from_day, stations) VALUES ($1, $2, $3, $4)
				ON CONFLICT (centre_id, product_id, from_day) DO UPDATE SET stations = excluded.stations`, l.CentreID, l.ProductID, l.From, l.Stations)
		}
		if err != nil {
			return err
		}
		after, err := Lanes(ctx, tx, l.CentreID)
		if err != nil {
			return err
		}
		for _, at := range after {
			if at.From.Before(l.From) {
				continue
			}
			need := 0
			for _, n := range lanesOn(after, at.From) {
				need += n
			}
			if need > c.Stations {
				return fmt.Errorf("%w: %d stations on %s, the centre has %d", ErrInvalid, need, at.From.Format(time.DateOnly), c.Stations)
			}
		}
		if err := audit.Write(ctx, tx, s.Now(), audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: "booking.lane",
			Subject: "centre:" + l.CentreID, Before: before, After: after,
		}); err != nil {
			return err
		}
		return s.wantCentre(ctx, tx, l.CentreID)
	})
}

// lanesOn returns the stations by product of the rows in force on a day.
func lanesOn(lanes []Lane, day time.Time) map[string]int {
	out := map[string]int{}
	for _, l := range lanes { // sorted by product and day: the last one that fits is in force
		if !l.From.After(day) {
			out[l.ProductID] = l.Stations
		}
	}
	return out
}

// stationsFor decides how many stations work for product on a day. Where no
// lane of the centre is in force, its stations are shared out evenly among the
// products that have something to do there, the odd ones to the first.
func stationsFor(lanes []Lane, day time.Time, productID string, busy []string, stations int) int {
	set := lanesOn(lanes, day)
	if len(set) > 0 {
		return min(set[productID], stations)
	}
	weights := make([]int, len(busy))
	at := -1
	for i, p := range busy {
		weights[i] = 1
		if p == productID {
			at = i
		}
	}
	if at < 0 {
		return 0
	}
	return apportion(stations, weights)[at]
}

// SettingsUpdate is what an administrator may set; zero fields stay as they are.
type SettingsUpdate struct {
	HorizonDays, HoldMinutes, SlotMinutes int
	DeliveryMarginDays                    *int
	LeadDays                              map[Channel]int
}

// SetSettings changes the settings of booking.
func (s *Service) SetSettings(ctx context.Context, u SettingsUpdate, by By) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		before, err := readSettings(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE booking.setting SET horizon_days = coalesce(nullif($1, 0), horizon_days), hold_minutes = coalesce(nullif($2, 0), hold_minutes),
				slot_minutes = coalesce(nullif($3, 0), slot_minutes), delivery_margin_days = coalesce($4, delivery_margin_days)`,
			u.HorizonDays, u.HoldMinutes, u.SlotMinutes, u.DeliveryMarginDays)
		for _, name := range []string{"setting_horizon", "setting_hold", "setting_slot", "setting_margin"} {
			if pg.Violates(err, name) {
				return fmt.Errorf("%w: %s", ErrInvalid, name)
			}
		}
		if err != nil {
			return err
		}
		for ch, days := range u.LeadDays {
			_, err := tx.Exec(ctx, `UPDATE booking.channel SET lead_days = $2 WHERE id = $1`, ch, days)
			if pg.Violates(err, "channel_lead") {
				return fmt.Errorf("%w: channel_lead", ErrInvalid)
			}
			if err != nil {
				return err
			}
		}
		if err := audit.Write(ctx, tx, s.Now(), audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: "booking.settings",
			Subject: "booking", Before: before, After: u,
		}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE booking.plan SET wanted = wanted + 1`)
		return err
	})
}
