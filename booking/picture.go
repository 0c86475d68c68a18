package booking

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// pictureLock keeps two replicas from looking at the same time.
const pictureLock = 0x70696374757265 // "picture"

// sharedFree returns what is free as one replica for all has seen it, at most
// about every ago. Counting goes through all places, so it is done once per
// period however many replicas there are; the others read one row. While somebody
// else is counting the picture before will do; who finds one that is stale for
// long (nobody counts any more) counts for itself.
func (s *Service) sharedFree(ctx context.Context, every time.Duration) (rows []freeRow, err error) {
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, pictureLock).Scan(&mine); err != nil {
			return err
		}
		age, found, err := readPicture(ctx, tx, &rows)
		switch {
		case err != nil:
			return err
		case found && (age < every*9/10 || !mine && age < 5*every):
			return nil
		}
		if rows, err = s.freeSeries(ctx, tx, "", ""); err != nil || !mine {
			return err
		}
		return writePicture(ctx, tx, rows)
	})
	return rows, err
}

// readPicture reads the picture; age is by the database's clock.
func readPicture(ctx context.Context, tx pgx.Tx, rows *[]freeRow) (age time.Duration, found bool, err error) {
	var (
		seconds float64
		raw     []byte
	)
	err = tx.QueryRow(ctx, `SELECT extract(epoch FROM clock_timestamp() - taken_at)::float8, free FROM booking.picture`).Scan(&seconds, &raw)
	if pg.NoRows(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("picture: %w", err)
	}
	if err := json.Unmarshal(raw, rows); err != nil {
		return 0, false, fmt.Errorf("picture: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), true, nil
}

func writePicture(ctx context.Context, tx pgx.Tx, rows []freeRow) error {
	if rows == nil {
		rows = []freeRow{}
	}
	raw, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO booking.picture (taken_at, free) VALUES (clock_timestamp(), $1)
		ON CONFLICT (one) DO UPDATE SET taken_at = excluded.taken_at, free = excluded.free`, raw)
	return err
}
