package revocation

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules ends a revocation, and a batch of them, with the life of its
// certificates: what has expired is refused by every verifier anyway.
func RetentionRules() []retention.Rule {
	rule := func(name, table, why, sql string) retention.Rule {
		return retention.Rule{Name: name, Table: table, Why: why, Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, sql, now, limit)
			return tag.RowsAffected(), err
		}}
	}
	return []retention.Rule{
		rule("certificate.revocation", "certificate.revocation", "a revocation is needed as long as the certificate would be valid without it",
			`DELETE FROM certificate.revocation WHERE id IN (SELECT id FROM certificate.revocation WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`),
		rule("certificate.revocation_batch", "certificate.revocation_batch", "a batch is needed as long as one of its certificates would be valid without it",
			`DELETE FROM certificate.revocation_batch WHERE id IN (SELECT id FROM certificate.revocation_batch WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`),
	}
}

// RetentionExempt states why the other tables need no rule.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "certificate.revocation_entry", Why: "deleted with its revocation or batch (foreign keys, on delete cascade)"},
		{Table: "certificate.revocation_mass", Why: "decisions of two people: evidence; names issuers, lots and times, and persons by id only"},
	}
}
