package vaccination

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// FormsOn returns the versions ('Stand') of information sheet and consent form
// that may be signed for a product on a day, newest first.
func FormsOn(ctx context.Context, q pg.Querier, productID string, day time.Time) ([]time.Time, error) {
	rows, err := q.Query(ctx, `
		SELECT stand FROM vaccination.forms
		 WHERE product_id = $1 AND used_from <= $2 AND (used_until IS NULL OR used_until >= $2)
		 ORDER BY stand DESC`, productID, day)
	if err != nil {
		return nil, fmt.Errorf("forms: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return nil, fmt.Errorf("forms: %w", err)
	}
	return out, nil
}

// checkForms returns ErrForms for a version that may not be signed on that day.
func checkForms(ctx context.Context, q pg.Querier, productID string, stand, day time.Time) error {
	known, err := FormsOn(ctx, q, productID, day)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(known, stand.Equal) {
		return ErrForms
	}
	return nil
}
