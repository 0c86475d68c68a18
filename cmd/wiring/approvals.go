package wiring

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey"
)

// logApproval writes each approval into the log, in its own transaction: what was
// decided (the proposal's digest), and by which of all approvers and keys.
func (s *Slices) logApproval(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal, a dualcontrol.Approval) error {
	return s.Log.Append(ctx, tx, "approval:"+a.ID, translog.Leaf{
		Kind: translog.KindApproval, Subject: "proposal:" + p.ID, Digest: p.Digest[:], Operator: s.Log.Pseudonym("approver", a.AccountID), Day: clock.Day(a.At),
		Detail: map[string]string{"kind": p.Kind, "key": s.Log.Pseudonym("key", a.CredentialID)},
	})
}

// logAlone writes into the log what one person has decided during the first set-up,
// in its transaction, so that whoever reads the log knows whom to ask.
func (s *Slices) logAlone(ctx context.Context, tx pgx.Tx, kind, subject string, digest passkey.Digest, actor string) error {
	return s.Log.Append(ctx, tx, "alone:"+subject+":"+hex.EncodeToString(digest[:]), translog.Leaf{
		Kind: translog.KindApproval, Subject: subject, Digest: digest[:], Operator: s.Log.Pseudonym("approver", strings.TrimPrefix(actor, "staff:")), Day: clock.Day(s.env.Now()),
		Detail: map[string]string{"kind": kind, "how": "first_setup"},
	})
}
