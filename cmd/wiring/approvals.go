package wiring

import (
	"context"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/staff/dualcontrol"
)

// logApproval writes each approval into the log, in its own transaction: what was
// decided (the proposal's digest), and by which of all approvers and keys.
func (s *Slices) logApproval(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal, a dualcontrol.Approval) error {
	return s.Log.Append(ctx, tx, "approval:"+a.ID, translog.Leaf{
		Kind: translog.KindApproval, Subject: "proposal:" + p.ID, Digest: p.Digest[:], Operator: s.Log.Pseudonym("approver", a.AccountID), Day: clock.Day(a.At),
		Detail: map[string]string{"kind": p.Kind, "key": s.Log.Pseudonym("key", a.CredentialID)},
	})
}
