// Package dualcontrol lets two people decide what one must not (Vier-Augen-Prinzip):
// whom an issuer is, how much it may issue, whether a stopped one goes on, whether
// many certificates are revoked, whose security keys count.
//
// A proposal (Vorschlag) says what is to change (kind, subject, payload) and why.
// An approver (Freigebende Person) approves it with a touch of a security key over
// the proposal's digest; the second approval applies the proposal, in the same
// transaction. The proposer is one of the two only by approving with a key like
// everybody.
//
//	         approve (first)
//	           ┌──┐
//	propose ─► open ─ approve (second) ─► applied
//	           │ │ └─ refuse (any approver, with a reason) ─► refused
//	           │ └─── withdraw (the proposer) ─► withdrawn
//	           └───── after seven days ─► expired
//
// # What the database holds
//
// Triggers see to it that no code path forges an approval: an approval needs a row
// of staff.touch with an assertion over the digest, of a key that is this account's
// and no other's; one approval of an account and one of a key count; nobody approves
// their own concern (the barred accounts, and the account that the proposal is
// about); what changes a proposal voids its approvals; a proposal ends once, and as
// applied only with two approvals. What is guarded asks
//
//	staff.two_approved(proposal, kind, subject) boolean
//	staff.approved_payload(proposal, kind, subject) jsonb   -- NULL = not approved
//
// in a trigger of its own, and compares what is written with the payload. Both say
// yes only within the transaction in which the second approval applies the proposal:
// a proposal that has been applied applies to nothing more. The one thing that
// Postgres cannot check is the signature itself: the program checks it before it
// stores it, the worker checks it again every day, and the page of the approvals shows it.
//
// # Who may approve
//
// Being an administrator is not enough, for an administrator makes accounts. The
// first two administrators who enrol a key are approvers; everybody after them is
// admitted by two (kind staff.approver). An account that gets a new key which none
// of its keys vouched for approves nothing until it has been admitted again.
package dualcontrol
