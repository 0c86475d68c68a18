package alert

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules say how the rows of this slice end.
func RetentionRules() []retention.Rule {
	return []retention.Rule{{
		Name: "staff.alert", Table: "staff.alert", Policy: "figures", Why: "That something was wrong and when administrators were told; names only what it was about",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `DELETE FROM staff.alert WHERE id IN (SELECT id FROM staff.alert WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)`, now.Add(-keep), limit)
			return tag.RowsAffected(), err
		},
	}, {
		Name: "staff.alert_address", Table: "staff.alert_address", Why: "An address goes a month after its account was ended",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM staff.alert_address WHERE account_id IN (
					SELECT x.account_id FROM staff.alert_address x JOIN staff.account a ON a.id = x.account_id WHERE a.disabled_at < $1 LIMIT $2)`, now.AddDate(0, -1, 0), limit)
			return tag.RowsAffected(), err
		},
	}}
}
