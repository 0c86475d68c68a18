package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// ShelfKind says since what a shelf life counts.
type ShelfKind string

// The kinds of shelf life.
const (
	AfterThaw ShelfKind = "thawed"  // in days after the day of thawing
	AfterOpen ShelfKind = "opened"  // in hours
	AfterLoad ShelfKind = "carried" // in hours, closed, in the box of a team
)

// maxShelfLife is the most days or hours that a rule may say.
const maxShelfLife = 400

// ShelfRule says how long vaccine of a product lasts from a day on.
type ShelfRule struct {
	ProductID string
	Kind      ShelfKind
	ValidFrom time.Time
	Amount    int // days or hours, see Kind; 0 = no limit of its own
}

// ShelfRules returns all rules by product and kind, the newest first.
func ShelfRules(ctx context.Context, q pg.Querier) ([]ShelfRule, error) {
	rows, err := q.Query(ctx, `
		SELECT r.product_id, r.kind, r.valid_from, coalesce(r.amount, 0)
		FROM inventory.shelf_life r JOIN programme.product p ON p.id = r.product_id
		ORDER BY p.programme_id, p.position, r.product_id, r.kind DESC, r.valid_from DESC`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ShelfRule])
}

// SetShelfLife sets how long vaccine lasts that is thawed, opened or loaded on the day of
// r.ValidFrom or later; a rule that starts on the same day is replaced. Vials
// thawed before keep their rule. Every centre that has or expects the product is
// told, since its appointments follow from it. ErrInvalid, ErrNotFound.
func (s *Service) SetShelfLife(ctx context.Context, tx pgx.Tx, r ShelfRule, by By) error {
	if (r.Kind != AfterThaw && r.Kind != AfterOpen && r.Kind != AfterLoad) || r.Amount < 0 || r.Amount > maxShelfLife {
		return fmt.Errorf("%w: shelf life", ErrInvalid)
	}
	if _, err := programme.ProductByID(ctx, tx, r.ProductID); err != nil {
		return missing("product", err)
	}
	day, now := clock.Day(r.ValidFrom), s.now()
	var before *int
	err := tx.QueryRow(ctx, `
		SELECT coalesce(amount, 0) FROM inventory.shelf_life WHERE product_id = $1 AND kind = $2 AND valid_from <= $3
		ORDER BY valid_from DESC LIMIT 1`, r.ProductID, r.Kind, day).Scan(&before)
	if err != nil && !pg.NoRows(err) {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO inventory.shelf_life (product_id, kind, valid_from, amount, set_by, set_at) VALUES ($1, $2, $3, nullif($4, 0), $5, $6)
		ON CONFLICT (product_id, kind, valid_from) DO UPDATE SET amount = excluded.amount, set_by = excluded.set_by, set_at = excluded.set_at`,
		r.ProductID, r.Kind, day, r.Amount, by.Actor, now)
	if err != nil {
		return err
	}
	if err := s.productChanged(ctx, tx, r.ProductID); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.shelf-life", Subject: "product:" + r.ProductID,
		Before: before, After: map[string]any{"kind": r.Kind, "valid_from": day.Format(time.DateOnly), "amount": r.Amount},
	})
}
