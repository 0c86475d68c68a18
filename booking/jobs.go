package booking

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/inventory"
	"impfportal/programme"
)

// seriesPayload names a series.
type seriesPayload struct {
	SeriesID string `json:"series_id"`
}

// A series was confirmed, cancelled or changed: its person is told.
var (
	confirmed = jobs.Define[seriesPayload]("booking.confirmed")
	cancelled = jobs.Define[seriesPayload]("booking.cancelled")
	changed   = jobs.Define[seriesPayload]("booking.changed")
)

// Jobs registers the handlers and returns the schedules.
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, confirmed, func(ctx context.Context, p seriesPayload) error { return s.tellConfirmed(ctx, p.SeriesID) })
	jobs.Handle(m, cancelled, func(ctx context.Context, p seriesPayload) error { return s.tellCancelled(ctx, p.SeriesID) })
	jobs.Handle(m, changed, func(ctx context.Context, p seriesPayload) error { return s.tellChanged(ctx, p.SeriesID) })
	jobs.Handle(m, moved, func(ctx context.Context, p seriesPayload) error { return s.tellMoved(ctx, p.SeriesID) })
	// All products of a centre share its stations, so each change concerns them all.
	jobs.Handle(m, inventory.StockChanged, func(ctx context.Context, p inventory.StockChangedPayload) error {
		if id := p.Place.CentreID(); id != "" {
			return s.wantCentre(ctx, s.Pool, id)
		}
		return nil
	})
	jobs.Handle(m, centre.Changed, func(ctx context.Context, p centre.ChangedPayload) error { return s.wantCentre(ctx, s.Pool, p.CentreID) })
	jobs.Handle(m, programme.SeriesChanged, func(ctx context.Context, p programme.SeriesChangedPayload) error {
		_, err := s.Pool.Exec(ctx, `UPDATE booking.plan SET wanted = wanted + 1 WHERE product_id = $1`, p.ProductID)
		return err
	})
	return []jobs.Periodic{
		{Name: "booking.expire-holds", Every: 5 * time.Second, Run: func(ctx context.Context, _ time.Time) error {
			_, err := s.ExpireHolds(ctx)
			return err
		}},
		{Name: "booking.give-back", Every: 5 * time.Second, Run: func(ctx context.Context, _ time.Time) error {
			_, err := s.giveBackDue(ctx, s.Now(), nil)
			return err
		}},
		{Name: "booking.offer-places", Every: 5 * time.Second, Run: func(ctx context.Context, _ time.Time) error {
			if _, err := s.SettleOffers(ctx); err != nil {
				return err
			}
			_, err := s.OfferPlaces(ctx)
			return err
		}},
		{Name: "booking.plan", Every: 2 * time.Second, Run: func(ctx context.Context, _ time.Time) error {
			if err := s.PassMoments(ctx); err != nil {
				return err
			}
			return s.ReplanWanted(ctx)
		}},
		// Times of today pass, rules come into force: unsold places move on.
		{Name: "booking.plan-again", Every: 15 * time.Minute, Run: func(ctx context.Context, _ time.Time) error {
			_, err := s.Pool.Exec(ctx, `UPDATE booking.plan SET wanted = wanted + 1`)
			return err
		}},
		{Name: "booking.day", Daily: "00:05", Run: func(ctx context.Context, now time.Time) error {
			if err := s.markMissed(ctx, clock.Day(now), now); err != nil {
				return err
			}
			if _, err := s.drawKey(ctx, now); err != nil {
				return err
			}
			if err := s.revealDraws(ctx, now); err != nil {
				return err
			}
			return s.ReplanAll(ctx, "system", nil)
		}},
		{Name: "booking.verify", Daily: "02:40", Run: func(ctx context.Context, _ time.Time) error {
			wrong, err := s.Verify(ctx)
			if err == nil && len(wrong) > 0 {
				err = fmt.Errorf("booking: %d places where taken is not the number of appointments, first: slot %d", len(wrong), wrong[0].SlotID)
			}
			return err
		}},
	}
}

// Mismatch is a place whose count is not that of its appointments.
type Mismatch struct {
	SlotID         int64
	Channel        string
	Leg            int
	Taken, Counted int
}

// Verify holds every place of today and later against the appointments that
// stand on it and what is on its way back there (older ones are deleted in their time). It returns what does not
// fit: nothing, as long as nobody writes past the engine.
func (s *Service) Verify(ctx context.Context) ([]Mismatch, error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT slot_id, channel, leg, coalesce(p.taken, 0)::int, coalesce(a.n, 0)::int
		FROM (SELECT p.* FROM booking.place p JOIN booking.slot s ON s.id = p.slot_id WHERE s.day >= $1) p
		FULL JOIN (SELECT slot_id, channel, leg, first_day, count(*) AS n FROM (
		               SELECT slot_id, channel, leg, first_day FROM booking.appointment
		               WHERE day >= $1 AND slot_id > 0 AND state IN ('held', 'confirmed', 'here', 'done', 'missed')
		               UNION ALL
		               SELECT p.slot_id, p.channel, p.leg, p.first_day FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id WHERE s.day >= $1) x
		           GROUP BY 1, 2, 3, 4) a
		USING (slot_id, channel, leg, first_day)
		WHERE coalesce(p.taken, 0) <> coalesce(a.n, 0) ORDER BY slot_id LIMIT 100`, clock.Day(s.Now()))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Mismatch])
}
