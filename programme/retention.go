package programme

import "impfportal/retention"

// RetentionRules returns none: a programme is no person.
func RetentionRules() []retention.Rule { return nil }

// RetentionExempt says why the tables of this slice stay.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "programme.programme", Why: "configuration; no personal data"},
		{Table: "programme.product", Why: "configuration; no personal data"},
		{Table: "programme.series_rule", Why: "rules with a date; they explain past appointments; no personal data"},
		{Table: "programme.age_rule", Why: "rules with a date; no personal data"},
		{Table: "programme.priority_group", Why: "rules with a date; they explain who could register when; no personal data"},
		{Table: "programme.text", Why: "published texts; no personal data"},
	}
}
