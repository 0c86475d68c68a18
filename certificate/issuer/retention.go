package issuer

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/vault"
	"impfportal/retention"
)

const (
	pullsKept    = 400 * 24 * time.Hour
	issuesKept   = 90 * 24 * time.Hour
	claimsKept   = 30 * 24 * time.Hour       // ended without ever having been active
	contactsKept = 400 * 24 * time.Hour      // of issuers that ended
	issuersKept  = 10 * 365 * 24 * time.Hour // as long as the records they made
)

// RetentionRules says how this slice's rows end.
func RetentionRules(v *vault.Vault) []retention.Rule {
	rule := func(name, table, why, sql string, own time.Duration) retention.Rule {
		return retention.Rule{Name: name, Table: table, Why: why, Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, sql, now.Add(-own), limit)
			return tag.RowsAffected(), err
		}}
	}
	return []retention.Rule{
		rule("registry.pull", "certificate.registry_pull", "What came of a look at the registry, and what it changed, is kept a year and a bit.",
			`DELETE FROM certificate.registry_pull WHERE id IN (SELECT id FROM certificate.registry_pull WHERE at < $1 ORDER BY at LIMIT $2)`, pullsKept),
		rule("issuer.issue", "certificate.issuer_issue", "The rows from which alarms are counted carry a pseudonym of the person; the alarms look back a day, an inquiry some weeks.",
			`DELETE FROM certificate.issuer_issue WHERE id IN (SELECT id FROM certificate.issuer_issue WHERE at < $1 ORDER BY at LIMIT $2)`, issuesKept),
		rule("issuer.bucket", "certificate.issuer_bucket", "A bucket that nobody took from for two days is full: the row says nothing.",
			`DELETE FROM certificate.issuer_bucket WHERE (issuer_id, who) IN (SELECT issuer_id, who FROM certificate.issuer_bucket WHERE at < $1 LIMIT $2)`, 48*time.Hour),
		rule("issuer.unknown", "certificate.issuer_unknown", "How often unknown ids were tried on a day is a figure for the month.",
			`DELETE FROM certificate.issuer_unknown WHERE day IN (SELECT day FROM certificate.issuer_unknown WHERE day < $1 LIMIT $2)`, pullsKept),
		rule("issuer.day", "certificate.issuer_day", "How many appointments an issuer said it had is looked at for a day.",
			`DELETE FROM certificate.issuer_day WHERE (issuer_id, day) IN (SELECT issuer_id, day FROM certificate.issuer_day WHERE day < $1 LIMIT $2)`, issuesKept),
		ending(v, "issuer.claim", "A claim that came to nothing goes with its contact data.", `activated_at IS NULL`, claimsKept),
		ending(v, "issuer.issuer", "An issuer that ended is kept as long as the treatment records that it made.", `activated_at IS NOT NULL`, issuersKept),
		{
			Name: "issuer.contact", Table: "certificate.issuer", Why: "Contact data of an issuer that ended is of no use after a year.",
			Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
				tag, err := tx.Exec(ctx, `
					UPDATE certificate.issuer SET contact = '' WHERE id IN (
						SELECT id FROM certificate.issuer WHERE state = 'ended' AND since < $1 AND contact <> '' LIMIT $2)`, now.Add(-contactsKept), limit)
				return tag.RowsAffected(), err
			},
		},
	}
}

// ending deletes issuers that ended, with all that hangs on them, and their keys.
func ending(v *vault.Vault, name, why, which string, own time.Duration) retention.Rule {
	return retention.Rule{Name: name, Table: "certificate.issuer", Why: why, Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
		rows, err := tx.Query(ctx, `
			DELETE FROM certificate.issuer WHERE id IN (
				SELECT id FROM certificate.issuer WHERE state = 'ended' AND `+which+` AND since < $1 ORDER BY since LIMIT $2) RETURNING key_id::text`, now.Add(-own), limit)
		if err != nil {
			return 0, err
		}
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, k := range keys {
			if err == nil {
				err = v.Destroy(ctx, tx, k)
			}
		}
		return int64(len(keys)), err
	}}
}

// RetentionExempt states why the other tables need no rule of their own.
func RetentionExempt() []retention.Exempt {
	with := "deleted with its issuer (foreign key, on delete cascade)"
	return []retention.Exempt{
		{Table: "certificate.registry_head", Why: "one row: the list that holds"},
		{Table: "certificate.registry_entry", Why: "the authority's public register as we know it; ids that are gone must stay known, so that they cannot come back unnoticed"},
		{Table: "certificate.registry_change", Why: "deleted with its pull (foreign key, on delete cascade)"},
		{Table: "certificate.issuer_allowance", Why: "effective-dated rules, not about anybody"},
		{Table: "certificate.issuer_threshold", Why: "effective-dated rules, not about anybody"},
		{Table: "certificate.issuer_approval", Why: with},
		{Table: "certificate.issuer_code", Why: with},
		{Table: "certificate.issuer_limit", Why: with},
		{Table: "certificate.issuer_receipt", Why: with},
		{Table: "certificate.issuer_lot", Why: with},
		{Table: "certificate.issuer_alarm", Why: with},
	}
}
