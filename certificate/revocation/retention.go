package revocation

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules ends a revocation with the life of its certificate: what has
// expired is refused by every verifier anyway.
func RetentionRules() []retention.Rule {
	return []retention.Rule{{
		Name: "certificate.revocation", Table: "certificate.revocation",
		Why: "a revocation is needed as long as the certificate would be valid without it",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM certificate.revocation WHERE id IN (SELECT id FROM certificate.revocation WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, now, limit)
			return tag.RowsAffected(), err
		},
	}}
}
