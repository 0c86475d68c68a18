package dualcontrol

import "impfportal/retention"

// RetentionExempt lists what is kept: the evidence of who decided what.
func RetentionExempt() []retention.Exempt {
	const why = "Evidence of what two people decided; names nobody but accounts"
	return []retention.Exempt{
		{Table: "staff.proposal", Why: why},
		{Table: "staff.approval", Why: why},
		{Table: "staff.approver", Why: "Who may approve, since when, admitted by whom"},
	}
}
