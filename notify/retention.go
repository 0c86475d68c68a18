package notify

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules says how messages end. What waits to be delivered or printed
// stays until it is; its content goes with the person's key in any case.
func RetentionRules() []retention.Rule {
	return []retention.Rule{
		{
			Name: "notify.message", Table: "notify.message", Policy: "messages",
			Why: "A message that was delivered, printed or has failed is of no use after the period for messages.",
			Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
				tag, err := tx.Exec(ctx, `
					DELETE FROM notify.message WHERE id IN (
						SELECT id FROM notify.message WHERE done_at < $1 ORDER BY done_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
					now.Add(-keep), limit)
				return tag.RowsAffected(), err
			},
		},
		{
			Name: "notify.batch", Table: "notify.batch", Policy: "messages",
			Why: "A print batch whose letters are deleted says nothing any more.",
			Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
				tag, err := tx.Exec(ctx, `
					DELETE FROM notify.batch WHERE id IN (
						SELECT b.id FROM notify.batch b
						WHERE b.taken_at < $1 AND NOT EXISTS (SELECT FROM notify.message m WHERE m.batch_id = b.id)
						ORDER BY b.taken_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
					now.Add(-keep), limit)
				return tag.RowsAffected(), err
			},
		},
	}
}

// RetentionExempt is empty: every table has a rule.
func RetentionExempt() []retention.Exempt { return nil }
