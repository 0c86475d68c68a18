package centre

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

var (
	// ErrExists: a centre with that id exists already.
	ErrExists = errors.New("centre: id is taken")
	// ErrInvalid: figures or words that make no sense.
	ErrInvalid = errors.New("centre: invalid")
)

// By is who changes something, for the audit.
type By struct {
	Actor string // "staff:<id>", "system"
	Role  string
}

// Create adds a centre. Without hours it is closed. ErrExists, ErrInvalid.
func Create(ctx context.Context, tx pgx.Tx, now time.Time, c Centre, by By) error {
	_, err := tx.Exec(ctx, `INSERT INTO centre.centre (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		c.ID, c.Name, c.Street, c.Postcode, c.City, c.Lat, c.Lon, c.Stations, c.MinutesPerPerson, c.Active)
	if pg.IsUnique(err) {
		return ErrExists
	}
	if err != nil {
		return asInvalid(err)
	}
	return record(ctx, tx, now, by, "centre.create", c.ID, nil, c)
}

// Update changes a centre. ErrNotFound, ErrInvalid.
func Update(ctx context.Context, tx pgx.Tx, now time.Time, c Centre, by By) error {
	if _, err := tx.Exec(ctx, `SELECT 1 FROM centre.centre WHERE id = $1 FOR UPDATE`, c.ID); err != nil {
		return err
	}
	before, err := Get(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	if before == c {
		return nil
	}
	_, err = tx.Exec(ctx, `
		UPDATE centre.centre SET name = $2, street = $3, postcode = $4, city = $5, lat = $6, lon = $7, stations = $8,
			minutes_per_person = $9, active = $10 WHERE id = $1`,
		c.ID, c.Name, c.Street, c.Postcode, c.City, c.Lat, c.Lon, c.Stations, c.MinutesPerPerson, c.Active)
	if err != nil {
		return asInvalid(err)
	}
	return record(ctx, tx, now, by, "centre.update", c.ID, before, c)
}

// Span is opening hours on one day in minutes after midnight, Berlin wall
// clock. Opens == Closes means closed.
type Span struct {
	Opens  int `json:"opens"`
	Closes int `json:"closes"`
}

// Closed reports whether the span is empty.
func (s Span) Closed() bool { return s.Opens == s.Closes }

func (s Span) columns() (opens, closes *int) {
	if s.Closed() {
		return nil, nil
	}
	return &s.Opens, &s.Closes
}

func (s Span) valid() bool {
	return s.Closed() || (s.Opens >= 0 && s.Opens < s.Closes && s.Closes <= 24*60)
}

// WeekOn returns the weekday hours in force on the day of on, Monday first.
func WeekOn(ctx context.Context, q pg.Querier, centreID string, on time.Time) ([7]Span, error) {
	var week [7]Span
	rows, err := q.Query(ctx, `
		SELECT DISTINCT ON (weekday) weekday, coalesce(opens, 0), coalesce(closes, 0) FROM centre.hours
		WHERE centre_id = $1 AND valid_from <= $2 ORDER BY weekday, valid_from DESC`, centreID, clock.Day(on))
	if err != nil {
		return week, err
	}
	var (
		day  int
		span Span
	)
	_, err = pgx.ForEachRow(rows, []any{&day, &span.Opens, &span.Closes}, func() error {
		week[day-1] = span
		return nil
	})
	return week, err
}

// NextWeeks returns the days after the day of on from which other weekday hours
// are in force, soonest first.
func NextWeeks(ctx context.Context, q pg.Querier, centreID string, on time.Time) ([]time.Time, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT valid_from FROM centre.hours WHERE centre_id = $1 AND valid_from > $2 ORDER BY 1`, centreID, clock.Day(on))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[time.Time])
}

// SetWeek sets the hours of all weekdays, Monday first, from the day of from on.
func SetWeek(ctx context.Context, tx pgx.Tx, now time.Time, centreID string, from time.Time, week [7]Span, by By) error {
	if _, err := Get(ctx, tx, centreID); err != nil {
		return err
	}
	before, err := WeekOn(ctx, tx, centreID, from)
	if err != nil {
		return err
	}
	for i, span := range week {
		if !span.valid() {
			return fmt.Errorf("%w: hours", ErrInvalid)
		}
		opens, closes := span.columns()
		_, err := tx.Exec(ctx, `
			INSERT INTO centre.hours (centre_id, weekday, valid_from, opens, closes) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (centre_id, weekday, valid_from) DO UPDATE SET opens = excluded.opens, closes = excluded.closes`,
			centreID, i+1, clock.Day(from), opens, closes)
		if err != nil {
			return err
		}
	}
	type rule struct {
		ValidFrom string  `json:"valid_from"`
		Week      [7]Span `json:"week"`
	}
	day := clock.Day(from).Format(time.DateOnly)
	return record(ctx, tx, now, by, "centre.hours", centreID, rule{day, before}, rule{day, week})
}

// Exception is one day that differs from its weekday.
type Exception struct {
	Day    time.Time `json:"day"`
	Span   Span      `json:"span"`
	Reason string    `json:"reason"`
}

// Exceptions returns the exceptions on or after the day of from.
func Exceptions(ctx context.Context, q pg.Querier, centreID string, from time.Time) ([]Exception, error) {
	rows, err := q.Query(ctx, `
		SELECT day, coalesce(opens, 0), coalesce(closes, 0), reason FROM centre.exception
		WHERE centre_id = $1 AND day >= $2 ORDER BY day`, centreID, clock.Day(from))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Exception, error) {
		var e Exception
		err := row.Scan(&e.Day, &e.Span.Opens, &e.Span.Closes, &e.Reason)
		return e, err
	})
}

// SetException sets the hours of one day; a closed span closes it.
func SetException(ctx context.Context, tx pgx.Tx, now time.Time, centreID string, e Exception, by By) error {
	if n := len([]rune(e.Reason)); !e.Span.valid() || n == 0 || n > 200 {
		return fmt.Errorf("%w: exception", ErrInvalid)
	}
	if _, err := Get(ctx, tx, centreID); err != nil {
		return err
	}
	before, err := exceptionOn(ctx, tx, centreID, e.Day)
	if err != nil {
		return err
	}
	opens, closes := e.Span.columns()
	_, err = tx.Exec(ctx, `
		INSERT INTO centre.exception (centre_id, day, opens, closes, reason) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (centre_id, day) DO UPDATE SET opens = excluded.opens, closes = excluded.closes, reason = excluded.reason`,
		centreID, clock.Day(e.Day), opens, closes, e.Reason)
	if err != nil {
		return err
	}
	return record(ctx, tx, now, by, "centre.exception", centreID, before, e)
}

// RemoveException gives a day the hours of its weekday back. ErrNotFound.
func RemoveException(ctx context.Context, tx pgx.Tx, now time.Time, centreID string, day time.Time, by By) error {
	before, err := exceptionOn(ctx, tx, centreID, day)
	if err != nil {
		return err
	}
	if before == nil {
		return ErrNotFound
	}
	if _, err := tx.Exec(ctx, `DELETE FROM centre.exception WHERE centre_id = $1 AND day = $2`, centreID, clock.Day(day)); err != nil {
		return err
	}
	return record(ctx, tx, now, by, "centre.exception.remove", centreID, before, nil)
}

func exceptionOn(ctx context.Context, q pg.Querier, centreID string, day time.Time) (any, error) {
	var e Exception
	err := q.QueryRow(ctx, `SELECT day, coalesce(opens, 0), coalesce(closes, 0), reason FROM centre.exception WHERE centre_id = $1 AND day = $2`,
		centreID, clock.Day(day)).Scan(&e.Day, &e.Span.Opens, &e.Span.Closes, &e.Reason)
	if pg.NoRows(err) {
		return nil, nil
	}
	return e, err
}

// record audits a change and tells that the centre's capacity may have changed.
func record(ctx context.Context, tx pgx.Tx, now time.Time, by By, action, centreID string, before, after any) error {
	if err := Changed.Enqueue(ctx, tx, ChangedPayload{CentreID: centreID}); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: action, Subject: "centre:" + centreID, Before: before, After: after})
}

// asInvalid maps what the table refuses.
func asInvalid(err error) error {
	for _, c := range []string{"centre_id", "centre_postcode", "centre_lat", "centre_lon", "centre_stations", "centre_minutes"} {
		if pg.Violates(err, c) {
			return fmt.Errorf("%w: %s", ErrInvalid, c)
		}
	}
	return err
}
