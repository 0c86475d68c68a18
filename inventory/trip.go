package inventory

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
)

// carried is a movement of closed vials of a lot between a refrigerator and the box of
// a mobile team.
type carried struct {
	Vials int // that came back; negative = were loaded
	Since time.Time
}

// stillOut says since when vials have been on the way that are loaded now, after what
// has gone to and fro that day, in its order; nil = since now. Nobody can tell one vial
// of a lot from another: those that came back go out again first, of these the ones
// that were out longest. Those that have been out since before limit may not go out any
// more and stay: so many are late.
func stillOut(moves []carried, limit time.Time) (since *time.Time, late int) {
	var back []carried // the longest first
	for _, m := range moves {
		if m.Vials > 0 {
			i := 0
			for i < len(back) && !m.Since.Before(back[i].Since) {
				i++
			}
			back = slices.Insert(back, i, m)
			continue
		}
		for n := -m.Vials; n > 0 && len(back) > 0; {
			take := min(n, back[0].Vials)
			n -= take
			if back[0].Vials -= take; back[0].Vials == 0 {
				back = back[1:]
			}
		}
	}
	for len(back) > 0 && back[0].Since.Before(limit) {
		late += back[0].Vials
		back = back[1:]
	}
	if len(back) > 0 {
		since = &back[0].Since
	}
	return since, late
}

// outToday is stillOut for n vials of a lot that are loaded at a place, whose balance is
// locked. The day is that of the trip (Einsatztag): what stood in the refrigerator over
// night begins anew. ErrCarriedTooLong when too few are there that may still go out.
func outToday(ctx context.Context, tx pgx.Tx, from Place, lotID string, n int, at time.Time) (*time.Time, error) {
	day := clock.Day(at)
	rows, err := tx.Query(ctx, `
		SELECT e.vials, m.carried_since FROM inventory.movement m JOIN inventory.entry e ON e.movement_id = m.id AND e.place = $2
		WHERE m.lot_id = $1 AND m.kind = 'transfer' AND m.carried_since IS NOT NULL AND e.vials <> 0 AND m.at >= $3 AND m.at < $4
		  AND NOT EXISTS (SELECT FROM inventory.movement c WHERE c.corrects = m.id)
		ORDER BY m.at, m.id`, lotID, from, clock.At(day, 0, 0), clock.At(day.AddDate(0, 0, 1), 0, 0))
	if err != nil {
		return nil, err
	}
	moves, err := pgx.CollectRows(rows, pgx.RowToStructByPos[carried])
	if err != nil || len(moves) == 0 {
		return nil, err
	}
	var (
		there int
		limit *time.Time
	)
	err = tx.QueryRow(ctx, `
		SELECT b.vials, $3::timestamptz - (inventory.carried_until(l.product_id, $3::timestamptz) - $3::timestamptz)
		FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id WHERE b.lot_id = $1 AND b.place = $2`, lotID, from, at).Scan(&there, &limit)
	if err != nil || limit == nil { // no rule, no limit
		return nil, err
	}
	since, late := stillOut(moves, *limit)
	if n <= there && n > there-late {
		return nil, ErrCarriedTooLong
	}
	return since, nil
}
