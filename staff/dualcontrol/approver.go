package dualcontrol

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// KindApprover is the kind of proposal that admits an account to approve; its
// subject is the account's id.
const KindApprover = "staff.approver"

// Approver is an account that approves, or did.
type Approver struct {
	AccountID, Name string
	First           bool // one of the first two, admitted by nobody
	Since           time.Time
	EndedAt         *time.Time
	EndedWhy        string // "enrolled": a new key that none of its keys vouched for
}

// Approvers returns who approves, and who did.
func Approvers(ctx context.Context, q pg.Querier) ([]Approver, error) {
	rows, err := q.Query(ctx, `
		SELECT r.account_id::text, a.name, r.proposal_id IS NULL, r.since, r.ended_at, coalesce(r.ended_why, '')
		FROM staff.approver r JOIN staff.account a ON a.id = r.account_id ORDER BY r.ended_at IS NOT NULL, r.since, a.name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Approver])
}

// Candidate is an administrator with a key who does not approve yet.
type Candidate struct{ AccountID, Name string }

// Candidates returns who could be admitted.
func Candidates(ctx context.Context, q pg.Querier) ([]Candidate, error) {
	rows, err := q.Query(ctx, `
		SELECT a.id::text, a.name FROM staff.account a
		WHERE a.disabled_at IS NULL AND 'admin' = ANY (a.roles)
		  AND EXISTS (SELECT FROM staff.credential k WHERE k.account_id = a.id AND k.disabled_at IS NULL)
		  AND NOT EXISTS (SELECT FROM staff.approver r WHERE r.account_id = a.id AND r.ended_at IS NULL)
		ORDER BY a.name, a.id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Candidate])
}

// ProposeApprover proposes that an account may approve.
func (s *Service) ProposeApprover(ctx context.Context, accountID, why, by string) (proposalID string, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, open, err := OpenFor(ctx, tx, KindApprover, accountID); err != nil || open {
			if open {
				err = ErrTwice
			}
			return err
		}
		payload, err := json.Marshal(map[string]string{"account": accountID})
		if err != nil {
			return err
		}
		proposalID, err = s.Propose(ctx, tx, Proposal{Kind: KindApprover, Subject: accountID, Payload: payload, Why: why, ProposedBy: by})
		return err
	})
	return proposalID, err
}

func (s *Service) approverHandler() Handler {
	return Handler{
		Title: func(c *web.Ctx, p Proposal) (string, error) {
			var name string
			err := s.pool.QueryRow(c.Std(), `SELECT name FROM staff.account WHERE id = $1`, p.Subject).Scan(&name)
			return c.T("dualcontrol.approver.title", "Name", name), err
		},
		Changes: func(c *web.Ctx, _ Proposal) ([]Change, error) {
			return []Change{{c.T("dualcontrol.approver.what"), c.T("dualcontrol.no"), c.T("dualcontrol.yes")}}, nil
		},
		Apply: func(ctx context.Context, tx pgx.Tx, p Proposal) error {
			_, err := tx.Exec(ctx, `INSERT INTO staff.approver (id, account_id, proposal_id, since) VALUES ($1, $2, $3, $4)`, id.New(), p.Subject, p.ID, s.now())
			return err
		},
	}
}
