package translog

import "impfportal/retention"

// RetentionExempt states why the log needs no rule: a log from which something
// can be deleted proves nothing, and nothing personal stands in it.
func RetentionExempt() []retention.Exempt {
	const why = "transparency log: append-only, without personal data; deleting would break every proof"
	return []retention.Exempt{
		{Table: "certificate.log_leaf", Why: why},
		{Table: "certificate.log_hash", Why: why},
		{Table: "certificate.log_checkpoint", Why: why},
		{Table: "certificate.log_told", Why: "one row"},
		{Table: "certificate.log_alarm", Why: "alarms of the transparency log: evidence, without personal data"},
	}
}
