package inventory

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// standing returns the movement by which the dose of a treatment record stands in the
// ledger, and how many it has had; "" when it was never given, or was taken back.
func standing(ctx context.Context, q pg.Querier, record string) (movementID string, place Place, lotID string, had int, err error) {
	rows, err := q.Query(ctx, `
		SELECT m.id::text, e.place, m.lot_id::text, EXISTS (SELECT FROM inventory.movement c WHERE c.corrects = m.id)
		  FROM inventory.movement m JOIN inventory.entry e ON e.movement_id = m.id AND e.doses < 0
		 WHERE m.kind = 'give' AND (m.ref = $1 OR m.ref LIKE $1 || '#%')`, record)
	if err != nil {
		return "", "", "", 0, fmt.Errorf("dose of record: %w", err)
	}
	var (
		mid, lot string
		at       Place
		back     bool
	)
	_, err = pgx.ForEachRow(rows, []any{&mid, &at, &lot, &back}, func() error {
		had++
		if !back {
			movementID, place, lotID = mid, at, lot
		}
		return nil
	})
	if err != nil {
		return "", "", "", 0, fmt.Errorf("dose of record: %w", err)
	}
	return movementID, place, lotID, had, nil
}

// TakeBack undoes the dose of a treatment record by its counter-movement: it lies where
// it was taken from again, as one of an opened vial. A dose that was taken back already,
// or never stood in the ledger, is no error.
func (s *Service) TakeBack(ctx context.Context, tx pgx.Tx, record, why string, by By) error {
	movementID, _, _, _, err := standing(ctx, tx, record) //nolint:dogsled // the movement is all that is needed
	if err != nil || movementID == "" {
		return err
	}
	return s.Correct(ctx, tx, movementID, why, by)
}

// Regive moves the dose of a treatment record from the lot and place as which it stands
// in the ledger to those of g, in the caller's transaction: it is taken back there and
// given here, as of g.At. g.Ref is the record. Errors as of GiveDose (ErrLotEmpty when
// the right lot has none left) and Correct; ErrAlreadyGiven when it stands so already.
func (s *Service) Regive(ctx context.Context, tx pgx.Tx, g Give, why string, by By) error {
	if !id.Valid(g.LotID) {
		return fmt.Errorf("%w: lot", ErrNotFound)
	}
	movementID, place, lotID, had, err := standing(ctx, tx, g.Ref)
	if err != nil {
		return err
	}
	if movementID != "" {
		if place == g.Place && lotID == g.LotID {
			return ErrAlreadyGiven
		}
		// Two corrections in opposite directions would wait for each other.
		if _, err := tx.Exec(ctx, `
			SELECT FROM inventory.balance WHERE (place, lot_id) IN (($1, $2), ($3, $4)) ORDER BY place, lot_id FOR UPDATE`,
			place, lotID, g.Place, g.LotID); err != nil {
			return fmt.Errorf("lock balances: %w", err)
		}
		if err := s.Correct(ctx, tx, movementID, why, by); err != nil {
			return err
		}
	}
	if had > 0 { // a record stands once under each reference
		g.Ref += "#" + strconv.Itoa(had+1)
	}
	return s.GiveDose(ctx, tx, g)
}
