package passkey

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
)

// KindModel is the kind of proposal by which two people allow a model; its subject is
// "key-model:<AAGUID>".
const KindModel = "passkey.model"

var (
	// ErrTwo says that one person alone does not allow a model any more.
	ErrTwo = errors.New("passkey: two people allow a model")
	// ErrProposed says that a proposal about this model is open already.
	ErrProposed = errors.New("passkey: model is proposed already")
)

// Propose puts something before two people, in tx, and returns the proposal's id;
// package dualcontrol, which knows this one.
type Propose func(ctx context.Context, tx pgx.Tx, kind, subject string, payload json.RawMessage, why, accountID string) (proposalID string, err error)

// DecideBy tells the service who lets two people decide; before the first request only.
func (s *Service) DecideBy(p Propose) { s.propose = p }

// modelSubject is what audit, log and proposals call a model.
func modelSubject(aaguid string) string { return "key-model:" + aaguid }

// modelPayload is a model as a proposal carries it; the trigger compares the same.
type modelPayload struct {
	Name  string `json:"name"`
	From  string `json:"from"` // YYYY-MM-DD
	To    string `json:"to"`   // "" = no end
	Roots string `json:"roots"`
}

func (m Model) payload() (json.RawMessage, error) {
	return json.Marshal(modelPayload{m.Name, m.From.Format(time.DateOnly), m.last(), m.Roots})
}

// last is the last day, YYYY-MM-DD; "" = no end.
func (m Model) last() string {
	if m.To == nil {
		return ""
	}
	return m.To.Format(time.DateOnly)
}

// ModelOf reads the model that a proposal would allow.
func ModelOf(subject string, payload json.RawMessage) (m Model, err error) {
	var p modelPayload
	if err := json.Unmarshal(payload, &p); err != nil {
		return m, err
	}
	m = Model{AAGUID: subject[len(modelSubject("")):], Name: p.Name, Roots: p.Roots}
	if m.From, err = time.Parse(time.DateOnly, p.From); err != nil || p.To == "" {
		return m, err
	}
	to, err := time.Parse(time.DateOnly, p.To)
	m.To = &to
	return m, err
}

// FirstSetup reports whether fewer than two administrators' accounts have ever had an
// accepted key: only then does one person allow a model, because nobody could approve.
func FirstSetup(ctx context.Context, q pg.Querier) (first bool, err error) {
	err = q.QueryRow(ctx, `SELECT staff.first_setup()`).Scan(&first)
	return first, err
}

// AllowModel puts a model on the list from a day on, during the first set-up; after it
// ErrTwo.
func (s *Service) AllowModel(ctx context.Context, m Model, actor string) error {
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.putModel(ctx, tx, m, actor); err != nil {
			return err
		}
		if s.cfg.Alone == nil {
			return nil
		}
		payload, err := m.payload()
		if err != nil {
			return err
		}
		return s.cfg.Alone(ctx, tx, KindModel, modelSubject(m.AAGUID), sha256.Sum256(payload), actor)
	})
}

// ProposeModel asks two people to allow a model, or to let it count longer.
func (s *Service) ProposeModel(ctx context.Context, m Model, why, accountID string) (proposalID string, err error) {
	payload, err := m.payload()
	if err != nil {
		return "", err
	}
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var open bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM staff.proposal WHERE kind = $1 AND subject = $2 AND state = 'open')`, KindModel, modelSubject(m.AAGUID)).Scan(&open); err != nil {
			return err
		}
		if open {
			return ErrProposed
		}
		proposalID, err = s.propose(ctx, tx, KindModel, modelSubject(m.AAGUID), payload, why, accountID)
		return err
	})
	return proposalID, err
}

// ApplyModel carries out what two have approved. The trigger asks for the two once more.
func (s *Service) ApplyModel(ctx context.Context, tx pgx.Tx, proposalID, subject string, payload json.RawMessage) error {
	m, err := ModelOf(subject, payload)
	if err != nil {
		return err
	}
	m.Approval = proposalID
	return s.putModel(ctx, tx, m, "proposal:"+proposalID)
}

func (s *Service) putModel(ctx context.Context, tx pgx.Tx, m Model, actor string) error {
	now := s.now()
	_, err := tx.Exec(ctx, `
		INSERT INTO staff.key_model (aaguid, valid_from, valid_to, name, roots, virtual, approval, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6, nullif($7, '')::uuid, $8, $9)
		ON CONFLICT (aaguid, valid_from) DO UPDATE SET valid_to = excluded.valid_to, name = excluded.name, roots = excluded.roots,
			approval = excluded.approval, set_by = excluded.set_by, set_at = excluded.set_at
		WHERE NOT staff.key_model.virtual`,
		m.AAGUID, m.From, m.To, m.Name, m.Roots, m.Virtual, m.Approval, actor, now)
	if pg.Violates(err, "key_model_two") {
		err = errors.Join(ErrTwo, err)
	}
	if err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: actor, Role: "admin", Action: "passkey.model", Subject: modelSubject(m.AAGUID),
		After: map[string]any{"name": m.Name, "from": m.From.Format(time.DateOnly), "to": m.To, "proposal": m.Approval},
	})
}

// EndModel ends a model with a day, the last on which its keys count. One person does
// it at once.
func (s *Service) EndModel(ctx context.Context, aaguid string, from, last time.Time, actor string) error {
	now := s.now()
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE staff.key_model SET valid_to = $3, set_by = $4, set_at = $5 WHERE aaguid = $1 AND valid_from = $2 AND valid_from <= $3 AND (valid_to IS NULL OR valid_to > $3)`,
			aaguid, from, last, actor, now)
		if err == nil && tag.RowsAffected() == 0 { // it has not been allowed on any day up to then
			tag, err = tx.Exec(ctx, `DELETE FROM staff.key_model WHERE aaguid = $1 AND valid_from = $2 AND valid_from > $3`, aaguid, from, last)
		}
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: "admin", Action: "passkey.model_end", Subject: modelSubject(aaguid), After: map[string]string{"last": last.Format(time.DateOnly)},
		})
	})
}

// WaitingModel is a model that waits for two people.
type WaitingModel struct {
	ProposalID string
	Approvals  int // that count
	Model
}

// WaitingModels returns the models that wait for two people, oldest proposal first.
func WaitingModels(ctx context.Context, q pg.Querier, now time.Time) ([]WaitingModel, error) {
	rows, err := q.Query(ctx, `
		SELECT p.id::text, p.subject, p.payload::text, (SELECT count(*) FROM staff.approval a WHERE a.proposal_id = p.id AND a.voided_at IS NULL)
		FROM staff.proposal p WHERE p.kind = $1 AND p.state = 'open' AND p.expires_at > $2 ORDER BY p.created_at`, KindModel, now)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w WaitingModel, err error) {
		var subject, payload string
		if err := row.Scan(&w.ProposalID, &subject, &payload, &w.Approvals); err != nil {
			return w, err
		}
		w.Model, err = ModelOf(subject, json.RawMessage(payload))
		return w, err
	})
}
