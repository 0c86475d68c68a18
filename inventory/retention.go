package inventory

import "impfportal/retention"

// RetentionRules returns none: the stock ledger names no person.
func RetentionRules() []retention.Rule { return nil }

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
