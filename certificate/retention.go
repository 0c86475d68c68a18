package certificate

import "impfportal/retention"

// RetentionExempt states why the certificates need no rule of their own.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{{
		Table: "certificate.certificate",
		Why:   "a certificate is sealed under the key of its treatment record and deleted with that key (foreign key, on delete cascade)",
	}}
}

// RetentionRules is empty: see RetentionExempt.
func RetentionRules() []retention.Rule { return nil }
