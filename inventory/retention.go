package inventory

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules says what of this slice goes: the ledger stays, it names no person.
func RetentionRules() []retention.Rule {
	return []retention.Rule{{
		Name: "inventory.request", Table: "inventory.request", Policy: "technical", Why: "A retry comes within minutes",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM inventory.request WHERE (actor, key) IN (SELECT actor, key FROM inventory.request WHERE at < $1 LIMIT $2)`, now.Add(-keep), limit)
			return tag.RowsAffected(), err
		},
	}}
}

// RetentionExempt says why the tables of this slice stay.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "inventory.doses_per_vial", Why: "rules with a date; they explain past stock; no personal data"},
		{Table: "inventory.shelf_life", Why: "see inventory.doses_per_vial"},
		{Table: "inventory.lot", Why: "a recall must find every lot; no personal data"},
		{Table: "inventory.movement", Why: "the ledger of a public good is kept whole; staff by account id, doses by the treatment record's id, no other personal data"},
		{Table: "inventory.entry", Why: "see inventory.movement"},
		{Table: "inventory.balance", Why: "derived from inventory.entry"},
		{Table: "inventory.portion", Why: "derived from inventory.entry"},
		{Table: "inventory.yield", Why: "what a vial gave explains the ledger; staff by account id, no other personal data"},
		{Table: "inventory.delivery", Why: "deliveries explain the ledger; no personal data"},
		{Table: "inventory.allocation", Why: "configuration; no personal data"},
		{Table: "inventory.allocation_share", Why: "configuration; no personal data"},
		{Table: "inventory.population", Why: "public figures; no personal data"},
		{Table: "inventory.import_row", Why: "the ministry's report as imported; no personal data"},
		{Table: "inventory.import_run", Why: "what each import did; no personal data beyond the account id"},
	}
}
