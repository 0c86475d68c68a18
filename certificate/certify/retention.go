package certify

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

const (
	loginsKept   = 24 * time.Hour
	sessionsKept = 30 * 24 * time.Hour
)

// RetentionRules says how this slice's rows end.
func RetentionRules() []retention.Rule {
	rule := func(name, table, column, why string, own time.Duration) retention.Rule {
		return retention.Rule{Name: name, Table: table, Why: why, Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE id IN (SELECT id FROM `+table+` WHERE `+column+` < $1 ORDER BY `+column+` LIMIT $2)`, now.Add(-own), limit)
			return tag.RowsAffected(), err
		}}
	}
	return []retention.Rule{
		rule("certify.login", "certificate.certify_login", "expires_at", "A challenge is answered within two minutes or never.", loginsKept),
		rule("certify.session", "certificate.certify_session", "ends_at", "Which card logged in when is looked at in an inquiry of the last weeks.", sessionsKept),
	}
}

// RetentionExempt states why the other tables need no rule of their own.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "certificate.card_crl", Why: "one row for each authority of cards: the list that holds"},
		{Table: "certificate.card_revoked", Why: "what the lists say that hold; the next list replaces it"},
	}
}
