package issuer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Received is a receipt as it was declared.
type Received struct {
	ID, ProductID, LotNumber string
	Doses                    int
	Day, DeclaredAt          time.Time
}

// Receipts lists the last receipts that an issuer declared, newest first.
func Receipts(ctx context.Context, q pg.Querier, issuerID string, limit int) ([]Received, error) {
	rows, err := q.Query(ctx, `
		SELECT id::text, product_id, lot_number, doses, received_on, declared_at FROM certificate.issuer_receipt WHERE issuer_id = $1 ORDER BY declared_at DESC, id LIMIT $2`, issuerID, limit)
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Received])
}

// TakeBack takes a declared receipt back, for one that was declared by mistake: as long
// as neither the lot's doses nor, for certificates without a lot, the product's are
// needed by what was certified. ErrUsed when they are, ErrNotFound for no receipt of the
// issuer.
func (s *Service) TakeBack(ctx context.Context, issuerID, receiptID, actor string) error {
	if !id.Valid(receiptID) {
		return ErrNotFound
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := s.Lock(ctx, tx, issuerID)
		if err != nil {
			return err
		}
		var r Received
		err = tx.QueryRow(ctx, `DELETE FROM certificate.issuer_receipt WHERE id = $1 AND issuer_id = $2 RETURNING product_id, lot_number, doses`, receiptID, issuerID).
			Scan(&r.ProductID, &r.LotNumber, &r.Doses)
		if pg.NoRows(err) {
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("take back a receipt: %w", err)
		}
		tag, err := tx.Exec(ctx, `
			UPDATE certificate.issuer_lot SET declared = declared - $4 WHERE issuer_id = $1 AND product_id = $2 AND lot_number = $3 AND declared - $4 >= given
			   AND (SELECT sum(declared) - $4 >= sum(given) FROM certificate.issuer_lot WHERE issuer_id = $1 AND product_id = $2)`,
			issuerID, r.ProductID, r.LotNumber, r.Doses)
		if err != nil {
			return fmt.Errorf("take back a receipt: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return ErrUsed
		}
		return audit.Write(ctx, tx, s.Now(), audit.Entry{Actor: actor, Role: "issuer", Action: "issuer.receipt_back", Subject: i.Ref(), Before: map[string]any{
			"product": r.ProductID, "lot": r.LotNumber, "doses": r.Doses,
		}})
	})
}
