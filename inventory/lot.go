package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// lotFor returns the lot with that number, made when it is new.
func (s *Service) lotFor(ctx context.Context, tx pgx.Tx, productID string, l ReceivedLot) (lotID string, err error) {
	number := normaliseLot(l.Number)
	if number == "" || len([]rune(number)) > maxLotNumber {
		return "", fmt.Errorf("%w: lot number", ErrInvalid)
	}
	if clock.Day(l.Expiry).Before(clock.Day(s.now())) {
		return "", ErrLotExpired
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO inventory.lot (id, product_id, number, expiry) VALUES ($1, $2, $3, $4)
		ON CONFLICT ON CONSTRAINT lot_number DO NOTHING`, id.New(), productID, number, clock.Day(l.Expiry))
	if err != nil {
		return "", err
	}
	lot, err := LotByNumber(ctx, tx, productID, number)
	if err != nil {
		return "", err
	}
	if !lot.Expiry.Equal(clock.Day(l.Expiry)) {
		return "", fmt.Errorf("%w: lot %s is known with another expiry", ErrInvalid, number)
	}
	return lot.ID, nil
}

// SetLotExpiry corrects the last day of a lot, after somebody has read the
// label. number may be empty (it stays) or the printed one of a lot whose
// number was assumed.
func (s *Service) SetLotExpiry(ctx context.Context, tx pgx.Tx, lotID, number string, expiry time.Time, by By) error {
	before, err := LotByID(ctx, tx, lotID)
	if err != nil {
		return err
	}
	after := before
	after.Expiry, after.Assumed = clock.Day(expiry), false
	if number != "" {
		after.Number = normaliseLot(number)
	}
	if len([]rune(after.Number)) > maxLotNumber || (after.Number != before.Number && !before.Assumed) {
		return fmt.Errorf("%w: lot number", ErrInvalid)
	}
	_, err = tx.Exec(ctx, `UPDATE inventory.lot SET number = $2, expiry = $3, assumed = false WHERE id = $1`, lotID, after.Number, after.Expiry)
	if pg.Violates(err, "lot_number") {
		return fmt.Errorf("%w: the product has a lot with that number already", ErrInvalid)
	}
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT place FROM inventory.balance WHERE lot_id = $1 ORDER BY place`, lotID)
	if err != nil {
		return err
	}
	places, err := pgx.CollectRows(rows, pgx.RowTo[Place])
	if err != nil {
		return err
	}
	if err := s.changed(ctx, tx, before.ProductID, places...); err != nil {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.lot", Subject: "lot:" + lotID, Before: before, After: after})
}
