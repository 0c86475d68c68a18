package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/staff/dualcontrol"
)

// KindMass is the kind of proposal that two people decide.
const KindMass = "revocation.mass"

// ErrSelection says that a selection names nothing, or all.
var ErrSelection = errors.New("revocation: the selection must name an issuer, operator, lot, person, signer, or both ends of a time window")

// Selection says which certificates are meant: those that fit everything that is
// set.
type Selection struct {
	Issuer   string     `json:"issuer,omitempty"`   // issuer_ref, "centre:leipzig"
	Operator string     `json:"operator,omitempty"` // as the certificate has it
	Lot      string     `json:"lot,omitempty"`
	Person   string     `json:"person,omitempty"` // id of the login that owns them
	Signer   string     `json:"signer,omitempty"` // key id of the DSC, hexadecimal
	From     *time.Time `json:"from,omitempty"`   // signed at or after
	To       *time.Time `json:"to,omitempty"`     // signed before
}

// Check refuses a selection without a criterion.
func (s Selection) Check() error {
	if s.Issuer+s.Operator+s.Lot+s.Person+s.Signer == "" && (s.From == nil || s.To == nil) {
		return ErrSelection
	}
	if s.From != nil && s.To != nil && !s.From.Before(*s.To) {
		return ErrSelection
	}
	return nil
}

// where is the condition on certificate.certificate c; the certificates stand
// and were signed before the moment.
func (s Selection) where(before time.Time) (sql string, args []any) {
	var b strings.Builder
	b.WriteString(`c.revoked_at IS NULL AND c.state IN ('signed', 'logged', 'released') AND c.signed_at <= $1`)
	args = []any{before}
	add := func(condition string, v any) {
		args = append(args, v)
		fmt.Fprintf(&b, " AND "+condition, len(args))
	}
	for _, c := range []struct{ column, value string }{{"issuer_ref", s.Issuer}, {"operator", s.Operator}, {"lot_number", s.Lot}, {"person_id::text", s.Person}, {"kid", s.Signer}} {
		switch {
		case c.value == "":
		case c.column == "kid":
			add("encode(c.kid, 'hex') = $%d", c.value)
		default:
			add("c."+c.column+" = $%d", c.value)
		}
	}
	if s.From != nil {
		add("c.signed_at >= $%d", *s.From)
	}
	if s.To != nil {
		add("c.signed_at < $%d", *s.To)
	}
	return b.String(), args
}

// Decision is what two people decide: the payload of the proposal.
type Decision struct {
	Selection Selection `json:"selection"`
	Reason    Reason    `json:"reason"`
	Replace   bool      `json:"replace"` // holders who did nothing wrong get a new certificate
	Count     int       `json:"count"`   // how many it were when it was proposed
}

// Preview says whom a selection hits.
type Preview struct {
	Count       int
	First, Last time.Time // signed
	Issuers     []Hit     // the most hit, at most ten
}

// Hit is how many certificates of an issuer are hit.
type Hit struct {
	Issuer string // its reference
	Name   string
	Count  int
}

// Issuers tells how the administration names issuers.
type Issuers interface {
	// RefOf returns the reference of the issuer that has, or had last, a number in the
	// registry; "" when none has.
	RefOf(ctx context.Context, q pg.Querier, number string) (string, error)
	// NameOf returns what an issuer's reference is called on pages.
	NameOf(ctx context.Context, q pg.Querier, ref string) (string, error)
}

// Desk is where staff revoke.
type Desk struct {
	Pool    *pgxpool.Pool
	Now     clock.Clock
	Service *Service
	Dual    *dualcontrol.Service
	Issuers Issuers
	// Settle waits for the signatures that have begun, see [stop.Service.Settle]: one
	// may bear a time before the decision and be committed after it.
	Settle func(ctx context.Context) error
	// Reissue makes the next certificates of treatment records whose certificates
	// were just revoked and are to be replaced, and tells their holders.
	Reissue func(ctx context.Context, tx pgx.Tx, recordIDs []string) error
}

// Preview counts what a selection hits now.
func (d *Desk) Preview(ctx context.Context, s Selection) (p Preview, err error) {
	if err := s.Check(); err != nil {
		return p, err
	}
	where, args := s.where(d.Now())
	rows, err := d.Pool.Query(ctx, `SELECT c.issuer_ref, count(*), min(c.signed_at), max(c.signed_at) FROM certificate.certificate c WHERE `+where+` GROUP BY 1 ORDER BY 2 DESC, 1`, args...)
	if err != nil {
		return p, err
	}
	var h Hit
	var first, last time.Time
	_, err = pgx.ForEachRow(rows, []any{&h.Issuer, &h.Count, &first, &last}, func() error {
		if p.Count += h.Count; p.First.IsZero() || first.Before(p.First) {
			p.First = first
		}
		if last.After(p.Last) {
			p.Last = last
		}
		if len(p.Issuers) < 10 {
			p.Issuers = append(p.Issuers, h)
		}
		return nil
	})
	for i := 0; err == nil && i < len(p.Issuers); i++ {
		p.Issuers[i].Name, err = d.Issuers.NameOf(ctx, d.Pool, p.Issuers[i].Issuer)
	}
	return p, err
}

// Propose asks two people to revoke what a selection hits.
func (d *Desk) Propose(ctx context.Context, s Selection, reason Reason, replace bool, why, by string) (proposalID string, err error) {
	p, err := d.Preview(ctx, s)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(Decision{Selection: s, Reason: reason, Replace: replace, Count: p.Count})
	if err != nil {
		return "", err
	}
	err = pg.InTx(ctx, d.Pool, func(tx pgx.Tx) error {
		proposalID, err = d.Dual.Propose(ctx, tx, dualcontrol.Proposal{Kind: KindMass, Subject: "revocation:" + id.New(), Payload: payload, Why: why, ProposedBy: by})
		return err
	})
	return proposalID, err
}

type massPayload struct {
	ID string `json:"id"`
}

var taskMass = jobs.Define[massPayload]("revocation.mass")

// apply stores what two people have decided, in their transaction; the worker
// carries it out.
func (d *Desk) apply(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
	massID, _ := strings.CutPrefix(p.Subject, "revocation:")
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.revocation_mass (id, proposal_id, decision, decided_at) VALUES ($1, $2, $3, $4)`, massID, p.ID, p.Payload, d.Now()); err != nil {
		return fmt.Errorf("mass revocation: %w", err)
	}
	return taskMass.Enqueue(ctx, tx, massPayload{massID})
}

// massBatch is how many certificates one transaction revokes.
const massBatch = 100

// Carry revokes what a decision hits, batch by batch; a run that was killed goes
// on where it stopped. Certificates signed after the decision are not meant.
func (d *Desk) Carry(ctx context.Context, massID string) error {
	if err := d.Settle(ctx); err != nil {
		return fmt.Errorf("mass revocation %s: %w", massID, err)
	}
	for {
		done := false
		err := pg.InTx(ctx, d.Pool, func(tx pgx.Tx) (err error) {
			done, err = d.carrySome(ctx, tx, massID)
			return err
		})
		if err != nil {
			return fmt.Errorf("mass revocation %s: %w", massID, err)
		}
		if done {
			return nil
		}
	}
}

func (d *Desk) carrySome(ctx context.Context, tx pgx.Tx, massID string) (done bool, err error) {
	var raw []byte
	var decided time.Time
	var doneAt *time.Time
	err = tx.QueryRow(ctx, `SELECT decision, decided_at, done_at FROM certificate.revocation_mass WHERE id = $1 FOR UPDATE`, massID).Scan(&raw, &decided, &doneAt)
	if err != nil || doneAt != nil {
		return true, err
	}
	var what Decision
	if err := json.Unmarshal(raw, &what); err != nil {
		return true, err
	}
	where, args := what.Selection.where(decided)
	rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT c.id::text, c.record_id::text FROM certificate.certificate c WHERE %s ORDER BY c.id LIMIT %d FOR UPDATE`, where, massBatch), args...)
	if err != nil {
		return true, err
	}
	type hit struct{ ID, RecordID string }
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[hit])
	if err != nil {
		return true, err
	}
	now := d.Now()
	records := make([]string, len(list))
	for i, h := range list {
		records[i] = h.RecordID
		if err := d.Service.Revoke(ctx, tx, Revocation{CertificateID: h.ID, Reason: what.Reason, Replaced: what.Replace, Actor: "mass:" + massID, Role: "worker", At: now}); err != nil {
			return true, err
		}
	}
	if what.Replace && len(records) > 0 {
		if err := d.Reissue(ctx, tx, records); err != nil {
			return true, err
		}
	}
	if len(list) < massBatch {
		done, doneAt = true, &now
	}
	_, err = tx.Exec(ctx, `UPDATE certificate.revocation_mass SET hit = hit + $2, done_at = $3 WHERE id = $1`, massID, len(list), doneAt)
	return done, err
}
