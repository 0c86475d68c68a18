package statement

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/jobs"
	"impfportal/retention"
)

// lookEvery is how often the worker looks whether a month is over.
const lookEvery = 5 * time.Minute

// Jobs settles the months.
func (s *Service) Jobs() []jobs.Periodic {
	return []jobs.Periodic{{Name: "statement.settle", Every: lookEvery, Run: func(ctx context.Context, _ time.Time) error {
		_, err := s.Run(ctx)
		return err
	}}}
}

// kept is how long statements are kept: ten years, as § 147 AO has it for vouchers,
// and the rest of the year.
const kept = 11 * 365 * 24 * time.Hour

// RetentionRules say when statements end.
func RetentionRules() []retention.Rule {
	rule := func(name, table, why, sql string) retention.Rule {
		return retention.Rule{Name: name, Table: table, Why: why, Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			if _, err := tx.Exec(ctx, `UPDATE certificate.statement_month SET state = 'expired' WHERE state = 'done' AND month < $1`, now.Add(-kept)); err != nil {
				return 0, err
			}
			tag, err := tx.Exec(ctx, sql, limit)
			return tag.RowsAffected(), err
		}}
	}
	return []retention.Rule{
		rule("statement.statement", "certificate.statement", "A statement is a voucher: it is kept ten years after the end of its year.",
			`DELETE FROM certificate.statement WHERE id IN (SELECT s.id FROM certificate.statement s JOIN certificate.statement_month m USING (month) WHERE m.state = 'expired' LIMIT $1)`),
		rule("statement.line", "certificate.statement_line", "Lines end with their statement.",
			`DELETE FROM certificate.statement_line WHERE (month, idx) IN (SELECT l.month, l.idx FROM certificate.statement_line l JOIN certificate.statement_month m USING (month) WHERE m.state = 'expired' LIMIT $1)`),
	}
}

// RetentionExempt states why the other tables need no rule.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "certificate.statement_tariff", Why: "effective-dated rules, not about anybody"},
		{Table: "certificate.statement_month", Why: "one row a month: totals and checkpoint, the chain by which no leaf is billed twice"},
		{Table: "certificate.statement_held", Why: "indexes of leaves that were on their way at a month's end: so few that they stay"},
	}
}
