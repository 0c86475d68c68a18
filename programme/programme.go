package programme

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// The programmes of the demo state.
const (
	CovidID     = "covid-19"
	InfluenzaID = "influenza"
)

// NoUpperLimit is Series.MaxDays of a series that has no greatest distance, so
// that "MinDays <= days && days <= MaxDays" is right for every series.
const NoUpperLimit = 36500

var (
	// ErrNotFound: there is no programme, product, group or text with that id.
	ErrNotFound = errors.New("programme: not found")
	// ErrNoRule: no rule is in force for the product on that day.
	ErrNoRule = errors.New("programme: no rule in force")
)

// Programme is a vaccination campaign.
type Programme struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Product is a vaccine of a programme.
type Product struct {
	ID          string `json:"id"`
	ProgrammeID string `json:"programme_id"`
	Name        string `json:"name"`
	Holder      string `json:"holder"` // marketing authorisation holder
}

// Series says how many doses of a product belong together on a day. A series
// of one dose has no distances (all three are 0).
type Series struct {
	Doses    int  `json:"doses"`
	MinDays  int  `json:"min_days"`  // least distance between consecutive doses
	MaxDays  int  `json:"max_days"`  // greatest distance; NoUpperLimit where there is none
	PlanDays int  `json:"plan_days"` // the distance that planning uses
	MayWaive bool `json:"may_waive"` // the doses after the first may be waived when it is booked; of one dose false
}

// Allows reports whether two consecutive doses may be that many days apart.
func (s Series) Allows(days int) bool {
	return s.Doses > 1 && s.MinDays <= days && days <= s.MaxDays
}

// Programmes returns all programmes in their order, named in lang.
func Programmes(ctx context.Context, q pg.Querier, lang string) ([]Programme, error) {
	rows, err := q.Query(ctx, `
		SELECT id, coalesce(name->>$1, name->>'de') FROM programme.programme ORDER BY position, id`, lang)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Programme])
}

// ProgrammeByID returns one programme, or ErrNotFound.
func ProgrammeByID(ctx context.Context, q pg.Querier, id, lang string) (Programme, error) {
	var p Programme
	err := q.QueryRow(ctx, `
		SELECT id, coalesce(name->>$2, name->>'de') FROM programme.programme WHERE id = $1`, id, lang).Scan(&p.ID, &p.Name)
	if pg.NoRows(err) {
		return p, ErrNotFound
	}
	return p, err
}

// Products returns the products of a programme in their order; an empty
// programmeID means those of all programmes.
func Products(ctx context.Context, q pg.Querier, programmeID string) ([]Product, error) {
	rows, err := q.Query(ctx, `
		SELECT p.id, p.programme_id, p.name, p.holder
		FROM programme.product p JOIN programme.programme g ON g.id = p.programme_id
		WHERE $1 = '' OR p.programme_id = $1
		ORDER BY g.position, p.position, p.id`, programmeID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Product])
}

// ProductByID returns one product, or ErrNotFound.
func ProductByID(ctx context.Context, q pg.Querier, id string) (Product, error) {
	var p Product
	err := q.QueryRow(ctx, `
		SELECT id, programme_id, name, holder FROM programme.product WHERE id = $1`, id).
		Scan(&p.ID, &p.ProgrammeID, &p.Name, &p.Holder)
	if pg.NoRows(err) {
		return p, ErrNotFound
	}
	return p, err
}

// SeriesFor returns the series rule of a product in force on the day of on, or
// ErrNoRule.
func SeriesFor(ctx context.Context, q pg.Querier, productID string, on time.Time) (Series, error) {
	rules, err := SeriesOf(ctx, q, []string{productID}, on)
	if err != nil {
		return Series{}, err
	}
	s, ok := rules[productID]
	if !ok {
		return s, fmt.Errorf("%w: series of %s", ErrNoRule, productID)
	}
	return s, nil
}

// SeriesOf returns the series rules of several products in force on the day of
// on. A product without a rule is not in the answer.
func SeriesOf(ctx context.Context, q pg.Querier, productIDs []string, on time.Time) (map[string]Series, error) {
	rows, err := q.Query(ctx, `
		SELECT DISTINCT ON (product_id)
			product_id, doses, min_days, CASE WHEN doses = 1 THEN 0 ELSE coalesce(max_days, $3::int) END, plan_days, may_waive
		FROM programme.series_rule
		WHERE product_id = ANY($1) AND valid_from <= $2
		ORDER BY product_id, valid_from DESC`, productIDs, clock.Day(on), NoUpperLimit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[string]Series, len(productIDs))
	for rows.Next() {
		var product string
		var s Series
		if err := rows.Scan(&product, &s.Doses, &s.MinDays, &s.MaxDays, &s.PlanDays, &s.MayWaive); err != nil {
			return nil, err
		}
		out[product] = s
	}
	return out, rows.Err()
}

// AllowedProducts returns the products of a programme that somebody born on
// birth may be given on the day of on. Of a partial birth date pass the latest
// possible day. Born after on: nothing.
func AllowedProducts(ctx context.Context, q pg.Querier, programmeID string, birth, on time.Time) ([]Product, error) {
	age := Age(birth, on)
	rows, err := q.Query(ctx, `
		SELECT p.id, p.programme_id, p.name, p.holder
		FROM programme.product p
		CROSS JOIN LATERAL (
			SELECT min_age, max_age, allowed FROM programme.age_rule a
			WHERE a.product_id = p.id AND a.valid_from <= $2
			ORDER BY a.valid_from DESC LIMIT 1) r
		WHERE p.programme_id = $1 AND r.allowed AND r.min_age <= $3 AND $3 <= coalesce(r.max_age, $3)
		ORDER BY p.position, p.id`, programmeID, clock.Day(on), age)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Product])
}

// Age returns the completed years of somebody born on birth on the day of on,
// -1 before birth. Somebody born on 29 February completes a year on 1 March of
// a common year (section 188 BGB).
func Age(birth, on time.Time) int {
	b, d := clock.Day(birth), clock.Day(on)
	if d.Before(b) {
		return -1
	}
	years := d.Year() - b.Year()
	if d.Month() < b.Month() || (d.Month() == b.Month() && d.Day() < b.Day()) {
		years--
	}
	return years
}
