package stop

import "impfportal/retention"

// RetentionExempt states why stops are kept: nothing in them is personal, and
// who was stopped when, and why, must be known as long as there are certificates.
func RetentionExempt() []retention.Exempt {
	const why = "stops of issuing: evidence of who could issue when; nothing personal"
	return []retention.Exempt{
		{Table: "certificate.stop", Why: why},
		{Table: "certificate.stop_cohort", Why: why},
		{Table: "certificate.stop_member", Why: why},
		{Table: "certificate.stop_error", Why: why},
	}
}
