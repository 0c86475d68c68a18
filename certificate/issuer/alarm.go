package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer/brake"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// tripTimeout bounds how long an attempt waits for its alarm to be stored.
const tripTimeout = 3 * time.Second

// thresholds returns the thresholds that hold for a kind of issuer, by alarm.
func thresholds(ctx context.Context, q pg.Querier, kind string, at time.Time) (map[string]brake.Threshold, error) {
	rows, err := q.Query(ctx, `
		SELECT DISTINCT ON (alarm) alarm, at_least, ratio, seconds FROM certificate.issuer_threshold
		 WHERE issuer_kind IN ('', $1) AND from_at <= $2 ORDER BY alarm, issuer_kind DESC, from_at DESC`, kind, at)
	if err != nil {
		return nil, fmt.Errorf("thresholds: %w", err)
	}
	out := map[string]brake.Threshold{}
	var (
		t       brake.Threshold
		seconds int
	)
	_, err = pgx.ForEachRow(rows, []any{&t.Alarm, &t.AtLeast, &t.Ratio, &seconds}, func() error {
		t.Window = time.Duration(seconds) * time.Second
		out[t.Alarm] = t
		return nil
	})
	return out, err
}

// sharp evaluates what can do harm within a minute, this attempt included.
func (s *Service) sharp(ctx context.Context, tx pgx.Tx, i Issuer, a Attempt) (*alarm, error) {
	limits, err := thresholds(ctx, tx, i.Kind, a.At)
	if err != nil {
		return nil, err
	}
	crowd, names := limits[brake.Crowd], limits[brake.Names]
	var c, n brake.Measure
	if err := tx.QueryRow(ctx, `
		SELECT count(DISTINCT person) FILTER (WHERE at > $3), count(DISTINCT person) FILTER (WHERE at > $4 AND operator = $2)
		  FROM certificate.issuer_issue WHERE issuer_id = $1 AND at > least($3::timestamptz, $4::timestamptz)`,
		i.ID, a.Operator, a.At.Add(-crowd.Window), a.At.Add(-names.Window)).Scan(&c.Count, &n.Count); err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	switch {
	case crowd.Trips(c):
		return &alarm{brake.Crowd, c}, nil
	case names.Trips(n):
		return &alarm{brake.Names, n}, nil
	}
	return nil, nil
}

// trip stores an alarm by a connection of its own. From its commit on no attempt
// of the issuer passes; the worker then changes the state and tells both sides.
func (s *Service) trip(ctx context.Context, issuerID string, a alarm, at time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tripTimeout)
	defer cancel()
	measured, err := json.Marshal(a.measured)
	if err != nil {
		return err
	}
	// Not of the pool: its connections may all wait for the row that this attempt holds.
	conn, err := pgx.ConnectConfig(ctx, s.Pool.Config().ConnConfig.Copy())
	if err != nil {
		return fmt.Errorf("alarm %s: %w", a.name, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO certificate.issuer_alarm (id, issuer_id, alarm, measured, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (issuer_id, alarm) WHERE cleared_at IS NULL DO NOTHING`, id.New(), issuerID, a.name, measured, at)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		s.Log.Warn("alarm: issuer is paused", "issuer", issuerID, "alarm", a.name)
		return Tripped.Enqueue(ctx, tx, IssuerPayload{IssuerID: issuerID})
	})
}

// pause makes the state follow an open alarm, and tells the issuer.
func (s *Service) pause(ctx context.Context, issuerID string) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := one(ctx, tx, `WHERE i.id = $1 FOR UPDATE OF i`, issuerID)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var name string
		err = tx.QueryRow(ctx, `
			UPDATE certificate.issuer_alarm SET paused_at = $2 WHERE id = (
				SELECT id FROM certificate.issuer_alarm WHERE issuer_id = $1 AND cleared_at IS NULL AND paused_at IS NULL ORDER BY at LIMIT 1) RETURNING alarm`,
			i.ID, now).Scan(&name)
		if pg.NoRows(err) {
			return nil
		}
		if err != nil || i.State != Active {
			return err
		}
		if s.Alarmed != nil {
			if err := s.Alarmed(ctx, tx, i.Ref(), name); err != nil {
				return err
			}
		}
		return s.move(ctx, tx, i, Paused, whyAlarm+"."+name, false, "system", now)
	})
}

// Watch evaluates the alarms that need no answer within the second, over all
// active issuers that issued in the last day, and finishes pausing those whose
// alarm tripped. It returns how many alarms tripped.
func (s *Service) Watch(ctx context.Context, now time.Time) (n int, err error) {
	active, err := collect(ctx, s.Pool, `
		WHERE i.state = 'active' AND EXISTS (SELECT FROM certificate.issuer_issue x WHERE x.issuer_id = i.id AND x.at > $1) ORDER BY i.id`, now.AddDate(0, 0, -1))
	if err != nil {
		return 0, err
	}
	byKind := map[string]map[string]brake.Threshold{}
	for _, i := range active {
		if byKind[i.Kind] == nil {
			if byKind[i.Kind], err = thresholds(ctx, s.Pool, i.Kind, now); err != nil {
				return n, err
			}
		}
		a, err := s.watched(ctx, i, byKind[i.Kind], now)
		if err != nil {
			return n, err
		}
		if a != nil {
			n++
			if err := s.trip(ctx, i.ID, *a, now); err != nil {
				return n, err
			}
		}
	}
	return n, s.finishPauses(ctx)
}

// finishPauses does what a task should have done.
func (s *Service) finishPauses(ctx context.Context) error {
	rows, err := s.Pool.Query(ctx, `SELECT DISTINCT issuer_id::text FROM certificate.issuer_alarm WHERE paused_at IS NULL AND cleared_at IS NULL`)
	if err != nil {
		return err
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, issuerID := range open {
		err = errors.Join(err, s.pause(ctx, issuerID))
	}
	return err
}

// watched returns the first alarm that trips, nil when none does.
func (s *Service) watched(ctx context.Context, i Issuer, t map[string]brake.Threshold, now time.Time) (*alarm, error) {
	var all, odd int
	err := s.Pool.QueryRow(ctx, `
		SELECT count(*), count(*) FILTER (WHERE extract(hour FROM at AT TIME ZONE 'Europe/Berlin') >= 22 OR extract(hour FROM at AT TIME ZONE 'Europe/Berlin') < 5)
		  FROM certificate.issuer_issue WHERE issuer_id = $1 AND at > $2`, i.ID, now.Add(-t[brake.OddHours].Window)).Scan(&all, &odd)
	if err != nil {
		return nil, err
	}
	if m := brake.Of(odd, all); t[brake.OddHours].Trips(m) {
		return &alarm{brake.OddHours, m}, nil
	}
	for _, c := range []struct{ name, sql string }{
		// The lot of which most was given; without a declared lot there is no certificate.
		{brake.LotFast, `
			SELECT count(*), l.declared, l.lot_number FROM certificate.issuer_issue x
			  JOIN certificate.issuer_lot l ON (l.issuer_id, l.product_id, l.lot_number) = (x.issuer_id, x.product_id, x.lot_number)
			 WHERE x.issuer_id = $1 AND x.at > $2 AND x.basis = 'given' AND x.lot_number <> ''
			 GROUP BY l.product_id, l.lot_number, l.declared ORDER BY count(*)::float8 / l.declared DESC LIMIT 1`},
		{brake.Appointments, `
			SELECT count(*), d.appointments, '' FROM certificate.issuer_day d
			  JOIN certificate.issuer_issue x ON x.issuer_id = d.issuer_id AND x.day = d.day AND x.basis = 'given'
			 WHERE d.issuer_id = $1 AND x.at > $2 GROUP BY d.day, d.appointments ORDER BY count(*) - d.appointments DESC LIMIT 1`},
		{brake.Repeat, `
			SELECT count(*), 0, '' FROM certificate.issuer_issue WHERE issuer_id = $1 AND at > $2 GROUP BY person ORDER BY 1 DESC LIMIT 1`},
		{brake.SeenDay, `
			SELECT count(*), 0, '' FROM certificate.issuer_issue WHERE issuer_id = $1 AND at > $2 AND basis = 'seen' GROUP BY operator ORDER BY 1 DESC LIMIT 1`},
	} {
		var part, whole int
		var lot string
		err := s.Pool.QueryRow(ctx, c.sql, i.ID, now.Add(-t[c.name].Window)).Scan(&part, &whole, &lot)
		if pg.NoRows(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		m := brake.Of(part, whole)
		m.Lot = lot
		if t[c.name].Trips(m) {
			return &alarm{c.name, m}, nil
		}
	}
	return s.watchedUsual(ctx, i, t[brake.SeenUsual], now)
}
