package notify

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules says how messages end. What waits to be delivered or printed
// stays until it is; its content goes with the person's key in any case. A
// message under a key of its own has no such end, so it goes when its time is
// over even when it still waits, and the key with its last row.
func (s *Service) RetentionRules() []retention.Rule {
	return []retention.Rule{
		{
			Name: "notify.message", Table: "notify.message", Policy: "messages",
			Why: "A message that was delivered, printed or has failed is of no use after the period for messages.",
			Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
				tag, err := tx.Exec(ctx, `
					DELETE FROM notify.message WHERE id IN (
						SELECT id FROM notify.message WHERE done_at < $1 AND NOT own_key ORDER BY done_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
					now.Add(-keep), limit)
				return tag.RowsAffected(), err
			},
		},
		{
			Name: "notify.own_key", Table: "notify.message", Policy: "messages",
			Why: "A message to somebody whose registration has ended goes after the period for messages, together with its key.",
			Run: s.purgeOwn,
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

// purgeOwn deletes messages under keys of their own, all ways of a message
// together, and destroys the keys. limit counts messages.
func (s *Service) purgeOwn(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
	rows, err := tx.Query(ctx, `
		SELECT key_id::text FROM notify.message WHERE own_key
		GROUP BY key_id HAVING max(coalesce(done_at, queued_at)) < $1 ORDER BY key_id LIMIT $2`, now.Add(-keep), limit)
	if err != nil {
		return 0, err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	tag, err := tx.Exec(ctx, `DELETE FROM notify.message WHERE own_key AND key_id = ANY ($1::text[]::uuid[])`, keys)
	if err != nil {
		return 0, err
	}
	for _, keyID := range keys {
		if err := s.cfg.Vault.Destroy(ctx, tx, keyID); err != nil {
			return 0, err
		}
	}
	return tag.RowsAffected(), nil
}

// RetentionExempt is empty: every table has a rule.
func RetentionExempt() []retention.Exempt { return nil }
