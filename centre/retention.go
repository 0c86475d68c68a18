package centre

import "impfportal/retention"

// RetentionRules returns none: centres are no people.
func RetentionRules() []retention.Rule { return nil }

// RetentionExempt says why the tables of this slice stay.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "centre.centre", Why: "configuration; appointments and the stock ledger name it; no personal data"},
		{Table: "centre.hours", Why: "rules with a date; no personal data"},
		{Table: "centre.minutes", Why: "rules with a date; no personal data"},
		{Table: "centre.exception", Why: "rules with a date; no personal data"},
	}
}
