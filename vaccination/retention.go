package vaccination

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/retention"
)

// RetentionRules ends treatment records when the law no longer asks for them.
func (s *Service) RetentionRules() []retention.Rule {
	return []retention.Rule{{
		Name: "vaccination.record", Table: "vaccination.record", Policy: "treatment",
		Why: "Section 630f BGB: the treatment record is kept for ten years, then record and key go.",
		Run: s.purge,
	}}
}

// RetentionExempt states which tables hold nothing personal.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "vaccination.revision", Why: "former contents of a record: sealed under its key, and they go with it by foreign key"},
		{Table: "vaccination.forms", Why: "versions of the forms; nothing personal"},
	}
}

// purge deletes records, and with them their keys.
func (s *Service) purge(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
	rows, err := tx.Query(ctx, `
		DELETE FROM vaccination.record WHERE id IN (
			SELECT id FROM vaccination.record WHERE day < $1 ORDER BY day LIMIT $2)
		RETURNING key_id::text`, clock.Day(now.Add(-keep)), limit)
	if err != nil {
		return 0, fmt.Errorf("purge treatment records: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("purge treatment records: %w", err)
	}
	for _, k := range keys {
		if err := s.vault.Destroy(ctx, tx, k); err != nil {
			return 0, err
		}
	}
	return int64(len(keys)), nil
}
