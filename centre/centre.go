package centre

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// ErrNotFound: there is no centre with that id.
var ErrNotFound = errors.New("centre: not found")

// Centre is a vaccination centre.
type Centre struct {
	ID               string  `json:"id"` // short code in the URL: "leipzig"
	Name             string  `json:"name"`
	Street           string  `json:"street"`
	Postcode         string  `json:"postcode"`
	City             string  `json:"city"`
	Lat              float64 `json:"lat"` // degrees, WGS 84
	Lon              float64 `json:"lon"`
	Stations         int     `json:"stations"`           // people at the same time
	MinutesPerPerson int     `json:"minutes_per_person"` // at a station, before the first rule with a date (see MinutesRules)
	Active           bool    `json:"active"`
}

// PerHour returns how many people the centre can see in an hour.
func (c Centre) PerHour() int {
	if c.MinutesPerPerson <= 0 {
		return 0
	}
	return c.Stations * 60 / c.MinutesPerPerson
}

const columns = `id, name, street, postcode, city, lat, lon, stations, minutes_per_person, active`

// List returns the active centres by name, as people read it.
func List(ctx context.Context, q pg.Querier) ([]Centre, error) { return list(ctx, q, false) }

// All returns every centre, also those that are not active, in the order of List.
func All(ctx context.Context, q pg.Querier) ([]Centre, error) { return list(ctx, q, true) }

func list(ctx context.Context, q pg.Querier, all bool) ([]Centre, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM centre.centre WHERE active OR $1`, all)
	if err != nil {
		return nil, err
	}
	centres, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Centre])
	return byName(centres), err
}

// Get returns one centre, active or not, or ErrNotFound.
func Get(ctx context.Context, q pg.Querier, id string) (Centre, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM centre.centre WHERE id = $1`, id)
	if err != nil {
		return Centre{}, err
	}
	c, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Centre])
	if pg.NoRows(err) {
		return Centre{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	return c, err
}

// DayHours says when a centre is open on one day.
type DayHours struct {
	Day    time.Time `json:"day"` // as clock.Day
	Opens  time.Time `json:"opens"`
	Closes time.Time `json:"closes"`
	Open   bool      `json:"open"`             // false: Opens and Closes are zero
	Reason string    `json:"reason,omitempty"` // why the day differs from its weekday

	MinutesPerPerson int `json:"minutes_per_person"` // at a station, by the rule of the day
}

// Hours returns when a centre is open on the day of day. A centre without hours
// for that weekday, or one that does not exist, is closed.
func Hours(ctx context.Context, q pg.Querier, centreID string, day time.Time) (opens, closes time.Time, open bool, err error) {
	days, err := HoursBetween(ctx, q, centreID, day, day)
	if err != nil {
		return time.Time{}, time.Time{}, false, err
	}
	return days[0].Opens, days[0].Closes, days[0].Open, nil
}

// HoursBetween returns one DayHours for every day from the day of from to the
// day of to, both included, in one query.
func HoursBetween(ctx context.Context, q pg.Querier, centreID string, from, to time.Time) ([]DayHours, error) {
	rows, err := q.Query(ctx, `
		SELECT d::date,
		       CASE WHEN e.day IS NULL THEN h.opens ELSE e.opens END,
		       CASE WHEN e.day IS NULL THEN h.closes ELSE e.closes END,
		       coalesce(e.reason, ''),
		       coalesce((SELECT m.minutes FROM centre.minutes m WHERE m.centre_id = $1 AND m.valid_from <= d::date ORDER BY m.valid_from DESC LIMIT 1),
		                (SELECT c.minutes_per_person FROM centre.centre c WHERE c.id = $1), 0)
		FROM generate_series($2::date, $3::date, interval '1 day') AS d
		LEFT JOIN centre.exception e ON e.centre_id = $1 AND e.day = d::date
		LEFT JOIN LATERAL (
			SELECT opens, closes FROM centre.hours h
			WHERE h.centre_id = $1 AND h.weekday = extract(isodow FROM d) AND h.valid_from <= d::date
			ORDER BY h.valid_from DESC LIMIT 1) h ON true
		ORDER BY d`, centreID, clock.Day(from), clock.Day(to))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (DayHours, error) {
		var (
			d             DayHours
			opens, closes *int
		)
		if err := row.Scan(&d.Day, &opens, &closes, &d.Reason, &d.MinutesPerPerson); err != nil {
			return d, err
		}
		if opens != nil && closes != nil {
			d.Open = true
			d.Opens = clock.At(d.Day, *opens/60, *opens%60)
			d.Closes = clock.At(d.Day, *closes/60, *closes%60)
		}
		return d, nil
	})
}
