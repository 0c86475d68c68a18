package dualcontrol

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/staff/passkey"
)

// AskTouch asks for the touch with which an account approves a proposal as it is now.
func (s *Service) AskTouch(ctx context.Context, proposalID, accountID string) (passkey.Asked, error) {
	p, err := Get(ctx, s.pool, proposalID)
	if err != nil {
		return passkey.Asked{}, err
	}
	if err := s.mayDecide(ctx, s.pool, p, accountID); err != nil {
		return passkey.Asked{}, err
	}
	return s.cfg.Keys.Ask(ctx, accountID, ActionApprove, p.Digest)
}

// Approve adds an account's approval, which is a touch of one of its keys over the
// proposal's digest. The second one applies the proposal in the same transaction.
func (s *Service) Approve(ctx context.Context, proposalID, accountID string, touch passkey.Touch) error {
	before, err := Get(ctx, s.pool, proposalID)
	if err != nil {
		return err
	}
	// A touch for what the proposal said before is refused here: it is of another digest.
	proof, err := s.cfg.Keys.Verify(ctx, accountID, ActionApprove, before.Digest, touch)
	if err != nil {
		return err
	}
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// One approval after the other, so that the second one knows that it is.
		p, err := get(ctx, tx, proposalID, true)
		if err != nil {
			return err
		}
		if p.Digest != before.Digest {
			return ErrChanged
		}
		if err := s.mayDecide(ctx, tx, p, accountID); err != nil {
			return err
		}
		return s.approve(ctx, tx, p, proof)
	})
}

func (s *Service) approve(ctx context.Context, tx pgx.Tx, p Proposal, proof passkey.Proof) error {
	h, known := s.handlers[p.Kind]
	if !known {
		return ErrKind
	}
	a := Approval{ID: id.New(), ProposalID: p.ID, AccountID: proof.AccountID, CredentialID: proof.CredentialID, At: s.now()}
	var err error
	if a.TouchID, err = proof.Save(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO staff.approval (id, proposal_id, account_id, credential_id, touch_id, digest, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		a.ID, a.ProposalID, a.AccountID, a.CredentialID, a.TouchID, p.Digest[:], a.At); err != nil {
		return asDomain(err)
	}
	if err := s.audit(ctx, tx, a.At, a.AccountID, "approve", p.ID, map[string]string{"key": a.CredentialID, "touch": a.TouchID}); err != nil {
		return err
	}
	for _, tell := range []func(context.Context, pgx.Tx, Proposal, Approval) error{s.cfg.Approved, h.Approved} {
		if tell == nil {
			continue
		}
		if err := tell(ctx, tx, p, a); err != nil {
			return err
		}
	}
	var two bool
	if err := tx.QueryRow(ctx, `SELECT staff.two_approved($1, $2, $3)`, p.ID, p.Kind, p.Subject).Scan(&two); err != nil || !two {
		return err
	}
	if err := h.Apply(ctx, tx, p); err != nil {
		return err
	}
	return s.end(ctx, tx, p, Applied, a.AccountID, "", a.At)
}

// end closes a proposal whose row is locked.
func (s *Service) end(ctx context.Context, tx pgx.Tx, p Proposal, state, accountID, why string, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE staff.proposal SET state = $2, closed_at = $3, closed_by = nullif($4, '')::uuid, closed_why = $5 WHERE id = $1`,
		p.ID, state, now, accountID, why); err != nil {
		return asDomain(err)
	}
	return s.audit(ctx, tx, now, accountID, state, p.ID, map[string]string{"kind": p.Kind, "subject": p.Subject, "why": why})
}

// mayDecide tells why an account may not decide on a proposal; the triggers refuse
// the same.
func (s *Service) mayDecide(ctx context.Context, q pg.Querier, p Proposal, accountID string) error {
	if p.State != Open || !s.now().Before(p.ExpiresAt) {
		return ErrClosed
	}
	var approver, concerned bool
	err := q.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM staff.approver r JOIN staff.account a ON a.id = r.account_id
			WHERE r.account_id = $2 AND r.ended_at IS NULL AND a.disabled_at IS NULL AND 'admin' = ANY (a.roles)),
			(SELECT staff.concerns(p, $2) FROM staff.proposal p WHERE p.id = $1)`, p.ID, accountID).Scan(&approver, &concerned)
	switch {
	case err != nil:
		return err
	case concerned:
		return ErrOwnConcern
	case !approver:
		return ErrNotApprover
	}
	return nil
}

// asDomain names what a trigger or an index has refused.
func asDomain(err error) error {
	for constraint, domain := range map[string]error{
		"approval_open": ErrClosed, "approval_digest": ErrChanged, "approval_own": ErrOwnConcern, "approval_account": ErrNotApprover,
		"approval_touch": ErrTouch, "approval_touch_once": ErrTouch, "approval_account_once": ErrTwice, "approval_credential_once": ErrTwice,
		"proposal_two": ErrTouch, "proposal_keep": ErrClosed,
	} {
		if pg.Violates(err, constraint) {
			return errors.Join(domain, err)
		}
	}
	return err
}

// Refuse ends a proposal: one no of somebody who could have approved is enough.
func (s *Service) Refuse(ctx context.Context, proposalID, accountID, why string) error {
	now := s.now()
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		p, err := get(ctx, tx, proposalID, true)
		if err != nil {
			return err
		}
		if err := s.mayDecide(ctx, tx, p, accountID); err != nil {
			return err
		}
		return s.end(ctx, tx, p, Refused, accountID, why, now)
	})
}

// Withdraw ends a proposal; only its proposer does.
func (s *Service) Withdraw(ctx context.Context, proposalID, accountID string) error {
	now := s.now()
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		p, err := get(ctx, tx, proposalID, true)
		switch {
		case err != nil:
			return err
		case p.State != Open:
			return ErrClosed
		case p.ProposedBy == "" || p.ProposedBy != accountID:
			return ErrNotFound
		}
		return s.end(ctx, tx, p, Withdrawn, accountID, "", now)
	})
}

// Expire ends the proposals whose time is over and returns how many.
func (s *Service) Expire(ctx context.Context) (n int, err error) {
	now := s.now()
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+proposalColumns+` FROM staff.proposal WHERE state = 'open' AND expires_at <= $1 ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED`, now)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, scanProposal)
		if err != nil {
			return err
		}
		for _, p := range list {
			if err := s.end(ctx, tx, p, Expired, "", "", now); err != nil {
				return err
			}
		}
		n = len(list)
		return nil
	})
	return n, err
}
