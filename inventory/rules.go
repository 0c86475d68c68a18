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

// VialRule says how many doses a vial of a product gives from a day on.
type VialRule struct {
	ProductID string    `json:"product_id"`
	ValidFrom time.Time `json:"valid_from"`
	Doses     int       `json:"doses"`
	SetBy     string    `json:"set_by"`
	SetAt     time.Time `json:"set_at"`
}

// VialRules returns all doses-per-vial rules by product, newest first;
// productID "" = all.
func VialRules(ctx context.Context, q pg.Querier, productID string) ([]VialRule, error) {
	rows, err := q.Query(ctx, `
		SELECT r.product_id, r.valid_from, r.doses, r.set_by, r.set_at
		FROM inventory.doses_per_vial r JOIN programme.product p ON p.id = r.product_id
		WHERE $1 = '' OR r.product_id = $1
		ORDER BY p.programme_id, p.position, r.product_id, r.valid_from DESC`, productID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[VialRule])
}

// SetDosesPerVial sets how many doses a vial of a product gives from the day of
// from on; a rule that starts on the same day is replaced. Every centre that
// has or expects the product is told, since its appointments follow from it.
func (s *Service) SetDosesPerVial(ctx context.Context, tx pgx.Tx, productID string, from time.Time, doses int, by By) error {
	if doses < 1 || doses > 50 {
		return fmt.Errorf("%w: doses per vial", ErrInvalid)
	}
	if _, err := programme.ProductByID(ctx, tx, productID); err != nil {
		return missing("product", err)
	}
	day, now := clock.Day(from), s.now()
	type rule struct {
		ValidFrom string `json:"valid_from"`
		Doses     int    `json:"doses"`
	}
	var before any
	inForce, err := DosesPerVial(ctx, tx, productID, day)
	if err != nil {
		return err
	}
	if inForce > 0 {
		before = rule{day.Format(time.DateOnly), inForce}
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO inventory.doses_per_vial (product_id, valid_from, doses, set_by, set_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (product_id, valid_from) DO UPDATE SET doses = excluded.doses, set_by = excluded.set_by, set_at = excluded.set_at`,
		productID, day, doses, by.Actor, now)
	if err != nil {
		return err
	}
	if err := s.productChanged(ctx, tx, productID); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.doses-per-vial", Subject: "product:" + productID,
		Before: before, After: rule{day.Format(time.DateOnly), doses},
	})
}

// productChanged tells every centre that holds a product or will get it.
func (s *Service) productChanged(ctx context.Context, tx pgx.Tx, productID string) error {
	rows, err := tx.Query(ctx, `
		SELECT 'centre:' || c.id FROM centre.centre c
		WHERE EXISTS (SELECT 1 FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		              WHERE b.place = 'centre:' || c.id AND l.product_id = $1 AND (b.vials > 0 OR b.doses > 0))
		   OR EXISTS (SELECT 1 FROM inventory.delivery d
		              WHERE d.state IN ('planned', 'confirmed') AND d.product_id = $1 AND (d.place = 'centre:' || c.id OR (c.active AND (d.equal_shares
		                OR d.place = 'central' AND EXISTS (SELECT 1 FROM inventory.allocation a WHERE a.product_id = d.product_id AND a.automatic)))))
		ORDER BY 1`, productID)
	if err != nil {
		return err
	}
	places, err := pgx.CollectRows(rows, pgx.RowTo[Place])
	if err != nil {
		return err
	}
	return s.changed(ctx, tx, productID, places...)
}
