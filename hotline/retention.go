package hotline

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// unsentLogin is how long login data that never got into a letter is kept: the
// registration was not clarified, or there is no address.
const unsentLogin = 14 * 24 * time.Hour

// RetentionRules says how the desk's rows end. Notes and login data become
// unreadable earlier when the person's key is destroyed.
func RetentionRules() []retention.Rule {
	rule := func(name, policy, why, sql string, own time.Duration) retention.Rule {
		return retention.Rule{
			Name: "hotline." + name, Table: "hotline." + name, Policy: policy, Why: why,
			Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
				if policy == "" {
					keep = own
				}
				tag, err := tx.Exec(ctx, sql, now.Add(-keep), limit)
				return tag.RowsAffected(), err
			},
		}
	}
	return []retention.Rule{
		rule("form", "", "The mark that a form was sent is needed for as long as somebody might send it again.",
			`DELETE FROM hotline.form WHERE key IN (SELECT key FROM hotline.form WHERE created_at < $1 LIMIT $2)`, 24*time.Hour),
		rule("login_data", "", "Login data that could not be put into a letter is given up after two weeks.",
			`DELETE FROM hotline.login_data WHERE person_id IN (SELECT person_id FROM hotline.login_data WHERE created_at < $1 LIMIT $2)`, unsentLogin),
		rule("letter", "messages", "That a letter went is kept as long as messages are.",
			`DELETE FROM hotline.letter WHERE id IN (SELECT id FROM hotline.letter WHERE done_at < $1 LIMIT $2)`, 0),
		rule("note", "registration", "Call notes are kept as long as a registration without an appointment is.",
			`DELETE FROM hotline.note WHERE id IN (SELECT id FROM hotline.note WHERE created_at < $1 LIMIT $2)`, 0),
	}
}

// RetentionExempt is empty: every table has a rule.
func RetentionExempt() []retention.Exempt { return nil }
