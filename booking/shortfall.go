package booking

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// Causes of a shortfall.
const (
	CauseDoses    = "doses"    // more appointments than vaccine
	CauseStations = "stations" // more appointments than the stations can do, or the day is closed
)

// Shortfall says that more is booked on a day than can be done. Nothing is
// cancelled for it: an administrator decides.
type Shortfall struct {
	CentreID   string     `json:"centre_id"`
	ProductID  string     `json:"product_id"`
	Day        time.Time  `json:"day"`
	Cause      string     `json:"cause"`
	Missing    int        `json:"missing"` // doses, or places at a station
	Since      time.Time  `json:"since"`
	ResolvedAt *time.Time `json:"resolved_at,omitempty"`
}

// Shortfalls returns what is missing now, soonest day first.
func Shortfalls(ctx context.Context, q pg.Querier) ([]Shortfall, error) {
	rows, err := q.Query(ctx, `
		SELECT centre_id, product_id, day, cause, missing, since, resolved_at FROM booking.shortfall
		WHERE resolved_at IS NULL ORDER BY day, centre_id, product_id, cause`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Shortfall])
}

// shortfall lists what a plan found missing.
func (v *planView) shortfall(r planResult) []Shortfall {
	var out []Shortfall
	for i, n := range r.Short {
		if n > 0 {
			out = append(out, Shortfall{Day: v.day(i), Cause: CauseDoses, Missing: n})
		}
	}
	for i, n := range v.over {
		if n > 0 {
			out = append(out, Shortfall{Day: v.day(i), Cause: CauseStations, Missing: n})
		}
	}
	return out
}

// saveShortfall makes the open rows of a product at a centre those of list:
// new ones begin, the others keep their beginning, what is gone is resolved.
func saveShortfall(ctx context.Context, tx pgx.Tx, centreID, productID string, now time.Time, list []Shortfall) error {
	days, causes, missing := make([]time.Time, len(list)), make([]string, len(list)), make([]int, len(list))
	for i, f := range list {
		days[i], causes[i], missing[i] = f.Day, f.Cause, f.Missing
	}
	if _, err := tx.Exec(ctx, `
		UPDATE booking.shortfall f SET resolved_at = $3
		WHERE centre_id = $1 AND product_id = $2 AND resolved_at IS NULL
		  AND NOT EXISTS (SELECT 1 FROM unnest($4::date[], $5::text[]) AS u (day, cause) WHERE u.day = f.day AND u.cause = f.cause)`,
		centreID, productID, now, days, causes); err != nil || len(list) == 0 {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO booking.shortfall AS f (centre_id, product_id, day, cause, missing, since)
		SELECT $1, $2, u.day, u.cause, u.missing, $3 FROM unnest($4::date[], $5::text[], $6::int[]) AS u (day, cause, missing)
		ON CONFLICT (centre_id, product_id, day, cause) WHERE resolved_at IS NULL
		DO UPDATE SET missing = excluded.missing WHERE f.missing <> excluded.missing`,
		centreID, productID, now, days, causes, missing)
	return err
}
