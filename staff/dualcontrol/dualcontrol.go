package dualcontrol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff/passkey"
)

// Errors of this slice. Each has a trigger or index of the same sense behind it.
var (
	// ErrNotFound says that there is no such proposal.
	ErrNotFound = errors.New("dualcontrol: no such proposal")
	// ErrClosed says that the proposal is decided, withdrawn or expired.
	ErrClosed = errors.New("dualcontrol: proposal is not open")
	// ErrChanged says that the proposal is not any more what was touched for.
	ErrChanged = errors.New("dualcontrol: proposal has changed")
	// ErrOwnConcern says that the account must not decide on this proposal.
	ErrOwnConcern = errors.New("dualcontrol: own concern")
	// ErrNotApprover says that the account is not one of those who approve.
	ErrNotApprover = errors.New("dualcontrol: account may not approve")
	// ErrTwice says that the account, or the key, has approved already.
	ErrTwice = errors.New("dualcontrol: approved already")
	// ErrTouch says that the touch is none of this account for this proposal.
	ErrTouch = errors.New("dualcontrol: touch does not fit")
	// ErrKind says that nobody handles proposals of this kind.
	ErrKind = errors.New("dualcontrol: unknown kind")
)

// ActionApprove is the deed that a touch for an approval is bound to; its object is
// the proposal's digest. The database knows it by the same name.
const ActionApprove = "approve"

// Life is how long a proposal stays open.
const Life = 7 * 24 * time.Hour

// States of a proposal.
const (
	Open      = "open"
	Applied   = "applied"
	Refused   = "refused"
	Withdrawn = "withdrawn"
	Expired   = "expired"
)

// Proposal is what two people are asked to decide.
type Proposal struct {
	ID      string
	Kind    string          // "issuer.activate"
	Subject string          // what is changed: "issuer:<uuid>"
	Payload json.RawMessage // how; the digest is over Postgres' own text of it
	Why     string          // in words, for those who decide; nothing personal
	// ProposedBy is the proposer's account; "" = the portal itself.
	ProposedBy string
	// Barred accounts must not approve: it is their own concern. The account that
	// the subject or the payload's "account" names is barred anyway.
	Barred    []string
	Digest    passkey.Digest
	State     string
	CreatedAt time.Time
	ExpiresAt time.Time
	ClosedAt  *time.Time
	ClosedBy  string
	ClosedWhy string
}

// Approval is one person's yes.
type Approval struct {
	ID, ProposalID, AccountID, CredentialID string
	TouchID                                 string // the stored assertion
	At                                      time.Time
	VoidedAt                                *time.Time // the proposal was changed after it
}

// Change is one line of what a proposal would change, for people.
type Change struct{ What, Before, After string }

// Handler is what the slice that owns a kind of proposal does with it.
type Handler struct {
	// Title names the proposal in the reader's language: "Stadt-Apotheke freischalten".
	Title func(c *web.Ctx, p Proposal) (string, error)
	// Changes says what it changes, before and after; nil = the title says it all.
	Changes func(c *web.Ctx, p Proposal) ([]Change, error)
	// Apply carries the proposal out, in the transaction of the second approval. Its
	// error undoes that approval; a *web.Problem is shown to the approver.
	Apply func(ctx context.Context, tx pgx.Tx, p Proposal) error
	// Approved is told each approval, in its transaction (a leaf of the log); may be nil.
	Approved func(ctx context.Context, tx pgx.Tx, p Proposal, a Approval) error
}

// Config is what the slice needs.
type Config struct {
	Pool *pgxpool.Pool
	Keys *passkey.Service
	Now  clock.Clock
	Log  *slog.Logger
	// Approved is told every approval of every kind, in its transaction; may be nil.
	Approved func(ctx context.Context, tx pgx.Tx, p Proposal, a Approval) error
}

// Service keeps proposals and approvals.
type Service struct {
	cfg      Config
	pool     *pgxpool.Pool
	now      clock.Clock
	handlers map[string]Handler
}

// New makes the service.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Service{cfg: cfg, pool: cfg.Pool, now: cfg.Now, handlers: map[string]Handler{}}
	s.Handle(KindApprover, s.approverHandler())
	s.Handle(passkey.KindModel, s.modelHandler())
	cfg.Keys.DecideBy(s.proposeModel)
	return s
}

// Handle registers the handler of a kind; before the first request only.
func (s *Service) Handle(kind string, h Handler) {
	if _, twice := s.handlers[kind]; twice || h.Title == nil || h.Apply == nil {
		panic("dualcontrol: handler of " + kind)
	}
	s.handlers[kind] = h
}

// Propose stores a proposal in tx and returns its id. Kind, Subject, Payload, Why,
// ProposedBy and Barred are taken from p.
func (s *Service) Propose(ctx context.Context, tx pgx.Tx, p Proposal) (proposalID string, err error) {
	if _, known := s.handlers[p.Kind]; !known {
		return "", fmt.Errorf("%w: %s", ErrKind, p.Kind)
	}
	now := s.now()
	proposalID = id.New()
	barred := append([]string{}, p.Barred...)
	slices.Sort(barred)
	payload := p.Payload
	if payload == nil {
		payload = json.RawMessage(`{}`)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO staff.proposal (id, kind, subject, payload, why, proposed_by, barred, digest, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, nullif($6, '')::uuid, $7, '', $8, $9)`, // the trigger computes the digest
		proposalID, p.Kind, p.Subject, payload, p.Why, p.ProposedBy, slices.Compact(barred), now, now.Add(Life)); err != nil {
		return "", err
	}
	return proposalID, s.audit(ctx, tx, now, p.ProposedBy, "propose", proposalID, map[string]any{"kind": p.Kind, "subject": p.Subject, "payload": payload})
}

func (s *Service) audit(ctx context.Context, tx pgx.Tx, now time.Time, accountID, what, proposalID string, after any) error {
	actor, role := "system", ""
	if accountID != "" {
		actor, role = "staff:"+accountID, "admin"
	}
	return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "dualcontrol." + what, Subject: "proposal:" + proposalID, After: after})
}

const proposalColumns = `id::text, kind, subject, payload::text, why, coalesce(proposed_by::text, ''), barred::text[], digest, state, created_at, expires_at,
	closed_at, coalesce(closed_by::text, ''), closed_why`

func scanProposal(row pgx.CollectableRow) (p Proposal, err error) {
	var payload string
	var digest []byte
	err = row.Scan(&p.ID, &p.Kind, &p.Subject, &payload, &p.Why, &p.ProposedBy, &p.Barred, &digest, &p.State, &p.CreatedAt, &p.ExpiresAt, &p.ClosedAt, &p.ClosedBy, &p.ClosedWhy)
	p.Payload = json.RawMessage(payload)
	copy(p.Digest[:], digest)
	return p, err
}

// Get returns a proposal; lock keeps it as it is until the end of the transaction.
func get(ctx context.Context, q pg.Querier, proposalID string, lock bool) (Proposal, error) {
	if !id.Valid(proposalID) {
		return Proposal{}, ErrNotFound
	}
	sql := `SELECT ` + proposalColumns + ` FROM staff.proposal WHERE id = $1`
	if lock {
		sql += ` FOR UPDATE`
	}
	rows, err := q.Query(ctx, sql, proposalID)
	if err != nil {
		return Proposal{}, err
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanProposal)
	if pg.NoRows(err) {
		err = ErrNotFound
	}
	return p, err
}

// Get returns a proposal.
func Get(ctx context.Context, q pg.Querier, proposalID string) (Proposal, error) {
	return get(ctx, q, proposalID, false)
}

// List returns the proposals that are open, oldest first, or those that are closed,
// newest first.
func List(ctx context.Context, q pg.Querier, open bool, limit int) ([]Proposal, error) {
	order := `created_at`
	if !open {
		order = `closed_at DESC`
	}
	rows, err := q.Query(ctx, `SELECT `+proposalColumns+` FROM staff.proposal WHERE (state = 'open') = $1 ORDER BY `+order+` LIMIT $2`, open, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanProposal)
}

// OpenFor returns the open proposal of a kind about a subject, so that nobody
// proposes the same twice; ok is false when there is none.
func OpenFor(ctx context.Context, q pg.Querier, kind, subject string) (p Proposal, ok bool, err error) {
	rows, err := q.Query(ctx, `SELECT `+proposalColumns+` FROM staff.proposal WHERE kind = $1 AND subject = $2 AND state = 'open' ORDER BY created_at LIMIT 1`, kind, subject)
	if err != nil {
		return p, false, err
	}
	p, err = pgx.CollectExactlyOneRow(rows, scanProposal)
	if pg.NoRows(err) {
		return p, false, nil
	}
	return p, err == nil, err
}

// Approvals returns the approvals of a proposal in their order, voided ones too.
func Approvals(ctx context.Context, q pg.Querier, proposalID string) ([]Approval, error) {
	rows, err := q.Query(ctx, `
		SELECT id::text, proposal_id::text, account_id::text, credential_id::text, touch_id::text, at, voided_at
		FROM staff.approval WHERE proposal_id = $1 ORDER BY at, id`, proposalID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Approval])
}
