package passkey

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules say how the rows of this slice end.
func RetentionRules() []retention.Rule {
	const technical = "technical"
	del := func(sql string) func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
		return func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, sql, now.Add(-keep), limit)
			return tag.RowsAffected(), err
		}
	}
	return []retention.Rule{
		{
			Name: "passkey.challenge", Table: "staff.challenge", Policy: technical, Why: "Counts for two minutes; what a touch answered is kept with the touch",
			Run: del(`DELETE FROM staff.challenge WHERE id IN (SELECT id FROM staff.challenge WHERE expires_at < $1 LIMIT $2)`),
		},
		{
			Name: "passkey.enrolment", Table: "staff.enrolment", Policy: technical, Why: "Codes that are used or expired",
			Run: del(`DELETE FROM staff.enrolment WHERE id IN (SELECT id FROM staff.enrolment WHERE coalesce(used_at, expires_at) < $1 LIMIT $2)`),
		},
		{
			Name: "passkey.fresh", Table: "staff.fresh", Policy: technical, Why: "Counts for 15 minutes, and goes with its session",
			Run: del(`DELETE FROM staff.fresh WHERE (session_hash, action) IN (SELECT session_hash, action FROM staff.fresh WHERE until_at < $1 LIMIT $2)`),
		},
	}
}

// RetentionExempt lists what is kept.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "staff.key_model", Why: "Configuration: which models were allowed when"},
		{Table: "staff.credential", Why: "Keys of accounts, which are kept; what a key has approved is verified with it"},
		{Table: "staff.touch", Why: "Evidence of what people did with their keys; nothing personal but the account's id"},
	}
}
