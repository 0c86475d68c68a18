package booking

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// ReturnSettings say when a place that was given back is free for everybody:
// after Delay and, by chance, up to Spread later. Both 0 = at once, which lets
// places be traded.
type ReturnSettings struct {
	Delay, Spread time.Duration // whole seconds, each up to a day
}

// readReturns returns the settings in force.
func readReturns(ctx context.Context, q pg.Querier) (r ReturnSettings, err error) {
	var delay, spread int64
	err = q.QueryRow(ctx, `SELECT return_delay_seconds, return_spread_seconds FROM booking.setting`).Scan(&delay, &spread)
	return ReturnSettings{time.Duration(delay) * time.Second, time.Duration(spread) * time.Second}, err
}

// SetReturns changes them for what is given back from now on. ErrInvalid when
// one is out of its limits.
func (s *Service) SetReturns(ctx context.Context, r ReturnSettings, by By) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		before, err := readReturns(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE booking.setting SET return_delay_seconds = $1, return_spread_seconds = $2`,
			int64(r.Delay/time.Second), int64(r.Spread/time.Second))
		if pg.Violates(err, "setting_return_delay") || pg.Violates(err, "setting_return_spread") {
			return fmt.Errorf("%w: %v and %v", ErrInvalid, r.Delay, r.Spread)
		}
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, s.Now(), audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: "booking.returns", Subject: "booking",
			Before: map[string]string{"delay": before.Delay.String(), "spread": before.Spread.String()},
			After:  map[string]string{"delay": r.Delay.String(), "spread": r.Spread.String()},
		})
	})
}

// giveBackDue makes free what was given back and is due, at the slots given or
// (nil) anywhere. What somebody else has in hand at this moment is left to them.
func (s *Service) giveBackDue(ctx context.Context, now time.Time, slots []int64) (total int, err error) {
	for {
		var n int
		err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, `SELECT booking.return_due($1, $2, $3)`, now, expireBatch, slots).Scan(&n)
		})
		if err != nil {
			return total, fmt.Errorf("give places back: %w", err)
		}
		if total += n; n < expireBatch {
			return total, nil
		}
	}
}

// backRow is a place on its way back.
type backRow struct {
	Head  string // what returns together
	Start time.Time
	Kept  bool // for a proposal: no plan drops it
}

// backRows reads what returns to a centre's plan of a product.
func backRows(ctx context.Context, q pg.Querier, centreID, productID string, today time.Time) ([]backRow, error) {
	rows, err := q.Query(ctx, `
		SELECT p.returning_id::text, s.start_at, r.kept FROM booking.returning r JOIN booking.returning_place p ON p.returning_id = r.id JOIN booking.slot s ON s.id = p.slot_id
		WHERE s.centre_id = $1 AND s.product_id = $2 AND s.start_at >= $3 ORDER BY p.returning_id, s.start_at`,
		centreID, productID, clock.At(today, 0, 0))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (backRow, error) {
		var r backRow
		err := row.Scan(&r.Head, &r.Start, &r.Kept)
		r.Start = r.Start.UTC()
		return r, err
	})
}

// dropReturning lets places vanish that a plan does not carry any more; the plan
// has locked them. What is on its way to somebody at this moment stays, the next
// plan sees what became of it.
func dropReturning(ctx context.Context, tx pgx.Tx, heads []string) error {
	_, err := tx.Exec(ctx, `
		SELECT booking.give_back(l.ids, l.ids) FROM (SELECT array_agg(id) AS ids FROM (
			SELECT id FROM booking.returning WHERE id = ANY ($1::text[]::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED) h) l
		WHERE l.ids IS NOT NULL`, heads)
	return err
}
