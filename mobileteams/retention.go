package mobileteams

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/retention"
)

// RetentionRules ends visits together with the treatment records made at them:
// a visit explains where a record comes from, so it lives as long.
func RetentionRules() []retention.Rule {
	const why = "A visit explains the treatment records made at it and ends with them."
	return []retention.Rule{
		{Name: "mobileteams.visit", Table: "mobileteams.visit", Policy: "treatment", Why: why, Run: purge},
		{Name: "mobileteams.dose", Table: "mobileteams.dose", Why: "Goes with its visit.", Run: nothing},
	}
}

// RetentionExempt states which tables hold nothing personal.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "mobileteams.team", Why: "names of teams; nothing personal"},
		{Table: "mobileteams.facility", Why: "addresses of facilities; nothing personal"},
	}
}

func purge(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
	tag, err := tx.Exec(ctx, `
		DELETE FROM mobileteams.visit WHERE id IN (
			SELECT id FROM mobileteams.visit WHERE day < $1 ORDER BY day LIMIT $2)`, clock.Day(now.Add(-keep)), limit)
	if err != nil {
		return 0, fmt.Errorf("purge visits: %w", err)
	}
	return tag.RowsAffected(), nil
}

// nothing: the foreign key's ON DELETE CASCADE did it.
func nothing(context.Context, pgx.Tx, time.Time, time.Duration, int) (int64, error) { return 0, nil }
